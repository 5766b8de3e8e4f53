"""What other implementations get wrong, and ours must not: a defect, a test.

Of crowd-kit 1.4.2, peerannot 0.0.1, cleanlab 2.9.0 and the code of MBEM's authors. MACE's restarts
that all begin alike are in `test_mace`.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params

from experiments.benchmarks import aggregation_accuracy, crowd_sets
from trinity_jax.algorithms.em import fit, fit_until
from trinity_jax.data import sources
from trinity_jax.data.aggregation import model_bootstrapped as mbem
from trinity_jax.data.aggregation.aggregators import AGGREGATORS, aggregate
from trinity_jax.data.aggregation.annotations import Dims, annotations
from trinity_jax.data.aggregation.crowdlab import crowdlab
from trinity_jax.data.aggregation.dawid_skene import dawid_skene
from trinity_jax.types import InputError


def test_dawid_skene_of_crowdkit_adds_the_prior_per_label_and_stops_after_two_rounds(real_data):
    """Its bound falls on bluebird: accuracy 0.889 there, 0.898 here."""
    data = crowd_sets.read(real_data("crowd", "bluebird"))
    run = jax.jit(lambda key: fit_until(dawid_skene(data.dims), key, data.table, max_steps=500))
    fitted = run(jax.random.key(0))
    assert fitted.num_steps > 5
    objective = jax.jit(lambda key: fit(dawid_skene(data.dims), key, data.table, 30)[1].objective)
    assert np.diff(objective(jax.random.key(0))).min() > -1e-6
    assert (fitted.state.log_posterior.argmax(1) == data.truth).mean() > 0.895


@pytest.mark.parametrize("name", AGGREGATORS)
def test_ties_of_crowdkit_follow_the_order_of_rows(name):
    """Its votes (1, 0) make 1, and (0, 1) make 0."""
    item, worker, label = np.array([(0, 0, 1), (0, 1, 0), (1, 0, 0), (1, 1, 1), (2, 1, 1)]).T
    forwards, dims = annotations(item, worker, label)
    backwards, _ = annotations(item[::-1], worker[::-1], label[::-1])
    run = jax.jit(lambda table: jnp.exp(aggregate(name, jax.random.key(0), table, dims)))
    found = run(forwards)
    np.testing.assert_allclose(run(backwards), found, atol=1e-5)
    if name in ("majority", "soft_vote"):
        np.testing.assert_allclose(found[:2], 0.5, atol=1e-6)


def test_labels_that_are_not_numbers_are_dropped_by_crowdkit_or_become_a_class():
    """An item of NaN alone vanishes in its vote, and is given class 0 by its Dawid-Skene."""
    with pytest.raises(InputError, match=r"^label must hold integers, not float64$"):
        annotations([0, 1], [0, 0], [1.0, np.nan])


@pytest.mark.parametrize(("missing", "read"), [("", None), ("nan", ("0", "1", "nan"))])
def test_labels_that_are_missing_in_a_file(tmp_path, missing, read):
    """Nothing (as pandas writes NaN) is refused by line; any word is a name, `nan` too."""
    (tmp_path / "label.csv").write_text(f"item,worker,label\na,u,0\na,v,1\nb,u,{missing}\n")
    if read:
        assert sources.crowd(f"csv:{tmp_path}").labels == read
    else:
        with pytest.raises(InputError, match=r"label.csv, line 4: .* empty label"):
            sources.crowd(f"csv:{tmp_path}")


def test_kos_of_crowdkit_fails_where_an_item_has_one_label():
    table, dims = annotations([0, 1, 2], [0, 1, 0], [0, 1, 1])
    found = aggregate("kos", jax.random.key(0), table, dims)
    np.testing.assert_array_equal(found.argmax(1), table.label)


def test_one_coin_of_crowdkit_estimates_the_prior_and_collapses(real_data):
    """0.583 on bluebird, which `one_coin_prior` shares; by default the classes are equal."""
    data = crowd_sets.read(real_data("crowd", "bluebird"))
    assert aggregation_accuracy.measure("one_coin", data) == pytest.approx(0.722, abs=0.0025)


def test_likelihood_of_peerannot_is_the_logarithm_of_a_sum_over_items(real_data):
    """3.14 on RTE: a log-likelihood of labels is at most 0, and is a sum over items."""
    data = crowd_sets.read(real_data("crowd", "rte"))
    run = jax.jit(lambda key: fit_until(dawid_skene(data.dims), key, data.table, max_steps=500))
    fitted = run(jax.random.key(0))
    item, worker, label, _ = (np.asarray(column) for column in data.table)
    joint = np.tile(np.asarray(fitted.state.log_prior, float), (data.dims.items, 1))
    np.add.at(joint, item, np.asarray(fitted.state.log_confusion, float)[worker, :, label])
    expected = np.logaddexp.reduce(joint, axis=1).sum() / len(item)
    assert -np.log(2) < float(fitted.info.objective) < 0
    np.testing.assert_allclose(fitted.info.objective, expected, rtol=1e-4)


def largest(jaxpr) -> int:
    """Elements of the largest array that a program makes."""
    sizes = [np.prod(v.aval.shape, dtype=int) for eqn in jaxpr.eqns for v in eqn.outvars]
    inner = [largest(p) for eqn in jaxpr.eqns for p in jaxprs_in_params(eqn.params)]
    return max([0, *sizes, *inner])


def test_crowdlab_of_cleanlab_holds_an_array_of_items_times_workers():
    dims, num_rows = Dims(items=2_000, workers=500, labels=5), 10_000
    rng = np.random.default_rng(0)
    columns = [rng.integers(size, size=num_rows) for size in dims]
    table, log_probs = annotations(*columns, dims)[0], jnp.zeros((dims.items, dims.labels))
    program = jax.make_jaxpr(crowdlab, static_argnums=1)(table, dims, log_probs)
    assert largest(program.jaxpr) <= num_rows * dims.labels < dims.items * dims.workers / 10
    memory = jax.jit(crowdlab, static_argnums=1).lower(table, dims, log_probs).compile()
    assert memory.memory_analysis().temp_size_in_bytes < 4 * dims.items * dims.workers


@pytest.mark.parametrize("num_workers", [33, 200])
def test_posterior_of_mbems_authors_is_nothing_by_nothing_from_33_labels_on(num_workers):
    """All contradict the model, whose answers leave each label 1e-10: products underflow."""
    item, worker = (axis.ravel() for axis in np.indices((4, num_workers)))
    label = np.where(item < 2, item, 1 - (item % 2) * (worker % 2))
    table, dims = annotations(item, worker, label)
    log_probs = 5 * jax.nn.one_hot(jnp.array([0, 1, 0, 1]), 2)
    state = jax.jit(lambda table: mbem.update(table, dims, log_probs))(table)
    assert jnp.isfinite(state.log_posterior).all()
    np.testing.assert_allclose(jnp.exp(state.log_posterior).sum(1), 1, rtol=1e-5)
    np.testing.assert_array_equal(state.log_posterior[:2].argmax(1), [0, 1])

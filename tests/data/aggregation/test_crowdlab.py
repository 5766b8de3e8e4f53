"""CROWDLAB against cleanlab 2.9.0, whose answers on made data are kept in a fixture."""

import pathlib

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.data.aggregation.annotations import Annotations, Dims, annotations, purchase
from trinity_jax.data.aggregation.crowdlab import crowdlab

FIXTURE = pathlib.Path(__file__).parents[2] / "fixtures" / "cleanlab.npz"
RUN = jax.jit(crowdlab, static_argnums=1)


@pytest.fixture
def peer():
    """Made data and cleanlab's answers to it, by case and name."""
    with np.load(FIXTURE) as arrays:
        whole = {name: arrays[name] for name in arrays}
    return lambda case: {k.removeprefix(f"{case}_"): v for k, v in whole.items() if case in k}


def made(case):
    """The first items have labels, and log-probabilities come for more; all labels are used."""
    log_probs = jnp.asarray(case["log_probs"])
    dims = Dims(len(log_probs), int(case["worker"].max()) + 1, log_probs.shape[1])
    return annotations(case["item"], case["worker"], case["label"], dims)[0], dims, log_probs


def test_equals_cleanlab(peer):
    case = peer("several")
    table, dims, log_probs = made(case)
    result = RUN(table, dims, log_probs)
    num = len(case["consensus"])
    np.testing.assert_array_equal(result.label[:num], case["consensus"])
    np.testing.assert_allclose(result.quality[:num], case["quality"], atol=1e-5)
    np.testing.assert_allclose(result.worker_weight, case["worker_weight"], atol=1e-5)
    np.testing.assert_allclose(result.model_weight, case["model_weight"], atol=1e-5)
    known = np.isfinite(case["worker_quality"])  # cleanlab has none for who met nobody
    assert known.sum() == dims.workers - 1
    expected = case["worker_quality"][known]
    np.testing.assert_allclose(result.worker_quality[known], expected, atol=1e-5)
    alone = table.worker == np.flatnonzero(~known)
    probs = np.exp(result.log_posterior)[table.item[alone], table.label[alone]]
    np.testing.assert_allclose(result.worker_quality[~known], probs.mean(), atol=1e-5)


@pytest.mark.parametrize("name", ["several", "once"])
def test_active_scores_equal_cleanlab_labelled_or_not(peer, name):
    case = peer(name)
    table, dims, log_probs = made(case)
    result = RUN(table, dims, log_probs / jnp.float32(case["temperature"]))
    np.testing.assert_allclose(result.active_score, case["active_score"], atol=1e-5)


def test_one_label_an_item(peer):
    """cleanlab refuses to; nobody can be compared, so the label stands and the model rates it."""
    case = peer("once")
    table, dims, log_probs = made(case)
    result = RUN(table, dims, log_probs)
    np.testing.assert_array_equal(result.label[table.item], table.label)
    probs = np.exp(log_probs)
    np.testing.assert_allclose(
        result.quality[table.item], probs[table.item, table.label], atol=1e-5
    )
    np.testing.assert_allclose(np.exp(result.log_posterior), probs, atol=1e-5)
    np.testing.assert_array_equal(result.label[150:], probs[150:].argmax(1))
    for worker in range(dims.workers):
        rows = table.worker == worker
        mean = probs[table.item[rows], table.label[rows]].mean()
        np.testing.assert_allclose(result.worker_quality[worker], mean, atol=1e-5)


def test_ties_go_to_the_model_then_the_rarer_then_the_trusted_then_the_first():
    """Item 0 is tied each time, and too uncertain for the pool to overrule the vote."""
    sure = [(i, a, i % 2) for i in range(1, 9) for a in (0, 1)]
    flat = jnp.log(jnp.full((9, 2), 0.5))

    def first(rows, log_probs=flat):
        table, dims = annotations(*np.array(rows).T)
        return int(RUN(table, dims, log_probs).label[0])

    tied = [(0, 0, 0), (0, 1, 1)]
    assert first(tied + sure) == 0
    assert first(tied + sure, flat.at[0, 1].add(0.5)) == 1
    assert first([*tied, *sure, (2, 2, 0), (4, 2, 0)]) == 1  # 0 is given more often
    wrong = [(1, 0, 1), (1, 1, 1), (1, 2, 0), (2, 0, 0), (2, 1, 0), (2, 2, 1)]
    assert first([(0, 2, 0), (0, 0, 1), *wrong, *sure[4:]]) == 1  # worker 2 agrees with nobody


def test_agreeing_workers_outweigh_a_bad_model():
    rng = np.random.default_rng(0)
    truth = np.arange(40) % 2
    item, worker = (axis.ravel() for axis in np.indices((40, 3)))
    table, dims = annotations(item, worker, truth[item])
    wrong = jnp.log(jnp.asarray(rng.dirichlet((1, 1), size=40), jnp.float32))
    result = RUN(table, dims, wrong)
    np.testing.assert_array_equal(result.label, truth)
    assert result.model_weight < 0.5 < result.worker_weight.min()


def test_order_of_rows_and_padding_are_invisible(peer):
    case = peer("several")
    table, dims, log_probs = made(case)
    expected = RUN(table, dims, log_probs)
    order = np.random.default_rng(0).permutation(len(table.item))
    shuffled = annotations(*(np.asarray(column)[order] for column in table[:3]), dims)[0]
    chex.assert_trees_all_close(RUN(shuffled, dims, log_probs), expected, atol=1e-5)

    more = [jnp.append(c, jnp.array([t, t])) for c, t in zip(table[:3], (160, 3, 1), strict=True)]
    padded = Annotations(*more, jnp.append(table.weight, jnp.zeros(2)))
    wide = Dims(dims.items + 2, dims.workers + 1, dims.labels)
    found = RUN(padded, wide, jnp.concatenate([log_probs, log_probs[:2]]))
    assert found.worker_quality[-1] == 1 / dims.labels
    worker = lambda leaf: leaf[:-1]
    found = found._replace(
        worker_quality=worker(found.worker_quality), worker_weight=worker(found.worker_weight)
    )
    cut = jax.tree.map(lambda new, old: new[: len(old)] if old.ndim else new, found, expected)
    chex.assert_trees_all_close(cut, expected, atol=1e-5)


def test_jit_and_vmap_over_redundancy(peer):
    table, dims, log_probs = made(peer("several"))
    run = lambda r: crowdlab(purchase(table, r), dims, log_probs)
    mapped = jax.jit(jax.vmap(run))(jnp.arange(1, 4))  # 1 is where nobody can be compared
    for row, r in enumerate(range(1, 4)):
        one = jax.tree.map(lambda leaf, row=row: leaf[row], mapped)
        chex.assert_trees_all_close(one, RUN(purchase(table, r), dims, log_probs), atol=1e-5)
    chex.assert_trees_all_close(one, run(3), atol=1e-5)

"""What every EM method on crowd labels promises: one table of methods, one list of promises.

A method that starts at random draws a row for each worker or each item. Renaming those deals the
draws to others, so it promises nothing about that.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.algorithms.em import EM, fit
from trinity_jax.data.aggregation import bwa, class_wise_coin, ebcc, glad, grouped, ibcc, mace
from trinity_jax.data.aggregation.annotations import Annotations, Dims, annotations, purchase
from trinity_jax.data.aggregation.dawid_skene import pseudo_counts

DIMS = Dims(items=12, workers=5, labels=4)
ROWS, ROUNDS = 40, 4  # the same in most tests, which then share a program


class Case(NamedTuple):
    """A method of one hyperparameter, two values of it, and what may be renamed."""

    make: Callable[[Dims, Any], EM]
    values: tuple[float, float] = (0.0, 0.0)
    renamed: str = "item worker label"


CASES = {
    "glad": Case(lambda dims, _: glad.glad(dims)),
    "mace": Case(lambda dims, _: mace.mace(dims), renamed="item"),
    "ibcc": Case(lambda dims, scale: ibcc.ibcc(dims, scale * pseudo_counts(dims)), (3.0, 1.0)),
    "ebcc": Case(lambda dims, a: ebcc.ebcc(dims, 3, a), (0.1, 2.0), renamed="worker"),
    "bwa": Case(lambda dims, shrinkage: bwa.bwa(dims, 15.0, shrinkage), (1.0, 4.0)),
    "class-wise coin": Case(
        lambda dims, right: class_wise_coin.class_wise_coin(dims, right), (1.1, 3.0)
    ),
    "grouped": Case(
        lambda dims, outside: grouped.grouped(dims, np.arange(dims.labels) % 2, outside),
        (0.01, 0.2),
        renamed="item worker",
    ),
}
every = pytest.mark.parametrize("name", CASES)


def draw(seed, num_annotations=ROWS, hostile=False):
    """Annotations by workers of all kinds; hostile ones are wrong more often than by chance."""
    random = np.random.default_rng(seed)
    truth = random.integers(DIMS.labels, size=DIMS.items)
    skill = random.uniform(0, 0.2 if hostile else 1, DIMS.workers)
    item = random.integers(DIMS.items, size=num_annotations)
    worker = random.integers(DIMS.workers, size=num_annotations)
    wrong = truth[item] + random.integers(1, DIMS.labels, num_annotations)
    right = random.uniform(size=num_annotations) < skill[worker]
    label = np.where(right, truth[item], wrong % DIMS.labels)
    return annotations(item, worker, label, DIMS)[0]


@functools.cache
def program(name, dims=DIMS):
    make = CASES[name].make
    return jax.jit(lambda key, value, table: fit(make(dims, value), key, table, ROUNDS))


def run(name, table, dims=DIMS):
    return program(name, dims)(jax.random.key(0), CASES[name].values[0], table)


def keys():
    return jax.random.split(jax.random.key(1), 2)


def assert_same(one, other):
    """Equal up to float32; as probabilities, as labels that nobody gave start at -inf."""
    probs = lambda tree: jax.tree.map(np.exp, tree)
    compare = functools.partial(np.testing.assert_allclose, rtol=2e-4, atol=2e-5)
    jax.tree.map(compare, probs(one), probs(other))


@every
def test_objective_never_falls(name):
    """Sixteen tables, a quarter of them hostile, half of them with weights of all sizes."""
    with jax.enable_x64(True):
        tables = [draw(seed, hostile=seed % 4 == 0) for seed in range(16)]
        tables = jax.tree.map(lambda *leaves: jnp.stack(leaves), *tables)
        scale = np.random.default_rng(0).exponential(2, tables.weight.shape)
        scale[::2] = 1
        tables = tables._replace(weight=tables.weight * scale)
        em = CASES[name].make(DIMS, CASES[name].values[0])
        fits = jax.jit(jax.vmap(lambda key, table: fit(em, key, table, 30)))
        state, info = fits(jax.random.split(jax.random.key(0), 16), tables)
        assert info.objective.dtype == jnp.float64
        assert jnp.isfinite(info.objective).all()
        assert np.diff(info.objective, axis=1).min() > -1e-11
        np.testing.assert_allclose(jnp.exp(state.log_posterior).sum(2), 1, rtol=1e-9)
        assert (info.change >= 0).all()
        assert (info.change <= 1).all()


@every
def test_renaming_changes_nothing_else(name):
    random, table = np.random.default_rng(3), draw(2)
    kept, new = map(np.arange, DIMS), map(random.permutation, DIMS)
    axes = zip(kept, new, ("item", "worker", "label"), strict=True)
    names = [new if axis in CASES[name].renamed else kept for kept, new, axis in axes]
    rows = random.permutation(ROWS)
    columns = [new[column][rows] for new, column in zip(names, table[:3], strict=True)]
    renamed, _ = annotations(*columns, DIMS)
    (state, info), (other, other_info) = run(name, table), run(name, renamed)
    assert_same(state.log_posterior, other.log_posterior[names[0]][:, names[2]])
    assert_same(info, other_info)


@every
def test_what_has_no_weight_is_invisible(name):
    """Rows of weight 0, workers without rows, and items without rows, all at once."""
    table, zero = draw(4, ROWS - 3), jnp.zeros(3)
    more = Dims(DIMS.items + 3, DIMS.workers + 2, DIMS.labels)
    junk = Annotations(jnp.array([0, 5, 14]), jnp.array([3, 6, 1]), jnp.array([1, 2, 3]), zero)
    padded = jax.tree.map(lambda *columns: jnp.concatenate(columns), table, junk)
    padded = jax.tree.map(lambda column: column[jnp.argsort(padded.item)], padded)
    (state, info), (other, other_info) = run(name, table), run(name, padded, more)
    assert_same(info, other_info)
    assert_same(state.log_posterior, other.log_posterior[: DIMS.items])
    assert jnp.isfinite(other.log_posterior).all()


@every
def test_weight_two_is_two_annotations(name):
    table = draw(5, ROWS // 2)
    repeated = jax.tree.map(lambda column: jnp.repeat(column, 2), table)
    twice = repeated._replace(weight=repeated.weight.at[::2].set(2).at[1::2].set(0))
    assert_same(run(name, twice), run(name, repeated))


@every
def test_overwhelming_evidence_does_not_underflow(name):
    """Each label counts a thousand times, in favour of several truths of an item at once."""
    table = draw(6)
    state, info = run(name, table._replace(weight=1000 * table.weight))
    assert jnp.isfinite(state.log_posterior).all()
    assert jnp.isfinite(info.objective).all()
    np.testing.assert_allclose(jnp.exp(state.log_posterior).sum(1), 1, rtol=1e-3)


@every
def test_maps_over_hyperparameters_keys_and_redundancy(name):
    table, values = draw(7), CASES[name].values
    bought = [purchase(table, redundancy) for redundancy in (2, 4)]
    tables = jax.tree.map(lambda *leaves: jnp.stack(leaves), *bought)
    mapped = jax.vmap(program(name))(keys(), jnp.array(values), tables)
    for i in range(2):
        one = program(name)(keys()[i], values[i], bought[i])
        assert_same(one, jax.tree.map(lambda leaf: leaf[i], mapped))  # noqa: B023


@pytest.mark.parametrize(  # eight programs each
    "name", [pytest.param(n, marks=[pytest.mark.slow] * (n not in ("ibcc", "glad"))) for n in CASES]
)
def test_placement_changes_nothing(name):
    """Plain, jitted, on two devices with a key each, and with rows spread over four devices."""
    table, em, traces = draw(8), CASES[name].make(DIMS, CASES[name].values[0]), []

    @jax.jit
    def step(key, state, table):
        traces.append(1)
        return em.step(key, state, table)

    starts = jax.jit(jax.vmap(em.init, (0, None)))(keys(), table)
    start = jax.tree.map(lambda leaf: leaf[0], starts)
    jitted = step(keys()[0], start, table)
    step(keys()[1], jitted[0], table)
    assert len(traces) == 1
    assert_same(jitted, em.step(keys()[0], start, table))

    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    spread = jax.device_put(table, jax.NamedSharding(mesh, jax.P("data")))
    assert_same(jitted, step(keys()[0], start, spread))
    parallel = jax.pmap(em.step, in_axes=(0, 0, None))(keys(), starts, table)
    assert_same(jitted, jax.tree.map(lambda leaf: leaf[0], parallel))

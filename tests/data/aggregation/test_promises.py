"""What every aggregator promises: a line in the table of algorithms buys all the tests.

In float64, so that rounding excuses nothing.
"""

import functools
import itertools
from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trinity_jax.algorithms.em import fit, fit_until
from trinity_jax.compute import mesh
from trinity_jax.data.aggregation.annotations import Annotations, Dims
from trinity_jax.data.aggregation.dawid_skene import dawid_skene, dawid_skene_map
from trinity_jax.data.aggregation.majority import majority, soft
from trinity_jax.data.aggregation.model_bootstrapped import model_bootstrapped
from trinity_jax.data.aggregation.one_coin import one_coin


class Problem(NamedTuple):
    """A table, and what was known before about its workers: pseudo-counts of their labels."""

    table: Annotations
    history: np.ndarray  # [worker, truth, label]


def sharpened(key, posterior):
    """In place of a network: takes ties for the class that is commoner in all."""
    del key
    common = (posterior - 1 / posterior.shape[1]).sum(axis=0, keepdims=True)  # 0 of the unlabelled
    return jax.nn.log_softmax(jnp.log(posterior + 0.1) + 0.02 * common)


def one_coin_of_history(dims, history):
    right = history.trace(axis1=1, axis2=2)
    return one_coin(dims, right, history.sum((1, 2)) - right)


PROGRAMS = {  # of dims and history
    "majority": lambda dims, history: majority(dims),
    "dawid_skene": lambda dims, history: dawid_skene(dims),
    "dawid_skene_map": dawid_skene_map,
    "one_coin": one_coin_of_history,
    "model_bootstrapped": lambda dims, history: model_bootstrapped(dims, sharpened, 1.0),
}
ALGORITHMS = PROGRAMS | {  # the same with other numbers or parts, not compiled in every way
    "soft": lambda dims, history: soft(dims),
    "dawid_skene_map by default": lambda dims, history: dawid_skene_map(dims),
    "one_coin by default": lambda dims, history: one_coin(dims),
    "one_coin and prior": lambda dims, history: one_coin(dims, estimate_prior=True),
    "model_bootstrapped by default": lambda dims, history: model_bootstrapped(dims, sharpened),
}
EXACT = [name for name in ALGORITHMS if name.startswith(("dawid_skene", "one_coin"))]

every_algorithm = pytest.mark.parametrize("name", ALGORITHMS)
every_program = pytest.mark.parametrize("name", PROGRAMS)

DIMS, NUM_ROWS, ROUNDS, LANES = Dims(items=12, workers=6, labels=3), 40, 8, 4
EVERYWHERE = Dims(*map(np.arange, DIMS))


@pytest.fixture(autouse=True, scope="module")
def float64():
    with jax.enable_x64(True):
        yield


def problem(rng, item, worker, label, weight, dims) -> Problem:
    """Rows in random order within an item, and a history."""
    order = np.lexsort((rng.random(len(item)), item))
    rows = [np.asarray(column, np.int32)[order] for column in (item, worker, label)]
    history = rng.gamma(1.0, size=(dims.workers, dims.labels, dims.labels))
    return Problem(Annotations(*rows, np.asarray(weight, float)[order]), history)


def simulated(seed, dims=DIMS, num_rows=NUM_ROWS) -> Problem:
    """Every item has at least one row, and workers are better or worse."""
    rng = np.random.default_rng(seed)
    item = np.append(np.arange(dims.items), rng.integers(dims.items, size=num_rows - dims.items))
    worker = rng.integers(dims.workers, size=num_rows)
    truth, accuracy = rng.integers(dims.labels, size=dims.items), rng.uniform(0.4, 1, dims.workers)
    right = rng.random(num_rows) < accuracy[worker]
    label = np.where(right, truth[item], rng.integers(dims.labels, size=num_rows))
    return problem(rng, item, worker, label, np.ones(num_rows), dims)


@functools.cache
def program(name, dims):
    """Some rounds of an algorithm, compiled once for all tests that want them."""

    def run(key, problem):
        return fit(ALGORITHMS[name](dims, problem.history), key, problem.table, ROUNDS)

    return jax.jit(run)


def run(name, problem, dims=DIMS):
    return program(name, dims)(jax.random.key(0), problem)


AXES = {
    "log_posterior": ("items", "labels"),
    "log_confusion": ("workers", "labels", "labels"),
    "log_prior": ("labels",),
    "log_probs": ("items", "labels"),
    "skill": ("workers",),
}


def at(state, index=EVERYWHERE):
    """The state at these items, workers and labels, its logarithms as probabilities."""
    arrays = {}
    for field, array in state._asdict().items():
        array = np.exp(array) if field.startswith("log_") else np.array(array)
        arrays[field] = array[np.ix_(*(getattr(index, axis) for axis in AXES[field]))]
    return arrays


def assert_same(one, other, index=EVERYWHERE):
    """Both are (state, info) of the same table; the first may know it by other names."""
    pair = [(at(one[0], index), one[1]), (at(other[0]), other[1])]
    chex.assert_trees_all_close(*pair, rtol=0, atol=1e-9)


@every_algorithm
def test_posteriors_are_distributions(name):
    state, info = run(name, simulated(0))
    assert_distributions(state.log_posterior)
    assert np.isfinite(info.objective).all()
    assert np.isfinite(info.change).all()


def assert_distributions(log_posterior):
    assert not np.isnan(log_posterior).any()
    np.testing.assert_allclose(np.exp(log_posterior).sum(axis=1), 1, atol=1e-12)


@every_algorithm
@pytest.mark.parametrize("what", Dims._fields)
def test_names_do_not_matter(name, what):
    rng, before = np.random.default_rng(1), simulated(0)
    new = EVERYWHERE._replace(**{what: np.roll(getattr(EVERYWHERE, what), 1)})
    old = Dims(*map(np.argsort, new))
    item, worker, label = (n[column] for n, column in zip(new, before.table[:3], strict=True))
    after = problem(rng, item, worker, label, before.table.weight, DIMS)
    after = after._replace(history=before.history[np.ix_(old.workers, old.labels, old.labels)])
    assert_same(run(name, after), run(name, before), index=new)


@every_program
def test_padding_does_not_matter(name):
    """Rows of weight 0 that point anywhere, workers and items without labels."""
    rng, before = np.random.default_rng(1), simulated(0)
    larger = Dims(DIMS.items + 3, DIMS.workers + 2, DIMS.labels)
    padding = [rng.integers(size, size=8) for size in larger]
    columns = map(np.append, before.table, [*padding, np.zeros(8)])
    after = problem(rng, *columns, larger)
    after.history[: DIMS.workers] = before.history

    runs = [run(name, after, larger), run(name, before)]
    runs = [  # what is known of a worker adds a constant to the objective
        (state, (info.change, np.diff(info.objective))) for state, info in runs
    ]
    assert_same(*runs)


@every_algorithm
def test_a_row_of_weight_two_is_a_row_twice(name):
    rng, before = np.random.default_rng(1), simulated(0)
    rows, void = np.split(np.array(before.table[:3]), [NUM_ROWS - 4], axis=1)
    again = rng.choice(NUM_ROWS - 4, size=4, replace=False)
    heavy = 1 + np.isin(np.arange(NUM_ROWS - 4), again)
    tables = [  # of one size
        (np.append(rows, rows[:, again], axis=1), np.ones(NUM_ROWS)),
        (np.append(rows, void, axis=1), np.append(heavy, np.zeros(4))),
    ]
    made = (problem(rng, *columns, weight, DIMS) for columns, weight in tables)
    assert_same(*(run(name, p._replace(history=before.history)) for p in made))


ROWS = st.lists(
    st.tuples(*(st.integers(0, size - 1) for size in DIMS), st.sampled_from([0.5, 1.0, 2.0])),
    min_size=1,
    max_size=NUM_ROWS,
)


@pytest.mark.parametrize("name", EXACT)
@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(rows=ROWS)
def test_exact_em_never_lowers_its_objective(name, rows):
    padding = [(0, 0, 0, 0.0)] * (NUM_ROWS - len(rows))
    made = problem(np.random.default_rng(0), *np.array(rows + padding).T, DIMS)
    objective = np.array(run(name, made)[1].objective)
    assert objective.dtype == np.float64
    assert (np.diff(objective) > -1e-9).all()


def first_round(name, dims=DIMS):
    def round_(key, problem):
        em = ALGORITHMS[name](dims, problem.history)
        key_init, key_step = jax.random.split(key)
        return em.step(key_step, em.init(key_init, problem.table), problem.table)

    return round_


@every_program
def test_smallest_tables(name):
    """One item and one label; one worker, and one label for each item."""
    for dims in (Dims(1, 4, 1), Dims(8, 1, 3)):
        state, info = jax.jit(first_round(name, dims))(
            jax.random.key(0), simulated(0, dims, num_rows=8)
        )
        assert_distributions(state.log_posterior)
        assert np.isfinite(info.objective)
        assert state.log_posterior.shape == (dims.items, dims.labels)


def lanes():
    """Problems of one shape, one by one and stacked; and keys, which serve once, for them."""
    alone = [simulated(seed) for seed in range(LANES)]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *alone)
    return alone, stacked, lambda: jax.random.split(jax.random.key(0), LANES)


def unstacked(results):
    return [jax.tree.map(lambda leaf, i=i: np.asarray(leaf)[i], results) for i in range(LANES)]


@every_program
def test_placement_does_not_matter(name):
    """Plain, compiled, vectorised, a lane on each device, and rows spread over devices."""
    round_, (alone, stacked, keys) = first_round(name), lanes()
    expected = unstacked(jax.jit(jax.vmap(round_))(keys(), stacked))
    for one, same in zip(unstacked(jax.pmap(round_)(keys(), stacked)), expected, strict=True):
        assert_same(one, same)

    place = lambda spec: jax.NamedSharding(mesh.make(1, LANES), spec)
    spread = jax.device_put(alone[0], Problem(place(jax.P("data")), place(jax.P())))
    compiled = jax.jit(round_)
    assert_same(round_(keys()[0], jax.tree.map(jnp.asarray, alone[0])), expected[0])
    assert_same(compiled(keys()[0], alone[0]), expected[0])
    assert_same(compiled(keys()[0], spread), expected[0])


@functools.cache
def traced_step(name):
    """`step(key, problem, state)`, compiled, and the list that grows when it is traced."""
    traces = []

    def step(key, problem, state):
        traces.append(1)
        return ALGORITHMS[name](DIMS, problem.history).step(key, state, problem.table)

    return jax.jit(step), traces


def rounds(name, key, problem):
    """State and info after each round, by a loop in Python."""
    problem = jax.tree.map(jnp.asarray, problem)
    key_init, key_step = jax.random.split(key)
    state = ALGORITHMS[name](DIMS, problem.history).init(key_init, problem.table)
    for t in itertools.count():
        state, info = traced_step(name)[0](jax.random.fold_in(key_step, t), problem, state)
        yield state, info


@every_program
def test_fit_is_the_loop_over_rounds_which_trace_once(name):
    results = list(itertools.islice(rounds(name, jax.random.key(0), simulated(0)), ROUNDS))
    assert len(traced_step(name)[1]) == 1
    infos = jax.tree.map(lambda *leaves: np.stack(leaves), *(info for _, info in results))
    assert_same((results[-1][0], infos), run(name, simulated(0)))


@every_program
def test_lanes_stop_on_their_own(name, tolerance=1e-3, max_steps=30):
    def converge(key, problem):
        em = ALGORITHMS[name](DIMS, problem.history)
        return fit_until(em, key, problem.table, tolerance, max_steps)

    alone, stacked, keys = lanes()
    together = unstacked(jax.jit(jax.vmap(converge))(keys(), stacked))
    for key, problem, lane in zip(keys(), alone, together, strict=True):
        before = -np.inf
        for t, (state, info) in enumerate(rounds(name, key, problem), 1):
            gain, before = info.objective - before, info.objective
            if gain < tolerance or info.change == 0 or t == max_steps:
                assert lane.num_steps == t < max_steps
                assert_same(lane[:2], (state, info))
                break
        assert lane.converged
    if name in EXACT:
        assert len({int(lane.num_steps) for lane in together}) > 1

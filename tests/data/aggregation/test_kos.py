"""KOS against loops over messages."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.algorithms.em import fit, fit_until
from trinity_jax.data.aggregation.annotations import Annotations, Dims, annotations, purchase
from trinity_jax.data.aggregation.kos import kos
from trinity_jax.data.aggregation.majority import soft_vote
from trinity_jax.data.aggregation.workers import annotate


@functools.partial(jax.jit, static_argnums=(0, 2))
def run(dims, table, rounds):
    return fit(kos(dims), jax.random.key(0), table, rounds)


def regular(seed, items=200, workers=20, redundancy=5, skill=(0.55, 0.95)):
    """A random graph with the same redundancy for all, and the truth."""
    rng = np.random.default_rng(seed)
    right = jnp.float32(rng.uniform(*skill, workers))[:, None, None]
    confusion = jnp.where(jnp.eye(2, dtype=bool), right, 1 - right)
    truth = jnp.asarray(rng.integers(2, size=items))
    table = annotate(jax.random.key(seed), truth, confusion, redundancy)
    return table, Dims(items, workers, 2), truth


def by_loops(table, dims, message, rounds):
    item, worker, label = (np.asarray(column) for column in table[:3])
    vote, y = 2 * label - 1, np.array(message, np.float64)
    every = range(len(y))
    for _ in range(rounds):
        x = [sum(vote[s] * y[s] for s in every if item[s] == item[t] and s != t) for t in every]
        y = [sum(vote[s] * x[s] for s in every if worker[s] == worker[t] and s != t) for t in every]
        y = np.array(y) / np.sqrt(np.mean(np.square(y)))
    return y, np.bincount(item, vote * y, dims.items)


def test_equals_loops():
    table, dims, _ = regular(0, items=12, workers=6, redundancy=3)
    em = kos(dims)
    message = em.init(jax.random.key(0), table).message
    for rounds in (1, 4):
        state = em.init(jax.random.key(0), table)
        for _ in range(rounds):
            state, _ = em.step(jax.random.key(0), state, table)
        y, score = by_loops(table, dims, message, rounds)
        np.testing.assert_allclose(state.message, y, atol=1e-4)
        np.testing.assert_allclose(
            state.log_posterior[:, 1] - state.log_posterior[:, 0], score, atol=1e-3
        )


def test_start_is_normal_with_mean_and_deviation_one():
    table, dims, _ = regular(1, items=4000)
    message = kos(dims).init(jax.random.key(0), table).message
    np.testing.assert_allclose([message.mean(), message.std()], 1, atol=0.03)


def test_messages_stay_finite_for_any_number_of_rounds():
    table, dims, truth = regular(2)
    state, info = run(dims, table, 1000)
    assert np.isfinite(state.message).all()
    np.testing.assert_allclose(np.mean(np.square(state.message)), 1, rtol=1e-4)
    growth = np.asarray(info.objective)
    np.testing.assert_allclose(growth[100:], growth[-1], atol=1e-3)  # the largest eigenvalue
    assert (state.log_posterior.argmax(1) == truth).mean() > 0.85


def test_workers_who_are_always_wrong_are_believed_the_other_way():
    """A quarter of liars, who agree with each other: majority suffers, KOS does not."""
    table, dims, truth = regular(3, items=400, skill=(0.9, 0.95))
    liar = np.asarray(table.worker) % 4 == 0
    table = table._replace(label=jnp.where(liar, 1 - table.label, table.label))
    state = fit_until(
        kos(dims), jax.random.key(0), table, tolerance=-jnp.inf, max_change=1e-4
    ).state
    assert (state.log_posterior.argmax(1) == truth).mean() > 0.97
    assert (soft_vote(table, dims).argmax(1) == truth).mean() < 0.95
    flipped = state.message[liar]
    assert (flipped < 0).mean() > 0.95


def test_one_label_an_item_is_the_answer():
    """Every sum is 0; crowd-kit raises KeyError here."""
    table, dims = annotations(np.arange(6), [0, 0, 1, 1, 2, 2], [0, 1, 1, 1, 0, 0])
    for state in (run(dims, table, 20)[0], fit_until(kos(dims), jax.random.key(0), table).state):
        assert np.isfinite(state.message).all()
        np.testing.assert_array_equal(state.log_posterior.argmax(1), table.label)


def test_what_nothing_links_is_decided_by_majority():
    table, _, _ = regular(4, items=30, workers=6, redundancy=3)
    item = jnp.append(table.item, jnp.array([30, 31, 31, 31]))
    worker = jnp.append(table.worker, jnp.array([6, 7, 8, 9]))
    label = jnp.append(table.label, jnp.array([1, 0, 1, 0]))
    more = Annotations(item, worker, label, jnp.ones(len(item)))
    log_posterior = run(Dims(32, 10, 2), more, 10)[0].log_posterior
    np.testing.assert_allclose(np.exp(log_posterior[30:]), [[0, 1], [2 / 3, 1 / 3]], atol=1e-6)


def test_two_labels_only():
    with pytest.raises(ValueError, match="2 labels, not 3"):
        kos(Dims(4, 4, 3))


def test_order_of_rows_and_padding_are_invisible():
    table, dims, _ = regular(5)
    order = np.random.default_rng(0).permutation(len(table.item))
    shuffled = annotations(*(np.asarray(column)[order] for column in table[:3]), dims)[0]
    more = [
        jnp.append(column, jnp.array([tail, tail]))
        for column, tail in zip(table[:3], (201, 3, 1), strict=True)
    ]
    padded = Annotations(*more, jnp.append(table.weight, jnp.zeros(2)))
    wide = Dims(203, 22, 2)
    one = run(dims, table, 10)[0].log_posterior
    two = run(dims, shuffled, 10)[0].log_posterior
    three = run(wide, padded, 10)[0].log_posterior
    np.testing.assert_allclose(two, one, atol=2e-3)
    np.testing.assert_allclose(three[:200], one, atol=2e-3)
    np.testing.assert_allclose(three[200:], np.log(0.5), rtol=1e-5)


def test_jit_and_vmap_over_redundancy():
    table, dims, _ = regular(6)
    mapped = jax.jit(jax.vmap(lambda r: run(dims, purchase(table, r), 5)))(jnp.array([1, 3, 5]))
    for r, found in zip((1, 3, 5), mapped[0].log_posterior, strict=True):
        alone = run(dims, purchase(table, r), 5)[0].log_posterior
        np.testing.assert_allclose(found, alone, atol=1e-3)


def test_jit_and_vmap_over_starts():
    table, dims, _ = regular(7)
    once = lambda seed: fit(kos(dims), jax.random.key(seed), table, 5)[0].log_posterior
    mapped = jax.jit(jax.vmap(once))(jnp.arange(3))
    np.testing.assert_allclose(mapped[0], run(dims, table, 5)[0].log_posterior, atol=1e-3)
    np.testing.assert_allclose(mapped[2], once(2), atol=1e-3)
    assert not np.allclose(mapped[0], mapped[1], atol=1e-3)

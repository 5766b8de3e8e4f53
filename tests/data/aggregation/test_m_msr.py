"""M-MSR against loops over pairs of workers."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.algorithms.em import fit, fit_until
from trinity_jax.data.aggregation.annotations import Annotations, Dims, annotations, purchase
from trinity_jax.data.aggregation.m_msr import m_msr
from trinity_jax.data.aggregation.majority import soft_vote
from trinity_jax.data.aggregation.workers import annotate


@functools.partial(jax.jit, static_argnums=(0, 2))
def run(dims, table, rounds):
    return fit(m_msr(dims), jax.random.key(0), table, rounds)


@functools.partial(jax.jit, static_argnums=0)
def converge(dims, table):
    return fit_until(m_msr(dims), jax.random.key(0), table)


def made(seed, skill, items=60, labels=3, redundancy=4):
    """One-coin workers of these probabilities of being right, and the truth."""
    rng = np.random.default_rng(seed)
    right = jnp.float32(skill)[:, None, None]
    confusion = jnp.where(jnp.eye(labels, dtype=bool), right, (1 - right) / (labels - 1))
    truth = jnp.asarray(rng.integers(labels, size=items))
    table = annotate(jax.random.key(seed), truth, confusion, redundancy)
    return table, Dims(items, len(skill), labels), truth


SKILL = np.linspace(0.45, 0.95, 9)


def pairs_by_loops(table, dims):
    """c and whether two workers met, from the items of each two."""
    given = np.full((dims.workers, dims.items), -1)
    given[table.worker, table.item] = table.label
    c, met = np.zeros((dims.workers,) * 2), np.zeros((dims.workers,) * 2, bool)
    for a in range(dims.workers):
        for b in range(dims.workers):
            common = (given[a] >= 0) & (given[b] >= 0)
            if a != b and common.any():
                met[a, b] = True
                rate = (given[a] == given[b])[common].mean()
                c[a, b] = (dims.labels * rate - 1) / (dims.labels - 1)
    return c, met


def factor_by_loops(size, met, other, current):
    """The mean without F above and F below what the entry is now."""
    trim = max(met.sum(0)[met.any(0)].min() // 2 - 1, 0)
    new = current.copy()
    for b in range(len(current)):
        values = sorted(size[a, b] / other[a] for a in range(len(other)) if met[a, b])
        below = sum(v < current[b] for v in values)
        above = sum(v > current[b] for v in values)
        kept = values[min(below, trim) : len(values) - min(above, trim)]
        new[b] = np.mean(kept) if kept else current[b]
    return new


def by_loops(table, dims, rounds):
    """Log-odds of each label but for a constant of the item."""
    c, met = pairs_by_loops(table, dims)
    left = right = np.full(dims.workers, 0.5)
    for _ in range(rounds):
        right = factor_by_loops(np.abs(c), met, left, right)
        left = factor_by_loops(np.abs(c), met, right, left)
    vector = np.linalg.eigh(c)[1][:, -1]
    sign = np.sign(vector * np.sign(vector.sum()))
    k, noise = dims.labels, 1 / np.sqrt(dims.items)
    skill = sign * left * np.sqrt(np.linalg.norm(right) / np.linalg.norm(left))
    skill = np.clip(skill, noise - 1 / (k - 1), 1 - noise)
    p = skill * (k - 1) / k + 1 / k
    score = np.zeros((dims.items, k))
    for item, worker, label in zip(*(np.asarray(column) for column in table[:3]), strict=True):
        score[item, label] += np.log(p[worker] * (k - 1) / (1 - p[worker]))
    return score, left, right


@pytest.mark.parametrize("seed", range(3))
def test_equals_loops(seed):
    table, dims, _ = made(seed, SKILL)
    state, _ = run(dims, table, 6)
    score, left, right = by_loops(table, dims, 6)
    np.testing.assert_allclose(state.left, left, rtol=1e-3)
    np.testing.assert_allclose(state.right, right, rtol=1e-3)
    expected = score - np.logaddexp.reduce(score, axis=1, keepdims=True)
    np.testing.assert_allclose(state.log_posterior, expected, atol=5e-3)
    assert_pairs(state, table, dims)


def assert_pairs(state, table, dims):
    c, met = pairs_by_loops(table, dims)
    np.testing.assert_array_equal(state.met, met)
    np.testing.assert_allclose(state.correlation, c, atol=1e-5)


def test_skills_are_found():
    """s = (K p - 1) / (K - 1), the factors being equal once they are balanced."""
    table, dims, truth = made(3, SKILL, items=3000, redundancy=5)
    state = converge(dims, table).state
    found = np.sqrt(np.asarray(state.left * state.right))
    np.testing.assert_allclose(found, (3 * SKILL - 1) / 2, atol=0.06)
    right = lambda probs: (probs.argmax(1) == truth).mean()
    assert right(state.log_posterior) > right(soft_vote(table, dims)) + 0.02


def test_adversaries_get_a_negative_sign():
    table, dims, truth = made(4, [0.9] * 7 + [0.1] * 4, items=400, labels=2, redundancy=5)
    state = converge(dims, table).state
    assert state.sign.tolist() == [1] * 7 + [-1] * 4
    assert (state.log_posterior.argmax(1) == truth).mean() > 0.97
    assert (soft_vote(table, dims).argmax(1) == truth).mean() < 0.9


def test_workers_who_collude_move_it_little():
    """Two workers who copy each other agree always; the extremes are left out of the mean."""
    table, dims, truth = made(5, [0.75] * 9 + [0.5] * 2, items=600, labels=2, redundancy=9)
    label = np.asarray(table.label).copy()
    colluding = np.asarray(table.worker) >= 9
    label[colluding] = np.asarray(table.item)[colluding] % 2
    state = converge(dims, table._replace(label=jnp.asarray(label))).state
    skill = np.asarray(state.sign * jnp.sqrt(state.left * state.right))
    np.testing.assert_allclose(skill[:9], 0.5, atol=0.12)
    assert (np.abs(skill[9:]) < 0.25).all()
    assert (state.log_posterior.argmax(1) == truth).mean() > 0.93


def test_one_label_an_item_is_the_answer():
    table, dims = annotations(np.arange(6), [0, 1, 2, 0, 1, 2], [0, 1, 2, 2, 1, 0])
    state = converge(dims, table).state
    np.testing.assert_array_equal(state.log_posterior.argmax(1), table.label)
    assert np.isfinite(state.log_posterior).all()


def test_order_of_rows_and_renaming():
    table, dims, _ = made(6, SKILL)
    rng = np.random.default_rng(0)
    item, worker, order = map(rng.permutation, (dims.items, dims.workers, len(table.item)))
    rows = item[table.item][order], worker[table.worker][order], np.asarray(table.label)[order]
    one, two = (run(dims, t, 10)[0] for t in (table, annotations(*rows, dims)[0]))
    np.testing.assert_allclose(two.log_posterior[item], one.log_posterior, atol=1e-3)
    np.testing.assert_allclose(two.left[worker], one.left, atol=1e-4)


def test_padding_is_invisible():
    table, dims, _ = made(7, SKILL)
    more = [jnp.append(c, jnp.array([t, t])) for c, t in zip(table[:3], (60, 1, 2), strict=True)]
    padded = Annotations(*more, jnp.append(table.weight, jnp.zeros(2)))
    one = run(dims, table, 8)
    two = run(Dims(63, dims.workers + 2, 3), padded, 8)
    np.testing.assert_allclose(two[0].log_posterior[:60], one[0].log_posterior, atol=1e-4)
    np.testing.assert_allclose(two[0].log_posterior[60:], -np.log(3), rtol=1e-5)
    np.testing.assert_allclose(two[1].objective, one[1].objective, atol=1e-5)


def test_jit_and_vmap_over_redundancy():
    table, dims, _ = made(8, SKILL)
    once = lambda r: fit(m_msr(dims), jax.random.key(0), purchase(table, r), 4)[0].log_posterior
    mapped = jax.jit(jax.vmap(once))(jnp.array([1, 2, 4]))
    for r, found in zip((1, 2, 4), mapped, strict=True):
        alone = run(dims, purchase(table, r), 4)[0].log_posterior
        np.testing.assert_allclose(found, alone, atol=1e-4)
    np.testing.assert_allclose(found, once(4), atol=1e-4)

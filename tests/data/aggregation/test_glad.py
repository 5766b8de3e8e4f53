"""GLAD against loops, against autodiff, and on workers and items of known quality."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.algorithms.em import fit
from trinity_jax.data.aggregation.annotations import Dims, annotations
from trinity_jax.data.aggregation.glad import glad

ITEM = [0, 0, 0, 1, 1, 2, 2, 2, 3]
WORKER = [0, 1, 2, 0, 2, 0, 1, 2, 1]
LABEL = [0, 0, 1, 2, 1, 2, 2, 2, 0]
TABLE, DIMS = annotations(ITEM, WORKER, LABEL)


def run(table, dims, rounds):
    return jax.jit(lambda key: fit(glad(dims), key, table, rounds))(jax.random.key(0))


def joint_by_loops(ability, log_ease):
    """Log-probability of each truth and the labels of an item, [item, label]."""
    joint = np.full((4, 3), np.log(1 / 3))
    for i, a, l in zip(ITEM, WORKER, LABEL, strict=True):
        sigma = 1 / (1 + np.exp(-ability[a] * np.exp(log_ease[i])))
        for k in range(3):
            joint[i, k] += np.log(sigma if l == k else (1 - sigma) / 2)
    return joint


def by_loops(rounds):
    ability, log_ease = np.ones(3), np.ones(4)
    joint, objectives = joint_by_loops(ability, log_ease), []
    for _ in range(rounds):
        posterior = np.exp(joint) / np.exp(joint).sum(1, keepdims=True)
        for _ in range(20):
            slope_a, slope_b = -(ability - 1), -(log_ease - 1)
            curve_a, curve_b = np.ones(3), np.ones(4)
            for i, a, l in zip(ITEM, WORKER, LABEL, strict=True):
                ease = np.exp(log_ease[i])
                sigma = 1 / (1 + np.exp(-ability[a] * ease))
                slope_a[a] += (posterior[i, l] - sigma) * ease
                slope_b[i] += (posterior[i, l] - sigma) * ability[a] * ease
                curve_a[a] += sigma * (1 - sigma) * ease**2
                curve_b[i] += sigma * (1 - sigma) * (ability[a] * ease) ** 2
            ability = ability + 0.5 * slope_a / curve_a
            log_ease = log_ease + np.clip(0.5 * slope_b / curve_b, -1, 1)
        joint = joint_by_loops(ability, log_ease)
        density = -(((ability - 1) ** 2).sum() + ((log_ease - 1) ** 2).sum()) / 2
        objectives.append(np.log(np.exp(joint).sum(1)).sum() + density)
    return np.exp(joint) / np.exp(joint).sum(1, keepdims=True), ability, log_ease, objectives


@pytest.fixture(scope="module")
def fitted():
    return run(TABLE, DIMS, 100)


def test_equals_loops(fitted):
    state, info = fitted
    posterior, ability, log_ease, objectives = by_loops(100)
    np.testing.assert_allclose(info.objective * len(ITEM), objectives, rtol=1e-5)
    np.testing.assert_allclose(jnp.exp(state.log_posterior), posterior, rtol=1e-3)
    np.testing.assert_allclose(state.ability, ability, rtol=1e-3)
    np.testing.assert_allclose(state.log_ease, log_ease, rtol=1e-3)


def test_comes_to_rest_at_a_maximum(fitted):
    """The posterior density of ability and ease, truth summed out, has no slope there."""
    item, worker, label = (jnp.array(column) for column in (ITEM, WORKER, LABEL))

    def log_density(ability, log_ease):
        log_odds = ability[worker] * jnp.exp(log_ease)[item]
        right = jax.nn.log_sigmoid(log_odds)[:, None]
        wrong = jax.nn.log_sigmoid(-log_odds)[:, None] - jnp.log(2)
        each = jnp.where(label[:, None] == jnp.arange(3)[None], right, wrong)
        joint = jax.ops.segment_sum(each, item, 4) - jnp.log(3)
        prior = ((ability - 1) ** 2).sum() + ((log_ease - 1) ** 2).sum()
        return jax.nn.logsumexp(joint, axis=1).sum() - prior / 2

    state, info = fitted
    value, slopes = jax.value_and_grad(log_density, (0, 1))(state.ability, state.log_ease)
    np.testing.assert_allclose(info.objective[-1] * len(ITEM), value, rtol=1e-5)
    for slope in slopes:
        np.testing.assert_allclose(slope, 0, atol=1e-3)


def test_finds_able_workers_and_easy_items():
    """Ten good, five guessing and three hostile workers; of half of the items all but guess."""
    random, dims = np.random.default_rng(0), Dims(200, 18, 3)
    truth, skill = random.integers(3, size=200), np.repeat([0.95, 1 / 3, 0.05], [10, 5, 3])
    item, worker = (column.ravel() for column in np.indices((200, 18)))
    right = random.uniform(size=3600) < np.where(item % 2, skill[worker], (skill[worker] + 1) / 4)
    label = np.where(right, truth[item], (truth[item] + random.integers(1, 3, 3600)) % 3)
    table, _ = annotations(item, worker, label, dims)
    state, _ = run(table, dims, 20)
    good, guessing, hostile = np.split(np.array(state.ability), [10, 15])
    assert good.min() > guessing.max()
    assert guessing.min() > hostile.max()
    assert hostile.max() < 0
    assert np.mean(state.log_ease[1::2]) > np.mean(state.log_ease[::2]) + 0.3
    assert np.mean(np.array(state.log_posterior[1::2]).argmax(1) == truth[1::2]) > 0.98

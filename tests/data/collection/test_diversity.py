"""Sentences far from one another: against all pairs of distances, and draws against their odds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.data.collection.diversity import badge, gradient_sketch, k_center, one_by_one
from trinity_jax.data.collection.selection import Pool

SENTENCES, FEATURES = 14, 3


def made(seed, labelled=3):
    rng = np.random.default_rng(seed)
    known = np.arange(SENTENCES) < labelled
    features = rng.normal(size=(SENTENCES, FEATURES)).astype(np.float32) + 5
    length = rng.integers(1, 9, SENTENCES).astype(np.int32)
    return Pool(length, ~known & (rng.random(SENTENCES) < 0.9), known, length * np.nan, features)


def on_device(pool):
    return Pool(*map(jnp.asarray, pool))._replace(scores=jnp.zeros(pool.length.shape))


centre = jax.jit(lambda seed, pool, budget: k_center(jax.random.key(seed), pool, budget))


def plain_k_center(pool, budget):
    distance = np.linalg.norm(pool.features[:, None] - np.float64(pool.features[None]), axis=-1)
    chosen = []
    while pool.length[chosen].sum() < budget:
        left = [i for i in np.flatnonzero(pool.available) if i not in chosen]
        centres = [*np.flatnonzero(pool.labelled), *chosen]
        if not left:
            break
        if centres:
            chosen.append(max(left, key=lambda i: distance[i, centres].min()))
        else:
            middle = np.float64(pool.features)[pool.available | pool.labelled].mean(0)
            chosen.append(min(left, key=lambda i: np.linalg.norm(pool.features[i] - middle)))
    return chosen


@pytest.mark.parametrize("labelled", [0, 1, 3])
@pytest.mark.parametrize("seed", range(4))
def test_k_center_equals_brute_force(labelled, seed):
    pool = made(seed, labelled)
    for budget in (0, 1, 20, 500):
        expected = plain_k_center(pool, budget)
        found = centre(seed, on_device(pool), budget)
        assert np.flatnonzero(found.chosen).tolist() == sorted(expected)
        assert found.words == pool.length[expected].sum()


def test_duplicates_of_what_is_known_come_last():
    pool = made(0)
    features = pool.features.copy()
    features[5:9] = features[0]
    pool = pool._replace(features=features, available=np.arange(SENTENCES) > 2)
    others = pool.length[[3, 4, *range(9, SENTENCES)]].sum()
    found = centre(0, on_device(pool), others)
    assert not np.asarray(found.chosen)[5:9].any()
    assert found.words == others
    picked = jax.vmap(centre, (0, None, None))(jnp.arange(60), on_device(pool), others + 1).chosen
    assert (np.asarray(picked)[:, 5:9].sum(1) == 1).all()
    assert (np.asarray(picked)[:, 5:9].sum(0) > 0).all()  # of equals, any


# BADGE

draw = jax.jit(jax.vmap(lambda key, pool, budget: badge(key, pool, budget).chosen, (0, None, None)))


def flat(features, length=None):
    """A pool of these points, all available, of one word each."""
    size = len(features)
    one = jnp.ones(size, jnp.int32) if length is None else jnp.array(length)
    yes = jnp.ones(size, bool)
    return Pool(one, yes, ~yes, jnp.zeros(size), jnp.float32(features))


def test_badge_begins_with_the_largest_and_draws_by_squared_distance(draws=4000):
    points = np.array([[0.0, 1.0], [3.0, 4.0], [2.0, 4.0], [0.0, 0.0], [-2.0, 1.0]])
    keys = lambda seed: jax.random.split(jax.random.key(seed), draws)
    one, two, three = (np.asarray(draw(keys(n), flat(points), n)) for n in (1, 2, 3))
    assert one.sum(0).tolist() == [0, draws, 0, 0, 0]

    tolerance = 4 * (0.25 / draws) ** 0.5
    squared = ((points[:, None] - points[None]) ** 2).sum(-1)
    share = squared[1] / squared[1].sum()
    rates = two.mean(0)
    assert rates[1] == 1
    np.testing.assert_allclose(np.delete(rates, 1), np.delete(share, 1), atol=tolerance)

    both = np.zeros(5)
    for second in np.flatnonzero(share):
        nearest = np.minimum(squared[1], squared[second])
        both += share[second] * (nearest / nearest.sum() + (np.arange(5) == second))
    np.testing.assert_allclose(np.delete(three.mean(0), 1), np.delete(both, 1), atol=tolerance)


def test_badge_asks_once_in_each_far_heap():
    """Also in the one at the origin: no point but those chosen is ever a centre."""
    rng = np.random.default_rng(0)
    heaps = np.repeat([[0, 0], [100, 0], [0, 100], [-100, -100]], 5, axis=0)
    chosen = draw(
        jax.random.split(jax.random.key(0), 50), flat(heaps + rng.normal(0, 1e-3, (20, 2))), 4
    )
    assert (np.asarray(chosen).reshape(50, 4, 5).sum(2) == 1).all()


def test_badge_spends_the_budget_where_all_are_alike():
    chosen = draw(jax.random.split(jax.random.key(0), 200), flat(np.ones((6, 2)), [2] * 6), 5)
    assert (np.asarray(chosen).sum(1) == 3).all()
    np.testing.assert_allclose(np.asarray(chosen).mean(0), 0.5, atol=0.15)


def test_worth_that_is_not_a_number_is_least():
    worth = jnp.array([1.0, np.nan, -np.inf, np.inf, 2.0])
    ones = jnp.ones(5, jnp.int32)
    for budget, expected in [(1, [3]), (3, [0, 3, 4]), (9, [0, 1, 2, 3, 4])]:
        picks = one_by_one(lambda _: worth, lambda s, _: s, (), ones, ones > 0, budget, ones)
        assert np.flatnonzero(picks.chosen).tolist() == expected
        assert picks.words == len(expected)


# The sketch of gradients


def gradients(log_probs, features, mask):
    """sum_i (p_i - onehot) h_i^T of each sentence, flat."""
    made = []
    for p, h, n in zip(np.exp(np.float64(log_probs)), features, mask.sum(1), strict=True):
        total = np.zeros((p.shape[1], h.shape[1]))
        for i in range(n):
            g = p[i].copy()
            g[g.argmax()] -= 1
            total += np.outer(g, h[i])
        made.append(total.ravel())
    return np.array(made)


def pairs(points):
    squared = ((points[:, None] - points[None]) ** 2).sum(-1)
    return np.sqrt(squared[np.triu_indices(len(points), 1)])


sketched = jax.jit(gradient_sketch, static_argnums=4)


def test_sketched_distances_are_those_of_the_gradients():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 1, (12, 9, 5)).astype(np.float32)
    log_probs = np.asarray(jax.nn.log_softmax(logits))
    features = rng.normal(size=(12, 9, 16)).astype(np.float32)
    mask = np.arange(9)[None] < rng.integers(3, 10, 12)[:, None]
    exact = pairs(gradients(log_probs, features, mask))
    for size, tolerance in [(256, 0.12), (4096, 0.03)]:  # above sqrt(2 / size), the worst case
        arrays = jnp.asarray(log_probs), jnp.asarray(features), jnp.asarray(mask)
        sketch = sketched(jax.random.key(1), *arrays, size)
        ratio = pairs(np.float64(sketch)) / exact
        assert abs(ratio.mean() - 1) < tolerance
        assert ratio.std() < tolerance

    wide = [
        np.pad(a, ((0, 0), (0, 4), (0, 0)), constant_values=np.nan) for a in (log_probs, features)
    ]
    padded = jnp.asarray(np.pad(mask, ((0, 0), (0, 4))))
    again = sketched(jax.random.key(1), *map(jnp.asarray, wide), padded, size)
    np.testing.assert_allclose(again, sketch, atol=1e-5)

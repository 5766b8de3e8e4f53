"""Facility location: against the same greedy in NumPy, and against the best of all subsets."""

import functools
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.data.collection.representativeness import facility_location, sieve_streaming
from trinity_jax.data.collection.selection import Pool

SENTENCES, FACTOR, CANDIDATES, SIEVES = 16, 3, 10, 32


@functools.cache
def program(way):
    def run(seed, pool, budget):
        return way(jax.random.key(seed), pool, budget, FACTOR, CANDIDATES)

    return jax.jit(run)


def made(seed):
    rng = np.random.default_rng(seed)
    known = np.arange(SENTENCES) < rng.integers(0, 4)
    length = rng.integers(1, 9, SENTENCES)
    features = rng.normal(size=(SENTENCES, 3))
    scores = rng.normal(size=SENTENCES)
    scores[rng.integers(SENTENCES)] = np.nan
    return Pool(length, ~known & (rng.random(SENTENCES) < 0.9), known, scores, features)


def on_device(pool):
    dtypes = jnp.int32, bool, bool, jnp.float32, jnp.float32
    return Pool(*(jnp.asarray(leaf, dtype) for leaf, dtype in zip(pool, dtypes, strict=True)))


def chosen(way, pool, budget):
    found = program(way)(0, on_device(pool), budget)
    return np.flatnonzero(found.chosen).tolist()


def candidates(pool, budget):
    able = np.flatnonzero(pool.available & np.isfinite(pool.scores))
    kept, words = [], 0
    for i in sorted(able, key=lambda i: -pool.scores[i])[:CANDIDATES]:
        if words >= FACTOR * budget:
            break
        kept.append(int(i))
        words += pool.length[i]
    return kept


def value(pool, kept, choice):
    """f: how much better the candidates are covered than by what is labelled."""
    unit = pool.features / np.linalg.norm(pool.features, axis=1, keepdims=True)
    w = np.maximum(unit @ unit.T, 0)
    known = np.flatnonzero(pool.labelled).tolist()
    best = lambda i, centres: max((w[i, j] for j in centres), default=0.0)
    return sum(best(i, known + list(choice)) - best(i, known) for i in kept)


def plain_greedy(pool, budget):
    kept, results = candidates(pool, budget), []
    for price in (lambda j: 1, lambda j: pool.length[j]):
        choice, left = [], budget
        while fits := [j for j in kept if j not in choice and pool.length[j] <= left]:
            now = value(pool, kept, choice)
            gain = lambda j, c=choice, now=now: value(pool, kept, [*c, j]) - now
            best = max(fits, key=lambda j: round(gain(j) / price(j), 5))
            choice.append(best)
            left -= pool.length[best]
        results.append(choice)
    return max(results, key=lambda choice: round(value(pool, kept, choice), 5))


def plain_sieve(pool, budget):
    kept = candidates(pool, budget)
    fit = [j for j in kept if pool.length[j] <= budget]
    density = max((value(pool, kept, [j]) / pool.length[j] for j in fit), default=0.0)
    results = []
    for power in np.linspace(0, 1, SIEVES):
        guess, choice, left = density * budget**power, [], budget
        for j in kept:
            now = value(pool, kept, choice)
            gain = value(pool, kept, [*choice, j]) - now
            if pool.length[j] <= left and gain * left >= pool.length[j] * (guess / 2 - now) - 1e-7:
                choice.append(j)
                left -= pool.length[j]
        results.append(choice)
    return max(results, key=lambda choice: round(value(pool, kept, choice), 5))


def assert_same_choice(way, slow, pool, budget):
    """Or one of exactly the same value: two candidates cover each other equally well."""
    found, expected = chosen(way, pool, budget), sorted(slow(pool, budget))
    kept = candidates(pool, budget)
    assert set(found) <= set(kept)
    assert pool.length[found].sum() <= budget
    if found != expected:
        values = value(pool, kept, found), value(pool, kept, expected)
        np.testing.assert_allclose(*values, rtol=1e-6)


@pytest.mark.parametrize("seed", range(6))
def test_greedy_equals_the_slow_one(seed):
    for budget in (1, 9, 20, 200):
        assert_same_choice(facility_location, plain_greedy, made(seed), budget)


@pytest.mark.parametrize("seed", range(6))
def test_sieves_equal_the_slow_ones(seed):
    for budget in (1, 9, 20, 200):
        assert_same_choice(sieve_streaming, plain_sieve, made(seed), budget)


def best_of_all(pool, kept, budget):
    subsets = itertools.chain.from_iterable(
        itertools.combinations(kept, n) for n in range(len(kept) + 1)
    )
    affordable = (s for s in subsets if pool.length[list(s)].sum() <= budget)
    return max(value(pool, kept, s) for s in affordable)


@pytest.mark.parametrize("seed", range(4))
def test_both_come_near_the_best(seed, budget=12):
    pool = made(seed)
    kept = candidates(pool, budget)
    best = best_of_all(pool, kept, budget)
    greedy, sieve = (
        value(pool, kept, chosen(way, pool, budget)) for way in (facility_location, sieve_streaming)
    )
    assert best * (1 - 1 / math.e) / 2 <= greedy <= best + 1e-9
    assert best / 3 <= sieve <= best + 1e-9


GROUP = np.repeat(np.arange(SENTENCES // 2), 2)
YES = np.ones(SENTENCES, bool)
GROUPS = Pool(np.full(SENTENCES, 3), YES, ~YES, -GROUP, np.eye(SENTENCES // 2)[GROUP])


@pytest.mark.parametrize(("way", "at_least"), [(facility_location, 5), (sieve_streaming, 3)])
def test_one_of_each_group_is_enough(way, at_least):
    """The 10 most uncertain are of 5 groups; a sieve takes anything once it has half its hope."""
    groups = set(GROUP[chosen(way, GROUPS, 15)])
    assert groups <= set(range(5))
    assert len(groups) >= at_least


def test_what_labels_cover_is_not_asked_again():
    known = np.arange(SENTENCES) == 0
    pool = GROUPS._replace(labelled=known, available=~known)
    assert set(GROUP[chosen(facility_location, pool, 15)]) == {1, 2, 3, 4, 5}

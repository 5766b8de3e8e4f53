"""Clusters that take turns: against loops over clusters; any number of questions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.data.collection import cold_start
from trinity_jax.data.collection.cold_start import k_means, remoteness, turns, typiclust
from trinity_jax.data.collection.selection import Pool

HEAPS = np.repeat(np.arange(4), [12, 8, 20, 7])
SENTENCES = len(HEAPS)
PLACES = np.array([[0, 0], [60, 0], [0, 50], [-40, -40]], np.float32)
POINTS = (PLACES[HEAPS] + np.random.default_rng(0).normal(size=(SENTENCES, 2))).astype(np.float32)
LENGTH = np.random.default_rng(1).integers(1, 9, SENTENCES).astype(np.int32)

cluster_up = jax.jit(k_means, static_argnums=3)
ask = jax.jit(lambda seed, pool, budget: typiclust(jax.random.key(seed), pool, budget, 4))


def pool(known=(), features=POINTS):
    labelled = np.isin(np.arange(SENTENCES), known)
    scores = np.full(SENTENCES, np.nan, np.float32)
    return Pool(*map(jnp.asarray, (LENGTH, ~labelled, labelled, scores, features)))


@pytest.mark.parametrize("seed", range(3))
def test_k_means_finds_heaps(seed):
    everything = jnp.ones(SENTENCES, bool)
    found = np.asarray(cluster_up(jax.random.key(seed), jnp.asarray(POINTS), everything, 4))
    assert len(set(zip(HEAPS, found, strict=True))) == len(set(found)) == 4


def test_k_means_ends_where_every_point_is_nearest_to_its_own_mean():
    points = np.random.default_rng(2).normal(size=(SENTENCES, 2)).astype(np.float32)
    member = np.arange(SENTENCES) > 3
    points[:4] = 1e3
    found = np.asarray(cluster_up(jax.random.key(0), jnp.asarray(points), jnp.asarray(member), 4))
    means = [points[member & (found == c)].mean(0) for c in range(4)]
    distance = np.linalg.norm(points[:, None] - np.array(means)[None], axis=-1)
    assert (distance.argmin(1) == found)[member].all()
    assert set(found[member]) == set(range(4))


def test_k_means_of_fewer_points_than_clusters():
    """Three places, four clusters; no members at all; and a pool of two."""
    points = jnp.asarray(PLACES[np.arange(SENTENCES) % 3])
    found = np.asarray(cluster_up(jax.random.key(0), points, jnp.ones(SENTENCES, bool), 4))
    assert len(set(found)) == len(set(zip(found, np.arange(SENTENCES) % 3, strict=True))) == 3
    nobody = cluster_up(jax.random.key(0), points, jnp.zeros(SENTENCES, bool), 4)
    assert ((nobody >= 0) & (nobody < 4)).all()
    two = cluster_up(jax.random.key(0), points[:2], jnp.ones(2, bool), 4)
    assert two[0] != two[1]


def plain_remoteness(points, cluster, able, i):
    together = [j for j in np.flatnonzero(able) if cluster[j] == cluster[i]]
    distance = sorted(np.linalg.norm(points[i] - points[j]) for j in together if j != i)
    k = min(20, len(together) // 2)
    return np.mean(distance[:k]) if k else 0.0


def test_remoteness_is_the_mean_distance_to_neighbours(monkeypatch):
    """Of half the cluster, 20 at most; in blocks that do not divide the pool."""
    rng = np.random.default_rng(0)
    points = rng.normal(size=(70, 3)).astype(np.float32)
    cluster = np.repeat([0, 1, 2, 3], [50, 16, 3, 1]).astype(np.int32)
    able = rng.random(70) < 0.95
    able[-1] = True
    monkeypatch.setattr(cold_start, "BLOCK", 32)
    found = jax.jit(remoteness)(jnp.asarray(points), jnp.asarray(cluster), jnp.asarray(able))
    expected = [plain_remoteness(points, cluster, able, i) for i in range(70)]
    np.testing.assert_allclose(np.asarray(found)[able], np.array(expected)[able], rtol=1e-4)
    assert np.isfinite(found).all()


def plain_turns(remote, cluster, able, known):
    """Round after round: clusters by labels and size; small ones when the others are used up."""
    queues, order = {}, []
    for c in sorted(set(cluster)):
        mine = np.flatnonzero(able & (cluster == c)).tolist()
        queues[c] = sorted(mine, key=lambda i: remote[i])
    size = {c: ((cluster == c) & (able | known)).sum() for c in queues}
    by_turn = sorted(queues, key=lambda c: (((cluster == c) & known).sum(), -size[c], c))
    for group in (lambda c: size[c] > 5, lambda c: size[c] <= 5):
        while any(queues[c] for c in by_turn if group(c)):
            order += [queues[c].pop(0) for c in by_turn if group(c) and queues[c]]
    return order


@pytest.mark.parametrize("seed", range(5))
def test_turns_are_the_loop_over_clusters(seed):
    rng = np.random.default_rng(seed)
    cluster = rng.choice(7, 40, p=[0.3, 0.2, 0.2, 0.12, 0.1, 0.05, 0.03]).astype(np.int32)
    state = rng.choice(3, 40, p=[0.7, 0.2, 0.1])
    remote = rng.random(40).astype(np.float32)
    arrays = map(jnp.asarray, (remote, cluster, state == 0, state == 1))
    scores = np.asarray(take_turns(jax.random.key(seed), *arrays, 8))
    assert (np.isfinite(scores) == (state == 0)).all()
    found = np.argsort(-scores)[: (state == 0).sum()]
    assert found.tolist() == plain_turns(remote, cluster, state == 0, state == 1)


take_turns = jax.jit(turns, static_argnums=5)


@pytest.mark.parametrize("seed", range(3))
def test_one_question_a_heap_the_most_typical(seed):
    """Largest heaps first; then round again, for there may be more questions than clusters."""
    everything = np.ones(SENTENCES, bool)
    remote = np.array([plain_remoteness(POINTS, HEAPS, everything, i) for i in range(SENTENCES)])
    order = plain_turns(remote, HEAPS, everything, ~everything)
    for picks in (1, 4, 11, SENTENCES):
        found = ask(seed, pool(), int(LENGTH[order[:picks]].sum()))
        assert np.flatnonzero(found.chosen).tolist() == sorted(order[:picks])
        assert found.words == LENGTH[order[:picks]].sum()
    assert HEAPS[order[:4]].tolist() == [2, 0, 1, 3]


def test_heaps_with_labels_wait():
    known = [0, 12, 13, 25]  # one in heap 0, two in heap 1, one in heap 2
    found = ask(0, pool(known), 1)
    assert HEAPS[np.flatnonzero(found.chosen)].tolist() == [3]
    everything = ask(0, pool(known), 10_000).chosen
    assert np.flatnonzero(~np.asarray(everything)).tolist() == known


def test_points_that_are_not_finite_are_not_asked():
    broken = POINTS.copy()
    broken[[1, 30], [0, 1]] = np.nan, np.inf
    found = ask(0, pool(features=broken), 10_000)
    assert np.flatnonzero(~np.asarray(found.chosen)).tolist() == [1, 30]
    assert found.refused == 2

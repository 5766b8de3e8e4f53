"""Workers who err together: against loops over pairs, and on panels whose makers are known."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.data.aggregation import dependence
from trinity_jax.data.aggregation.aggregators import run
from trinity_jax.data.aggregation.annotations import Annotations, Dims, annotations, purchase
from trinity_jax.data.aggregation.dependence import (
    Pairs,
    clusters,
    effective_workers,
    error_correlation,
    excess_agreement,
)
from trinity_jax.data.aggregation.majority import soft_vote
from trinity_jax.data.aggregation.workers import annotate
from trinity_jax.types import InputError


@functools.partial(jax.jit, static_argnums=1)
def both(table, dims, truth):
    """Pairs with the truth, and with votes alone."""
    log_votes = jnp.log(soft_vote(table, dims))
    return error_correlation(table, dims, truth), excess_agreement(table, dims, log_votes)


def made(seed, items=25, workers=6, labels=3):
    """Items with 1 to 6 labels of workers who are mostly right, and the truth."""
    rng = np.random.default_rng(seed)
    truth, rows = rng.integers(labels, size=items), []
    for i in range(items):
        for a in rng.choice(workers, 1 + i % workers, replace=False):
            rows.append((i, a, truth[i] if rng.uniform() < 0.6 else rng.integers(labels)))
    return *annotations(*np.array(rows).T, Dims(items, workers, labels)), jnp.asarray(truth)


def frequencies(table, dims, posterior, prior):
    counts = np.full((dims.workers, dims.labels, dims.labels), 0.0) + prior
    for i, a, l in zip(*(np.asarray(column) for column in table[:3]), strict=True):
        counts[a, :, l] += posterior[i]
    counts = np.maximum(counts, 1e-10)
    return counts / counts.sum(2, keepdims=True)


def alike(q, one, two):
    """How far two workers covary as the truth varies."""
    return sum(q[k] * (one[k] - q @ one) @ (two[k] - q @ two) for k in range(len(q)))


def by_loops(table, dims, prior, pi):
    """Rho, z and common items; `prior` is what is known of an item's truth without labels."""
    item, worker, label = (np.asarray(column) for column in table[:3])
    common, excess, square = (np.zeros((dims.workers, dims.workers)) for _ in range(3))
    size = np.zeros((dims.workers, dims.workers))  # [a, b]: of a, on the items shared with b
    for i in range(dims.items):
        rows = np.flatnonzero(item == i)
        for s in rows:
            for t in set(rows) - {s}:
                q = prior[i].copy()
                for other in set(rows) - {s, t}:
                    q *= pi[worker[other], :, label[other]]
                q /= q.sum()
                a, b = worker[s], worker[t]
                e, u = np.eye(dims.labels), q @ pi  # [worker, label]
                d = (e[label[s]] - u[a]) @ (e[label[t]] - u[b]) - alike(q, pi[a], pi[b])
                common[a, b] += 1
                excess[a, b] += d
                square[a, b] += d**2
                size[a, b] += ((e[label[s]] - u[a]) ** 2).sum() - alike(q, pi[a], pi[a])
    rho = excess / np.sqrt(np.maximum(size, 1) * np.maximum(size.T, 1))
    z = excess / np.sqrt(np.maximum(square, 1))
    return common, np.clip(rho, -1, 1), z


def assert_pairs(pairs, expected):
    order = np.asarray(pairs.worker)
    for found, value, what in zip(pairs[1:], expected, Pairs._fields[1:], strict=True):
        np.testing.assert_allclose(found, value[np.ix_(order, order)], atol=2e-3, err_msg=what)


@pytest.mark.parametrize("seed", range(3))
def test_equals_loops(seed, monkeypatch):
    monkeypatch.setattr(dependence, "BLOCK", 32)  # several, and a last one that is not full
    table, dims, truth = made(seed)
    known, unknown = both(table, dims, truth)
    sure = np.eye(dims.labels)[truth]
    assert_pairs(known, by_loops(table, dims, sure, frequencies(table, dims, sure, 0)))
    share = np.asarray(soft_vote(table, dims), np.float64)
    pi = frequencies(table, dims, share, 0.1 + np.eye(dims.labels))
    prior = np.tile(share.mean(0), (dims.items, 1))
    assert_pairs(unknown, by_loops(table, dims, prior, pi))


def test_two_classes_and_known_truth_are_the_correlation_of_errors():
    rng = np.random.default_rng(0)
    truth = rng.integers(2, size=80)
    wrong = rng.uniform(size=(80, 4)) < [0.3, 0.2, 0.4, 0.3]
    wrong[:, 3] ^= wrong[:, 0] & (rng.uniform(size=80) < 0.8)
    table, dims = annotations(
        *(axis.ravel() for axis in np.indices((80, 4))), (truth[:, None] ^ wrong).ravel()
    )
    rate = np.stack([wrong[truth == k].mean(0) for k in range(2)])
    expected = np.corrcoef((wrong - rate[truth]).T) - np.eye(4)
    pairs, _ = both(table, dims, jnp.asarray(truth))
    order = np.asarray(pairs.worker)
    np.testing.assert_allclose(pairs.correlation, expected[np.ix_(order, order)], atol=1e-4)


def test_only_items_of_known_truth_count_and_only_the_busiest_workers():
    table, dims, truth = made(3, items=40)
    known = jnp.where(jnp.arange(40) < 20, truth, -1)
    first = np.asarray(table.item) < 20
    fewer = Annotations(*(column[first] for column in table))
    whole, _ = both(fewer, dims, truth)
    some = jax.jit(lambda gold: error_correlation(table, dims, gold, workers=3))(known)
    np.testing.assert_array_equal(some.worker, whole.worker[:3])
    for one, other in zip(some[1:], whole[1:], strict=True):
        np.testing.assert_allclose(one, other[:3, :3], atol=1e-4)


def test_who_copies_has_correlation_one():
    table, dims, truth = made(4, items=60)
    rows = [np.asarray(column) for column in table[:3]]
    twin = rows[1] == 0
    more = rows[0][twin], np.full(twin.sum(), 6), rows[2][twin]
    rows = map(np.append, rows, more)
    table, dims = annotations(*rows, dims._replace(workers=7))
    for pairs in both(table, dims, truth):
        one, two = (int(np.flatnonzero(pairs.worker == a)[0]) for a in (0, 6))
        np.testing.assert_allclose(pairs.correlation[one, two], 1, atol=1e-4)
        assert pairs.common[one, two] == twin.sum()


def test_who_never_errs_does_not_err_together():
    truth = np.arange(300) % 3
    item, worker = (axis.ravel() for axis in np.indices((300, 4)))
    table, dims = annotations(item, worker, truth[item])
    for pairs in both(table, dims, jnp.asarray(truth)):
        np.testing.assert_allclose(pairs.correlation, 0, atol=1e-2)
        np.testing.assert_allclose(pairs.z, 0, atol=1e-2)
        assert clusters(pairs) == []


PANEL = Dims(items=200, workers=12, labels=4)


def panel(key, copying, duplicate, redundancy):
    """Workers right with probability .5 to .9; the first `copying` share a wrong label of 30%.

    If there is a duplicate, worker 1 gives the labels of worker 0.
    """
    keys = jax.random.split(key, 5)
    truth = jax.random.randint(keys[0], (PANEL.items,), 0, PANEL.labels)
    skill = jax.random.uniform(keys[1], (PANEL.workers, 1, 1), minval=0.5, maxval=0.9)
    right = jnp.eye(PANEL.labels, dtype=bool)
    confusion = jnp.where(right, skill, (1 - skill) / (PANEL.labels - 1))
    table = annotate(keys[2], truth, confusion, PANEL.workers)
    given = jnp.zeros((PANEL.items, PANEL.workers), int).at[table.item, table.worker]
    of_first = given.set(table.label)[table.item, 0]
    label = jnp.where(duplicate & (table.worker == 1), of_first, table.label)
    shared = jax.random.bernoulli(keys[3], 0.3, truth.shape)
    wrong = (truth + jax.random.randint(keys[4], truth.shape, 1, PANEL.labels)) % PANEL.labels
    label = jnp.where((table.worker < copying) & shared[table.item], wrong[table.item], label)
    return purchase(table._replace(label=label), redundancy), truth


@jax.jit
def judged(keys, copying, duplicate, redundancy, num_gold):
    """Pairs of each panel without and with gold."""

    def one(keys):
        table, truth = panel(keys[0], copying, duplicate, redundancy)
        gold = jnp.where(jnp.arange(PANEL.items) < num_gold, truth, -1)
        found = run("dawid_skene_map", keys[1], table, PANEL).state.log_posterior
        return excess_agreement(table, PANEL, found), error_correlation(table, PANEL, gold)

    return jax.lax.map(one, keys)


def groups_of(copying=0, duplicate=False, redundancy=12, num_gold=PANEL.items, seed=0):
    """Groups found in each of 25 panels: [without gold, with gold][panel]."""
    keys = jax.random.split(jax.random.key(seed), (25, 2))
    pairs = jax.device_get(judged(keys, copying, duplicate, redundancy, num_gold))
    at = lambda tree, n: jax.tree.map(lambda leaf: leaf[n], tree)
    return [[[g.tolist() for g in clusters(at(p, n))] for n in range(25)] for p in pairs]


def share(test, groups):
    return np.mean([test(found) for found in groups])


@pytest.mark.parametrize("redundancy", [4, 6, 12])
def test_the_independent_raise_no_alarm(redundancy):
    fifty = [groups_of(redundancy=redundancy, seed=seed) for seed in range(2)]
    for one, other in zip(*fifty, strict=True):
        assert share(bool, one + other) <= 0.05


@pytest.mark.parametrize("copying", [6, 8])
def test_a_shared_wrong_answer_is_seen_and_gold_tells_whose(copying):
    without, known = groups_of(copying)
    assert share(bool, without) >= 0.9
    assert share(lambda found: found[:1] == [list(range(copying))], known) >= 0.9


def test_a_quarter_of_the_truth_tells_too():
    _, known = groups_of(7, num_gold=50)
    assert share(bool, known) >= 0.9
    assert np.mean([set(found[0]) <= set(range(7)) for found in known if found]) >= 0.9


def test_those_who_are_outvoted_are_named_without_gold():
    without, _ = groups_of(3)
    assert share(lambda found: found[:1] == [[0, 1, 2]], without) >= 0.9


@pytest.mark.parametrize(("redundancy", "least"), [(6, 0.6), (12, 0.95)])
def test_duplicates_are_named(redundancy, least):
    """At redundancy 6 they have 45 of 200 items in common."""
    for groups in groups_of(duplicate=True, redundancy=redundancy):
        assert share(lambda found: found == [[0, 1]], groups) >= least


def symmetric(size, entries):
    matrix = np.zeros((size, size), np.float32)
    for (a, b), value in entries.items():
        matrix[a, b] = matrix[b, a] = value
    return jnp.asarray(matrix)


def test_clusters_of_given_pairs():
    z = {(0, 2): 9, (2, 3): 9, (1, 4): 9, (0, 5): 9, (3, 5): 2.5, (4, 5): np.nan, (0, 1): -9}
    rho = dict.fromkeys(z, 0.3) | {(0, 5): 0.05}
    common = jnp.full((6, 6), 50.0)
    worker = jnp.array([5, 7, 1, 3, 9, 0])
    pairs = Pairs(worker, common, symmetric(6, rho), symmetric(6, z))
    lists = lambda *arguments: [g.tolist() for g in clusters(pairs, *arguments)]
    assert lists() == [[1, 3, 5], [7, 9]]
    assert lists(0.05, 0.01) == [[0, 1, 3, 5], [7, 9]]  # a small rho may be believed too
    assert lists(0.5) == [[0, 1, 3, 5], [7, 9]]  # p = .006, times the eleven pairs that are left
    assert lists(0.05, 0.1, 51.0) == []
    with pytest.raises(InputError, match="level must lie between 0 and 1"):
        clusters(pairs, 1.0)


def test_effective_workers():
    pairs = Pairs(
        jnp.arange(3),
        symmetric(3, {(0, 1): 30, (0, 2): 10}),
        symmetric(3, {(0, 1): 0.4, (0, 2): 0.0}),
        jnp.zeros((3, 3)),
    )
    np.testing.assert_allclose(effective_workers(pairs), 3 / (1 + 2 * 0.3), rtol=1e-6)
    assert effective_workers(pairs._replace(correlation=-pairs.correlation)) == 3
    assert effective_workers(pairs._replace(correlation=jnp.ones((3, 3)))) == 1
    assert effective_workers(pairs._replace(common=jnp.zeros((3, 3)))) == 3


def test_smallest_tables():
    for rows, dims in (([[0], [0], [0]], Dims(1, 1, 1)), ([[0, 1], [0, 1], [1, 0]], Dims(2, 2, 2))):
        table, _ = annotations(*rows, dims)
        for pairs in both(table, dims, jnp.zeros(dims.items, int)):
            assert not np.any(pairs.common)
            assert not np.any(pairs.z)
            assert clusters(pairs) == []


def test_padding_and_order_are_invisible():
    table, dims, truth = made(5)
    expected = both(table, dims, truth)
    order = np.random.default_rng(0).permutation(len(table.item))
    mixed = annotations(*(np.asarray(column)[order] for column in table[:3]), dims)[0]
    more = [jnp.append(c, jnp.array([t, t])) for c, t in zip(mixed[:3], (26, 0, 2), strict=True)]
    padded = Annotations(*more, jnp.append(mixed.weight, jnp.zeros(2)))
    found = both(padded, Dims(27, 7, 3), jnp.append(truth, jnp.array([0, 0])))
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one.worker[:6], other.worker)
        for new, old in zip(one[1:], other[1:], strict=True):
            np.testing.assert_allclose(new[:6, :6], old, atol=1e-3)
            assert not new[6].any()


def test_jit_and_vmap_over_redundancy():
    table, dims, truth = made(6)
    once = lambda r: both(purchase(table, r), dims, truth)
    mapped = jax.jit(jax.vmap(once))(jnp.arange(2, 5))
    for row, r in enumerate(range(2, 5)):
        for found, alone in zip(jax.tree.leaves(mapped), jax.tree.leaves(once(r)), strict=True):
            np.testing.assert_allclose(found[row], alone, atol=1e-3)


def test_what_is_known_of_other_items_is_refused():
    table, dims, truth = made(7)
    with pytest.raises(ValueError, match="expected what is known of 25 items, not of 24"):
        error_correlation(table, dims, truth[:-1])

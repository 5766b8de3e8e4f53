"""The bootstrap against tables written out, and its intervals against simulated crowds."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import binom

from trinity_jax.algorithms.em import EM, fit_until
from trinity_jax.data.aggregation import resampling
from trinity_jax.data.aggregation.aggregators import aggregate, run
from trinity_jax.data.aggregation.annotations import Annotations, Dims, annotations, purchase
from trinity_jax.data.aggregation.dawid_skene import class_prior
from trinity_jax.data.aggregation.one_coin import agreement, one_coin
from trinity_jax.data.aggregation.resampling import (
    draw_items,
    draw_workers,
    over_items,
    over_workers,
    percentiles,
    stability,
)
from trinity_jax.types import InputError


def made(seed=0, items=20, workers=6, labels=3):
    """Items with 0 to 4 labels, of which the last has none."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(items - 1):
        for a in rng.choice(workers - 1, i % 5, replace=False):
            rows.append((i, a, i % labels if rng.uniform() < 0.7 else rng.integers(labels)))
    return annotations(*np.array(rows).T, Dims(items, workers, labels))


def with_name(name, dims):
    return lambda key, table: run(name, key, table, dims)


def posterior(fitted, table):
    del table
    return fitted.state.log_posterior


def at(tree, n):
    return jax.tree.map(lambda leaf: leaf[n], tree)


def test_workers_are_drawn_from_those_with_labels():
    table, dims = made()
    keys = jax.random.split(jax.random.key(0), 400)
    weight = jax.jit(jax.vmap(lambda key: draw_workers(key, table, dims).weight))(keys)
    times = np.array([weight[:, np.flatnonzero(table.worker == a)[0]] for a in range(5)])
    assert (times.sum(0) == 5).all()  # the sixth has no labels, and is not drawn
    np.testing.assert_allclose(times.mean(1), 1, atol=4 * np.sqrt(0.8 / 400))
    np.testing.assert_allclose(times.var(), 0.8, atol=0.1)
    for a in range(5):
        assert (weight[:, table.worker == a] == times[a][:, None]).all()


@pytest.mark.parametrize("name", ["majority", "soft_vote", "dawid_skene"])
def test_a_worker_drawn_twice_is_two_workers(name):
    table, dims = made(1, items=12)
    drawn = draw_workers(jax.random.key(2), table, dims)
    item, worker, label, weight = (np.asarray(column) for column in drawn)
    assert weight.max() > 1
    times = np.repeat(np.arange(len(item)), weight.astype(int))
    copy = np.arange(len(times)) - np.searchsorted(times, times)  # whose first, second ... self
    larger = dims._replace(workers=dims.workers * dims.workers)
    again, _ = annotations(item[times], worker[times] + dims.workers * copy, label[times], larger)
    answers = jax.jit(aggregate, static_argnums=(0, 3))
    one = answers(name, jax.random.key(0), drawn, dims)
    two = answers(name, jax.random.key(0), again, larger)
    np.testing.assert_allclose(jnp.exp(one), jnp.exp(two), atol=1e-4)


def test_items_are_their_rows_numbered_anew():
    table, dims = made(2)
    tables, origin = draw_items(jax.random.key(0), table, dims, 7)
    rows = np.array(table[:3])
    has = np.unique(table.item)
    for n in range(7):
        item, worker, label, weight = (np.asarray(column) for column in at(tables, n))
        assert (np.diff(item) >= 0).all()
        assert (item[weight == 0] == dims.items - 1).all()
        assert (origin[n, len(has) :] == -1).all()
        for new, old in enumerate(np.asarray(origin[n, : len(has)])):
            found = (item == new) & (weight > 0)
            np.testing.assert_array_equal(worker[found], rows[1, rows[0] == old])
            np.testing.assert_array_equal(label[found], rows[2, rows[0] == old])
        assert not (item[weight > 0] >= len(has)).any()
    assert set(np.asarray(origin[:, : len(has)]).ravel()) == set(has)
    again, _ = draw_items(jax.random.key(0), table, dims, 7)
    jax.tree.map(np.testing.assert_array_equal, tables, again)
    assert (np.asarray(tables.weight) > 0).all(1).any()  # no longer than the longest


def test_rows_of_weight_zero_are_not_drawn_and_weights_are_kept():
    table, dims = made(3)
    table = purchase(table._replace(weight=jnp.full(len(table.item), 0.5)), 1)
    tables, origin = draw_items(jax.random.key(0), table, dims, 3)
    assert tables.weight.shape == (3, len(np.unique(table.item)))
    assert (tables.weight == 0.5).all()
    assert (origin[:, : tables.weight.shape[1]] >= 0).all()


@pytest.mark.parametrize("order", ["same", "reversed"])
def test_every_item_once_is_the_full_run(order, monkeypatch):
    table, dims = made(4)

    class Once:
        def integers(self, high, size):
            once = np.arange(high)[:: 1 if order == "same" else -1]
            return np.broadcast_to(once, size)

    monkeypatch.setattr(resampling.np.random, "default_rng", lambda seed: Once())
    tables, origin = draw_items(jax.random.key(0), table, dims, 2)
    skill = lambda fitted, table: agreement(table, dims, jnp.exp(fitted.state.log_posterior))
    both = lambda fitted, table: (skill(fitted, table), posterior(fitted, table))
    em = with_name("dawid_skene_map", dims)
    found = jax.jit(lambda tables: over_items(jax.random.key(1), em, both, tables))(tables)
    expected = jax.jit(lambda table: both(em(jax.random.key(1), table), table))(table)
    has = len(np.unique(table.item))
    for n in range(2):
        np.testing.assert_allclose(found[0][n], expected[0], atol=1e-4)
        np.testing.assert_allclose(
            found[1][n, :has], expected[1][origin[n, :has]], rtol=1e-3, atol=1e-4
        )


def randomly_started(dims):
    """One-coin EM that ends after three rounds where chance began."""
    em = one_coin(dims)

    def init(key, table):
        start = jax.random.uniform(key, (dims.items, dims.labels))
        return em.init(key, table)._replace(log_posterior=jax.nn.log_softmax(start))

    return lambda key, table: fit_until(EM(init, em.step), key, table, max_steps=3)


def test_mapped_is_one_by_one():
    table, dims = made(5)
    em = randomly_started(dims)
    with jax.debug_key_reuse(False):
        keys = jax.random.split(jax.random.key(0), 3)
        alone = jax.jit(lambda key, table: posterior(em(key, table), table))
        tables, _ = draw_items(jax.random.key(1), table, dims, 3)
        mapped = jax.jit(lambda tables: over_items(jax.random.key(0), em, posterior, tables))
        for n, one in enumerate(mapped(tables)):
            expected = alone(keys[n], at(tables, n))
            assert n == 0 or not np.allclose(expected, alone(keys[0], at(tables, n)))
            np.testing.assert_allclose(jnp.exp(one), jnp.exp(expected), atol=1e-5)
        both = lambda fitted, table: (posterior(fitted, table), table.weight)
        mapped = jax.jit(lambda table: over_workers(jax.random.key(0), em, both, table, dims, 3))
        for n, (one, weight) in enumerate(zip(*mapped(table), strict=True)):
            key_draw, key_run = jax.random.split(keys[n])
            drawn = draw_workers(key_draw, table, dims)
            np.testing.assert_array_equal(weight, drawn.weight)
            np.testing.assert_allclose(jnp.exp(one), jnp.exp(alone(key_run, drawn)), atol=1e-5)


def test_one_worker_and_one_item():
    for rows, dims in (
        ([[0, 1, 2], [0, 0, 0], [1, 0, 1]], Dims(3, 1, 2)),
        ([[0, 0, 0], [0, 1, 2], [1, 0, 1]], Dims(1, 3, 2)),
    ):
        table, _ = annotations(*rows, dims)
        drawn = draw_workers(jax.random.key(0), table, dims)
        assert drawn.weight.sum() == 3  # three of three workers, or one of one with three labels
        tables, origin = draw_items(jax.random.key(1), table, dims, 4)
        assert (tables.weight.sum(1) == 3).all()
        if dims.workers == 1:
            assert (drawn.weight == 1).all()
            assert (stability(jax.random.key(2), "majority", table, dims, 5) == 1).all()
        else:
            assert (origin == 0).all()
            jax.tree.map(np.testing.assert_array_equal, at(tables, 3), table)


def test_nothing_to_draw():
    table, dims = made()
    nothing = table._replace(weight=jnp.zeros_like(table.weight))
    with pytest.raises(InputError, match="cannot draw 2 replicates of 0 items with labels"):
        draw_items(jax.random.key(0), nothing, dims, 2)
    with pytest.raises(InputError, match="cannot draw 0 replicates"):
        draw_items(jax.random.key(0), table, dims, 0)
    assert not draw_workers(jax.random.key(0), nothing, dims).weight.any()


def test_percentiles_of_a_tree():
    draws = {"a": jnp.arange(101.0), "b": jnp.stack([jnp.arange(101.0), jnp.ones(101)], 1)}
    found = percentiles(draws, 0.9)
    np.testing.assert_allclose(found["a"], [5, 95])
    np.testing.assert_allclose(found["b"], [[5, 1], [95, 1]])
    with pytest.raises(InputError, match="confidence must lie between 0 and 1"):
        percentiles(draws, 1.0)


def test_stability_tells_what_hangs_on_one_worker():
    """Items: twenty agree; twelve against eight; one label only; none."""
    item = np.repeat([0, 1, 2], [20, 20, 1])
    worker = np.append(np.tile(np.arange(20), 2), 0)
    label = np.concatenate([np.full(20, 2), np.repeat([1, 0], [12, 8]), [2]])
    table, dims = annotations(item, worker, label, Dims(4, 20, 3))
    once = jax.jit(lambda key, table: stability(key, "majority", table, dims, 600))
    found = once(jax.random.key(0), table)
    twelve = binom.sf(10, 20, 0.6) + binom.pmf(10, 20, 0.6) / 2  # a tie counts half
    lost = (1 - 1 / 20) ** 20
    np.testing.assert_allclose(found, [1, twelve, 1 - lost + lost / 3, 1 / 3], atol=0.07)
    assert found[0] == 1


SHARE, SKILL = 0.3, 0.8


def test_intervals_hold_the_share_of_a_class(tables=60, replicates=200):
    """What a majority of three would answer of all items, these being a sample of them."""
    dims, rng = Dims(100, 3, 2), np.random.default_rng(0)
    right = binom.sf(1, 3, SKILL)
    expected = SHARE * right + (1 - SHARE) * (1 - right)
    em = with_name("majority", dims)
    shares = lambda fitted, table: jnp.exp(
        class_prior(table, dims, jnp.exp(fitted.state.log_posterior))
    )
    with jax.debug_key_reuse(False):
        sampled = jax.jit(lambda tables: over_items(jax.random.key(0), em, shares, tables))
        inside = []
        for n in range(tables):
            truth = rng.uniform(size=100) < SHARE
            label = truth[:, None] ^ (rng.uniform(size=(100, 3)) > SKILL)
            columns = (axis.ravel() for axis in np.indices((100, 3)))
            table, _ = annotations(*columns, label.ravel().astype(int), dims)
            drawn, _ = draw_items(jax.random.key(n), table, dims, replicates)
            low, high = percentiles(sampled(drawn))[:, 1]
            inside.append(low <= expected <= high)
            assert low < high
    assert np.mean(inside) >= 0.85


def test_an_item_drawn_twice_is_no_surer():
    """Its evidence is that of its labels, and its workers are counted twice."""
    table, dims = annotations([0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 0, 0])
    tables, origin = draw_items(jax.random.key(0), table, dims, 30)
    votes = over_items(jax.random.key(1), with_name("soft_vote", dims), posterior, tables)
    for shares, old in zip(jnp.exp(votes), origin, strict=True):
        np.testing.assert_allclose(shares, np.array([[0.5, 0.5], [1, 0]])[old])
    assert isinstance(tables, Annotations)
    assert (tables.weight == 1).all()

"""Dawid-Skene in blocks: the same rounds as `dawid_skene`, and sums that lose nothing."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.algorithms.em import fit
from trinity_jax.data.aggregation import blocks
from trinity_jax.data.aggregation.annotations import Dims, annotations
from trinity_jax.data.aggregation.dawid_skene import dawid_skene, dawid_skene_map, pseudo_counts
from trinity_jax.data.aggregation.gold import with_gold

DIMS = Dims(items=90, workers=8, labels=3)


@functools.cache
def crowd():
    """Items of very unequal redundancy, one without labels; and the truth."""
    rng = np.random.default_rng(0)
    item = np.repeat(np.arange(DIMS.items), rng.geometric(0.3, DIMS.items))
    item = item[item != 7]
    truth = rng.integers(0, DIMS.labels, DIMS.items)
    guess = rng.integers(0, DIMS.labels, len(item))
    label = np.where(rng.random(len(item)) < 0.7, truth[item], guess)
    return annotations(item, rng.integers(0, DIMS.workers, len(item)), label, DIMS)[0], truth


def arranged(gold=None, **how):
    table, _ = crowd()
    cell = np.asarray(table.worker * DIMS.labels + table.label)
    made, place = blocks.blocks(np.asarray(table.item), cell, DIMS, gold, **how)
    return jax.tree.map(jnp.asarray, made), place


def over(function):
    return jax.jit(lambda made, *more: jax.lax.map(lambda part: function(part, DIMS, *more), made))


vote, advance, posterior = map(over, (blocks.vote, blocks.advance, blocks.posterior))


def rounds(made, prior, count):
    """Objective of each round, in nats, and the posterior of all places after the last."""
    sums, objective = blocks.join(vote(made)), []
    for _ in range(count):
        parameters, density = blocks.parameters(sums, DIMS, prior)
        sums = blocks.join(advance(made, parameters))
        objective.append(float(sums.log_likelihood.sum() + density))
    return objective, np.asarray(posterior(made, parameters)).reshape(-1, DIMS.labels)


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("prior", [None, pseudo_counts(DIMS)], ids=["likelihood", "posterior"])
def test_the_rounds_are_those_of_dawid_skene(prior, told):
    table, truth = crowd()
    gold = np.where(np.arange(DIMS.items) < 12, truth, -1)
    em = dawid_skene(DIMS) if prior is None else dawid_skene_map(DIMS, prior)
    em = with_gold(em, jnp.asarray(gold)) if told else em
    state, info = jax.jit(lambda key: fit(em, key, table, 5))(jax.random.key(0))
    made, place = arranged(gold if told else None, width=8, parts=2)
    objective, found = rounds(made, prior, 5)
    labelled = np.arange(DIMS.items) != 7
    expected = np.exp(state.log_posterior)[labelled]
    np.testing.assert_allclose(found[place][labelled], expected, atol=1e-5)
    np.testing.assert_allclose(objective, info.objective * len(table.item), rtol=1e-5)


@pytest.mark.parametrize(("width", "parts"), [(1, 1), (5, 3), (90, 1), (1000, 8)])
def test_however_it_is_cut(width, parts):
    """Every annotation is in one place; the result does not depend on the cut."""
    made, place = arranged(width=width, parts=parts)
    cells = DIMS.workers * DIMS.labels
    table, _ = crowd()
    real = np.asarray(made.columns)[np.asarray(made.columns) < cells]
    given = np.asarray(table.worker * DIMS.labels + table.label)
    np.testing.assert_array_equal(np.sort(real), np.sort(given))
    assert len(set(place.tolist())) == DIMS.items
    _, found = rounds(made, None, 3)
    whole, where = arranged(width=16, parts=1)
    expected = rounds(whole, None, 3)[1]
    np.testing.assert_allclose(found[place], expected[where], atol=1e-5)


def test_weights_of_gold_are_repeated_items():
    """An item of known label that counts three times, and three such items."""
    table, truth = crowd()
    gold = np.where(np.arange(DIMS.items) < 12, truth, -1)
    weighed, _ = arranged(gold, gold_weight=3.0, width=16, parts=1)
    item, cell = np.asarray(table.item), np.asarray(table.worker * DIMS.labels + table.label)
    known = item < 12
    more = np.concatenate([item, item[known] + DIMS.items, item[known] + DIMS.items + 12])
    dims = Dims(DIMS.items + 24, DIMS.workers, DIMS.labels)
    cells = np.concatenate([cell, cell[known], cell[known]])
    gold = np.concatenate([gold, truth[:12], truth[:12]])
    repeated, _ = blocks.blocks(more, cells, dims, gold, width=16, parts=1)
    repeated = jax.tree.map(jnp.asarray, repeated)
    counts = [blocks.join(vote(made)).counts for made in (weighed, repeated)]
    np.testing.assert_allclose(*counts, atol=1e-4)


def test_sums_are_exact_beyond_single_precision(monkeypatch):
    """A cell counted more often than 2^24: as many ones would stand still there."""
    monkeypatch.setattr(blocks, "FULL", 1 << 20)
    dims, width, count = Dims(2**25, 1, 2), 2**18, 2**7 + 3
    part = blocks.Blocks(
        columns=jnp.zeros((1, width), jnp.int32),
        first=jnp.zeros(count + 1, jnp.int32).at[1:].set(1),
        gold=jnp.zeros((count, width), jnp.int32),
        weight=jnp.ones((count, width)),
    )
    # All blocks are one column: they begin at it and end behind it.
    part = part._replace(first=jnp.tile(jnp.arange(2), count)[: count + 1])
    sums = jax.jit(lambda part: blocks.vote(part, dims))(part)
    whole = np.asarray(sums.counts, np.float64).sum(0)
    assert whole[0, 0] == width * np.sum(np.arange(count) % 2 == 0)
    mass = np.asarray(sums.mass, np.float64).sum(0)
    assert mass[0] == width * count > 2**24


def test_pairs_of_numbers_carry_what_is_rounded_off():
    add = jax.jit(lambda pair, number: blocks._add(pair, number))
    pair = jnp.array([2.0**24, 0.0])
    for _ in range(5):
        pair = add(pair, jnp.float32(1))
    assert float(np.asarray(pair, np.float64).sum()) == 2**24 + 5
    both = blocks._add_pair(pair, pair)
    assert float(np.asarray(both, np.float64).sum()) == 2**25 + 10

"""Agreement against pairs of labels, products of probabilities and examples worked out by hand."""

import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.data.aggregation.agreement import (
    consistency,
    item_uncertainty,
    krippendorff_alpha,
    worker_uncertainty,
)
from trinity_jax.data.aggregation.annotations import Annotations, Dims, annotations, purchase

YES, NO = 1, 0


def made(seed, items=30, workers=6, labels=4):
    """Items with 1 to 5 labels, which agree more than by chance."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(items):
        for a in rng.choice(workers, 1 + i % 5, replace=False):
            rows.append((i, a, i % labels if rng.uniform() < 0.5 else rng.integers(labels)))
    skill = jnp.asarray(rng.uniform(0.2, 1, workers), jnp.float32)
    return *annotations(*np.array(rows).T, Dims(items, workers, labels)), skill


def by_pairs(table, dims):
    """Alpha from the matrix of pairs of labels of one item."""
    pairs = np.zeros((dims.labels, dims.labels))
    for item in range(dims.items):
        labels = np.asarray(table.label)[np.asarray(table.item) == item]
        for one, two in itertools.permutations(labels, 2):
            pairs[one, two] += 1 / (len(labels) - 1)
    mass = pairs.sum(1)
    chance = mass.sum() ** 2 - (mass**2).sum()
    return 1 - (mass.sum() - 1) * (pairs.sum() - np.trace(pairs)) / chance


def test_alpha_example():
    table, dims = annotations([0, 0, 1, 1, 2, 2], [0, 1] * 3, [YES, YES, NO, NO, YES, NO])
    np.testing.assert_allclose(krippendorff_alpha(table, dims), 0.4444, atol=5e-5)


@pytest.mark.parametrize("seed", range(5))
def test_alpha_equals_pairs(seed):
    table, dims, _ = made(seed)
    np.testing.assert_allclose(krippendorff_alpha(table, dims), by_pairs(table, dims), atol=1e-5)


def test_alpha_at_its_ends():
    table, dims = annotations([0, 0, 1, 1], [0, 1, 0, 1], [YES, YES, NO, NO])
    assert krippendorff_alpha(table, dims) == 1
    same = table._replace(label=jnp.ones_like(table.label))  # no disagreement, and none expected
    assert krippendorff_alpha(same, dims) == 1
    assert jnp.isnan(krippendorff_alpha(purchase(table, 1), dims))
    worse = table._replace(label=jnp.array([YES, NO, YES, NO]))
    assert krippendorff_alpha(worse, dims) < 0


def test_alpha_keeps_its_digits_with_many_labels():
    """2 million labels in float32, agreeing by chance only."""
    rng = np.random.default_rng(0)
    item = np.repeat(np.arange(1_000_000), 2)
    table, dims = annotations(item, item % 7, rng.integers(3, size=len(item)))
    np.testing.assert_allclose(krippendorff_alpha(table, dims), 0, atol=5e-3)


def test_consistency_equals_products():
    table, dims, skill = made(0)
    answer = jnp.arange(dims.items) % dims.labels
    values = []
    for item in range(dims.items):
        product = np.ones(dims.labels)
        for i, a, label in zip(*(np.asarray(c) for c in table[:3]), strict=True):
            if i == item:
                wrong = (1 - skill[a]) / (dims.labels - 1)
                product *= np.where(np.arange(dims.labels) == label, skill[a], wrong)
        values.append(product[answer[item]] / product.sum())
    found = consistency(table, dims, skill, answer)
    np.testing.assert_allclose(found, np.mean(values), rtol=1e-4)


def test_consistency_of_equal_workers():
    """Two say yes and one no: 0.8^2 0.2 against 0.2^2 0.8."""
    table, dims = annotations([0, 0, 0], [0, 1, 2], [YES, YES, NO])
    skill = jnp.full(3, 0.8)
    np.testing.assert_allclose(consistency(table, dims, skill, jnp.array([YES])), 0.8, rtol=1e-5)
    np.testing.assert_allclose(consistency(table, dims, skill, jnp.array([NO])), 0.2, rtol=1e-5)


def test_uncertainty_examples():
    three, dims = annotations([0, 0, 0], [0, 1, 2], [0, 1, 2])
    np.testing.assert_allclose(item_uncertainty(three, dims, jnp.ones(3)), np.log(3), rtol=1e-6)
    np.testing.assert_allclose(
        item_uncertainty(three, dims, jnp.full(3, 0.7)), np.log(3), rtol=1e-6
    )
    np.testing.assert_allclose(worker_uncertainty(three, dims, jnp.ones(3)), 0, atol=1e-6)
    pair, dims = annotations([0, 0, 1, 1], [0, 1, 0, 1], [YES, NO, YES, YES])
    expected = [np.log(2), 0]
    np.testing.assert_allclose(item_uncertainty(pair, dims, jnp.ones(2)), expected, atol=1e-6)
    np.testing.assert_allclose(
        worker_uncertainty(pair, dims, jnp.ones(2)), expected[::-1], atol=1e-6
    )
    poor = item_uncertainty(pair, dims, jnp.array([1, 0.75]))  # item 1: shares 7/8 and 1/8
    mixed = -(7 / 8) * np.log(7 / 8) - (1 / 8) * np.log(1 / 8)
    np.testing.assert_allclose(poor[1], mixed, rtol=1e-5)


@pytest.mark.parametrize(("measure", "group"), [(item_uncertainty, 0), (worker_uncertainty, 1)])
def test_uncertainty_equals_loops(measure, group):
    table, dims, skill = made(1)
    columns = [np.asarray(column) for column in table[:3]]
    expected = []
    for number in range(dims[group]):
        total = np.zeros(dims.labels)
        for row in np.flatnonzero(columns[group] == number):
            s, label = skill[columns[1][row]], columns[2][row]
            total += np.where(np.arange(dims.labels) == label, s, (1 - s) / (dims.labels - 1))
        share = total / total.sum()
        expected.append(-(share * np.log(share)).sum())
    np.testing.assert_allclose(measure(table, dims, skill), expected, rtol=1e-4)


def everything(table, dims, skill):
    answer = jnp.zeros(dims.items, int)
    return (
        krippendorff_alpha(table, dims),
        consistency(table, dims, skill, answer),
        item_uncertainty(table, dims, skill),
        worker_uncertainty(table, dims, skill),
    )


def test_order_of_rows_and_padding_are_invisible():
    table, dims, skill = made(2)
    expected = everything(table, dims, skill)
    order = np.random.default_rng(0).permutation(len(table.item))
    shuffled = annotations(*(np.asarray(column)[order] for column in table[:3]), dims)[0]
    chex.assert_trees_all_close(everything(shuffled, dims, skill), expected, atol=1e-5)
    more = [jnp.append(c, jnp.array([t, t])) for c, t in zip(table[:3], (31, 0, 3), strict=True)]
    padded = Annotations(*more, jnp.append(table.weight, jnp.zeros(2)))
    found = everything(padded, Dims(33, 7, 4), jnp.append(skill, 0.5))
    for new, old in zip(found, expected, strict=True):
        np.testing.assert_allclose(new[: len(old)] if old.ndim else new, old, atol=1e-5)
    np.testing.assert_allclose(found[2][30:], np.log(4), rtol=1e-5)


def test_jit_and_vmap_over_redundancy():
    table, dims, skill = made(3)
    run = lambda r: everything(purchase(table, r), dims, skill)
    mapped = jax.jit(jax.vmap(run))(jnp.arange(2, 5))
    for row, r in enumerate(range(2, 5)):
        one = jax.tree.map(lambda leaf, row=row: leaf[row], mapped)
        chex.assert_trees_all_close(one, run(jnp.array(r)), atol=1e-5)

"""The table: what is refused, its sums against loops, and buying a part of it."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from trinity_jax.data.aggregation.annotations import (
    Annotations,
    Dims,
    annotations,
    believe,
    by_worker,
    class_mass,
    confusion_counts,
    evidence,
    labelled,
    purchase,
    shuffle,
    votes,
)
from trinity_jax.types import InputError

LENGTHS = "item, worker and label must be equally long and not empty"


@pytest.mark.parametrize(
    ("item", "worker", "label", "sentence"),
    [
        ([0, 1], [0], [0, 1], LENGTHS),
        ([], [], [], LENGTHS),
        ([[0]], [[0]], [[0]], LENGTHS),
        ([0, 1], [0, 1], [0.0, 1.0], "^label must hold integers, not float64$"),
        (["a", "b"], [0, 1], [0, 1], "^item must hold integers, not <U1$"),
        ([0, 1], [0, 1], [True, False], "^label must hold integers, not bool$"),
        ([0, 1], [0, -1], [0, 1], r"^worker\[1\] is -1, not in \[0, 3\)$"),
        ([0, 1], [3, 2], [0, 1], r"^worker\[0\] is 3, not in \[0, 3\)$"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(item, worker, label, sentence):
    with pytest.raises(InputError, match=sentence):
        annotations(item, worker, label, Dims(2, 3, 2))


def test_rows_are_sorted_by_item_and_otherwise_stay_in_order():
    table, dims = annotations([2, 0, 2, 0], [5, 6, 7, 8], [1, 0, 0, 2])
    assert dims == Dims(3, 9, 3)
    columns = [[0, 0, 2, 2], [6, 8, 5, 7], [0, 2, 1, 0], [1, 1, 1, 1]]
    for column, expected in zip(table, columns, strict=True):
        np.testing.assert_array_equal(column, expected)


def test_sizes_do_not_overflow_a_narrow_column():
    item = np.arange(256, dtype=np.uint8)
    assert annotations(item, item, item)[1] == Dims(256, 256, 256)


def test_sums_equal_loops():
    """One compiled program; the last item and the last worker have no labels."""
    rng, dims, table = np.random.default_rng(0), oracles.DIMS, oracles.tiny()
    posterior = rng.dirichlet(np.ones(dims.labels), dims.items)
    confusion = rng.dirichlet(np.ones(dims.labels), (dims.workers, dims.labels))

    @jax.jit
    def sums(table, posterior, confusion):
        counts = confusion_counts(table, dims, posterior)
        log_likelihood = evidence(table, dims, jnp.log(confusion))
        return votes(table, dims), counts, jnp.exp(log_likelihood), labelled(table, dims)

    rows = oracles.rows(table)
    expected = (
        oracles.votes(rows, dims),
        oracles.confusion_counts(rows, dims, posterior),
        oracles.joint(rows, dims, confusion, np.ones(dims.labels)),
        [any(row[0] == item and row[3] for row in rows) for item in range(dims.items)],
    )
    with jax.enable_x64(True):
        for ours, theirs in zip(sums(table, posterior, confusion), expected, strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-10)


def test_beliefs_of_many_annotations_are_not_rounded_off():
    """Log-likelihoods around -1e5, of which float32 tells 1/128 apart; the last has no labels."""
    table, dims = annotations([0, 1], [0, 0], [0, 1], Dims(3, 1, 2))
    apart = np.array([[0.0, 0.5], [3.0, 0.0], [0.0, 0.0]])
    log_posterior, log_likelihood = jax.jit(lambda joint: believe(table, dims, joint))(
        jnp.asarray(apart - 1e5, jnp.float32)
    )
    total = np.logaddexp(*apart.T)
    np.testing.assert_allclose(log_posterior, apart - total[:, None], rtol=1e-5)
    np.testing.assert_allclose(log_likelihood, -2e5 + total[:2].sum(), rtol=1e-6)


def test_weights_of_workers_and_mass_of_classes():
    heavy = by_worker(RAGGED, jnp.arange(10.0))
    np.testing.assert_array_equal(heavy.weight, RAGGED.weight * np.arange(10))
    posterior = np.arange(20.0).reshape(10, 2)
    mass = class_mass(RAGGED, Dims(10, 10, 2), jnp.asarray(posterior))
    np.testing.assert_allclose(mass, posterior[[0, 2, 3, 9]].sum(0))


# Items 0, 2, 3 and 9 have 3, 1, 2 and 4 labels, more than there are rows before them.
ITEM = np.repeat([0, 2, 3, 9], [3, 1, 2, 4])
RAGGED = Annotations(
    ITEM, np.arange(10), np.zeros(10, int), np.array([1, 1, 1, 1, 0, 1, 1, 1, 1, 1.0])
)


def test_purchase_keeps_the_first_labels_of_each_item():
    bought = jax.jit(jax.vmap(purchase, (None, 0)))(RAGGED, np.arange(1, 6))
    position = np.array([0, 1, 2, 0, 0, 1, 0, 1, 2, 3])
    for redundancy, weight in enumerate(bought.weight, 1):
        np.testing.assert_array_equal(weight, RAGGED.weight * (position < redundancy))


@pytest.mark.parametrize(("item", "kept"), [([3, 3], [1, 0]), ([1, 5, 5, 5], [1, 1, 0, 0])])
def test_purchase_where_items_outnumber_rows(item, kept):
    nothing = np.zeros(len(item), int)
    table, _ = annotations(item, nothing, nothing, Dims(6, 1, 1))
    np.testing.assert_array_equal(purchase(table, 1).weight, kept)


def test_purchase_spends_the_budget():
    """Twelve items with seven labels each; what is bought for less is bought for more."""
    item = np.repeat(np.arange(12), 7)
    table = Annotations(item, item, item, np.ones(84))
    buy = jax.jit(jax.vmap(purchase, (None, 0, 0)))
    redundancy, budget = np.array([1, 1, 2, 3, 5, 7, 5]), np.array([5, 12, 12, 12, 12, 12, 4])
    weight = np.array(buy(table, redundancy, budget).weight).reshape(-1, 12, 7)
    for r, number, kept in zip(redundancy, budget // redundancy, weight, strict=True):
        expected = np.zeros((12, 7))
        expected[:number, :r] = 1
        np.testing.assert_array_equal(kept, expected)
    assert weight.sum(axis=(1, 2)).tolist() == [5, 12, 12, 12, 10, 7, 0]


def test_shuffle_orders_the_labels_of_each_item_at_random():
    num_draws, size = 2000, len(ITEM)
    table = RAGGED._replace(weight=np.arange(10) / 16)
    # "rbg" keys: their programs compile in half the time.
    keys = jax.random.split(jax.random.key(0, impl="rbg"), num_draws)
    shuffled = jax.jit(jax.vmap(shuffle, (0, None)))(keys, table)
    worker = np.array(shuffled.worker)
    np.testing.assert_array_equal(shuffled.item, np.tile(ITEM, (num_draws, 1)))
    np.testing.assert_array_equal(ITEM[worker], shuffled.item)  # nobody changes items
    np.testing.assert_array_equal(shuffled.weight, worker / 16)  # rows stay together
    np.testing.assert_array_equal(np.sort(worker), np.tile(np.arange(size), (num_draws, 1)))
    came_first = np.bincount(worker[:, [0, 6]].ravel(), minlength=size) / num_draws
    expected = np.array([1, 1, 1, 0, 0, 0, 0.75, 0.75, 0.75, 0.75]) / 3
    assert (np.abs(came_first - expected) < 4 * np.sqrt(0.25 / num_draws)).all()

"""Simulated workers: their confusions, and the labels they give."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.data.aggregation.annotations import Dims
from trinity_jax.data.aggregation.workers import WORKERS, annotate

NUM_WORKERS, QUALITY = 4000, 0.3


@functools.cache
def confusions(name, num_labels):
    draw = jax.jit(WORKERS[name], static_argnums=1)
    return np.array(draw(jax.random.key(0), Dims(1, NUM_WORKERS, num_labels), QUALITY))


@pytest.mark.parametrize("name", WORKERS)
@pytest.mark.parametrize("num_labels", [2, 4])
def test_confusions(name, num_labels):
    confusion = confusions(name, num_labels)
    assert confusion.shape == (NUM_WORKERS, num_labels, num_labels)
    assert confusion.min() >= 0
    np.testing.assert_allclose(confusion.sum(axis=2), 1, rtol=1e-6)

    guesses = name in ("hammer_spammer", "class_wise")  # right by chance even if not a hammer
    right = QUALITY + (1 - QUALITY) / num_labels if guesses else QUALITY
    diagonal = np.diagonal(confusion, axis1=1, axis2=2)
    tolerance = 4 * np.sqrt(QUALITY * (1 - QUALITY) / NUM_WORKERS)
    np.testing.assert_allclose(diagonal.mean(axis=0), right, atol=tolerance)

    wrong = np.full((num_labels, num_labels), (1 - right) / (num_labels - 1))
    if name == "pair_flip":
        wrong = (1 - right) * np.roll(np.eye(num_labels), 1, axis=1)
    mean = np.where(np.eye(num_labels, dtype=bool), right, wrong)
    np.testing.assert_allclose(confusion.mean(axis=0), mean, atol=tolerance)


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("hammer_spammer", [1 / 4, 1]),
        ("class_wise", [1 / 4, 1]),
        ("one_coin", [QUALITY]),
        ("pair_flip", [QUALITY]),
        ("adversarial", [0, 1]),
    ],
)
def test_kinds_of_workers(name, kinds):
    """How often a worker may be right, and whether that is the same for all truths."""
    diagonal = np.diagonal(confusions(name, 4), axis1=1, axis2=2)
    np.testing.assert_array_equal(np.unique(diagonal), np.float32(kinds))
    share = (diagonal == diagonal[:, :1]).all(axis=1).mean()
    alike = QUALITY**4 + (1 - QUALITY) ** 4 if name == "class_wise" else 1
    assert abs(share - alike) <= 4 * np.sqrt(alike * (1 - alike) / NUM_WORKERS)


def test_annotate():
    num_items, num_workers, num_labels, redundancy = 20_000, 5, 3, 3
    rng = np.random.default_rng(0)
    truth = rng.integers(num_labels, size=num_items)
    confusion = rng.dirichlet(np.ones(num_labels), (num_workers, num_labels))
    confusion[0] = np.eye(num_labels)
    # "rbg" keys: their programs compile in half the time.
    key = jax.random.key(0, impl="rbg")
    table = jax.jit(annotate, static_argnums=3)(
        key, jnp.asarray(truth), jnp.asarray(confusion, jnp.float32), redundancy
    )
    item, worker, label, weight = map(np.array, table)
    np.testing.assert_array_equal(item, np.repeat(np.arange(num_items), redundancy))
    assert (weight == 1).all()

    slots = worker.reshape(num_items, redundancy)
    assert (np.diff(np.sort(slots)) > 0).all()  # nobody labels an item twice
    for slot in slots.T:  # so that the first slots are a fair sample
        share = np.bincount(slot, minlength=num_workers) / num_items
        np.testing.assert_allclose(share, 1 / num_workers, atol=4 * np.sqrt(0.16 / num_items))

    counts = np.zeros(confusion.shape)
    np.add.at(counts, (worker, truth[item], label), 1)
    total = counts.sum(axis=2, keepdims=True)
    error = np.sqrt(confusion * (1 - confusion) / total)
    assert (np.abs(counts / total - confusion) <= 4 * error).all()

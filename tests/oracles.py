"""What the library computes, slowly: NumPy, loops over rows, products instead of logarithms.

`rows` are (item, worker, label, weight), `sizes` are (items, workers, labels).
"""

import itertools
from typing import NamedTuple

import numpy as np

from trinity_jax.data.aggregation.annotations import Annotations, Dims

SMALLEST = 1e-10
DIMS = Dims(items=7, workers=4, labels=3)


def tiny(num_rows=20):
    """A table of all weights; the last item and the last worker have no labels."""
    rng = np.random.default_rng(0)
    item = np.sort(rng.integers(DIMS.items - 1, size=num_rows))
    worker = rng.integers(DIMS.workers - 1, size=num_rows)
    label = rng.integers(DIMS.labels, size=num_rows)
    return Annotations(item, worker, label, rng.choice([0.0, 0.5, 1.0, 2.0], num_rows))


def rows(table):
    return list(zip(*(np.asarray(column).tolist() for column in table), strict=True))


def votes(rows, sizes):
    count = np.zeros((sizes[0], sizes[2]))
    for item, _, label, weight in rows:
        count[item, label] += weight
    return count


def soft_vote(rows, sizes):
    count = votes(rows, sizes)
    return np.array([c / c.sum() if c.any() else np.full(len(c), 1 / len(c)) for c in count])


def confusion_counts(rows, sizes, posterior):
    counts = np.zeros((sizes[1], sizes[2], sizes[2]))
    for item, worker, label, weight in rows:
        for truth in range(sizes[2]):
            counts[worker, truth, label] += weight * posterior[item, truth]
    return counts


def joint(rows, sizes, confusion, prior):
    """Probability of each item's labels together with each truth, [item, truth]."""
    product = np.tile(prior, (sizes[0], 1)).astype(float)
    for item, worker, label, weight in rows:
        product[item] *= confusion[worker, :, label] ** weight
    return product


def expectation(rows, sizes, confusion, prior):
    """Posterior, and log-likelihood of all labels."""
    product = joint(rows, sizes, confusion, prior)
    labelled = sorted({item for item, _, _, weight in rows if weight})
    log_likelihood = sum(np.log(product[item].sum()) for item in labelled)
    return product / product.sum(axis=1, keepdims=True), log_likelihood


def enumeration(rows, sizes, confusion, prior):
    """The same by summing over every assignment of truths to all items."""
    posterior, total = np.zeros((sizes[0], sizes[2])), 0.0
    for truths in itertools.product(range(sizes[2]), repeat=sizes[0]):
        probability = np.prod([prior[truth] for truth in truths])
        for item, worker, label, weight in rows:
            probability *= confusion[worker, truths[item], label] ** weight
        total += probability
        for item, truth in enumerate(truths):
            posterior[item, truth] += probability
    return posterior / total, np.log(total)


def class_prior(rows, posterior):
    """Mean over the items that have labels."""
    return np.mean([posterior[item] for item in {row[0] for row in rows if row[3]}], axis=0)


def used_cells(rows, sizes, posterior):
    """Maximum likelihood, over the labels that a worker gave at least once; others are improbable.

    Cells below `SMALLEST` are raised to it, so a truth that a worker never met leaves those labels
    equally likely.
    """
    counts = confusion_counts(rows, sizes, posterior)
    confusion = np.full_like(counts, SMALLEST)
    for worker in range(sizes[1]):
        for truth in range(sizes[2]):
            given = {label for _, a, label, weight in rows if a == worker and weight}
            cells = {label: max(counts[worker, truth, label], SMALLEST) for label in given}
            for label in given:
                confusion[worker, truth, label] = cells[label] / sum(cells.values())
    return confusion


def coins(rows, sizes, posterior, right=0.0, wrong=0.0):
    """Each worker's probability of being right: chance level where nothing is known."""
    agreed = np.broadcast_to(right, sizes[1]).astype(float)
    total = np.broadcast_to(np.add(right, wrong), sizes[1]).astype(float)
    for item, worker, label, weight in rows:
        agreed[worker] += weight * posterior[item, label]
        total[worker] += weight
    return np.array([a / t if t else 1 / sizes[2] for a, t in zip(agreed, total, strict=True)])


def coin_confusion(skill, num_labels):
    confusion = np.empty((len(skill), num_labels, num_labels))
    for worker, truth, label in np.ndindex(confusion.shape):
        s = skill[worker]
        confusion[worker, truth, label] = s if truth == label else (1 - s) / (num_labels - 1)
    return confusion


class Alternated(NamedTuple):
    posterior: np.ndarray
    confusion: np.ndarray
    prior: np.ndarray
    log_likelihood: float


def alternate(rows, sizes, maximisation, num_rounds):
    """EM from the soft vote; `maximisation` maps a posterior to confusion and prior."""
    posterior = soft_vote(rows, sizes)
    for _ in range(num_rounds):
        confusion, prior = maximisation(posterior)
        posterior, log_likelihood = expectation(rows, sizes, confusion, prior)
    return Alternated(posterior, confusion, prior, log_likelihood)

"""What an aggregation found, as arrays on the host, and the numbers that reports take from it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from trinity_jax.algorithms import statistics


class Answer(NamedTuple):
    """What the aggregation says."""

    method: str
    source: str  # what the user named, without its folder
    items: Sequence[str]
    workers: Sequence[str]
    labels: Sequence[str]
    posterior: Float[np.ndarray, "item label"]
    redundancy: Int[np.ndarray, " item"]  # labels an item has
    given: Int[np.ndarray, " worker"]  # labels a worker gave
    skill: Float[np.ndarray, " worker"]  # mean posterior mass on what the worker said
    confusion: Float[np.ndarray, "worker label label"] | None  # [worker, truth, said]
    rounds: int  # 0 for a method that has none
    converged: bool
    alpha: float  # Krippendorff's, NaN where it has no value
    warnings: Sequence[str]  # sentences


class Trust(NamedTuple):
    """What gold says of it; an interval is (estimate, low, high)."""

    gold: Int[np.ndarray, " item"]  # -1 where unknown
    accuracy: tuple[float, float, float]  # on gold that it was not told
    baselines: Mapping[str, tuple[float, float, float]]  # others' on the same gold
    worker_accuracy: Float[np.ndarray, "worker 3"]  # NaN where there is too little gold
    held_out: Float[np.ndarray, "known label"]  # posterior of an item by those not told it


class Dependence(NamedTuple):
    """How many independent workers there are among the workers."""

    effective: float
    workers: int
    clusters: Sequence[Sequence[int]]  # workers that say the same too often


class Choice(NamedTuple):
    """One label an item; where the posterior is NaN, the label is -1."""

    label: Int[np.ndarray, " item"]
    confidence: Float[np.ndarray, " item"]
    runner_up: Int[np.ndarray, " item"]  # -1 where there is one class only


class Reliability(NamedTuple):
    """Confidence against the share that is right, in bins of confidence of equal width."""

    items: Int[np.ndarray, " bin"]  # how many
    confidence: Float[np.ndarray, " bin"]  # mean; NaN in empty bins, as the next three
    right: Float[np.ndarray, " bin"]
    low: Float[np.ndarray, " bin"]  # Wilson's interval of `right`
    high: Float[np.ndarray, " bin"]
    error: float  # expected calibration error
    chance: float  # about what it would be for a perfectly calibrated aggregate


def choose_label(posterior: Float[np.ndarray, "item label"]) -> Choice:
    """The most probable label of each item, the first of equals, and the one after it."""
    label, confidence = posterior.argmax(axis=1), posterior.max(axis=1)
    others = np.array(posterior)
    others[np.arange(len(others)), label] = -np.inf
    runner_up = others.argmax(axis=1) if posterior.shape[1] > 1 else np.full_like(label, -1)
    unknown = np.isnan(confidence)
    return Choice(np.where(unknown, -1, label), confidence, np.where(unknown, -1, runner_up))


def reliability(
    posterior: Float[np.ndarray, "known label"], truth: Int[np.ndarray, " known"], bins: int = 10
) -> Reliability:
    """How often an aggregate is right where it is so and so sure.

    The expected calibration error weighs |share right - mean confidence| of the bins by their
    counts. It cannot be 0 on few items: `chance` is its expectation if every confidence p were
    the chance to be right, with a normal of variance sum p (1 - p) for the errors of a bin.

    C. Guo, G. Pleiss, Y. Sun, K. Weinberger. On calibration of modern neural networks. ICML 2017.

    Args:
        posterior: of items that the aggregate was not told; rows with a NaN are left out.
        truth: their labels.
        bins: how many, from 0 to 1.
    """
    choice = choose_label(posterior)
    told = choice.label >= 0
    sure, right = choice.confidence[told], (choice.label == truth)[told]
    of = np.clip((sure * bins).astype(int), 0, bins - 1)
    total = lambda x=None: np.bincount(of, x, bins)
    count, hits, mass, spread = total(), total(right), total(sure), total(sure * (1 - sure))
    n, some = max(len(sure), 1), np.where(count > 0, count, np.nan)
    chance = float(np.sqrt(2 / np.pi * np.maximum(spread, 0)).sum() / n)
    error = float(np.abs(hits - mass).sum() / n)
    low, high = np.asarray(statistics.wilson(hits / some, count))
    return Reliability(count, mass / some, hits / some, low, high, error, chance)


def disagreement(
    answers: Mapping[str, Int[np.ndarray, " item"]],
) -> tuple[Float[np.ndarray, "method method"], Float[np.ndarray, " item"]]:
    """The share of items on which two methods differ, and of pairs that differ on an item."""
    rows = list(answers.values())
    shares = np.array([[np.mean(a != b) for b in rows] for a in rows])
    pairs = [a != b for n, a in enumerate(rows) for b in rows[:n]]
    differ: Bool[np.ndarray, " item"]
    spread = np.zeros(len(rows[0]))
    for differ in pairs:
        spread += differ
    return shares, spread / max(len(pairs), 1)

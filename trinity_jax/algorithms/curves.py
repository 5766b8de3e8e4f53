"""Learning curves: how good a model is after so many words were labelled, and for how many less.

A curve is straight between its points and is nowhere outside them. Its seeds may spend different
numbers of words, so what compares curves interpolates them where all of them are defined. Scores
are better when higher. All of this runs on the host in float64; words stand for any unit of cost.

P. Kottke, A. Calma, D. Huseljic, G. M. Krempl, B. Sick. Challenges of reliable, realistic and
comparable active learning evaluation. Workshop on Interactive Adaptive Learning 2017.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from trinity_jax.algorithms.statistics import interval
from trinity_jax.types import InputError


class Curve(NamedTuple):
    """One run of one strategy."""

    words: np.ndarray  # float64 [point], labelled so far, ascending
    score: np.ndarray  # float64 [point]


Curves = Mapping[str, Mapping[str, Curve]]  # by strategy, then by seed


class Aligned(NamedTuple):
    """Curves at the same numbers of words."""

    strategies: tuple[str, ...]
    seeds: tuple[str, ...]  # those of any strategy
    words: np.ndarray  # float64 [point], ascending
    scores: np.ndarray  # float64 [strategy, seed, point], NaN where a strategy lacks a seed


def checked(words: ArrayLike, score: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """A curve as float64 `[point]` each, or the `ValueError` that says why it is none."""
    words, score = np.asarray(words, np.float64), np.asarray(score, np.float64)
    if words.ndim != 1 or words.shape != score.shape or not len(words):
        raise ValueError(f"a curve needs a score for each of its words, not {score.shape}")
    if not (np.isfinite(words).all() and np.isfinite(score).all()):
        raise ValueError("a curve needs finite words and scores")
    if (np.diff(words) < 0).any():
        raise ValueError("the words of a curve must not fall")
    return words, score


def area(words: ArrayLike, score: ArrayLike) -> float:
    """The area under a curve over its width: its mean height, in the unit of the score.

        1 / (w_R - w_0) * integral of the score from w_0 to w_R, by the trapezoid rule

    Args:
        words: labelled so far, ascending, `[point]`; repeated points change nothing.
        score: `[point]`.

    Raises:
        ValueError: not a curve, or one without width.
    """
    words, score = checked(words, score)
    width = words[-1] - words[0]
    if width == 0:
        raise ValueError("the area under a curve needs two different numbers of words")
    return float(np.diff(words) / width @ (score[1:] / 2 + score[:-1] / 2))


def words_to(words: ArrayLike, score: ArrayLike, target: float | int) -> float | None:
    """How many words it took until the score was first no lower than a target.

    The first crossing counts, by linear interpolation, even if the curve falls below the target
    again: the same as the crossing of the best score so far. Averaging over seeds first is what
    steadies it. A curve that begins at the target or above took its first number of words at most.

    Args:
        words: see `area`, as are `score` and what is raised.
        score: `[point]`.
        target: a finite number.

    Returns:
        Words, None if the target was not reached.
    """
    words, score = checked(words, score)
    if not np.isfinite(target):
        raise ValueError(f"the target must be a finite number, not {target}")
    reached = score >= target
    if not reached.any():
        return None
    i = int(np.argmax(reached))
    if i == 0:
        return float(words[0])
    share = (target - score[i - 1]) / (score[i] - score[i - 1])
    return float(min(words[i - 1] + share * (words[i] - words[i - 1]), words[i]))


def utilisation(reference: Curve, curve: Curve, target: float | int) -> float | None:
    """How many words the reference took for each word of another curve to the same score.

    Above 1 the other saves labels. None if either does not reach the target.
    """
    most, words = words_to(*reference, target), words_to(*curve, target)
    return None if most is None or words is None else most / words


def interpolate(curve: Curve, words: ArrayLike) -> np.ndarray:
    """The score after so many words: `[point]`.

    Raises:
        ValueError: not a curve, or words at which it is not defined.
    """
    x, score = checked(*curve)
    words = np.asarray(words, np.float64)
    if not ((words >= x[0]) & (words <= x[-1])).all():
        raise ValueError(f"the curve is defined from {x[0]:g} to {x[-1]:g} words, not at {words}")
    return np.interp(words, x, score)


def shared_words(curves: Iterable[Curve]) -> np.ndarray:
    """The words at which any of the curves bends, where all of them are defined: `[point]`.

    Nothing is lost there: between these words each of the curves, and their mean, is straight.

    Raises:
        InputError: they have less than two numbers of words in common.
    """
    words = [checked(*curve)[0] for curve in curves]
    low, high = max(x[0] for x in words), min(x[-1] for x in words)
    if low >= high:
        raise InputError(
            f"expected curves over a common range of words, found one that begins at {low:g} and "
            f"one that ends at {high:g}"
        )
    every = np.unique(np.concatenate(words))
    return every[(every >= low) & (every <= high)]


def mean(curves: Sequence[Curve]) -> Curve:
    """The mean of curves where all of them are defined."""
    words = shared_words(curves)
    return Curve(words, np.mean([interpolate(curve, words) for curve in curves], axis=0))


def align(curves: Curves) -> Aligned:
    """All curves at the same words, those of `shared_words`, so that they can be compared."""
    words = shared_words(curve for of_strategy in curves.values() for curve in of_strategy.values())
    seeds = tuple(dict.fromkeys(seed for of_strategy in curves.values() for seed in of_strategy))
    scores = np.full((len(curves), len(seeds), len(words)), np.nan)
    for i, of_strategy in enumerate(curves.values()):
        for seed, curve in of_strategy.items():
            scores[i, seeds.index(seed)] = interpolate(curve, words)
    return Aligned(tuple(curves), seeds, words, scores)


def areas(aligned: Aligned) -> np.ndarray:
    """The area under each curve over the words that all share: `[strategy, seed]`, NaN if none."""
    missing = np.isnan(aligned.scores[:, :, 0])
    rows = np.where(missing[:, :, None], 0, aligned.scores)
    found = [[area(aligned.words, score) for score in of_strategy] for of_strategy in rows]
    return np.where(missing, np.nan, found)


def reach(curves: Sequence[Curve], target: float | int) -> dict[str, Any]:
    """How many words a strategy needs to a target: of its mean curve, and of its seeds.

    A seed that does not get there needs more words than it had, so a mean over those that do would
    be too low: the seeds have a mean and an interval only if all of them do.

    Args:
        curves: the seeds of one strategy.
        target: the score to reach.

    Returns:
        `{"mean_curve": words or None, "seeds": see `interval`, or None, "reached": seeds that did,
        "n": seeds}`.
    """
    words = [words_to(*curve, target) for curve in curves]
    reached = [x for x in words if x is not None]
    return {
        "mean_curve": words_to(*mean(curves), target),
        "seeds": interval(reached) if len(reached) == len(words) else None,
        "reached": len(reached),
        "n": len(words),
    }


def savings(
    reference: Mapping[str, Curve], curves: Mapping[str, Curve], target: float | int
) -> dict[str, Any]:
    """`utilisation` of one strategy against another: of their mean curves, and of paired seeds.

    Args:
        reference: the strategy to save against, by seed.
        curves: the other, by seed.
        target: the score to reach.

    Returns:
        `{"mean_curve": ratio or None, "seeds": see `interval`}`; the seeds are those of both, and
        have no interval (None) unless each of them gets there twice.
    """
    both = [seed for seed in curves if seed in reference]
    ratios = [utilisation(reference[seed], curves[seed], target) for seed in both]
    known = [ratio for ratio in ratios if ratio is not None]
    ours, theirs = mean([*curves.values()]), mean([*reference.values()])
    return {
        "mean_curve": utilisation(theirs, ours, target),
        "seeds": interval(known) if len(known) == len(both) else None,
    }

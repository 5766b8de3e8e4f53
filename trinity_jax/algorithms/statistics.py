"""What reports say of measurements: means with intervals over replicas, tests, and accuracy.

All but `accuracy` and `wilson`, which can be traced, run on the host in float64.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import ndtri
from jaxtyping import Array, Float, Int, Scalar
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

from trinity_jax.types import InputError, PRNGKey


def interval(values: ArrayLike, confidence: float = 0.95) -> dict[str, Any] | None:
    """The mean of independent replicas, and Student's t interval for their expectation.

        mean -+ t_{n-1, (1 + confidence) / 2} s / sqrt(n),    s^2 = sum (x - mean)^2 / (n - 1)

    Args:
        values: one finite number for each replica, `[replica]`.
        confidence: how often such intervals hold the expectation, in (0, 1).

    Returns:
        `{"mean": mean, "interval": [low, high], "n": n}`. One replica has no interval (None), and
        no replicas have nothing at all (None).
    """
    x = _replicas(values)
    check_confidence(confidence)
    n = len(x)
    if n == 0:
        return None
    mean = float(x.mean())
    if n == 1:
        return {"mean": mean, "interval": None, "n": n}
    half = float(stdtrit(n - 1, (1 + confidence) / 2) * x.std(ddof=1) / np.sqrt(n))
    return {"mean": mean, "interval": [mean - half, mean + half], "n": n}


def paired(a: ArrayLike, b: ArrayLike, confidence: float = 0.95) -> dict[str, Any] | None:
    """`interval` of a - b over matched replicas: what the two share, a seed, cancels."""
    a, b = _replicas(a), _replicas(b)
    if len(a) != len(b):
        raise ValueError(f"matched replicas must be as many, not {len(a)} and {len(b)}")
    return interval(a - b, confidence)


def bootstrap(
    key: PRNGKey, groups: Sequence[ArrayLike], confidence: float = 0.95, draws: int = 10_000
) -> dict[str, Any] | None:
    """The mean of the groups' means, and its percentile interval under resampling.

    A draw takes as many groups (corpora) as there are, with replacement, and from each of these as
    many of its replicas (seeds). For matched replicas of two methods, pass their differences. With
    few groups or few replicas the interval is too short: a percentile interval of n replicas is
    about sqrt((n - 1) / n) as long as it should be, before t's wider tails.

    B. Efron, R. J. Tibshirani. An Introduction to the Bootstrap. 1993, sections 8.3 and 13.3.

    Args:
        key: of the draws; the same key gives the same interval.
        groups: finite numbers of each group, `[group][replica]`; one group is the common bootstrap.
        confidence: see `interval`.
        draws: how often to resample.

    Returns:
        `{"mean": mean, "interval": [low, high], "n": n}` where n counts replicas of all groups. One
        replica in all has no interval (None), and no replicas have nothing at all (None).
    """
    values = [x for x in map(_replicas, groups) if len(x)]
    check_confidence(confidence)
    if not values:
        return None
    sizes = np.array([len(x) for x in values])
    mean = float(np.mean([x.mean() for x in values]))
    if sizes.sum() == 1:
        return {"mean": mean, "interval": None, "n": 1}
    table = np.zeros((len(values), sizes.max()))
    table[np.arange(sizes.max()) < sizes[:, None]] = np.concatenate(values)
    # NumPy's generator, since there is nothing here that would be worth compiling.
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    group = rng.integers(len(values), size=(draws, len(values)))
    size = sizes[group][:, :, None]
    replica = rng.integers(size, size=(*group.shape, sizes.max()))
    drawn = table[group[:, :, None], replica]
    drawn = np.where(np.arange(sizes.max()) < size, drawn, 0).sum(axis=2) / size[:, :, 0]
    ends = np.quantile(drawn.mean(axis=1), [(1 - confidence) / 2, (1 + confidence) / 2])
    return {"mean": mean, "interval": ends.tolist(), "n": int(sizes.sum())}


def student(differences: ArrayLike) -> np.ndarray:
    """Student's paired test: two-sided p values of differences whose expectation may be 0.

    Args:
        differences: of matched replicas, finite, `[replica, ...]`; each further axis has its tests.

    Returns:
        p, `[...]`; NaN for fewer than two replicas. Differences that are all equal have p = 0, or
        1 where they are 0.
    """
    x = np.asarray(differences, np.float64)
    n = len(x)
    if n < 2:
        return np.full(x.shape[1:], np.nan)
    mean, error = x.mean(axis=0), x.std(axis=0, ddof=1) / np.sqrt(n)
    # Without spread, t is infinite; where nothing differs at all there is nothing to be found.
    t = np.divide(mean, error, out=np.where(mean == 0, 0.0, np.inf), where=error > 0)
    return 2 * stdtr(n - 1, -np.abs(t))


def signed_rank(differences: ArrayLike) -> float:
    """Wilcoxon's signed-rank test: the exact two-sided p value, ties and all.

    Zeros are dropped, tied sizes share the mean of their ranks, and the p value is that of the sum
    of positive ranks under all 2^n ways to sign these ranks, counted by dynamic programming. Its
    least value is 2 / 2^n: with 5 replicas no difference at all is significant at 0.05.

    F. Wilcoxon. Individual comparisons by ranking methods. Biometrics Bulletin 1945.

    Args:
        differences: one finite number for each pair, `[replica]`.

    Returns:
        p in (0, 1]; 1 if there is no difference.
    """
    x = _replicas(differences)
    x = x[x != 0]
    _, index, count = np.unique(np.abs(x), return_inverse=True, return_counts=True)
    ranks = (2 * np.cumsum(count) - count + 1)[index]  # doubled, so that halves are integers
    chance = np.zeros(ranks.sum() + 1)  # of each doubled sum of positive ranks
    chance[0] = 1
    for rank in ranks:
        chance = (chance + np.append(np.zeros(rank), chance[:-rank])) / 2
    positive = ranks[x > 0].sum()
    tail = min(chance[: positive + 1].sum(), chance[positive:].sum())
    return min(1.0, 2 * float(tail))


def holm(p: ArrayLike) -> np.ndarray:
    """P values of several tests, adjusted so that the chance of any false finding is bounded.

    The k-th least of m is multiplied by m - k + 1, and is no less than those before it.

    S. Holm. A simple sequentially rejective multiple test procedure. Scand. J. Statistics 1979.

    Args:
        p: one for each test, in [0, 1], `[test]`.

    Returns:
        Adjusted p values, `[test]`: those up to alpha are significant together at level alpha.
    """
    p = np.asarray(p, np.float64)
    if p.ndim != 1 or not ((p >= 0) & (p <= 1)).all():
        raise ValueError(f"expected one p value from 0 to 1 for each test, not {p}")
    order = np.argsort(p, kind="stable")
    adjusted = np.empty_like(p)
    adjusted[order] = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    return np.minimum(adjusted, 1)


def accuracy(log_posterior: Float[Array, "item label"], truth: Int[Array, " item"]) -> Scalar:
    """The share of items whose most probable label is true; each of m tied labels earns 1/m.

    Args:
        log_posterior: higher is more probable, `[item, label]`; an item with a NaN is wrong.
        truth: true labels, -1 where unknown, `[item]`.

    Returns:
        The mean over items of known truth; 0 if there are none.
    """
    best = log_posterior == log_posterior.max(axis=1, keepdims=True)
    known = truth >= 0
    right = known & jnp.take_along_axis(best, jnp.maximum(truth, 0)[:, None], axis=1)[:, 0]
    credit = jnp.where(right, 1 / jnp.maximum(best.sum(axis=1), 1), 0)
    return credit.sum() / jnp.maximum(known.sum(), 1)


def wilson(
    share: jax.typing.ArrayLike, count: jax.typing.ArrayLike, confidence: float = 0.95
) -> tuple[Float[Array, "*group"], Float[Array, "*group"]]:
    """Wilson's interval for the probability of what was seen in a share of `count` trials.

    E. B. Wilson. Probable inference, the law of succession, and statistical inference. JASA 1927.

    Args:
        share: in [0, 1], `[*group]`.
        count: trials, `[*group]`.
        confidence: see `interval`.

    Returns:
        Its ends, in [0, 1]; NaN where the share is, or nothing was counted.

    Raises:
        InputError: confidence is not in (0, 1).
    """
    check_confidence(confidence)
    count = jnp.asarray(count)
    share = jnp.where(count > 0, jnp.asarray(share), jnp.nan)
    z = ndtri((1 + confidence) / 2)
    centre = (share * count + z**2 / 2) / (count + z**2)
    half = z * jnp.sqrt(count * share * (1 - share) + z**2 / 4) / (count + z**2)
    return jnp.maximum(centre - half, 0), jnp.minimum(centre + half, 1)


def check_confidence(confidence: float) -> None:
    """Raises `InputError` unless the confidence lies in (0, 1)."""
    if not 0 < confidence < 1:
        raise InputError(f"confidence must lie between 0 and 1, not {confidence}")


def _replicas(values: ArrayLike) -> np.ndarray:
    """Finite numbers, `[replica]`, or the sentence that says why they are not."""
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1:
        raise ValueError(f"expected one number for each replica, not an array of {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError(f"replica {np.flatnonzero(~np.isfinite(x))[0]} of {len(x)} is not finite")
    return x

"""What reports say of measurements: means with intervals over replicas, and accuracy.

`interval` and `paired` run on the host, in float64; `accuracy` can be traced.
"""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Scalar
from numpy.typing import ArrayLike
from scipy.special import stdtrit


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
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must lie between 0 and 1, not {confidence}")
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


def _replicas(values: ArrayLike) -> np.ndarray:
    """Finite numbers, `[replica]`, or the sentence that says why they are not."""
    x = np.asarray(values, dtype=np.float64)
    if x.ndim != 1:
        raise ValueError(f"expected one number for each replica, not an array of {x.shape}")
    if not np.isfinite(x).all():
        raise ValueError(f"replica {np.flatnonzero(~np.isfinite(x))[0]} of {len(x)} is not finite")
    return x

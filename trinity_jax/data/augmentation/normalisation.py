"""Normalising channels: by a batch, by what was seen in training, or by each image itself.

    normal(a) = scale (a - mean) / sqrt(variance + 1e-5) + shift

of the model of `rendering`, whose both directions take a `Norm`. S. Ioffe, C. Szegedy. Batch
normalization. ICML 2015; D. Ulyanov, A. Vedaldi, V. Lempitsky. Instance normalization. 2016.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from trinity_jax.data.augmentation import rendering

EPSILON = 1e-5  # added to variances

Moments = tuple[tuple[Array, Array], ...]  # mean and variance of a channel, by level


def divergence(one: tuple[Array, Array], other: tuple[Array, Array]) -> Float[Array, ""]:
    """KL(one || other) of Gaussians of these means and variances, [channel]; the mean of it."""
    (mean, variance), (mean_other, variance_other) = one, other
    ratio = (variance + 1e-8) / (variance_other + 1e-8)
    shift = (mean - mean_other) ** 2 / (variance_other + 1e-8)
    return 0.5 * (shift + ratio - jnp.log(ratio) - 1).mean()


def by_batch(affine: Moments, seen: dict[int, tuple[Array, Array]]) -> rendering.Norm:
    """Normalises channels by the batch, and notes their moments in `seen`."""

    def norm(level, a):
        mean, variance = a.mean((0, 1, 2)), a.var((0, 1, 2))
        seen[level] = mean, variance
        return _normal(a, mean[None, None, None], variance[None, None, None], affine[level])

    return norm


def frozen(affine: Moments, moments: Moments) -> rendering.Norm:
    """Normalises channels by these moments."""
    wide = lambda v: v[None, None, None]

    def norm(level, a):
        mean, variance = map(wide, moments[level])
        return _normal(a, mean, variance, affine[level])

    return norm


def by_image(shifts: tuple[Array, ...]) -> rendering.Norm:
    """Normalises the channels of each image by themselves, and shifts them."""

    def norm(level, a):
        mean, variance = a.mean((1, 2), keepdims=True), a.var((1, 2), keepdims=True)
        return _normal(a, mean, variance, (jnp.ones_like(shifts[level]), shifts[level]))

    return norm


def _normal(a, mean, variance, affine):
    scale, shift = (v[None, None, None] for v in affine)
    return (a - mean) * jax.lax.rsqrt(variance + EPSILON) * scale + shift

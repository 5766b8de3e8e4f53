"""Are made images like real ones, all different, and not copies? Numbers without a network.

Distances are Euclidean, of images as rows of numbers.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

Images = Float[Array, "_ height width channel"]


def nearest(
    one: Images, other: Images, among: Bool[Array, " _"] | None = None, *, apart: bool = False
) -> Float[Array, " _"]:
    """The distance from each image to the nearest of the others.

    Args:
      one: images.
      other: images to be near to.
      among: which of these count; by default all.
      apart: whether both are the same images, so that each is compared with the rest.
    """
    flat = lambda x: x.reshape(len(x), -1)
    a, b = flat(one), flat(other)
    squares = (a**2).sum(1)[:, None] + (b**2).sum(1)[None] - 2 * a @ b.T
    if among is not None:
        squares = jnp.where(among[None], squares, jnp.inf)
    if apart:
        squares += jnp.diag(jnp.full(len(a), jnp.inf))
    return jnp.sqrt(jnp.maximum(squares.min(1), 0))


def memorised(
    made: Images, train: Images, test: Images, among: Bool[Array, " _"] | None = None
) -> Float[Array, ""]:
    """How far made images are from training images, of how far test images are; medians.

    Near 0 for copies, 1 for new images of the same kind.

    Args:
      made: images.
      train: training images.
      test: real images that are not among them.
      among: which of the training images the generator has seen; by default all.
    """
    return jnp.median(nearest(made, train, among)) / jnp.median(nearest(test, train, among))


def duplicates(made: Images, test: Images, quantile: float = 0.01) -> Float[Array, ""]:
    """The share of made images that have a near-copy among the others.

    Nearer than all but a share `quantile` of as many real images are to each other, so that real
    images would have this share; a generator of few different images has more (S. Arora, Y. Zhang.
    Do GANs actually learn the distribution? arXiv 1706.08224: with s images, collisions tell of a
    support of about s^2).

    Args:
      made: images.
      test: real images, as many.
      quantile: of the distances of real images to the nearest other one.
    """
    close = jnp.quantile(nearest(test, test, apart=True), quantile)
    return (nearest(made, made, apart=True) <= close).mean()


def high_frequencies(images: Images) -> Float[Array, ""]:
    """The share of power, less that of the mean, above half the highest frequency of an axis."""
    power = jnp.abs(jnp.fft.fft2(images, axes=(1, 2))) ** 2
    frequency = [jnp.abs(jnp.fft.fftfreq(n)) for n in images.shape[1:3]]
    high = jnp.maximum(frequency[0][:, None], frequency[1][None]) > 0.25
    power = power.sum((0, 3)).at[0, 0].set(0)
    return jnp.where(high, power, 0).sum() / power.sum()


def cosine(one, other) -> Float[Array, ""]:
    """Of the angle between two gradients of the same parameters."""
    flat = lambda tree: jnp.concatenate([leaf.ravel() for leaf in jax.tree.leaves(tree)])
    a, b = flat(one), flat(other)
    return (a @ b) / jnp.maximum(jnp.linalg.norm(a) * jnp.linalg.norm(b), 1e-30)

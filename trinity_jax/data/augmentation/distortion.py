"""Shifts, rotations, mirror images and parts of images: augmentation without a model."""

import functools

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates
from jaxtyping import Array, Float

from trinity_jax.data.augmentation.rendering import Images
from trinity_jax.types import PRNGKey


def distort(key: PRNGKey, images: Images, shift: float = 1.0, degrees: float = 10.0) -> Images:
    """Each image shifted and rotated about its middle, uniformly up to these limits.

    Between pixels is interpolated linearly; beyond the border its pixels go on.

    Args:
      key: of the draws.
      images: of real numbers.
      shift: pixels along each axis.
      degrees: of the rotation.
    """
    count, height, width, _ = images.shape
    draw = jax.random.uniform(key, (3, count), minval=-1, maxval=1)
    angle = draw[2] * degrees * jnp.pi / 180
    middle = (height - 1) / 2, (width - 1) / 2
    rows, columns = jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij")
    rows, columns = rows[None] - middle[0], columns[None] - middle[1]
    cos, sin = jnp.cos(angle)[:, None, None], jnp.sin(angle)[:, None, None]
    move = shift * draw[:2, :, None, None]
    at_rows = cos * rows - sin * columns + middle[0] + move[0]
    at_columns = sin * rows + cos * columns + middle[1] + move[1]
    one = lambda channel, r, c: map_coordinates(channel, [r, c], order=1, mode="nearest")
    channels = jax.vmap(one, in_axes=(2, None, None), out_axes=2)
    return jax.vmap(channels)(images, at_rows, at_columns)


def shift_and_mirror(key: PRNGKey, images: Array, pad: int = 4, mirror: float = 0.5) -> Array:
    """Random crops of images padded with mid-grey (uint8), a share of them mirrored."""
    key_shift, key_mirror = jax.random.split(key)
    count, height, width, _ = images.shape
    padded = jnp.pad(images, ((0, 0), (pad, pad), (pad, pad), (0, 0)), constant_values=127)
    corner = jax.random.randint(key_shift, (2, count), 0, 2 * pad + 1)
    rows = corner[0][:, None] + jnp.arange(height)[None]
    columns = corner[1][:, None] + jnp.arange(width)[None]
    mirrored = jax.random.bernoulli(key_mirror, mirror, (count, 1))
    columns = jnp.where(mirrored, columns[:, ::-1], columns)
    example = jnp.arange(count)[:, None, None]
    return padded[example, rows[:, :, None], columns[:, None, :]]


def resized_crop(key: PRNGKey, images: Array, least: float = 0.3) -> Array:
    """Random parts of images, brought back to full size; half of them mirrored.

    Args:
      key: of the parts.
      images: `[batch, height, width, channel]`.
      least: smallest share of the area; the aspect is between 3/4 and 4/3.

    Returns:
      Images of the same shape and type, between whose pixels is interpolated linearly.
    """
    count, *size, _ = images.shape
    key_area, key_aspect, key_corner, key_mirror = jax.random.split(key, 4)
    area = jax.random.uniform(key_area, (count,), minval=least)
    aspect = jnp.exp(jax.random.uniform(key_aspect, (count,), minval=-1, maxval=1) * jnp.log(4 / 3))
    share = jnp.stack([jnp.sqrt(area / aspect), jnp.sqrt(area * aspect)])  # of height and width
    share = jnp.minimum(share, 1.0)
    corner = jax.random.uniform(key_corner, (2, count)) * (1 - share)
    mirrored = jax.random.bernoulli(key_mirror, 0.5, (count, 1, 1))
    rows, columns = (_between(n, corner[i], share[i]) for i, n in enumerate(size))
    columns = jnp.where(mirrored, columns[:, ::-1], columns)
    part = jnp.einsum("bph,bhwc,bqw->bpqc", rows, images.astype(jnp.float32), columns)
    return jnp.round(part).astype(images.dtype) if images.dtype == jnp.uint8 else part


def _between(size: int, corner: Array, share: Array) -> Float[Array, "batch to pixel"]:
    """Weights of pixels along an axis of which a part is brought to full size."""
    place = (jnp.arange(size)[None] + 0.5) * share[:, None] + corner[:, None] * size - 0.5
    distance = jnp.clip(place, 0, size - 1)[..., None] - jnp.arange(size)[None, None]
    return jnp.maximum(1 - jnp.abs(distance), 0)


AUGMENTS = {
    "none": None,
    "shift": shift_and_mirror,
    "shift_only": functools.partial(shift_and_mirror, mirror=0.0),
    "crop": resized_crop,
}

"""Small shifts and rotations of images: augmentation without a model."""

import jax
import jax.numpy as jnp
from jax.scipy.ndimage import map_coordinates

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

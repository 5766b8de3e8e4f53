"""Which images are labelled, and which of them a step sees."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from trinity_jax.types import PRNGKey


def balanced(key: PRNGKey, label: Int[Array, " item"], num_labels: int) -> Int[Array, " item"]:
    """An order of all items of which the first n have as many of each class, for n = k num_labels.

    The n labelled of a small budget are among those of a larger one.

    Args:
      key: of the draw.
      label: of every item; every class has as many items as are to be drawn of it.
      num_labels: number of classes.
    """
    lottery = jax.random.uniform(key, label.shape)
    by_class = jnp.lexsort((lottery, label))
    size = jnp.bincount(label, length=num_labels)
    first = jnp.cumsum(size) - size
    rank = jnp.zeros_like(label).at[by_class].set(jnp.arange(len(label)) - first[label[by_class]])
    return jnp.argsort(rank * num_labels + label)


def batch(key: PRNGKey, existing: Int[Array, ""] | int, most: int, size: int) -> Int[Array, " n"]:
    """Numbers below `existing`, at most `most`, all different unless there are less than `size`."""
    lottery = jnp.where(jnp.arange(most) < existing, jax.random.uniform(key, (most,)), 2.0)
    return jnp.argsort(lottery)[jnp.arange(size) % existing]

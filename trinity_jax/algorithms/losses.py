"""Losses on what is known of a label: a distribution over classes, and how much it counts."""

import jax
from jaxtyping import Array, Float


def weighted_cross_entropy(
    logits: Float[Array, "batch label"],
    target: Float[Array, "batch label"],
    weight: Float[Array, " batch"],
) -> Float[Array, ""]:
    """Cross-entropy against soft labels, in nats: sum_b w_b sum_k -P[b, k] log f_k(x_b) / batch.

    Divided by the size of the batch, not by its weight: an example of weight 0 is an example of
    which nothing is known, and a batch half known pulls half as hard.
    """
    per_example = -(target * jax.nn.log_softmax(logits)).sum(1)
    return (weight * per_example).sum() / logits.shape[0]

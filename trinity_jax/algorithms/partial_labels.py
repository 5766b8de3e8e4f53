"""Learning from label sets: of an item only some labels are left, and one of them is true.

Let p be the network's distribution and S the labels that are left.

    cc        -log sum_{k in S} p_k                        classifier-consistent
    rc        1/2 sum_{k in S} w_k (-log p_k)              risk-consistent, w = p on S, now
    proden    sum_{k in S} w_k (-log p_k)                  w = p on S, at the last visit

With one label left they are cross-entropy (rc: half of it), with all of them cc is 0. The gradient
of cc is p - w, with w = p on S; that of proden is the same, had w been of now; rc's is half of it.
"p on S" is p_k / sum_{j in S} p_j for k in S, 0 elsewhere.

A target is 1 for labels that are left, 0 for the others; in between it is what answers that may be
wrong say of a label, up to a factor: their probability if it is the true one. A target of zeros, as
padding has, says nothing: cc and rc take it for all labels, proden for none.

cc, rc: L. Feng, J. Lv, B. Han, M. Xu, G. Niu, X. Geng, B. An, M. Sugiyama. Provably consistent
partial-label learning. NeurIPS 2020; cc is also the loss of P. Hu, Z. C. Lipton, A. Anandkumar,
D. Ramanan. Active learning with partial feedback. ICLR 2019. proden: J. Lv, M. Xu, L. Feng, G. Niu,
X. Geng, M. Sugiyama. Progressive identification of true labels for partial-label learning.
ICML 2020.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

Batch = Float[Array, "batch label"]


class Loss(NamedTuple):
    """Two fields of `training.Recipe`.

    Attributes:
      loss: `(logits, target, weight [batch]) -> loss`, over the size of the batch, in nats.
      revise: `(logits, target) -> target`, what a target is after a visit; None if it stays.
    """

    loss: Callable[..., Float[Array, ""]]
    revise: Callable[[Batch, Batch], Batch] | None = None


def on_left(logits: Batch, target: Batch) -> Batch:
    """The network's distribution on what is left, p^S; uniform where nothing of p is there."""
    return jax.nn.softmax(_weighed(logits, target))


def cc(logits: Batch, target: Batch, weight: Float[Array, " batch"]) -> Float[Array, ""]:
    """Minus the log-probability that the label is one of those left, stable however small."""
    total = jax.nn.logsumexp(logits, axis=-1)
    return _mean(total - jax.nn.logsumexp(_weighed(logits, target), axis=-1), weight)


def rc(logits: Batch, target: Batch, weight: Float[Array, " batch"]) -> Float[Array, ""]:
    """Half the cross-entropy against the network's own distribution on what is left."""
    own = jax.lax.stop_gradient(on_left(logits, target))
    return _mean(-0.5 * (own * jax.nn.log_softmax(logits)).sum(-1), weight)


def proden(logits: Batch, target: Batch, weight: Float[Array, " batch"]) -> Float[Array, ""]:
    """Cross-entropy against the target, which is made a distribution."""
    total = target.sum(-1, keepdims=True)
    share = target / jnp.where(total > 0, total, 1)
    return _mean(-(share * jax.nn.log_softmax(logits)).sum(-1), weight)


def renew(logits: Batch, target: Batch) -> Batch:
    """The network's distribution on what is left; no label is lost by rounding."""
    own = on_left(logits, (target > 0).astype(logits.dtype))
    return jnp.where(target > 0, jnp.maximum(own, 1e-20), 0)


LOSSES = {"cc": Loss(cc), "rc": Loss(rc), "proden": Loss(proden, renew)}


def pseudo(loss: Loss, threshold: float) -> Loss:
    """The loss as if the network's favourite of what is left were true, where it is that sure.

    Args:
      loss: what to use elsewhere.
      threshold: least probability on what is left, in (0, 1].
    """

    def surely(logits, target, weight):
        own = jax.lax.stop_gradient(on_left(logits, target))
        favourite = jax.nn.one_hot(own.argmax(-1), logits.shape[-1])
        sure = own.max(-1, keepdims=True) >= threshold
        return loss.loss(logits, jnp.where(sure, favourite, target), weight)

    return loss._replace(loss=surely)


def _weighed(logits, target):
    """Logits with log target added; minus infinity for what is not left, without NaN gradients."""
    there = target > 0
    log_target = jnp.log(jnp.where(there, target, 1).astype(logits.dtype))
    there |= ~there.any(-1, keepdims=True)
    return jnp.where(there, logits + log_target, -jnp.inf)


def _mean(per_example, weight):
    return (weight * per_example).sum() / per_example.shape[0]

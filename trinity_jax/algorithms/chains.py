"""Hidden Markov chains: forward-backward and Viterbi, in logarithms.

    P(z, x) = P(z_1) P(x_1 | z_1) prod_t P(z_t | z_{t-1}) P(x_t | z_t)

Sequences of any lengths lie behind one another in one array of tokens; `first` marks where each
begins, and there the chain forgets what was before. So nothing is padded, and the work is one
serial scan over the tokens that takes memory for one row of labels a token.

L. R. Rabiner. A tutorial on hidden Markov models and selected applications in speech recognition.
Proceedings of the IEEE 77(2), 1989, section III.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import log_softmax, logsumexp
from jaxtyping import Array, Bool, Float, Int


class Beliefs(NamedTuple):
    """What is known of the hidden labels after all sequences are seen.

    Attributes:
      log_marginal: log P(label of the token | its sequence).
      transitions: the probability of each step (from, to), added up over the steps that count.
      log_likelihood: log P(x_t | x_{<t}) of each token; a sequence's is the sum over its tokens.
    """

    log_marginal: Float[Array, "token label"]
    transitions: Float[Array, "label label"]
    log_likelihood: Float[Array, " token"]


def forward_backward(
    log_initial: Float[Array, " label"],
    log_transition: Float[Array, "label label"],
    log_emission: Float[Array, "token label"],
    first: Bool[Array, " token"],
    weight: Float[Array, " token"],
) -> Beliefs:
    """Marginals, expected transitions and likelihood of every sequence.

    Args:
      log_initial: log P(label) of the first token of a sequence.
      log_transition: log P(label to | label from), [from, to].
      log_emission: log P(what was observed at the token | label).
      first: tokens that begin a sequence; token 0 does in any case.
      weight: how much the step to a token counts in `transitions`.
    """
    first = first.at[0].set(True)

    def forward(log_alpha, token):
        emission, begins = token
        step = logsumexp(log_alpha[:, None] + log_transition, axis=0)
        joint = jnp.where(begins, log_initial, step) + emission
        log_scale = logsumexp(joint)
        return joint - log_scale, (joint - log_scale, log_scale)

    _, (log_alpha, log_scale) = jax.lax.scan(forward, log_initial, (log_emission, first))

    def backward(carry, token):
        log_beta, transitions = carry  # log P(x_{t+1 ...} | label of t), up to a constant
        now, before, emission, begins, weight = token
        future = log_transition + (log_beta + emission)[None]  # [from, to]
        each = logsumexp(future, axis=1)
        pair = jnp.exp(before[:, None] + future - logsumexp(before + each))
        transitions += jnp.where(begins, 0, weight * pair)
        return (jnp.where(begins, 0, log_softmax(each)), transitions), log_softmax(now + log_beta)

    tokens = (log_alpha, jnp.roll(log_alpha, 1, axis=0), log_emission, first, weight)
    start = jnp.zeros_like(log_alpha[0]), jnp.zeros_like(log_transition)
    (_, transitions), log_marginal = jax.lax.scan(backward, start, tokens, reverse=True)
    return Beliefs(log_marginal, transitions, log_scale)


def viterbi(
    log_initial: Float[Array, " label"],
    log_transition: Float[Array, "label label"],
    log_emission: Float[Array, "token label"],
    first: Bool[Array, " token"],
) -> Int[Array, " token"]:
    """The most probable labels of every sequence; of equal ones, the lowest label at the end.

    Arguments are those of `forward_backward`, but need not be normalised: -inf forbids.
    """
    first = first.at[0].set(True)

    def forward(best, token):
        emission, begins = token
        step = best[:, None] + log_transition
        joint = jnp.where(begins, log_initial, step.max(0)) + emission
        top = joint.max()
        joint -= jnp.where(jnp.isfinite(top), top, 0)  # long sums would lose digits
        return joint, (joint, step.argmax(0))

    _, (best, came_from) = jax.lax.scan(forward, log_initial, (log_emission, first))

    def backward(label_after, token):
        best, came_from, ends = token  # came_from[k] is the label before, if label k comes after
        label = jnp.where(ends, best.argmax(), came_from[label_after])
        return label, label

    tokens = best, jnp.roll(came_from, -1, axis=0), jnp.roll(first, -1)
    return jax.lax.scan(backward, came_from[0, 0], tokens, reverse=True)[1]

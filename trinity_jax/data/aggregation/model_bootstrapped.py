"""Model-bootstrapped EM: the network's own predictions say how good the workers are.

Start from the soft vote P, and repeat

    f            trained on P                           posterior-weighted cross-entropy
    t_i          = argmax_k f_k(x_i)                    the model's answer for a training item
    pi[a, k, l]  proportional to sum_{t: worker_t = a} 1[t_i = k, label_t = l] + prior
    P[i, k]      proportional to prod_{t: item_t = i} pi[worker_t, k, label_t]

The reference answer comes from the model, not from agreement between workers, so a worker's
quality can be known when every item is labelled once, where Dawid-Skene learns nothing.

A. Khetan, Z. C. Lipton, A. Anandkumar. Learning From Noisy Singly-labeled Data. ICLR 2018,
algorithm 1. There the prior is nothing and the class prior uniform. With few labels per worker the
rows of pi are estimated from one or two labels each; `strength` pseudo-labels then shrink a
worker's confusion towards that worker's own one-coin matrix.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from trinity_jax.algorithms.em import EM, Info, largest_change
from trinity_jax.data.aggregation.annotations import Annotations, Dims, confusion_counts
from trinity_jax.data.aggregation.dawid_skene import expectation, log_normalise
from trinity_jax.data.aggregation.majority import soft_vote
from trinity_jax.data.aggregation.one_coin import agreement, coin_confusion
from trinity_jax.types import PRNGKey


class State(NamedTuple):
    """Posterior of the hidden labels, and the workers' confusions it comes from."""

    log_posterior: Float[Array, "item label"]
    log_confusion: Float[Array, "worker truth label"]


def hard_reference(log_probs: Float[Array, "item label"]) -> Float[Array, "item label"]:
    """The model's answer: all mass on its most likely label."""
    return jax.nn.one_hot(log_probs.argmax(1), log_probs.shape[1], dtype=log_probs.dtype)


def log_confusion(
    table: Annotations,
    dims: Dims,
    reference: Float[Array, "item label"],
    strength: Float[Array, ""] | float = 0.0,
) -> Float[Array, "worker truth label"]:
    """Logarithm of the workers' confusions against a reference.

    Args:
      table: annotations.
      dims: sizes.
      reference: probabilities of the true label, from outside the table.
      strength: pseudo-labels in each row, distributed as the worker's one-coin matrix. That coin's
        own prior is two labels at chance level. 0 is the paper's estimate; a row without labels
        is then uniform.
    """
    chance = 2 / dims.labels
    skill = agreement(table, dims, reference, right=chance, wrong=2 - chance)
    prior = strength * jnp.exp(coin_confusion(skill, dims.labels))
    return log_normalise(confusion_counts(table, dims, reference) + prior)


def update(
    table: Annotations,
    dims: Dims,
    log_probs: Float[Array, "item label"],
    strength: Float[Array, ""] | float = 0.0,
) -> tuple[State, Float[Array, ""]]:
    """Confusions from the model's answers, and the posterior from the confusions.

    Args:
      table: annotations.
      dims: sizes.
      log_probs: the model's log-probabilities (or logits) for the training items.
      strength: see `log_confusion`.

    Returns:
      The state, and the log-likelihood of the annotations under a uniform class prior (nats).
    """
    confusion = log_confusion(table, dims, hard_reference(log_probs), strength)
    uniform = jnp.full((1, dims.labels), -jnp.log(dims.labels))
    log_posterior, log_likelihood = expectation(table, dims, confusion, uniform)
    return State(log_posterior, confusion), log_likelihood


def model_bootstrapped(
    dims: Dims,
    fit_predict: Callable[[PRNGKey, Float[Array, "item label"]], Float[Array, "item label"]],
    strength: Float[Array, ""] | float = 0.0,
) -> EM:
    """MBEM as an `EM`: one step trains the model once and updates the posterior once.

    Args:
      dims: sizes of the table.
      fit_predict: `(key, posterior) -> log-probabilities`: trains a model from scratch on the items
        with these soft labels, and predicts the same items. The algorithm sees no network.
      strength: see `log_confusion`.
    """

    def init(key, table, /):
        del key
        posterior = soft_vote(table, dims)
        return State(jnp.log(posterior), log_confusion(table, dims, posterior, strength))

    def step(key, state, table, /):
        log_probs = fit_predict(key, jnp.exp(state.log_posterior))
        new, log_likelihood = update(table, dims, log_probs, strength)
        change = largest_change(new.log_posterior, state.log_posterior)
        return new, Info(log_likelihood / table.weight.sum(), change)

    return EM(init, step)

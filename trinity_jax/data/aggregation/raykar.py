"""Raykar's EM (AggNet, when the model is deep): classifier and workers estimated together.

    E   P[i, k]     proportional to  f_k(x_i) prod_{t: item_t = i} pi[worker_t, k, label_t]
    M   f trained on P;  pi[a, k, l] proportional to counts[a, k, l](P) + prior

The model is the class prior of Dawid-Skene. Against `model_bootstrapped` with tau = 1, workers are
compared with the posterior instead of the model's answer.

V. C. Raykar et al. Learning from crowds. JMLR 11, 2010, section 3.
S. Albarqouni et al. AggNet: Deep learning from crowds. IEEE Trans. Medical Imaging 35(5), 2016.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from trinity_jax.algorithms.em import EM, Info, largest_change
from trinity_jax.data.aggregation.annotations import Dims, confusion_counts
from trinity_jax.data.aggregation.dawid_skene import expectation, log_normalise
from trinity_jax.data.aggregation.majority import soft_vote
from trinity_jax.types import PRNGKey


class State(NamedTuple):
    """Posterior of the hidden labels, and the workers' confusions."""

    log_posterior: Float[Array, "item label"]
    log_confusion: Float[Array, "worker truth label"]


def raykar(
    dims: Dims,
    fit_predict: Callable[[PRNGKey, Float[Array, "item label"]], Float[Array, "item label"]],
    prior: Float[Array, "#worker #label #label"] | Float[Array, ""] | float = 1.0,
) -> EM:
    """Raykar's method as an `EM`: one step trains the model once and updates the posterior once.

    Args:
      dims: sizes of the table.
      fit_predict: `(key, posterior) -> log-probabilities` of the items, by a model trained on them.
      prior: pseudo-counts of the confusions, broadcast to [worker, truth, label].
    """

    def confusion(table, log_posterior):
        return log_normalise(confusion_counts(table, dims, jnp.exp(log_posterior)) + prior)

    def init(key, table, /):
        del key
        log_posterior = jnp.log(soft_vote(table, dims))
        return State(log_posterior, confusion(table, log_posterior))

    def step(key, state, table, /):
        log_probs = jax.nn.log_softmax(fit_predict(key, jnp.exp(state.log_posterior)))
        log_confusion = confusion(table, state.log_posterior)
        log_posterior, log_likelihood = expectation(table, dims, log_confusion, log_probs)
        change = largest_change(log_posterior, state.log_posterior)
        return State(log_posterior, log_confusion), Info(
            log_likelihood / table.weight.sum(), change
        )

    return EM(init, step)

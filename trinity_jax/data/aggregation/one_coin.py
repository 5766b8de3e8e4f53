"""One-coin Dawid-Skene: a worker is right with one probability, whatever the truth.

    E   log P[i, k] = log q_k + sum_{t: item_t = i} log( s_a if label_t = k else (1 - s_a)/(K - 1) )
    M   s_a = (sum_t P[item_t, label_t] + right) / (N_a + right + wrong)

q is uniform unless it is estimated: estimating it makes the model collapse onto one class where
workers are few or poor, and helps only where the classes are really skewed.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from trinity_jax.algorithms.em import EM
from trinity_jax.data.aggregation.annotations import Annotations, Dims
from trinity_jax.data.aggregation.dawid_skene import SMALLEST, class_prior, expectation
from trinity_jax.data.aggregation.majority import from_vote


class State(NamedTuple):
    """Posterior of the hidden labels, each worker's probability of being right, class prior."""

    log_posterior: Float[Array, "item label"]
    skill: Float[Array, " worker"]
    log_prior: Float[Array, " label"]


def agreement(
    table: Annotations,
    dims: Dims,
    posterior: Float[Array, "item label"],
    right: ArrayLike = 0.0,
    wrong: ArrayLike = 0.0,
) -> Float[Array, " worker"]:
    """Share of each worker's labels that agree with the posterior, with Beta pseudo-counts.

    A worker without labels or pseudo-counts gets chance level, 1 / labels.
    """
    zero = jnp.zeros(dims.workers, posterior.dtype)
    agreed = zero.at[table.worker].add(table.weight * posterior[table.item, table.label]) + right
    total = zero.at[table.worker].add(table.weight) + right + wrong
    return jnp.where(total > 0, agreed / jnp.where(total > 0, total, 1), 1 / dims.labels)


def coin_confusion(skill: Float[Array, " worker"], num_labels: int):
    """Logarithm of the confusions of one-coin workers, [worker, truth, label]."""
    skill = jnp.clip(skill, SMALLEST, 1 - 1e-7)  # 1 - 1e-10 is 1 in float32
    wrong = (1 - skill) / max(num_labels - 1, 1)
    eye = jnp.eye(num_labels, dtype=bool)
    return jnp.log(jnp.where(eye, skill[:, None, None], wrong[:, None, None]))


def one_coin(dims: Dims, right=0.0, wrong=0.0, estimate_prior: bool = False) -> EM:
    """One-coin EM.

    Args:
      dims: sizes of the table.
      right: pseudo-count of right labels of a worker, a scalar or [worker].
      wrong: the same of wrong labels.
      estimate_prior: whether q is re-estimated each round instead of uniform.
    """

    def estimate(table, posterior):
        uniform = jnp.full(dims.labels, -jnp.log(dims.labels), posterior.dtype)
        log_prior = class_prior(table, dims, posterior) if estimate_prior else uniform
        return agreement(table, dims, posterior, right, wrong), log_prior

    def expect(table, skill, log_prior):
        log_confusion = coin_confusion(skill, dims.labels)
        log_posterior, log_likelihood = expectation(table, dims, log_confusion, log_prior[None])
        log_right, log_wrong = log_confusion[:, 0, 0], log_confusion[:, 0, -1]
        return log_posterior, log_likelihood + (right * log_right + wrong * log_wrong).sum()

    return from_vote(dims, State, estimate, expect)

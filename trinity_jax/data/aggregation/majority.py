"""Votes: every label counts the same.

P[i, k] = (1 / r_i) sum_t 1[item_t = i, label_t = k]        soft vote, uniform where r_i = 0
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from trinity_jax.algorithms.em import EM, Info, largest_change
from trinity_jax.data.aggregation.annotations import Annotations, Dims, labelled, votes
from trinity_jax.types import PRNGKey


class State(NamedTuple):
    """The votes as log-probabilities; a label nobody gave has -inf."""

    log_posterior: Float[Array, "item label"]


def soft_vote(table: Annotations, dims: Dims) -> Float[Array, "item label"]:
    """Shares of the votes."""
    count = votes(table, dims)
    total = count.sum(1, keepdims=True)
    return jnp.where(total > 0, count / jnp.where(total > 0, total, 1), 1 / dims.labels)


def hard_vote(key: PRNGKey, table: Annotations, dims: Dims) -> Int[Array, " item"]:
    """The label with most votes, ties broken at random."""
    share = soft_vote(table, dims)
    lottery = jax.random.uniform(key, share.shape)
    return jnp.where(share == share.max(1, keepdims=True), lottery, -1).argmax(1)


def from_vote(
    dims: Dims, state: Callable[..., Any], maximise: Callable[..., Any], expect: Callable[..., Any]
) -> EM:
    """EM that takes the soft vote for its first posterior.

    Args:
      dims: sizes of the table.
      state: of a log-posterior and parameters; has a field `log_posterior`.
      maximise: the M-step, `(table, posterior) -> parameters`, a tuple.
      expect: the E-step, `(table, *parameters) -> (log_posterior, objective)`; the objective is of
        all annotations together.
    """

    def init(key, table, /):
        del key
        posterior = soft_vote(table, dims)
        return state(jnp.log(posterior), *maximise(table, posterior))

    def step(key, previous, table, /):
        del key
        parameters = maximise(table, jnp.exp(previous.log_posterior))
        log_posterior, objective = expect(table, *parameters)
        change = largest_change(log_posterior, previous.log_posterior, labelled(table, dims))
        return state(log_posterior, *parameters), Info(objective / table.weight.sum(), change)

    return EM(init, step)


def _constant(log_posterior) -> EM:
    """An EM that answers `log_posterior(key, table)` and then stands still."""

    def init(key, table, /):
        return State(log_posterior(key, table))

    def step(key, state, table, /):
        del key, table
        still = largest_change(state.log_posterior, state.log_posterior)
        return state, Info(jnp.zeros_like(still), still)

    return EM(init, step)


def soft(dims: Dims) -> EM:
    """Soft vote as an `EM` of no rounds."""

    def log_posterior(key, table):
        del key
        return jnp.log(soft_vote(table, dims))

    return _constant(log_posterior)


def majority(dims: Dims) -> EM:
    """Majority vote as an `EM` of no rounds; tied labels share the posterior."""

    def log_posterior(key, table):
        del key
        share = soft_vote(table, dims)
        best = share == share.max(1, keepdims=True)
        return jnp.log(best / best.sum(1, keepdims=True))

    return _constant(log_posterior)

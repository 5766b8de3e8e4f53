"""Bayesian weighted average: labels are noisy measurements, good workers precise instruments.

For each class apart, an annotation is y_t = 1 if it names the class and 0 if not, and

    y_t ~ N(z[item_t], 1 / v[worker_t]),    z[i] ~ N(mu, 1 / lambda),    v[a] ~ Gamma(a_v/2, b_v/2)

A round is one of EM with v hidden: it raises log p(y, z | mu), v integrated out. The objective is
that of the z that the round starts from, with its mu.

    mu    = mean_i z[i]
    v[a]  = (a_v + N_a) / (b_v + sum_{t: worker_t = a} (y_t - z[item_t])^2)             E[v | y, z]
    z[i]  = (lambda mu + sum_{t: item_t = i} v[worker_t] y_t) / (lambda + sum_t v[worker_t])

b_v is a_v times the variance of labels about the soft vote s: a_v mean_t s (1 - s), multiplied by
4 (1 - 1/K). The start is z = s. A large z in a class is a good reason to believe in it; shares of
z are the posterior.

Y. Li, B. Rubinstein, T. Cohn. Truth inference at scale: a Bayesian model for adjudicating highly
redundant crowd annotations. WWW 2019.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from trinity_jax.algorithms.em import EM, Info, largest_change
from trinity_jax.data.aggregation.annotations import Annotations, Dims, labelled
from trinity_jax.data.aggregation.dawid_skene import SMALLEST, log_normalise
from trinity_jax.data.aggregation.majority import soft_vote


class State(NamedTuple):
    """Posterior of the hidden labels, and z, the weighted average it comes from."""

    log_posterior: Float[Array, "item label"]
    average: Float[Array, "item label"]


def bwa(dims: Dims, prior_labels=15.0, shrinkage=1.0) -> EM:
    """Bayesian weighted average.

    Args:
      dims: sizes of the table.
      prior_labels: a_v, how many labels the prior of a worker's precision is worth, a scalar or
        [worker]: many for one who is known to err as workers do on average.
      shrinkage: lambda, precision of an item's z about the mean of its class.
    """
    prior_labels = jnp.atleast_1d(prior_labels)[:, None]

    def init(key, table, /):
        del key
        average = soft_vote(table, dims)
        return State(jnp.log(average), average)

    def step(key, state, table, /):
        del key
        scale = prior_labels * _variance(table, dims)
        has = labelled(table, dims)[:, None]
        mean = jnp.where(has, state.average, 0).sum(0, keepdims=True) / jnp.maximum(has.sum(), 1)
        num_labels = jnp.zeros(dims.workers).at[table.worker].add(table.weight)[:, None]
        errors = _errors(table, dims, state.average)
        precision = (prior_labels + num_labels) / (scale + errors)

        weight = precision[table.worker] * table.weight[:, None]
        total = jax.ops.segment_sum(weight, table.item, dims.items, indices_are_sorted=True)
        chosen = jnp.take_along_axis(weight, table.label[:, None], 1)[:, 0]
        votes = jnp.zeros_like(total).at[table.item, table.label].add(chosen)
        average = (shrinkage * mean + votes) / (shrinkage + total)

        misfit = (prior_labels + num_labels) * jnp.log1p(errors / scale)
        spread = jnp.where(has, shrinkage * (state.average - mean) ** 2, 0)
        objective = -0.5 * (misfit.sum() + spread.sum())
        log_posterior = log_normalise(average)
        change = largest_change(log_posterior, state.log_posterior, has[:, 0])
        info = Info(objective / table.weight.sum(), change)
        return State(log_posterior, average), info

    return EM(init, step)


def _errors(
    table: Annotations, dims: Dims, average: Float[Array, "item label"]
) -> Float[Array, "worker label"]:
    """Sum over each worker's labels of (y - z)^2, for each class."""
    error = jax.nn.one_hot(table.label, dims.labels) - average[table.item]
    rows = table.weight[:, None] * error**2
    return jnp.zeros((dims.workers, dims.labels), rows.dtype).at[table.worker].add(rows)


def _variance(table: Annotations, dims: Dims) -> Float[Array, "1 label"]:
    """Expected error of a label before anything is known of workers, b_v / a_v."""
    share = soft_vote(table, dims)
    rows = table.weight[:, None] * (share * (1 - share))[table.item]
    chance = 4 * (1 - 1 / dims.labels)
    total = jnp.maximum(table.weight.sum(), SMALLEST)
    return jnp.maximum(chance * rows.sum(0, keepdims=True) / total, SMALLEST)

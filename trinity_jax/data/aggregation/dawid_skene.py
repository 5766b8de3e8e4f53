"""Dawid-Skene: each worker has a confusion matrix, each item a hidden label.

    E   P[i, k]     proportional to  q_k prod_{t: item_t = i} pi[worker_t, k, label_t]
    M   pi[a, k, l] proportional to  counts[a, k, l] + prior[a, k, l],    q_k = mean_i P[i, k]

A. P. Dawid, A. M. Skene. Maximum likelihood estimation of observer error-rates using the EM
algorithm. Applied Statistics 28(1), 1979. Everything is done in logarithms.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float

from trinity_jax.algorithms.em import EM
from trinity_jax.data.aggregation.annotations import (
    Annotations,
    Dims,
    believe,
    class_mass,
    confusion_counts,
    evidence,
)
from trinity_jax.data.aggregation.majority import from_vote

SMALLEST = 1e-10  # probabilities below it are taken for it before a logarithm


class State(NamedTuple):
    """Posterior of the hidden labels, and the parameters it comes from."""

    log_posterior: Float[Array, "item label"]
    log_confusion: Float[Array, "worker truth label"]
    log_prior: Float[Array, " label"]


def log_normalise(counts: Float[Array, "... label"]) -> Float[Array, "... label"]:
    """Logarithm of rows divided by their sums; cells below `SMALLEST` are raised to it."""
    counts = jnp.maximum(counts, SMALLEST)
    return jnp.log(counts) - jnp.log(counts.sum(-1, keepdims=True))


def maximise(counts: Float[Array, "worker truth label"]) -> Float[Array, "worker truth label"]:
    """Logarithm of the confusions of highest likelihood.

    Only labels that a worker gave at least once have a cell in that worker's confusion: the
    likelihood never asks for the others, and raising them would move items (as in crowd-kit).
    """
    given = counts.sum(1, keepdims=True) > 0
    total = jnp.where(given, jnp.maximum(counts, SMALLEST), 0).sum(-1, keepdims=True)
    return jnp.where(
        given & (total > 0),
        jnp.log(jnp.maximum(counts, SMALLEST)) - jnp.log(jnp.where(total > 0, total, 1)),
        jnp.log(SMALLEST),
    )


def class_prior(table: Annotations, dims: Dims, posterior: Float[Array, "item label"]):
    """Logarithm of the mean posterior over the items that have annotations, [label]."""
    return log_normalise(class_mass(table, dims, posterior))


def expectation(
    table: Annotations,
    dims: Dims,
    log_confusion: Float[Array, "worker truth label"],
    log_prior: Float[Array, "#item label"],
) -> tuple[Float[Array, "item label"], Float[Array, ""]]:
    """The E-step: posterior of each item, and log-likelihood of all annotations (nats)."""
    return believe(table, dims, log_prior + evidence(table, dims, log_confusion))


def dawid_skene(dims: Dims) -> EM:
    """Maximum likelihood."""

    def maximisation(table, posterior):
        return maximise(confusion_counts(table, dims, posterior))

    return _alternate(dims, maximisation, lambda log_confusion: 0.0)


def dawid_skene_map(dims: Dims, prior: Float[Array, "#worker #label #label"] | None = None) -> EM:
    """Maximum a posteriori: `prior` pseudo-counts are added to every worker's confusion.

    Args:
      dims: sizes of the table.
      prior: pseudo-counts, broadcast to [worker, truth, label] (a worker's history, say); by
        default `pseudo_counts(dims)`. The objective adds their log-density (up to a constant).
    """
    prior = pseudo_counts(dims) if prior is None else prior

    def maximisation(table, posterior):
        return log_normalise(confusion_counts(table, dims, posterior) + prior)

    def log_density(log_confusion):
        return (jnp.broadcast_to(prior, log_confusion.shape) * log_confusion).sum()

    return _alternate(dims, maximisation, log_density)


def dawid_skene_smoothed(dims: Dims, smoothing: ArrayLike = 0.1) -> EM:
    """Maximum a posteriori under the same pseudo-count in every cell, which favours no worker."""
    return dawid_skene_map(dims, pseudo_counts(dims, smoothing, 0.0))


def pseudo_counts(
    dims: Dims, everywhere: ArrayLike = 0.1, diagonal: ArrayLike = 1.0
) -> Float[Array, "1 truth label"]:
    """The mild belief that workers are right more often than not, [1, truth, label]."""
    return (jnp.asarray(everywhere) + jnp.asarray(diagonal) * jnp.eye(dims.labels))[None]


def _alternate(dims: Dims, maximisation, log_density) -> EM:
    """The EM of a maximisation of confusions and their log prior density."""

    def estimate(table, posterior):
        return maximisation(table, posterior), class_prior(table, dims, posterior)

    def expect(table, log_confusion, log_prior):
        log_posterior, log_likelihood = expectation(table, dims, log_confusion, log_prior[None])
        return log_posterior, log_likelihood + log_density(log_confusion)

    return from_vote(dims, State, estimate, expect)

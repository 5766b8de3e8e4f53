"""MACE: a worker either copies the truth or spams.

Worker a spams with probability u_a, and then draws from a favourite distribution xi_a:

    P(label l | truth k) = u_a xi_a[l] + (1 - u_a) 1[l = k]

    E   log P[i, k] = sum_{t: item_t = i} log P(label_t | truth k) - log Z_i    (classes uniform)
        copied_t    = P[item_t, label_t] (1 - u_a) / (u_a xi_a[label_t] + 1 - u_a),    a = worker_t
    M   (1 - u_a, u_a) from sum_t (copied_t, 1 - copied_t),    xi_a[l] from the spam labelled l

The M-step is variational: u_a ~ Beta(1/2, 1/2) and xi_a ~ Dir(10), unless more is known, are
replaced by exp E[log .] of their posteriors, which sum to less than one; or EM: 0.01 / K is added
to the counts. The random start matters, so take the best of several with `em.restarts`.

D. Hovy, T. Berg-Kirkpatrick, A. Vaswani, E. Hovy. Learning whom to trust with MACE.
NAACL-HLT 2013.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from trinity_jax.algorithms.em import EM, Info, largest_change
from trinity_jax.data.aggregation.annotations import Annotations, Dims, labelled
from trinity_jax.data.aggregation.dawid_skene import expectation, log_normalise
from trinity_jax.data.aggregation.ibcc import divergence, expected_log
from trinity_jax.types import PRNGKey


class State(NamedTuple):
    """Posterior of the hidden labels, log of (1 - u, u), log of xi."""

    log_posterior: Float[Array, "item label"]
    log_honesty: Float[Array, "worker 2"]
    log_favourite: Float[Array, "worker label"]


def mace(
    dims: Dims,
    variational: bool = True,
    honesty: Float[Array, "#worker #2"] | None = None,
    favourite: Float[Array, "#worker #label"] | None = None,
) -> EM:
    """MACE from one random start.

    Args:
      dims: sizes of the table.
      variational: whether the M-step is variational Bayes, or EM.
      honesty: pseudo-counts of labels copied and of spam, a worker's history say; by default 0.5
        each (EM: 0.01 / labels).
      favourite: pseudo-counts of each label as spam; by default 10 (EM: 0.01 / labels).
    """
    estimate, penalty = (expected_log, divergence) if variational else (log_normalise, _cost)
    usual = (0.5, 10.0) if variational else (0.01 / dims.labels,) * 2
    honesty = jnp.full((1, 2), usual[0]) if honesty is None else honesty
    favourite = jnp.full((1, dims.labels), usual[1]) if favourite is None else favourite

    def init(key, table, /):
        key_honesty, key_favourite = jax.random.split(key)
        log_honesty = _random(key_honesty, (dims.workers, 2))
        log_favourite = _random(key_favourite, (dims.workers, dims.labels))
        log_posterior, _ = _believe(table, dims, log_honesty, log_favourite)
        return State(log_posterior, log_honesty, log_favourite)

    def step(key, state, table, /):
        del key
        spam, copied = _counts(table, dims, state)
        of_honesty = honesty + jnp.stack([copied, spam.sum(1)], 1)
        of_favourite = favourite + spam
        log_honesty, log_favourite = estimate(of_honesty), estimate(of_favourite)
        log_posterior, log_likelihood = _believe(table, dims, log_honesty, log_favourite)
        objective = log_likelihood - penalty(of_honesty, honesty) - penalty(of_favourite, favourite)
        info = Info(
            objective / table.weight.sum(),
            largest_change(log_posterior, state.log_posterior, labelled(table, dims)),
        )
        return State(log_posterior, log_honesty, log_favourite), info

    return EM(init, step)


def _random(key: PRNGKey, shape: tuple[int, int]) -> Float[Array, "worker outcome"]:
    """Logarithm of rows that are uniform up to some noise."""
    return log_normalise(1 + 0.5 * jax.random.uniform(key, shape))


def _cost(counts: Float[Array, "worker outcome"], prior: Float[Array, "#worker #outcome"]):
    """Minus the log-density of the mode, up to a constant: 0 for a worker without labels."""
    prior = jnp.broadcast_to(prior, counts.shape)
    return -(prior * (log_normalise(counts) - log_normalise(prior))).sum()


def _believe(
    table: Annotations,
    dims: Dims,
    log_honesty: Float[Array, "worker 2"],
    log_favourite: Float[Array, "worker label"],
) -> tuple[Float[Array, "item label"], Float[Array, ""]]:
    """The E-step: posterior of each item, and log-likelihood of all annotations (nats)."""
    log_copy, log_spam = log_honesty[:, :1, None], log_honesty[:, 1:, None]
    log_spam = log_spam + log_favourite[:, None, :]
    eye = jnp.eye(dims.labels, dtype=bool)[None]
    log_confusion = jnp.where(eye, jnp.logaddexp(log_spam, log_copy), log_spam)
    uniform = jnp.full((1, dims.labels), -jnp.log(dims.labels))
    return expectation(table, dims, log_confusion, uniform)


def _counts(
    table: Annotations, dims: Dims, state: State
) -> tuple[Float[Array, "worker label"], Float[Array, " worker"]]:
    """Expected number of labels of each worker that are spam, by label, and that are copied."""
    log_copy, log_spam = state.log_honesty[table.worker].T
    log_spam += state.log_favourite[table.worker, table.label]
    right = jnp.exp(state.log_posterior)[table.item, table.label]
    copied = right * jax.nn.sigmoid(log_copy - log_spam)
    spam = jnp.zeros((dims.workers, dims.labels), right.dtype)
    spam = spam.at[table.worker, table.label].add(table.weight * (1 - copied))
    return spam, jnp.zeros(dims.workers, right.dtype).at[table.worker].add(table.weight * copied)

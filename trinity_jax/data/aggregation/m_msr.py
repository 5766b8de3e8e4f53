"""M-MSR: workers' skills from how often pairs of them agree, robustly.

If a one-coin worker a is right with probability p_a, then for two workers

    c_ab = (K P(a and b agree) - 1) / (K - 1) = s_a s_b,    s_a = (K p_a - 1) / (K - 1)

so |c| is a matrix of rank one of which the pairs with a common item are known. It is completed by
alternating between two factors, c = u v', each entry a mean that leaves out the extremes

    v_b <- mean_a |c_ab| / u_a      without the F largest above v_b and the F smallest below it

which up to F adversaries beside each worker cannot move far. The signs of s are those of the first
eigenvector of c, such that the sum is positive. Then a label of worker a speaks for itself with the
log-odds log (K - 1) p_a / (1 - p_a).

Q. Ma, A. Olshevsky. Adversarial crowdsourcing through robust rank-one matrix completion.
NeurIPS 2020.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from trinity_jax.algorithms.em import EM, Info, largest_change
from trinity_jax.data.aggregation.annotations import Annotations, Dims, labelled
from trinity_jax.data.aggregation.majority import soft_vote
from trinity_jax.data.aggregation.weighted_vote import log_vote

POWER_STEPS = 100  # for the signs
SMALLEST = 1e-6  # a factor below it is taken for it before a division


class State(NamedTuple):
    """Answers, the factors, and what the table says of pairs of workers."""

    log_posterior: Float[Array, "item label"]
    left: Float[Array, " worker"]
    right: Float[Array, " worker"]
    sign: Float[Array, " worker"]
    correlation: Float[Array, "worker worker"]
    met: Bool[Array, "worker worker"]


def m_msr(dims: Dims) -> EM:
    """M-MSR; memory is worker x item and worker x worker.

    The objective is minus the Frobenius norm of what the round changed in u v', which the authors
    stop by: it tends to rise to 0 but is not bound to.
    """

    def init(key, table, /):
        del key
        met, correlation = _correlation(table, dims)
        factor = 0.5 * met.any(1).astype(correlation.dtype)  # who met nobody stays at 0
        log_posterior = jnp.log(soft_vote(table, dims))
        return State(log_posterior, factor, factor, _sign(correlation), correlation, met)

    def step(key, state, table, /):
        del key
        size = jnp.abs(state.correlation)
        right = _robust_factor(size, state.met, state.left, state.right)
        left = _robust_factor(size, state.met, right, state.left)
        log_posterior = log_vote(table, dims, _log_odds(table, dims, state, left, right))
        moved = left[:, None] * right[None] - state.left[:, None] * state.right[None]
        change = largest_change(log_posterior, state.log_posterior)
        info = Info(-jnp.linalg.norm(moved), change)
        return state._replace(log_posterior=log_posterior, left=left, right=right), info

    return EM(init, step)


def _correlation(
    table: Annotations, dims: Dims
) -> tuple[Bool[Array, "worker worker"], Float[Array, "worker worker"]]:
    """Which two workers have an item in common, and c, 0 where they have none."""
    nothing = jnp.zeros((dims.workers, dims.items), table.weight.dtype)

    def agreed(label: Int[Array, ""]):
        weight = table.weight * (table.label == label)
        given = nothing.at[table.worker, table.item].add(weight)
        return given @ given.T

    together = nothing.at[table.worker, table.item].add(table.weight)
    together = together @ together.T
    agreement = jax.lax.map(agreed, jnp.arange(dims.labels)).sum(0)
    met = (together > 0) & ~jnp.eye(dims.workers, dtype=bool)
    rate = agreement / jnp.where(met, together, 1)
    return met, jnp.where(met, (dims.labels * rate - 1) / max(dims.labels - 1, 1), 0)


def _sign(correlation: Float[Array, "worker worker"]) -> Float[Array, " worker"]:
    """Signs of the first eigenvector, by power iteration; the shift makes all eigenvalues >= 0."""
    shift = jnp.abs(correlation).sum(1).max()

    def multiply(_, x):
        x = correlation @ x + shift * x
        size = jnp.linalg.norm(x)
        return x / jnp.where(size > 0, size, 1)

    x = jax.lax.fori_loop(0, POWER_STEPS, multiply, jnp.ones_like(correlation[0]))
    negative = jnp.where(x.sum() < 0, x > 0, x < 0)
    return jnp.where(negative, -1, 1).astype(x.dtype)


def _robust_factor(
    size: Float[Array, "worker worker"],
    met: Bool[Array, "worker worker"],
    other: Float[Array, " worker"],
    current: Float[Array, " worker"],
) -> Float[Array, " worker"]:
    """One factor from the other; where nothing is left to take the mean of, it stays."""
    number = met.sum(1)
    trim = jnp.maximum(jnp.where(number > 0, number, met.shape[0]).min() // 2 - 1, 0)
    ratio = size / jnp.maximum(other, SMALLEST)[None]  # size and met are symmetric
    below = jnp.clip((met & (ratio < current[:, None])).sum(1), 0, trim)
    above = jnp.clip((met & (ratio > current[:, None])).sum(1), 0, trim)
    in_order = _sort(jnp.where(met, ratio, jnp.inf))
    rank = jnp.arange(met.shape[0])[None]
    kept = (rank >= below[:, None]) & (rank < (number - above)[:, None])
    mean = jnp.where(kept, in_order, 0).sum(1) / jnp.maximum(kept.sum(1), 1)
    return jnp.where(kept.any(1), mean, current)


def _sort(rows: Float[Array, "worker worker"]) -> Float[Array, "worker worker"]:
    """Rows of numbers >= 0 in ascending order.

    The bits of such numbers have the same order, and are sorted six times faster on CPU, where a
    comparison of floats has to put NaN somewhere.
    """
    bits = jax.lax.bitcast_convert_type(rows, f"int{rows.dtype.itemsize * 8}")
    return jax.lax.bitcast_convert_type(jnp.sort(bits, axis=1), rows.dtype)


def _log_odds(
    table: Annotations,
    dims: Dims,
    state: State,
    left: Float[Array, " worker"],
    right: Float[Array, " worker"],
) -> Float[Array, " worker"]:
    """How strongly a worker's label speaks for itself.

    Whoever met nobody counts as hardly better than chance, and so only where nobody else votes.
    """
    alone = ~state.met.any(1)
    # Of an agreement rate; of one item it would be 1, and nobody better than chance.
    noise = jnp.maximum(labelled(table, dims).sum(dtype=left.dtype), 2) ** -0.5
    ratio = jnp.linalg.norm(right) / jnp.maximum(jnp.linalg.norm(left), SMALLEST)
    skill = jnp.where(alone, noise, state.sign * left * jnp.sqrt(ratio))
    skill = jnp.clip(skill, noise - 1 / max(dims.labels - 1, 1), 1 - noise)
    right_probability = (skill * (dims.labels - 1) + 1) / dims.labels
    return jnp.log(right_probability * (dims.labels - 1)) - jnp.log1p(-right_probability)

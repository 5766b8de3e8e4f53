"""GLAD: able workers and easy items.

A worker of ability alpha labels an item of ease beta = exp(b) correctly with probability

    sigma_t = 1 / (1 + exp(-alpha[worker_t] exp(b[item_t])))

and gives each wrong label with probability (1 - sigma_t) / (K - 1). Priors are normal, of mean 1
and precision 1 unless something is known of a worker or an item; classes are equally likely.

    E   log P[i, k] = sum_{t: item_t = i} log( sigma_t if label_t = k else (1 - sigma_t)/(K - 1) )
    M   ascend  sum_t p_t log sigma_t + (1 - p_t) log(1 - sigma_t)
                + log N(alpha) + log N(b),    p_t = P[item_t, label_t]

by half a diagonal Gauss-Newton step of alpha and of b at a time (half, as both move at once).

J. Whitehill, P. Ruvolo, T. Wu, J. Bergsma, J. Movellan. Whose vote should count more: optimal
integration of labels from labelers of unknown expertise. NIPS 2009.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from trinity_jax.algorithms.em import EM, Info, largest_change
from trinity_jax.data.aggregation.annotations import Annotations, Dims, believe, labelled

INNER_STEPS = 20  # of ascent in each round


class Normal(NamedTuple):
    """A prior: what is expected of each worker or item, or of all alike, and how firmly (> 0)."""

    mean: Float[Array, "#one"] | float = 1.0
    precision: Float[Array, "#one"] | float = 1.0


class State(NamedTuple):
    """Posterior of the hidden labels, ability of workers, logarithm of the ease of items."""

    log_posterior: Float[Array, "item label"]
    ability: Float[Array, " worker"]
    log_ease: Float[Array, " item"]


STANDARD = Normal()


def glad(dims: Dims, ability: Normal = STANDARD, log_ease: Normal = STANDARD) -> EM:
    """Maximum a posteriori, by generalised EM.

    Args:
      dims: sizes of the table.
      ability: prior of the workers' alpha, each number a scalar or [worker].
      log_ease: prior of the items' b, each number a scalar or [item].
    """
    priors = ability, log_ease

    def init(key, table, /):
        del key
        ability, log_ease = (
            jnp.broadcast_to(jnp.asarray(prior.mean, table.weight.dtype), size)
            for prior, size in zip(priors, (dims.workers, dims.items), strict=True)
        )
        log_posterior, _ = _expectation(table, dims, ability, log_ease)
        return State(log_posterior, ability, log_ease)

    def step(key, state, table, /):
        del key
        ability, log_ease = _maximisation(table, dims, state, priors)
        log_posterior, log_likelihood = _expectation(table, dims, ability, log_ease)
        log_density = sum(
            (-0.5 * prior.precision * (x - prior.mean) ** 2).sum()
            for prior, x in zip(priors, (ability, log_ease), strict=True)
        )
        info = Info(
            (log_likelihood + log_density) / table.weight.sum(),
            largest_change(log_posterior, state.log_posterior, labelled(table, dims)),
        )
        return State(log_posterior, ability, log_ease), info

    return EM(init, step)


def _expectation(
    table: Annotations,
    dims: Dims,
    ability: Float[Array, " worker"],
    log_ease: Float[Array, " item"],
) -> tuple[Float[Array, "item label"], Float[Array, ""]]:
    """Posterior of each item, and log-likelihood of all annotations (nats)."""
    log_odds = ability[table.worker] * jnp.exp(log_ease)[table.item]
    others = jnp.log(max(dims.labels - 1, 1))
    log_wrong = jax.nn.log_sigmoid(-log_odds) - others
    wrong = jax.ops.segment_sum(
        table.weight * log_wrong, table.item, dims.items, indices_are_sorted=True
    )
    joint = jnp.broadcast_to(wrong[:, None] - jnp.log(dims.labels), (dims.items, dims.labels))
    # log(sigma / (1 - sigma)) is log_odds: a label moves from wrong to right.
    joint = joint.at[table.item, table.label].add(table.weight * (log_odds + others))
    return believe(table, dims, joint)


def _maximisation(
    table: Annotations, dims: Dims, state: State, priors: tuple[Normal, Normal]
) -> tuple[Float[Array, " worker"], Float[Array, " item"]]:
    """Ability and log-ease after some steps of ascent from those of the state."""
    right = jnp.exp(state.log_posterior)[table.item, table.label]
    of_workers, of_items = priors

    def ascend(_, params):
        ability, log_ease = params
        ease = jnp.exp(log_ease)[table.item]
        log_odds = ability[table.worker] * ease
        sigma = jax.nn.sigmoid(log_odds)
        slope = table.weight * (right - sigma)
        curvature = table.weight * sigma * (1 - sigma)
        of_ability = jnp.stack([slope * ease, curvature * ease**2], 1)
        of_ability = jnp.zeros((dims.workers, 2)).at[table.worker].add(of_ability)
        of_ease = jnp.stack([slope * log_odds, curvature * log_odds**2], 1)
        of_ease = jax.ops.segment_sum(of_ease, table.item, dims.items, indices_are_sorted=True)
        slope = of_ability[:, 0] - of_workers.precision * (ability - of_workers.mean)
        ability += 0.5 * slope / (of_workers.precision + of_ability[:, 1])
        slope = of_ease[:, 0] - of_items.precision * (log_ease - of_items.mean)
        move = 0.5 * slope / (of_items.precision + of_ease[:, 1])
        return ability, log_ease + jnp.clip(move, -1, 1)

    return jax.lax.fori_loop(0, INNER_STEPS, ascend, (state.ability, state.log_ease))

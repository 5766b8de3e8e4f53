"""Weighted votes: whoever agrees with the others counts more.

    h_i = argmax_k sum_{t: item_t = i} w[worker_t] 1[label_t = k]
    s_a = mean_{t: worker_t = a} 1[label_t = h[item_t]]

    wawa                w = s, where h is the majority vote             one round
    zero_based_skill    w <- w + rate (s - w), where h is by the old w  repeated
    iwmv                w = K s - 1, where h is by the old w            repeated

The last two climb by coordinates: with x_t = 1[label_t = h] (iwmv: K 1[label_t = h] - 1), h and w
in turn do not lower

    mean_t  w[worker_t] x_t - w[worker_t]^2 / 2

A worker's history enters s as pseudo-counts of right and wrong labels, scalars or [worker].

Of tied labels h is the first, and the posterior is the same for all of them. Sums of weights that
differ by no more than rounding are tied, so the order of rows does not matter.

Wawa (worker agreement with aggregate) and zero-based skill are of crowd-kit: D. Ustalov,
N. Pavlichenko, B. Tseitlin. Learning from crowds with crowd-kit. JOSS 9(96), 2024. IWMV:
H. Li, B. Yu. Error rate bounds and iterative weighted majority voting for crowdsourcing.
arXiv:1411.4086, 2014.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from trinity_jax.algorithms.em import EM, Info, largest_change
from trinity_jax.data.aggregation.annotations import Annotations, Dims, by_worker, votes
from trinity_jax.data.aggregation.majority import soft_vote
from trinity_jax.data.aggregation.one_coin import agreement

ROUNDING = 1e-4  # log-probabilities nearer to the best than this are tied with it


class State(NamedTuple):
    """Posterior of the hidden labels, each worker's vote, rounds so far."""

    log_posterior: Float[Array, "item label"]
    weight: Float[Array, " worker"]
    num_rounds: Int[Array, ""]


def wawa(dims: Dims, right=0.0, wrong=0.0) -> EM:
    """Worker agreement with aggregate: shares of the votes, weighted by agreement with them.

    The posterior is the share of the weight that voted for a label. Further rounds change nothing.
    """

    def weigh(state, table):
        skill = agreement(
            table, dims, _winners(state.log_posterior), right, wrong
        )  # at first soft votes
        skill = jnp.where(state.num_rounds > 0, state.weight, skill)
        return skill, skill

    return _votes(dims, weigh, _log_share, right + wrong)


def zero_based_skill(dims: Dims, right=0.0, wrong=0.0) -> EM:
    """Wawa repeated, at a rate that starts at 1 and is halved every 20 rounds.

    crowd-kit takes 100 rounds whether or not anything changes.
    """

    def weigh(state, table):
        rate = jnp.exp2(-((state.num_rounds + 1) // 20).astype(state.weight.dtype))
        skill = agreement(table, dims, _winners(state.log_posterior), right, wrong)
        return state.weight + rate * (skill - state.weight), skill

    return _votes(dims, weigh, _log_share, right + wrong)


def iwmv(dims: Dims, right=0.0, wrong=0.0) -> EM:
    """Iterative weighted majority voting: workers worse than chance vote against their label.

    The weights are log-odds of a one-coin worker linearised at chance, but for a factor K / (K - 1)
    with which the posterior is that worker's.
    """
    scale = dims.labels / max(dims.labels - 1, 1)

    def weigh(state, table):
        weight = (
            dims.labels * agreement(table, dims, _winners(state.log_posterior), right, wrong) - 1
        )
        return weight, weight

    answer = lambda table, dims, weight: log_vote(table, dims, scale * weight)
    return _votes(dims, weigh, answer, right + wrong)


def log_vote(
    table: Annotations, dims: Dims, log_odds: Float[Array, " worker"]
) -> Float[Array, "item label"]:
    """Posterior of the hidden labels if a worker's label speaks for it with these log-odds."""
    return _tie(jax.nn.log_softmax(votes(by_worker(table, log_odds), dims)))


def _log_share(
    table: Annotations, dims: Dims, weight: Float[Array, " worker"]
) -> Float[Array, "item label"]:
    """Logarithm of the shares of the votes, if each counts as much as its worker."""
    return _tie(jnp.log(soft_vote(by_worker(table, weight), dims)))


def _tie(log_posterior: Float[Array, "item label"]) -> Float[Array, "item label"]:
    """Gives labels that differ from the best by rounding exactly one value, their mean."""
    best = log_posterior >= log_posterior.max(1, keepdims=True) - ROUNDING
    mean = jnp.where(best, log_posterior, 0).sum(1, keepdims=True) / best.sum(1, keepdims=True)
    return jnp.where(best, mean, log_posterior)


def _winners(log_posterior: Float[Array, "item label"]) -> Float[Array, "item label"]:
    """All mass on the best label, the first of tied ones."""
    return jax.nn.one_hot(
        log_posterior.argmax(1), log_posterior.shape[1], dtype=log_posterior.dtype
    )


def _votes(dims: Dims, weigh, answer, history) -> EM:
    """The EM of `weigh(state, table) -> (w, mean x)`, [worker], and `answer(table, dims, w)`.

    The objective counts the labels of a worker's history, so many, beside those of the table.
    """

    def init(key, table, /):
        del key
        log_posterior = jnp.log(soft_vote(table, dims))
        weight = jnp.full(dims.workers, 1 / dims.labels + 1e-5, log_posterior.dtype)
        return State(log_posterior, weight, jnp.int32(0))

    def step(key, state, table, /):
        del key
        weight, reward = weigh(state, table)
        log_posterior = answer(table, dims, weight)
        count = jnp.zeros_like(weight).at[table.worker].add(table.weight) + history
        merit = (count * (weight * reward - weight**2 / 2)).sum()
        change = largest_change(log_posterior, state.log_posterior)
        info = Info(merit / table.weight.sum(), change)
        return State(log_posterior, weight, state.num_rounds + 1), info

    return EM(init, step)

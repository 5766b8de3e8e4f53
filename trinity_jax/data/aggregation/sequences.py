"""Tags of tokens: items that lie in sentences, where one tag limits or suggests the next.

Items are tokens, in order, and `sentence` says which sentence each is in: a number that changes
where a new one begins. (A token that only pads is a sentence of its own.)

    any aggregator, then `viterbi`   the most probable tags of which each may follow the one before
    hmm_crowd                        Dawid-Skene where a tag depends on the one before

HMM-Crowd replaces the class prior by a Markov chain, and is fitted by EM:

    E   P(z | labels)  proportional to  prod_t pi[z_t | z_{t-1}] prod_{a, l at t} pi_a[z_t, l]
    M   confusions as Dawid-Skene, initial and transition probabilities from expected counts

A. T. Nguyen, B. C. Wallace, J. J. Li, A. Nenkova, M. Lease. Aggregating and predicting sequence
labels from crowd annotations. ACL 2017. There the chain also emits the words; here labels only.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from trinity_jax.algorithms import chains
from trinity_jax.algorithms.em import EM, Info, largest_change
from trinity_jax.data.aggregation.annotations import (
    Dims,
    confusion_counts,
    evidence,
    labelled,
)
from trinity_jax.data.aggregation.dawid_skene import SMALLEST, log_normalise, pseudo_counts
from trinity_jax.data.aggregation.majority import soft_vote

IMPOSSIBLE = -1e6  # log-likelihood of a tag that gold rules out, below any that labels make


class Allowed(NamedTuple):
    """Which tags may begin a sentence, and which may follow which, [before, tag]."""

    first: Bool[Array, " label"]
    after: Bool[Array, "label label"]


def bio(names: Sequence[str]) -> Allowed:
    """The rules of BIO tags: I-X goes on with what B-X or I-X began, and begins nothing.

    Args:
      names: of the tags, like "O", "B-PER", "I-PER".
    """
    inside = [name.startswith("I-") for name in names]
    begun = [[before in ("B-" + name[2:], name) for name in names] for before in names]
    first = ~jnp.array(inside)
    return Allowed(first, first[None] | jnp.array(begun))


def viterbi(
    log_posterior: Float[Array, "item label"], sentence: Int[Array, " item"], allowed: Allowed
) -> Int[Array, " item"]:
    """The allowed tags of the highest product of posteriors; the posterior may be any method's."""
    log_first, log_after = (jnp.where(may, 0.0, -jnp.inf) for may in allowed)
    log_posterior = jnp.maximum(log_posterior, jnp.log(SMALLEST))  # a tag nobody gave is possible
    return chains.viterbi(log_first, log_after, log_posterior, _begins(sentence))


def _begins(sentence: Int[Array, " item"]) -> Bool[Array, " item"]:
    """Which tokens are the first of their sentence."""
    return (sentence != jnp.roll(sentence, 1)).at[0].set(True)


class State(NamedTuple):
    """Posterior of the hidden tags and of the steps between them, and what they come from."""

    log_posterior: Float[Array, "item label"]
    transitions: Float[Array, "label label"]
    log_confusion: Float[Array, "worker truth label"]
    log_initial: Float[Array, " label"]
    log_transition: Float[Array, "label label"]


def hmm_crowd(
    dims: Dims,
    sentence: Int[Array, " item"],
    prior: Float[Array, "#worker #label #label"] | None = None,
    smoothing: Float[Array, ""] | float = 0.1,
    gold: Int[Array, " item"] | None = None,
) -> EM:
    """HMM-Crowd, maximum a posteriori. Sentences without any label do not count.

    Args:
      dims: sizes of the table.
      sentence: the sentence of each token.
      prior: pseudo-counts of the confusions; by default `pseudo_counts(dims)`.
      smoothing: pseudo-count of each initial tag and each transition.
      gold: true tags, -1 where unknown; the likelihood is then that of labels and gold.
    """
    prior = pseudo_counts(dims) if prior is None else prior
    first = _begins(sentence)
    gold = jnp.full(dims.items, -1) if gold is None else gold
    truth, told = jax.nn.one_hot(gold, dims.labels), (gold >= 0)[:, None]

    def tagged(table):
        """Which tokens lie in a sentence that has a label, [item]."""
        number = jnp.cumsum(first) - 1
        has = jnp.zeros(dims.items, bool).at[number].max(labelled(table, dims))
        return has[number]

    def estimate(table, posterior, transitions):
        starts = jnp.where((first & tagged(table))[:, None], posterior, 0).sum(0)
        confusion = confusion_counts(table, dims, posterior)
        counts = confusion + prior, starts + smoothing, transitions + smoothing
        return tuple(map(log_normalise, counts))

    def init(key, table, /):
        del key
        posterior = jnp.where(told, truth, soft_vote(table, dims))
        inside = (tagged(table) & ~first)[1:, None]
        transitions = posterior[:-1].T @ jnp.where(inside, posterior[1:], 0)
        parameters = estimate(table, posterior, transitions)
        return State(jnp.log(posterior), transitions, *parameters)

    def step(key, state, table, /):
        del key
        parameters = estimate(table, jnp.exp(state.log_posterior), state.transitions)
        log_confusion, log_initial, log_transition = parameters
        log_emission, within = evidence(table, dims, log_confusion), tagged(table)
        log_emission = jnp.where(told & (truth == 0), IMPOSSIBLE, log_emission)
        weight = within.astype(log_emission.dtype)
        beliefs = chains.forward_backward(log_initial, log_transition, log_emission, first, weight)
        log_density = (jnp.broadcast_to(prior, log_confusion.shape) * log_confusion).sum()
        log_density += smoothing * (log_initial.sum() + log_transition.sum())
        log_likelihood = jnp.where(within, beliefs.log_likelihood, 0).sum()
        change = largest_change(beliefs.log_marginal, state.log_posterior)
        info = Info((log_likelihood + log_density) / table.weight.sum(), change)
        return State(beliefs.log_marginal, beliefs.transitions, *parameters), info

    return EM(init, step)

"""Items whose true label is known: an aggregator, told so.

After every round what it believes of a gold item is all mass on its truth, so that the item's
annotations teach about the workers who gave them:

    log_posterior               every method
    joint with subtypes         EBCC: all mass on the subtypes of the true class, as they share it
    average                     BWA: 1 for the truth, 0 for the others

Where the objective is a log-likelihood, or a bound on one, it becomes that of labels and gold,
which no round lowers either:

    log p(labels, gold) = log p(labels) + sum_{i gold} log P[i, gold_i]

with P as it was before it was told. Votes and BWA measure theirs at the answers they were told.
Majority and soft vote know no workers and learn nothing, nor do KOS and M-MSR, which `aggregators`
does not tell; MBEM compares workers with its model, which learns from the gold.
`sequences.hmm_crowd` takes gold itself.

Gold items are few. Told with weight 1 they are outvoted where many workers share an error: the
posterior of all other items has it too, and teaches that who makes it is right. `weighed` lets the
gold count as much as all items together (the balance of labelled and unlabelled likelihoods: K.
Nigam, A. McCallum, S. Thrun, T. Mitchell, Machine Learning 39, 2000, section 5.1), and `led` begins
where it leads, as EM that starts from the vote may stay there. What a told item's labels weigh does
not touch its posterior, so only parameters see it. It helps where the error is in the confusions.
Where nobody shares an error a few gold items told loudly are worse than told once, and where
workers copy from each other no weight makes their labels independent: see `gold_only.ridge_vote`.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from trinity_jax.algorithms.em import EM, Info, largest_change
from trinity_jax.data.aggregation import (
    bwa,
    ebcc,
    kos,
    m_msr,
    majority,
    model_bootstrapped,
    sequences,
    weighted_vote,
)
from trinity_jax.data.aggregation.annotations import Annotations, Dims, labelled
from trinity_jax.types import InputError

IMPOSSIBLE = -100.0  # log-probability whose exponential is 0 in float32, and times 0 still 0
LEAD = 10.0  # times that the gold's weight is multiplied in the round before the first
NO_LIKELIHOOD = (
    *(majority.State, weighted_vote.State, bwa.State, model_bootstrapped.State),
    *(kos.State, m_msr.State),
)


def known(gold: Int[Array, " item"], num_labels: int, dtype: Any) -> Float[Array, "item label"]:
    """Logarithm of all mass on the truth, but finite."""
    truth = jax.nn.one_hot(gold, num_labels, dtype=bool)
    return jnp.where(truth, 0.0, IMPOSSIBLE).astype(dtype)


def weighed(
    table: Annotations, gold: Int[Array, " item"], weight: ArrayLike | None = None
) -> Annotations:
    """Annotations of items whose truth is known count `weight` times, for `with_gold`.

    Args:
      table: annotations.
      gold: true labels, -1 where unknown.
      weight: by default the number of items that have labels, by that of gold items that have:
        gold then weighs as much as all items told once.

    Returns:
      The same rows with their new weights.
    """
    told = gold >= 0
    if weight is None:
        has = labelled(table, Dims(gold.shape[0], 0, 0))
        weight = has.sum() / jnp.maximum((has & told).sum(), 1)
    return table._replace(weight=table.weight * jnp.where(told[table.item], weight, 1.0))


def led(em: EM, gold: Int[Array, " item"], lead: ArrayLike = LEAD) -> EM:
    """An aggregator that starts with a round in which gold counts `lead` times more.

    Args:
      em: one that knows the gold, see `with_gold`.
      gold: true labels, -1 where unknown.
      lead: the more, the nearer the start is to what gold alone would say.
    """

    def init(key, table, /):
        key_init, key_step = jax.random.split(key)
        return em.step(key_step, em.init(key_init, table), weighed(table, gold, lead))[0]

    return EM(init, em.step)


def with_gold(em: EM, gold: Int[Array, " item"]) -> EM:
    """An aggregator that knows some answers.

    Args:
      em: the aggregator.
      gold: true labels, -1 where unknown.

    Returns:
      One of which `init` raises an `InputError` if the method is HMM-Crowd, which takes it itself.
    """
    told = gold >= 0

    def init(key, table, /):
        return _told(em.init(key, table), gold)

    def step(key, state, table, /):
        new, info = em.step(key, state, table)
        has = labelled(table, Dims(gold.shape[0], 0, 0))
        objective = info.objective
        if not isinstance(new, NO_LIKELIHOOD):
            of_truth = jnp.take_along_axis(new.log_posterior, jnp.maximum(gold, 0)[:, None], 1)
            gained = jnp.where(told & has, of_truth[:, 0], 0).sum()
            objective += gained / table.weight.sum()
        new = _told(new, gold)
        change = largest_change(new.log_posterior, state.log_posterior, has)
        return new, Info(objective, change)

    return EM(init, step)


def _told(state: Any, gold: Int[Array, " item"]) -> Any:
    """The state, with what it believes of gold items replaced by the truth."""
    if isinstance(state, sequences.State):
        raise InputError("HMM-Crowd takes gold tokens as an argument, hmm_crowd(..., gold=gold)")
    log_posterior, told = state.log_posterior, (gold >= 0)[:, None]
    num_items, num_labels = log_posterior.shape
    if gold.shape != (num_items,):
        raise ValueError(f"expected gold for {num_items} items, not of shape {gold.shape}")
    truth = known(gold, num_labels, log_posterior.dtype)
    match state:
        case ebcc.State():
            possible = jnp.isfinite(log_posterior)[:, :, None]
            of_class = jax.nn.log_softmax(jnp.where(possible, state.log_joint, 0), axis=2)
            joint = jnp.where(told[:, :, None], truth[:, :, None] + of_class, state.log_joint)
            state = state._replace(log_joint=joint)
        case bwa.State():
            state = state._replace(average=jnp.where(told, jnp.exp(truth), state.average))
    return state._replace(log_posterior=jnp.where(told, truth, log_posterior))

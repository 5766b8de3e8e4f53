"""From scores to the sentences that are asked, under a budget of words; a sentence is asked whole.

    until   best first, while the words of those before are fewer than the budget: the last may
            pass it, by less than its length
    under   best first, until one would pass the budget: it is never passed
    fit     best first, leaving out those that would pass it: it is filled better

`until` is the rule of Y. Shen, H. Yun, Z. C. Lipton, Y. Kronrod, A. Anandkumar. Deep active
learning for named entity recognition. ICLR 2018, section 4. Equal scores are in random order. A
score that is not finite is never chosen, but counted, as is an `available` sentence without words.
`power` makes of a ranking a lottery, in which duplicates seldom win together.

Budgets are traced, results are masks: a round compiles once, whatever it chooses.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, ScalarLike

from trinity_jax.types import PRNGKey, lookup


class Pool(NamedTuple):
    """All sentences, labelled or not, and what selection may know of them.

    Attributes:
      length: words of each sentence.
      available: those that may be asked; not the labelled ones, nor padding.
      labelled: those whose tags are known.
      scores: see `acquisition`; higher is asked first.
      features: a point for each sentence, for the methods that keep choices apart.
    """

    length: Int[Array, " sentence"]
    available: Bool[Array, " sentence"]
    labelled: Bool[Array, " sentence"]
    scores: Float[Array, " sentence"]
    features: Float[Array, "sentence feature"]


class Selection(NamedTuple):
    """What is asked.

    Attributes:
      chosen: the sentences.
      words: how many words they have.
      refused: how many available sentences could not be chosen at all, for a score or feature that
        is not finite or for want of words.
    """

    chosen: Bool[Array, " sentence"]
    words: Int[Array, ""]
    refused: Int[Array, ""]


def select(
    key: PRNGKey,
    scores: Float[Array, " sentence"],
    length: Int[Array, " sentence"],
    available: Bool[Array, " sentence"],
    budget: ScalarLike,
    rule: str = "until",
) -> Selection:
    """The best sentences that the budget pays.

    Args:
      key: for the order of equal scores.
      scores: higher is asked first.
      length: words of each sentence.
      available: those that may be asked.
      budget: words.
      rule: a name in `RULES`, static.

    Raises:
      InputError: no rule has the name; the nearest is named.
    """
    take = lookup(RULES, rule, "rule")
    able = available & jnp.isfinite(scores) & (length > 0)
    order = best_first(key, scores, able)
    cost = jnp.where(able, length, 0)[order].astype(jnp.int32)
    chosen = jnp.zeros_like(able).at[order].set(take(cost, budget) & (cost > 0))
    return selection(chosen, length, available, able)


def best_first(
    key: PRNGKey, scores: Float[Array, " sentence"], able: Bool[Array, " sentence"]
) -> Int[Array, " sentence"]:
    """The sentences, those that are able first, by falling score; equal ones in random order."""
    return jnp.lexsort((lottery(key, scores.shape[0]), jnp.where(able, -scores, jnp.inf)))


def lottery(key: PRNGKey, size: int) -> Int[Array, " sentence"]:
    """A random number for each: whoever has the higher one goes first."""
    return jax.random.bits(key, (size,), jnp.uint32).astype(jnp.int32)


def selection(
    chosen: Bool[Array, " sentence"],
    length: Int[Array, " sentence"],
    available: Bool[Array, " sentence"],
    able: Bool[Array, " sentence"],
) -> Selection:
    """Counts the words of the chosen, and the available that were not able to be."""
    words = jnp.where(chosen, length, 0).sum(dtype=jnp.int32)
    return Selection(chosen, words, (available & ~able).sum(dtype=jnp.int32))


def until(cost: Int[Array, " sentence"], budget: ScalarLike) -> Bool[Array, " sentence"]:
    """While the words before are fewer than the budget."""
    return jnp.cumsum(cost, dtype=jnp.int32) - cost < budget


def under(cost: Int[Array, " sentence"], budget: ScalarLike) -> Bool[Array, " sentence"]:
    """Until one would pass the budget."""
    return jnp.cumsum(cost, dtype=jnp.int32) <= budget


def fit(cost: Int[Array, " sentence"], budget: ScalarLike) -> Bool[Array, " sentence"]:
    """All that fit when their turn comes.

    A round takes sentences up to the first that does not fit; from then on those as long as that
    do not fit either, so there are at most as many rounds as different lengths.
    """

    def affordable(taken):
        left = budget - jnp.where(taken, cost, 0).sum(dtype=jnp.int32)
        return ~taken & (cost <= left) & (cost > 0), left

    def round_(taken):
        wanted, left = affordable(taken)
        return taken | wanted & (jnp.cumsum(jnp.where(wanted, cost, 0), dtype=jnp.int32) <= left)

    more = lambda taken: affordable(taken)[0].any()
    return jax.lax.while_loop(more, round_, jnp.zeros(cost.shape, bool))


RULES = {"until": until, "under": under, "fit": fit}


def power(
    key: PRNGKey, scores: Float[Array, " sentence"], beta: ScalarLike
) -> Float[Array, " sentence"]:
    """Scores whose order is a draw without replacement, of probabilities in proportion to s^beta.

        beta log s + g,    g ~ Gumbel

    A. Kirsch et al. Stochastic batch acquisition: a simple baseline for deep active learning.
    TMLR 2023, section 3.

    Args:
      key: for the draw.
      scores: s, not negative; those of 0 come last, those not finite stay so.
      beta: 0 draws uniformly; the larger, the more the order stays as it was.
    """
    log_scores = jnp.log(jnp.maximum(scores, jnp.finfo(scores.dtype).tiny))
    drawn = beta * log_scores + jax.random.gumbel(key, scores.shape, scores.dtype)
    return jnp.where(jnp.isfinite(scores), drawn, scores)

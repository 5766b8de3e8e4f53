"""What every decoder of tag sequences shares: results, rules, and the way back along pointers.

Sentences are rows of tokens, as many as the longest has; `length` says how many of them exist.
What a decoder returns for the others is 0, whatever it was given there.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

# The logarithm of what cannot be: finite, because -inf - -inf is not a number.
NEVER = -1e30


class Decoded(NamedTuple):
    """One tag sequence a sentence; all is 0 beyond the sentence.

    Attributes:
      tags: the tags.
      log_probs: log P(tag | sentence, tags before it); they sum to log P(tags | sentence).
      token_log_probs: log-probability of every tag of a token, given the tags decoded before it,
        or, in a random field, given the sentence alone.
    """

    tags: Int[Array, "sentence token"]
    log_probs: Float[Array, "sentence token"]
    token_log_probs: Float[Array, "sentence token tag"]


class Beam(NamedTuple):
    """Several tag sequences a sentence, the most probable first.

    Attributes:
      tags: the tags; 0 beyond the sentence.
      log_prob: log P(tags | sentence); -inf where there is no other sequence.
    """

    tags: Int[Array, "sentence beam token"]
    log_prob: Float[Array, "sentence beam"]


class Rules(NamedTuple):
    """Which tags may stand where. They choose among sequences; probabilities stay the model's."""

    start: Bool[Array, " tag"]
    transition: Bool[Array, "tag tag"]  # [from, to]
    end: Bool[Array, " tag"]


def penalties(
    rules: Rules | None, num_tags: int
) -> tuple[Float[Array, "before tag"], Float[Array, " tag"]]:
    """What breaking the rules costs, 0 or `NEVER`: by (tag before, tag), and for ending with a tag.

    Before the first token comes the tag number `num_tags`. Without rules nothing costs anything.
    """
    if rules is None:
        return jnp.zeros((num_tags + 1, num_tags)), jnp.zeros(num_tags)
    start, transition, end = map(jnp.asarray, rules)
    steps = jnp.concatenate([transition, start[None]])
    return jnp.where(steps, 0, NEVER), jnp.where(end, 0, NEVER)


def exists(length: Int[Array, " sentence"], tokens: int) -> Bool[Array, "sentence token"]:
    """Which of so many tokens do exist."""
    return jnp.arange(tokens)[None] < length[:, None]


def is_last(length: Int[Array, " sentence"], tokens: int) -> Bool[Array, "sentence token"]:
    """Which of so many tokens ends its sentence."""
    return jnp.arange(tokens)[None] == length[:, None] - 1


def of_tags(
    token_log_probs: Float[Array, "sentence token tag"],
    tags: Int[Array, "sentence token"],
    length: Int[Array, " sentence"],
) -> Float[Array, "sentence token"]:
    """The log-probability of the tag of each token; 0 beyond the sentence."""
    chosen = jnp.take_along_axis(token_log_probs, tags[..., None], axis=2)[..., 0]
    return jnp.where(exists(length, tags.shape[1]), chosen, 0)


def follow(
    last: Int[Array, "sentence beam"],
    source: Int[Array, "token sentence hypothesis"],
    tag: Int[Array, "token sentence hypothesis"],
    length: Int[Array, " sentence"],
) -> Int[Array, "sentence beam token"]:
    """The tag sequences that end in the hypotheses `last` of the last token.

    Args:
      last: some hypotheses.
      source: of each hypothesis, the one of the token before that it goes on from.
      tag: of each hypothesis, the tag that it ends with.
      length: of each sentence.
    """

    def back(hypothesis, pointers):
        source, tag = (jnp.take_along_axis(of, hypothesis, axis=1) for of in pointers)
        return source, tag

    tags = jax.lax.scan(back, last, (source, tag), reverse=True)[1]
    there = exists(length, len(tags))[:, None]
    return jnp.where(there, tags.transpose(1, 2, 0), 0)

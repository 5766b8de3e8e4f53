"""Monte-Carlo passes of a tagger with dropout, reduced to what the scores of sentences need.

Of M passes only sums are kept, so memory is that of a few passes, not of M: votes and mean
probabilities of every tag, mean entropies, and how many passes agree on a whole sequence of tags.
For the last every pass leaves a fingerprint of each sequence,

    h(y) = sum_i r[i, y_i]  modulo 2^32,    r uniform random words,

two of them with different r. Sequences that differ at some i have one fingerprint with probability
2^-32, as the r[i, .] are independent, and both with 2^-64. M = 100 passes over 10^6 sentences are
5e9 pairs: one pair anywhere is mistaken with probability below 3e-10.

Y. Gal, Z. Ghahramani. Dropout as a Bayesian approximation. ICML 2016.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key, UInt32

from trinity_jax.algorithms.decoding import Decoded
from trinity_jax.types import PRNGKey

FINGERPRINT_SEED = 0  # any: the words need only be independent of the tags


class Passes(NamedTuple):
    """What M passes with dropout say of some sentences.

    Attributes:
      votes: how many passes decode each tag; M in all, also where the token is padding.
      mean_probs: mean over passes of the tag's probability.
      mean_entropy: mean over passes of the entropy of the tag, in nats.
      log_probs: mean over passes of the log-probability of the tag that the pass decodes.
      sequence_votes: how many passes decode the most frequent sequence of tags.
    """

    votes: Int[Array, "sentence token tag"]
    mean_probs: Float[Array, "sentence token tag"]
    mean_entropy: Float[Array, "sentence token"]
    log_probs: Float[Array, "sentence token"]
    sequence_votes: Int[Array, " sentence"]


def monte_carlo(
    predict: Callable[[PRNGKey], Decoded],
    keys: Key[Array, " pass"],
    mask: Bool[Array, "sentence token"],
    chunk: int,
) -> Passes:
    """Runs a pass for each key, `chunk` of them at once.

    Args:
      predict: `key -> Decoded`, one pass with that key's dropout.
      keys: one a pass, [M].
      mask: which tokens are words; others do not tell sequences apart.
      chunk: passes that are in memory together; divides M.

    Raises:
      ValueError: `chunk` does not divide the number of keys.
    """
    num_passes = keys.shape[0]
    if chunk < 1 or num_passes % chunk:
        raise ValueError(f"chunks of {chunk} do not divide {num_passes} passes")

    def one(key):
        tags, log_probs, token_log_probs = predict(key)
        votes = jax.nn.one_hot(tags, token_log_probs.shape[-1], dtype=jnp.int32)
        sums = votes, jnp.exp(token_log_probs), entropy(token_log_probs), log_probs
        return sums, fingerprint(tags, token_log_probs.shape[-1], mask)

    def some(total, keys):
        each, prints = jax.vmap(one)(keys)
        return jax.tree.map(lambda t, e: t + e.sum(0, dtype=t.dtype), total, each), prints

    shapes, _ = jax.eval_shape(one, jax.ShapeDtypeStruct((), keys.dtype))
    start = jax.tree.map(lambda a: jnp.zeros(a.shape, a.dtype), shapes)
    (votes, *sums), prints = jax.lax.scan(some, start, keys.reshape(-1, chunk))
    probs, entropies, log_probs = (total / num_passes for total in sums)
    agreed = most_frequent(prints.reshape(num_passes, 2, -1))
    return Passes(votes, probs, entropies, log_probs, agreed)


def entropy(log_probs: Float[Array, "*batch tag"]) -> Float[Array, "*batch"]:
    """Entropy in nats; a tag of probability 0 adds nothing."""
    finite = jnp.where(log_probs == -jnp.inf, 0, log_probs)
    return -(jnp.exp(log_probs) * finite).sum(-1)


def fingerprint(
    tags: Int[Array, "sentence token"], num_tags: int, mask: Bool[Array, "sentence token"]
) -> UInt32[Array, "two sentence"]:
    """Two independent hashes of each sequence of tags."""
    width = tags.shape[1]
    words = jax.random.bits(jax.random.key(FINGERPRINT_SEED), (2, width, num_tags), jnp.uint32)
    terms = words[:, jnp.arange(width)[None], tags]
    return jnp.where(mask[None], terms, jnp.uint32(0)).sum(-1, dtype=jnp.uint32)


def most_frequent(prints: UInt32[Array, "passes two sentence"]) -> Int[Array, " sentence"]:
    """How many passes left the most frequent pair of fingerprints, of each sentence."""
    first, second = jax.lax.sort((prints[:, 0], prints[:, 1]), dimension=0, num_keys=2)
    position = jnp.arange(len(first), dtype=jnp.int32)[:, None]
    differs = (first != jnp.roll(first, 1, axis=0)) | (second != jnp.roll(second, 1, axis=0))
    begin = jax.lax.cummax(jnp.where(differs, position, 0), axis=0)
    return (position - begin + 1).max(0)

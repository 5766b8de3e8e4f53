"""Reading all sentences of a pool with a tagger: scores, spans found, features.

Buckets are read batch by batch within one program; results are in the order of the sentences.

Y. Shen, H. Yun, Z. C. Lipton, Y. Kronrod, A. Anandkumar. Deep active learning for named entity
recognition. ICLR 2018, section 4.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from trinity_jax.algorithms import spans
from trinity_jax.algorithms.decoding import exists
from trinity_jax.algorithms.encoder import UNKNOWN
from trinity_jax.algorithms.tagger import Forms, Tagger, Tokens
from trinity_jax.data.collection import acquisition
from trinity_jax.data.collection.buckets import Bucket
from trinity_jax.data.collection.diversity import gradient_sketch
from trinity_jax.data.collection.passes import monte_carlo
from trinity_jax.data.collection.strategies import by_index
from trinity_jax.types import Params, PRNGKey

FORMS_AT_ONCE = 4096  # whose characters are in memory together
SKETCH = 256  # size of a gradient's sketch: distances within 9 %

Each = Callable[..., Any]


class Reading(NamedTuple):
    """What a tagger finds in every sentence, [sentence, ...].

    Attributes:
      scores: of one acquisition function.
      spans: how many it finds right, how many it finds and how many are true, of each type.
    """

    scores: Float[Array, " sentence"]
    spans: Int[Array, "sentence 3 type"]


def read(
    key: PRNGKey,
    names: Sequence[str],
    index: Int[Array, ""] | int,
    tagger: Tagger,
    params: Params,
    forms: Forms,
    buckets: Sequence[Bucket],
    size: int,
    batch_size: int,
    *,
    num_types: int,
    num_passes: int = 10,
    chunk: int = 5,
    each: Each = jax.lax.map,
) -> Reading:
    """Decodes every sentence, once, and scores it by one of several acquisition functions.

    Args:
      key: for random scores, and for dropout, the same for all sentences.
      names: in `acquisition.ACQUISITIONS`, static.
      index: which of them, traced; Monte-Carlo passes are only made where it needs them, outside
        of `vmap`.
      tagger: what reads.
      params: its parameters.
      forms: what tokens are made of.
      buckets: the sentences.
      size: how many they are.
      batch_size: sentences decoded at once.
      num_types: types of spans.
      num_passes: Monte-Carlo passes, M.
      chunk: how many of them are in memory together, if it divides M; else one.
      each: maps batches, as `jax.lax.map`; it may share them out.
    """
    key_random, key_passes = jax.random.split(key)
    needs = [acquisition.ACQUISITIONS[name].needs for name in names]
    of_form = _of_forms(tagger, params, forms, each)
    chunk = chunk if num_passes % chunk == 0 else 1
    again = _repeated(key_passes)  # passes drop the same units in all batches

    def scores_of(wanted, key, belief):
        """By the one of these functions that has the index; a branch that is not taken is 0."""
        mine = [
            name for name, need in zip(names, needs, strict=True) if ("passes" in need) == wanted
        ]
        place = jnp.array([mine.index(name) if name in mine else 0 for name in names])[index]
        return acquisition.any_of(mine)(place, key, belief)

    def batch(number, rows):
        tokens, key = Tokens(rows.form, rows.length), jax.random.fold_in(key_random, number)
        mask = exists(rows.length, rows.form.shape[1])
        found = tagger.greedy(params, tagger.encode(params, of_form, tokens), rows.length)

        def pass_(key):
            h = tagger.encode(params, of_form, tokens, key)
            return tagger.greedy(params, h, rows.length)

        def by_passes(key):
            keys = jax.random.split(again(), num_passes)
            passes = monte_carlo(pass_, keys, mask, chunk)
            return scores_of(True, key, acquisition.Belief(mask, passes=passes))

        def by_decoding(key):
            return scores_of(False, key, acquisition.Belief(mask, decoded=found))

        ways = [
            way
            for way, wanted in ((by_decoding, False), (by_passes, True))
            if any(("passes" in need) == wanted for need in needs)
        ]
        turn = jnp.array([int("passes" in need) for need in needs])[index]
        turn = turn if len(ways) == 2 else 0
        scores = by_index(ways)(turn, key)
        counts = jax.vmap(
            lambda tags, true, length: jnp.stack(
                spans.span_counts(tags[None], true[None], length[None], num_types)
            )
        )(found.tags, rows.tag, rows.length)
        return scores, counts

    scores, counts = zip(*_in_batches(buckets, batch_size, batch, each), strict=True)
    return Reading(_scatter(buckets, scores, size), _scatter(buckets, counts, size))


def understood(
    forms: Forms,
    buckets: Sequence[Bucket],
    labelled: Bool[Array, " sentence"],
    has_vector: Bool[Array, " word"],
) -> Forms:
    """Forms as a tagger may read them that has learnt from the labelled sentences.

    A word that no labelled sentence has, and that has no vector from elsewhere, is an unknown one:
    what the embedding holds of it is still the noise that it began with.
    """
    known = has_vector
    for bucket in buckets:
        mine = labelled.at[bucket.index].get(mode="fill", fill_value=False)
        word = jnp.where(mine[:, None], forms.word[bucket.form], len(known))
        known = known.at[word].set(True, mode="drop")
    return forms._replace(
        word=jnp.where(known[forms.word] | (forms.word == 0), forms.word, UNKNOWN)
    )


def features(
    key: PRNGKey,
    kind: str,
    tagger: Tagger,
    params: Params,
    forms: Forms,
    buckets: Sequence[Bucket],
    size: int,
    batch_size: int,
    each: Each = jax.lax.map,
) -> Float[Array, "sentence feature"]:
    """Points for selectors that keep choices apart, of a kind that `selectors.Selector` names.

    Args:
      key: of the sketch.
      kind: "encoder", the mean over words of the encoder's output; "gradient", the sketch of the
        output layer's gradient; "fixed", the mean of word vectors and cases, as `params` has them.
      tagger: what reads.
      params: its parameters.
      forms: what tokens are made of.
      buckets: the sentences.
      size: how many they are.
      batch_size: sentences read at once.
      each: see `read`.
    """
    again = _repeated(key)  # signs of the sketch are those of all sentences
    if kind == "fixed":
        cases = jax.nn.one_hot(forms.case, 16)  # as many as there may be
        of_form = jnp.concatenate([params["words"][forms.word], cases], axis=1)
    else:
        of_form = _of_forms(tagger, params, forms, each)

    def batch(number, rows):
        del number
        there = exists(rows.length, rows.form.shape[1])
        if kind == "fixed":
            return _mean(jnp.where(there[..., None], of_form[rows.form], 0), rows.length)
        h = tagger.encode(params, of_form, Tokens(rows.form, rows.length))
        if kind == "encoder":
            return _mean(h, rows.length)
        found = tagger.greedy(params, h, rows.length)
        return gradient_sketch(again(), found.token_log_probs, h, there, SKETCH)

    return _scatter(buckets, _in_batches(buckets, batch_size, batch, each), size)


def _repeated(key: PRNGKey) -> Callable[[], PRNGKey]:
    """Makes the same key for every batch, which JAX would take for one key used often."""
    bits, impl = jax.random.key_data(key), jax.random.key_impl(key)
    return lambda: jax.random.wrap_key_data(bits, impl=impl)


def _mean(h, length):
    return h.sum(1) / jnp.maximum(length, 1)[:, None]


def _of_forms(tagger, params, forms, each):
    """What the encoder has to say of each form, a few at a time."""
    one = lambda form: tagger.encode_forms(params, form)
    return each(one, forms, batch_size=FORMS_AT_ONCE)


def _in_batches(
    buckets: Sequence[Bucket], batch_size: int, function: Callable[[Array, Bucket], Any], each: Each
) -> list[Any]:
    """`function(number of the batch, rows)` of all rows of each bucket, batch by batch."""
    results = []
    for bucket in buckets:
        batched = jax.tree.map(lambda c: c.reshape(-1, batch_size, *c.shape[1:]), bucket)
        first = 10**6 * bucket.form.shape[1] % 2**32  # of no other bucket
        numbers = jnp.uint32(first) + jnp.arange(len(batched.length), dtype=jnp.uint32)
        found = each(lambda a: function(*a), (numbers, batched))
        results.append(jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), found))
    return results


def _scatter(buckets: Sequence[Bucket], values: Sequence[Array], size: int) -> Array:
    """Values of rows at the places of their sentences, [sentence, ...]."""
    result = jnp.zeros((size, *values[0].shape[1:]), values[0].dtype)
    for bucket, value in zip(buckets, values, strict=True):
        result = result.at[bucket.index].set(value, mode="drop")
    return result

"""A tagger and sentences in buckets: learning from those that are labelled, reading all.

All of it is pure and of fixed shapes: which sentences are labelled is a mask, so a round of active
learning compiles once. A batch comes from one bucket; buckets take turns at random, as a step of
training is a switch over their widths.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from trinity_jax.algorithms import spans
from trinity_jax.algorithms.decoding import exists
from trinity_jax.algorithms.tagger import Forms, Tagger, Tokens
from trinity_jax.data.collection import acquisition
from trinity_jax.data.collection.buckets import Bucket
from trinity_jax.data.collection.passes import monte_carlo
from trinity_jax.types import Params, PRNGKey


class Recipe(NamedTuple):
    """How to train a tagger.

    Attributes:
      tagger: what to train.
      optimiser: its step is multiplied by the learning rate.
      learning_rate: from the share of training done, in [0, 1).
      batch_size: sentences a step; the number of sentences of each bucket is a multiple of it.
      epochs: passes over what is labelled.
      min_steps: fewer steps are never taken, by passing more often.
    """

    tagger: Tagger
    optimiser: optax.GradientTransformation
    learning_rate: Callable[[Array], Array]
    batch_size: int
    epochs: int
    min_steps: int = 0


def adam(rate: float, clip: float = 5.0) -> tuple[optax.GradientTransformation, Callable]:
    """Adam on clipped gradients; the rate rises over a tenth of training, then falls to zero."""
    optimiser = optax.chain(
        optax.clip_by_global_norm(clip), optax.scale_by_adam(b2=0.99), optax.scale(-1)
    )
    return optimiser, lambda done: rate * jnp.minimum(10 * done, (1 - done) / 0.9)


def sgd(rate: float) -> tuple[optax.GradientTransformation, Callable]:
    """Plain stochastic gradient descent at a constant rate."""
    return optax.scale(-1), lambda done: jnp.asarray(rate)


OPTIMISERS = {"adam": adam, "sgd": sgd}


class Epoch(NamedTuple):
    """The order of one pass: batches, and the rows of each bucket that make them."""

    rows: tuple[Int[Array, " sentence"], ...]  # labelled ones first, in random order
    counts: Int[Array, " bucket"]  # how many those are
    batches: Int[Array, " batch"]  # (bucket, slot), as numbers; those that exist first
    number: Int[Array, ""]  # how many exist


def train(
    key: PRNGKey,
    recipe: Recipe,
    params: Params,
    forms: Forms,
    buckets: Sequence[Bucket],
    labelled: Bool[Array, " sentence"],
) -> tuple[Params, Float[Array, ""]]:
    """Trains on the labelled sentences; the optimiser begins anew.

    Args:
      key: orders the sentences of every pass, and drops units.
      recipe: how to train.
      params: what to go on from.
      forms: what tokens are made of.
      buckets: all sentences.
      labelled: those to learn from; at least one.

    Returns:
      The parameters, and the mean negative log-likelihood of a sentence in the last pass, in nats.
    """
    tagger, optimiser, learning_rate, batch_size, epochs, min_steps = recipe
    number = sum(
        (_labelled(bucket, labelled).sum() + batch_size - 1) // batch_size for bucket in buckets
    )
    steps = jnp.maximum(epochs * number, min_steps)

    def loss(params, key, bucket, rows, weight):
        batch = jax.tree.map(lambda column: column[rows], bucket)
        length = jnp.where(weight, batch.length, 0)
        h = tagger.train(key, params, forms, Tokens(batch.form, length))
        log_likelihood = tagger.log_likelihood(params, h, batch.tag, length)
        return -jnp.where(weight, log_likelihood, 0).sum() / batch_size

    def gradient_of(bucket, rows, count):
        def gradient(key, params, slot):
            place = slot * batch_size + jnp.arange(batch_size)
            chosen = jax.lax.dynamic_slice(rows, (slot * batch_size,), (batch_size,))
            return jax.value_and_grad(loss)(params, key, bucket, chosen, place < count)

        return gradient

    def one_pass(epoch, carry):
        key_order, key_drop = jax.random.split(jax.random.fold_in(key, epoch))
        order = _epoch(key_order, buckets, labelled, batch_size)
        of_bucket, of_slot = _slots(buckets, batch_size)

        def one_step(step, carry):
            params, state, total = carry
            batch = order.batches[step]
            gradients = [
                gradient_of(bucket, rows, count)
                for bucket, rows, count in zip(buckets, order.rows, order.counts, strict=True)
            ]
            bits = jax.random.key_data(jax.random.fold_in(key_drop, step))
            branches = [
                lambda bits, *rest, g=g: g(jax.random.wrap_key_data(bits), *rest) for g in gradients
            ]
            value, gradient = jax.lax.switch(
                of_bucket[batch], branches, bits, params, of_slot[batch]
            )
            update, state = optimiser.update(gradient, state, params)
            rate = learning_rate((epoch * number + step) / steps)
            params = jax.tree.map(lambda p, u: p + rate * u, params, update)
            return params, state, total + value

        last = jnp.minimum(number, steps - epoch * number)
        params, state, total = jax.lax.fori_loop(0, last, one_step, (*carry[:2], 0.0))
        return params, state, total / jnp.maximum(last, 1)

    start = (params, optimiser.init(params), jnp.zeros(()))
    passes = (steps + number - 1) // jnp.maximum(number, 1)
    params, _, mean_loss = jax.lax.fori_loop(0, passes, one_pass, start)
    return params, mean_loss


def _labelled(bucket: Bucket, labelled: Bool[Array, " sentence"]) -> Bool[Array, " row"]:
    """Which rows are labelled; those that fill up are not."""
    return labelled.at[bucket.index].get(mode="fill", fill_value=False)


def _slots(buckets: Sequence[Bucket], batch_size: int) -> tuple[Array, Array]:
    """Bucket and slot of every batch that may be, [batch]."""
    counts = [bucket.length.shape[0] // batch_size for bucket in buckets]
    of_bucket = jnp.repeat(
        jnp.arange(len(counts)), jnp.array(counts), total_repeat_length=sum(counts)
    )
    return of_bucket, jnp.concatenate([jnp.arange(count) for count in counts])


def _epoch(key, buckets, labelled, batch_size) -> Epoch:
    """Draws the order of one pass."""
    keys = jax.random.split(key, len(buckets) + 1)
    rows, counts = [], []
    for key_bucket, bucket in zip(keys[1:], buckets, strict=True):
        wanted = _labelled(bucket, labelled)
        lottery = jax.random.uniform(key_bucket, wanted.shape)
        rows.append(jnp.argsort(jnp.where(wanted, lottery, 2.0)))
        counts.append(wanted.sum())
    count = jnp.stack(counts)
    of_bucket, of_slot = _slots(buckets, batch_size)
    there = of_slot * batch_size < count[of_bucket]
    lottery = jax.random.uniform(keys[0], there.shape)
    batches = jnp.argsort(jnp.where(there, lottery, 2.0))
    return Epoch(tuple(rows), count, batches, there.sum())


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
    *,
    num_types: int,
    batch_size: int,
    num_passes: int = 10,
    chunk: int = 5,
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
      num_types: types of spans.
      batch_size: sentences decoded at once.
      num_passes: Monte-Carlo passes, M.
      chunk: how many of them are in memory together, if it divides M; else one.
    """
    key_random, key_passes = jax.random.split(key)
    needs = [acquisition.ACQUISITIONS[name].needs for name in names]
    features = jax.lax.map(lambda form: tagger.encode_forms(params, form), forms, batch_size=4096)
    chunk = chunk if num_passes % chunk == 0 else 1
    same = jax.random.key_data(key_passes)  # passes drop the same units in all batches

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
        found = tagger.greedy(params, tagger.encode(params, features, tokens), rows.length)
        picked = jnp.take_along_axis(found.token_log_probs, found.tags[..., None], axis=2)[..., 0]
        decoded = acquisition.Decoded(picked, found.token_log_probs)

        def pass_(key):
            h = tagger.encode(params, features, tokens, key)
            found = tagger.greedy(params, h, rows.length)
            return found.tags, found.token_log_probs

        def by_passes(bits):
            keys = jax.random.split(jax.random.wrap_key_data(same), num_passes)
            passes = monte_carlo(pass_, keys, mask, chunk)
            belief = acquisition.Belief(mask, passes=passes)
            return scores_of(True, jax.random.wrap_key_data(bits), belief)

        def by_decoding(bits):
            belief = acquisition.Belief(mask, decoded=decoded)
            return scores_of(False, jax.random.wrap_key_data(bits), belief)

        ways = [
            way
            for way, wanted in ((by_decoding, False), (by_passes, True))
            if any(("passes" in need) == wanted for need in needs)
        ]
        turn = jnp.array([int("passes" in need) for need in needs])[index]
        turn = turn if len(ways) == 2 else 0
        scores = jax.lax.switch(turn, ways, jax.random.key_data(key))
        counts = jax.vmap(
            lambda tags, true, length: jnp.stack(
                spans.span_counts(tags[None], true[None], length[None], num_types)
            )
        )(found.tags, rows.tag, rows.length)
        return scores, counts

    scores, counts = zip(
        *(_in_batches(bucket, batch_size, batch) for bucket in buckets), strict=True
    )
    return Reading(_scatter(buckets, scores, size), _scatter(buckets, counts, size))


def mean_features(
    tagger: Tagger,
    params: Params,
    forms: Forms,
    buckets: Sequence[Bucket],
    size: int,
    batch_size: int,
) -> Float[Array, "sentence feature"]:
    """The encoder's output, on average over the words of each sentence."""
    features = jax.lax.map(lambda form: tagger.encode_forms(params, form), forms, batch_size=4096)

    def batch(number, rows):
        del number
        h = tagger.encode(params, features, Tokens(rows.form, rows.length))
        return h.sum(1) / jnp.maximum(rows.length, 1)[:, None]

    values = [_in_batches(bucket, batch_size, batch) for bucket in buckets]
    return _scatter(buckets, values, size)


def _in_batches(bucket: Bucket, batch_size: int, function: Callable[[Array, Bucket], Any]) -> Any:
    """`function(number of the batch, rows)` of all rows of a bucket, batch by batch."""
    batched = jax.tree.map(lambda c: c.reshape(-1, batch_size, *c.shape[1:]), bucket)
    numbers = jnp.arange(len(batched.length)) + 10**6 * bucket.form.shape[1]  # of no other bucket
    results = jax.lax.map(lambda a: function(*a), (numbers, batched))
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), results)


def _scatter(buckets: Sequence[Bucket], values: Sequence[Array], size: int) -> Array:
    """Values of rows at the places of their sentences, [sentence, ...]."""
    result = jnp.zeros((size, *values[0].shape[1:]), values[0].dtype)
    for bucket, value in zip(buckets, values, strict=True):
        result = result.at[bucket.index].set(value, mode="drop")
    return result

"""Learning of a tagger from the sentences of a pool that are labelled.

All of it is pure and of fixed shapes: which sentences are labelled is a mask, so a round of active
learning compiles once. A batch comes from one bucket; buckets take turns at random, as a step of
training is a switch over their widths. Of the word embedding a step reads and changes the rows of
its own words alone, moments of the optimiser included: what a dense step costs is mostly those of
all other words.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from trinity_jax import watch
from trinity_jax.algorithms.encoder import used
from trinity_jax.algorithms.tagger import Forms, Tagger, Tokens
from trinity_jax.data.collection.buckets import Bucket
from trinity_jax.data.collection.strategies import by_index
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
    num_rows = 2 + batch_size * max(bucket.form.shape[1] for bucket in buckets)
    number = sum(
        (_labelled(bucket, labelled).sum() + batch_size - 1) // batch_size for bucket in buckets
    )
    steps = jnp.maximum(epochs * number, min_steps)

    def loss(params, key, forms, tokens, tags):
        h = tagger.train(key, params, forms, tokens)
        return -tagger.log_likelihood(params, h, tags, tokens.length).sum() / batch_size

    def gradient_of(bucket, rows, count):
        def gradient(key, params, slot):
            """Rows of the word embedding, loss and sentences of a batch, and the gradient there."""
            place = slot * batch_size + jnp.arange(batch_size)
            chosen = jax.lax.dynamic_slice(rows, (slot * batch_size,), (batch_size,))
            batch = jax.tree.map(lambda column: column[chosen], bucket)
            length = jnp.where(place < count, batch.length, 0)
            words = params["words"]
            row, own_forms, tokens = used(forms, Tokens(batch.form, length), len(words))
            row = jnp.pad(row, (0, num_rows - len(row)), constant_values=len(words))
            few = _at(row, params)
            value, gradient = jax.value_and_grad(loss)(few, key, own_forms, tokens, batch.tag)
            return row, jnp.stack([value * batch_size, (length > 0).sum()]), gradient

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
            row, values, gradient = by_index(gradients)(
                of_bucket[batch], jax.random.fold_in(key_drop, step), params, of_slot[batch]
            )
            now = epoch * number + step
            watch.tell(now, negative_log_likelihood=values[0])
            few, few_state = _at(row, params), _at(row, state)
            update, few_state = optimiser.update(gradient, few_state, few)
            rate = learning_rate(now / steps)
            few = jax.tree.map(lambda p, u: p + rate * u, few, update)
            return _put(row, params, few), _put(row, state, few_state), total + values

        last = jnp.minimum(number, steps - epoch * number)
        return jax.lax.fori_loop(0, last, one_step, (*carry[:2], jnp.zeros(2)))

    start = (params, optimiser.init(params), jnp.zeros(2))
    passes = (steps + number - 1) // jnp.maximum(number, 1)
    params, _, (loss_sum, sentences) = jax.lax.fori_loop(0, passes, one_pass, start)
    return params, loss_sum / jnp.maximum(sentences, 1)


def _at(row: Int[Array, " row"], tree: Any) -> Any:
    """The same tree with some rows only of what belongs to the word embedding."""
    some = lambda leaf: leaf.at[row].get(mode="fill", fill_value=0)
    rows = lambda path, leaf: some(leaf) if _of_words(path) else leaf
    return jax.tree_util.tree_map_with_path(rows, tree)


def _put(row: Int[Array, " row"], tree: Any, few: Any) -> Any:
    """The tree with those rows set to what has become of them; rows out of range are dropped."""
    put = lambda leaf, new: leaf.at[row].set(new, mode="drop")
    rows = lambda path, leaf, new: put(leaf, new) if _of_words(path) else new
    return jax.tree_util.tree_map_with_path(rows, tree, few)


def _of_words(path) -> bool:
    return any(getattr(key, "key", None) == "words" for key in path)


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

"""Simulated workers: confusions [worker, truth, label], and the labels they give.

Khetan, Lipton, Anandkumar. Learning From Noisy Singly-labeled Data. ICLR 2018, section 5.
A `quality` of the first two models is the share of (rows of) workers that are hammers.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from trinity_jax.data.aggregation.annotations import Annotations, Dims
from trinity_jax.types import PRNGKey


def hammer_spammer(key: PRNGKey, dims: Dims, quality) -> Float[Array, "worker truth label"]:
    """A worker is always right with probability `quality`, and otherwise guesses uniformly."""
    hammer = jax.random.bernoulli(key, quality, (dims.workers, 1, 1))
    return jnp.where(hammer, jnp.eye(dims.labels), 1 / dims.labels)


def class_wise(key: PRNGKey, dims: Dims, quality) -> Float[Array, "worker truth label"]:
    """As `hammer_spammer`, drawn for each truth: experts on some classes, guessing on others."""
    hammer = jax.random.bernoulli(key, quality, (dims.workers, dims.labels, 1))
    return jnp.where(hammer, jnp.eye(dims.labels), 1 / dims.labels)


def one_coin(key: PRNGKey, dims: Dims, quality) -> Float[Array, "worker truth label"]:
    """Every worker is right with probability `quality`; wrong labels are equally likely."""
    del key
    wrong = (1 - quality) / max(dims.labels - 1, 1)
    one = jnp.where(jnp.eye(dims.labels, dtype=bool), quality, wrong)
    return jnp.broadcast_to(one, (dims.workers, dims.labels, dims.labels))


def pair_flip(key: PRNGKey, dims: Dims, quality) -> Float[Array, "worker truth label"]:
    """Right with probability `quality`; otherwise always the next class."""
    del key
    eye = jnp.eye(dims.labels)
    one = quality * eye + (1 - quality) * jnp.roll(eye, 1, axis=1)
    return jnp.broadcast_to(one, (dims.workers, dims.labels, dims.labels))


def adversarial(key: PRNGKey, dims: Dims, quality) -> Float[Array, "worker truth label"]:
    """A hammer with probability `quality`; otherwise never right, and wrong uniformly."""
    hammer = jax.random.bernoulli(key, quality, (dims.workers, 1, 1))
    eye = jnp.eye(dims.labels)
    return jnp.where(hammer, eye, (1 - eye) / max(dims.labels - 1, 1))


WORKERS = {f.__name__: f for f in (hammer_spammer, class_wise, one_coin, pair_flip, adversarial)}


def annotate(
    key: PRNGKey,
    truth: Int[Array, " item"],
    confusion: Float[Array, "worker truth label"],
    redundancy: int,
) -> Annotations:
    """Each item is labelled by `redundancy` different workers, drawn uniformly.

    Slots of an item are in random order, so the first r of them (`annotations.purchase`) are the
    table that redundancy r would have given: redundancies are compared on common random numbers.
    """
    num_items, num_workers = truth.shape[0], confusion.shape[0]
    key_worker, key_label = jax.random.split(key)
    lottery = jax.random.uniform(key_worker, (num_items, num_workers))
    worker = jax.lax.top_k(lottery, redundancy)[1].reshape(-1)
    item = jnp.repeat(jnp.arange(num_items), redundancy)
    label = jax.random.categorical(key_label, jnp.log(confusion[worker, truth[item]]))
    return Annotations(item, worker, label, jnp.ones(item.shape))


def copying(
    table: Annotations, copies: Bool[Array, " worker"], answer: Int[Array, " item"]
) -> Annotations:
    """Some workers give an item's answer, where it has one (-1: none), instead of their own."""
    shared = answer[table.item]
    copied = copies[table.worker] & (shared >= 0)
    return table._replace(label=jnp.where(copied, shared, table.label))

"""KOS: messages between items and workers, for two labels.

With A_t = 1 if label_t is 1, else -1, and a message along every annotation in each direction,

    x_t = sum_{s: item_s = item_t, s != t}      A_s y_s         is the item positive?
    y_t = sum_{s: worker_s = worker_t, s != t}  A_s x_s         is the worker reliable?

from y ~ N(1, 1) on. Item i is positive if sum_{t: item_t = i} A_t y_t is. This is a power
iteration, so y is divided by its root mean square each round: only its direction means something.

An item of sum 0 is decided by majority: nothing links it, or whoever labelled it, to others. So
with one label an item the answers are the labels.

D. R. Karger, S. Oh, D. Shah. Iterative learning for reliable crowdsourcing systems. NIPS 2011.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from trinity_jax.algorithms.em import EM, Info, largest_change
from trinity_jax.data.aggregation.annotations import Annotations, Dims
from trinity_jax.data.aggregation.majority import soft_vote
from trinity_jax.types import PRNGKey


class State(NamedTuple):
    """Answers, as log-probabilities that only order items, and the messages y."""

    log_posterior: Float[Array, "item label"]
    message: Float[Array, " annotation"]


def kos(dims: Dims) -> EM:
    """KOS; the authors take 20 rounds or so.

    The objective is log of the growth of y in the round, which rises towards log of the largest
    eigenvalue but is not bound to: `em.fit`, or `em.fit_until` with `tolerance=-jnp.inf` and
    `max_change`.

    Args:
      dims: sizes of the table.

    Raises:
      ValueError: there are not two labels.
    """
    if dims.labels != 2:
        raise ValueError(f"KOS is for 2 labels, not {dims.labels}")

    def init(key, table, /):
        message = 1 + _normal(key, table)
        return State(_answer(table, dims, message), message)

    def step(key, state, table, /):
        del key
        vote = table.weight * _sign(table)
        sent = vote * state.message
        back = vote * (_item_sum(table, dims, sent)[table.item] - sent)
        by_worker = jnp.zeros(dims.workers, back.dtype).at[table.worker].add(back)
        message = by_worker[table.worker] - back
        size, before = (_size(table, m) for m in (message, state.message))
        message /= jnp.where(size > 0, size, 1)
        log_posterior = _answer(table, dims, message)
        growth = jnp.log(jnp.where(size > 0, size / before, 1))
        info = Info(growth, largest_change(log_posterior, state.log_posterior))
        return State(log_posterior, message), info

    return EM(init, step)


def _normal(key: PRNGKey, table: Annotations) -> Float[Array, " annotation"]:
    """A standard normal number for each item and worker, wherever in the table they meet."""
    draw = lambda item, worker: jax.random.normal(
        jax.random.fold_in(jax.random.fold_in(key, item), worker), dtype=table.weight.dtype
    )
    return jax.vmap(draw)(table.item, table.worker)


def _sign(table: Annotations) -> Int[Array, " annotation"]:
    """A: 1 for label 1, -1 for label 0."""
    return 2 * table.label - 1


def _item_sum(
    table: Annotations, dims: Dims, values: Float[Array, " annotation"]
) -> Float[Array, " item"]:
    return jax.ops.segment_sum(values, table.item, dims.items, indices_are_sorted=True)


def _size(table: Annotations, message: Float[Array, " annotation"]) -> Float[Array, ""]:
    """Root mean square over the annotations that exist."""
    return jnp.sqrt((table.weight * message**2).sum() / table.weight.sum())


def _answer(
    table: Annotations, dims: Dims, message: Float[Array, " annotation"]
) -> Float[Array, "item label"]:
    """Log-probabilities that grow with the sums; the vote where the sum is 0."""
    score = _item_sum(table, dims, table.weight * _sign(table) * message)[:, None]
    log_posterior = jax.nn.log_sigmoid(jnp.concatenate([-score, score], 1))
    return jnp.where(score == 0, jnp.log(soft_vote(table, dims)), log_posterior)

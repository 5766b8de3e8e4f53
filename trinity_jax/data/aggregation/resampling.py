"""Bootstrap of an aggregation: what would other workers, or other items, have given?

    workers    m of m workers are drawn with replacement; v_a says how often, and an annotation's
               weight is multiplied by v of its worker. Items stay; some may lose all their labels.
    items      n of n items are drawn with replacement, and numbered anew: an item drawn twice
               teaches about its workers twice, but its evidence does not double, as it would by
               weight. Workers stay, so that their skills have intervals.

The aggregator runs once for each replicate, one by one inside one program (`jax.lax.map`). What an
interval does not show is error that every replicate shares: a bias of all workers, say.

B. Efron, R. J. Tibshirani. An Introduction to the Bootstrap. 1993, section 13.3 (percentiles).
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from trinity_jax.algorithms.em import Fitted
from trinity_jax.algorithms.statistics import check_confidence
from trinity_jax.data.aggregation import aggregators
from trinity_jax.data.aggregation.annotations import Annotations, Dims, by_worker, labelled
from trinity_jax.types import InputError, PRNGKey

Run = Callable[[PRNGKey, Annotations], Fitted]  # an aggregator, as `aggregators.run`
Statistic = Callable[[Fitted, Annotations], Any]  # what is wanted of it: arrays of fixed shapes


def draw_workers(key: PRNGKey, table: Annotations, dims: Dims) -> Annotations:
    """The table as one draw of workers would give it; only those with annotations are drawn.

    A worker drawn twice has one confusion, learnt from twice the labels; only a prior on it tells
    the two of them from one.
    """
    active = jnp.zeros(dims.workers, bool).at[table.worker].max(table.weight > 0)
    number = active.sum()
    drawn = jax.random.randint(key, (dims.workers,), 0, jnp.maximum(number, 1))
    drawn = jnp.argsort(~active)[drawn]  # the active ones come first
    once = (jnp.arange(dims.workers) < number).astype(table.weight.dtype)
    times = jnp.zeros_like(once).at[drawn].add(once)
    return by_worker(table, times)


def draw_items(
    key: PRNGKey, table: Annotations, dims: Dims, replicates: int
) -> tuple[Annotations, Int[Array, "replicate item"]]:
    """Tables of drawn items, made on the host; only items with annotations are drawn.

    Args:
      key: the same key draws the same items.
      table: annotations, sorted by item.
      dims: its sizes, which are those of every replicate too.
      replicates: how many tables.

    Returns:
      The tables, columns `[replicate, annotation]`, as long as the longest one: rows that others
      lack have weight 0 and are at the last item. And which item of the table each item is, -1
      where there is none: the numbers that are left over.

    Raises:
      InputError: no item has an annotation, or no replicates are asked for.
    """
    columns = [np.asarray(column) for column in table]
    columns = [column[columns[3] > 0] for column in columns]
    units, first, length = np.unique(columns[0], return_index=True, return_counts=True)
    if not units.size or replicates < 1:
        raise InputError(f"cannot draw {replicates} replicates of {units.size} items with labels")
    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    drawn = rng.integers(units.size, size=(replicates, units.size))
    lengths = length[drawn]
    total = lengths.sum(1)
    size = (replicates, total.max())
    real = np.arange(total.max()) < total[:, None]
    # The rows of an item follow each other: its first, and how far behind it in the replicate.
    start = np.cumsum(lengths, axis=1) - lengths
    row = np.arange(real.sum()) + np.repeat(
        (first[drawn] - start - (np.cumsum(total) - total)[:, None]).ravel(), lengths.ravel()
    )
    new = np.full(size, dims.items - 1)
    new[real] = np.repeat(np.tile(np.arange(units.size), replicates), lengths.ravel())
    padded = [np.zeros(size, column.dtype) for column in columns]
    for there, column in zip(padded, columns, strict=True):
        there[real] = column[row]
    origin = np.full((replicates, dims.items), -1)
    origin[:, : units.size] = units[drawn]
    new = jnp.asarray(new, jnp.int32)
    return Annotations(new, *map(jnp.asarray, padded[1:])), jnp.asarray(origin, jnp.int32)


def over_workers(
    key: PRNGKey,
    run: Run,
    statistic: Statistic,
    table: Annotations,
    dims: Dims,
    replicates: int,
) -> Any:
    """A statistic under draws of workers.

    Args:
      key: of the draws, and of aggregators that start at random.
      run: the aggregator, say `lambda key, table: aggregators.run(name, key, table, dims)`.
      statistic: of what it found, and of the replicate's table. Workers who were not drawn have
        no labels there: a skill of theirs says nothing.
      table: annotations.
      dims: its sizes.
      replicates: how many draws.

    Returns:
      The statistic with a leading axis `replicate`.
    """

    def one(key):
        key_draw, key_run = jax.random.split(key)
        drawn = draw_workers(key_draw, table, dims)
        return statistic(run(key_run, drawn), drawn)

    return jax.lax.map(one, jax.random.split(key, replicates))


def over_items(key: PRNGKey, run: Run, statistic: Statistic, tables: Annotations) -> Any:
    """A statistic of each table of `draw_items`, with a leading axis `replicate`.

    `run` and `statistic` are as in `over_workers`; items that a table has not have no labels there.
    """

    def one(arguments):
        key, table = arguments
        return statistic(run(key, table), table)

    return jax.lax.map(one, (jax.random.split(key, len(tables.weight)), tables))


def percentiles(draws: Any, confidence: float = 0.95) -> Any:
    """Percentile interval of each number of a statistic, on the host in float64.

    Args:
      draws: a statistic with a leading axis `replicate`, a pytree.
      confidence: share of the replicates inside, in (0, 1).

    Returns:
      The same with a leading axis of 2, low and high.

    Raises:
      InputError: confidence is not in (0, 1).
    """
    check_confidence(confidence)
    ends = [(1 - confidence) / 2, (1 + confidence) / 2]
    return jax.tree.map(lambda leaf: np.quantile(np.asarray(leaf, float), ends, axis=0), draws)


def stability(
    key: PRNGKey, name: str, table: Annotations, dims: Dims, replicates: int, **options: Any
) -> Float[Array, " item"]:
    """Share of draws of workers in which an item gets the label that all workers give it.

    An answer that hangs on one worker is lost in about 1/e of the draws, however confident.

    Args:
      key: of the draws, and of aggregators that start at random.
      name: of `aggregators.AGGREGATORS`.
      table: annotations.
      dims: its sizes.
      replicates: how many draws.
      **options: the aggregator's own.

    Returns:
      The share; each of m tied labels counts 1/m, and in an item that lost its labels all are tied.
    """
    key_all, key_draws = jax.random.split(key)
    run = lambda key, table: aggregators.run(name, key, table, dims, **options)
    answer = run(key_all, table).state.log_posterior.argmax(1)

    def same(fitted, drawn):
        log_posterior = fitted.state.log_posterior
        best = log_posterior == log_posterior.max(1, keepdims=True)
        best |= ~labelled(drawn, dims)[:, None]
        return jnp.take_along_axis(best, answer[:, None], axis=1)[:, 0] / best.sum(1)

    return over_workers(key_draws, run, same, table, dims, replicates).mean(0)

"""The table of labels that every aggregator reads, and the two sums that every EM is made of.

    counts[a, k, l]   = sum_t w_t 1[worker_t = a, label_t = l] P[item_t, k]       (M-step)
    evidence[i, k]    = sum_{t: item_t = i} w_t log pi[worker_t, k, label_t]      (E-step)

t runs over annotations, P is the posterior [item, label], pi the workers' confusions
[worker, truth, label]. A row of weight 0 does not exist: padding, dropped rows, labels not yet
bought. So redundancy and budget are data, not shapes, and one compiled program sweeps them.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from trinity_jax.types import InputError, PRNGKey


class Dims(NamedTuple):
    """How many items, workers and labels there are: static, because shapes depend on them."""

    items: int
    workers: int
    labels: int


class Annotations(NamedTuple):
    """Rows (item, worker, label), sorted by item, each with a weight."""

    item: Int[Array, " annotation"]
    worker: Int[Array, " annotation"]
    label: Int[Array, " annotation"]
    weight: Float[Array, " annotation"]


def annotations(item, worker, label, dims: Dims | None = None) -> tuple[Annotations, Dims]:
    """Checks a table on the host and sorts it by item.

    Args:
      item: integers counted from 0, as many as there are annotations; so are the next two.
      worker: who gave the label.
      label: what was given.
      dims: sizes; by default one more than the largest number of each column.

    Returns:
      The table, every row with weight 1, and its sizes.

    Raises:
      InputError: columns of different lengths, no rows, a number outside the sizes, or sizes that
        32-bit indices cannot hold.
    """
    columns = {"item": item, "worker": worker, "label": label}
    columns = {name: np.asarray(column) for name, column in columns.items()}
    shapes = {name: column.shape for name, column in columns.items()}
    if len(set(shapes.values())) > 1 or columns["item"].ndim != 1 or not columns["item"].size:
        raise InputError(f"item, worker and label must be equally long and not empty, not {shapes}")
    for name, column in columns.items():
        if not np.issubdtype(column.dtype, np.integer):
            raise InputError(f"{name} must hold integers, not {column.dtype}")
    if dims is None:
        dims = Dims(*(int(column.max()) + 1 for column in columns.values()))
    for (name, column), size in zip(columns.items(), dims, strict=True):
        wrong = np.flatnonzero((column < 0) | (column >= size))
        if wrong.size:
            raise InputError(f"{name}[{wrong[0]}] is {column[wrong[0]]}, not in [0, {size})")
    dims = Dims(*map(int, dims))
    if dims.workers * dims.labels >= 2**31:
        raise InputError(
            f"workers times labels must be below 2^31 (confusions are indexed by both), not "
            f"{dims.workers} x {dims.labels}"
        )
    order = np.argsort(columns["item"], kind="stable")
    rows = (jnp.asarray(column[order], jnp.int32) for column in columns.values())
    return Annotations(*rows, weight=jnp.ones(len(order))), dims


def votes(table: Annotations, dims: Dims) -> Float[Array, "item label"]:
    """Weight of the annotations that give each item each label."""
    empty = jnp.zeros((dims.items, dims.labels), table.weight.dtype)
    return empty.at[table.item, table.label].add(table.weight)


def labelled(table: Annotations, dims: Dims) -> Bool[Array, " item"]:
    """Which items have an annotation at all."""
    return jnp.zeros(dims.items, bool).at[table.item].max(table.weight > 0)


def confusion_counts(
    table: Annotations, dims: Dims, posterior: Float[Array, "item truth"]
) -> Float[Array, "worker truth label"]:
    """Expected number of times each worker met each truth and gave each label.

    Truths are labels, or whatever else an item may be.
    """
    flat = jnp.zeros((dims.workers * dims.labels, posterior.shape[1]), posterior.dtype)
    rows = posterior[table.item] * table.weight[:, None]
    flat = flat.at[table.worker * dims.labels + table.label].add(rows)  # [(worker, label), truth]
    return flat.reshape(dims.workers, dims.labels, -1).swapaxes(1, 2)


def class_mass(
    table: Annotations, dims: Dims, posterior: Float[Array, "item truth"]
) -> Float[Array, " truth"]:
    """Expected number of items, of those that have annotations, of each truth."""
    return jnp.where(labelled(table, dims)[:, None], posterior, 0).sum(0)


def evidence(
    table: Annotations, dims: Dims, log_confusion: Float[Array, "worker truth label"]
) -> Float[Array, "item truth"]:
    """Log-likelihood of each item's annotations, for each truth it may have."""
    by_label = log_confusion.swapaxes(1, 2).reshape(-1, log_confusion.shape[1])
    rows = by_label[table.worker * dims.labels + table.label]  # [annotation, truth]
    rows *= table.weight[:, None]
    return jax.ops.segment_sum(rows, table.item, dims.items, indices_are_sorted=True)


def believe(
    table: Annotations, dims: Dims, joint: Float[Array, "item truth"]
) -> tuple[Float[Array, "item truth"], Float[Array, ""]]:
    """The end of an E-step: from log-probabilities of a truth and the item's annotations together.

    Returns:
      Log-posterior of each item, and log-likelihood of all annotations (nats).
    """
    top = joint.max(1, keepdims=True)  # taken away first: what is left is small, and so rounded
    shifted = joint - top
    log_sum = jnp.log(jnp.exp(shifted).sum(1, keepdims=True))
    log_likelihood = jnp.where(labelled(table, dims), (top + log_sum)[:, 0], 0).sum()
    return shifted - log_sum, log_likelihood


def by_worker(table: Annotations, weight: Float[Array, " worker"]) -> Annotations:
    """The same rows, each of whose weights is multiplied by its worker's."""
    return table._replace(weight=table.weight * weight[table.worker])


def purchase(
    table: Annotations,
    redundancy: Int[Array, ""] | int,
    budget: Int[Array, ""] | int | None = None,
) -> Annotations:
    """Keeps the first `redundancy` annotations of each item, of as many items as `budget` pays.

    Args:
      table: annotations sorted by item.
      redundancy: labels an item, r.
      budget: labels in all, N; items 0 .. N // r - 1 are bought. None buys every item.

    Returns:
      The same rows; weight 0 for those not bought.
    """
    position = jnp.arange(table.item.shape[0])
    first = jax.lax.cummax(jnp.where(jnp.diff(table.item, prepend=-1) > 0, position, 0))
    kept = position - first < redundancy
    if budget is not None:
        kept &= table.item < budget // redundancy
    return table._replace(weight=table.weight * kept)


def shuffle(key: PRNGKey, table: Annotations) -> Annotations:
    """Puts the annotations of each item in random order, so that `purchase` samples them."""
    lottery = jax.random.uniform(key, table.item.shape)
    order = jnp.lexsort((lottery, table.item))
    return Annotations(*(column[order] for column in table))

"""Dawid-Skene for tables of any length: one pass a round, in which no posterior is kept.

The parameters of a round are sums over items. So a pass takes some items, finds their posterior
from the parameters of the round before, adds them to the sums, and forgets them:

    P[i, k]     proportional to  q_k prod_{t: item_t = i} pi[worker_t, k, label_t]
    counts[(a, l), k] += sum_{t: worker_t = a, label_t = l} weight_i P[i, k],    mass[k] += P[i, k]

and the state of the algorithm is these sums, however many items there are. Of the table itself a
row is one number, `cell` = worker x labels + label, in columns: a block has `width` items, and its
j-th column the j-th annotation of each. Items are ordered by how many annotations they have, so
that the columns of a block are full but for its last few. Blocks are dealt to `parts`, which may
lie on different devices; sums over parts are made in their order, so that the result is the same to
the bit wherever they lie. In single precision a sum of ones stands still at 2^24: sums carry what
they rounded off (Knuth, The art of computer programming 2, section 4.2.2), exact up to 2^48.

The rounds are those of `dawid_skene`, the first being the soft vote's.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from trinity_jax.data.aggregation.annotations import Dims
from trinity_jax.data.aggregation.dawid_skene import log_normalise, maximise

WIDTH = 1 << 18  # items in a block, at most: a step of a loop takes time to begin
PARTS = 8  # and so devices, at most
TINY = 1e-37  # added to probabilities before a logarithm
FULL = 1 << 24  # items, and so annotations by a worker, that single precision can count


class Blocks(NamedTuple):
    """A table as columns, `[part, ...]`.

    Attributes:
      columns: cell of each annotation; where an item has none, workers x labels.
      first: number of each block's first column; of the last one's end.
      gold: true label of each item, -1 where unknown; None if none is known.
      weight: how much an item counts in the sums, 0 where there is none.
    """

    columns: Int[Array, "*part column width"]
    first: Int[Array, "*part end"]
    gold: Int[Array, "*part block width"] | None
    weight: Float[Array, "*part block width"]


class Sums(NamedTuple):
    """What a pass adds up, `[1, ...]`; each with what was rounded off, `[2, ...]`, if that matters.

    Attributes:
      counts: expected number of times each worker gave each label to each truth.
      mass: expected number of items of each truth.
      log_likelihood: of the annotations under the parameters that the pass was made with, nats.
    """

    counts: Float[Array, "*part pair cell truth"]
    mass: Float[Array, "*part pair truth"]
    log_likelihood: Float[Array, "*part pair"]


class Parameters(NamedTuple):
    """Confusions by cell, with a row of zeros for no annotation, and the classes' prior."""

    log_confusion: Float[Array, "cell truth"]
    log_prior: Float[Array, " truth"]


def blocks(
    item: np.ndarray,
    cell: np.ndarray,
    dims: Dims,
    gold: np.ndarray | None = None,
    gold_weight: float = 1.0,
    width: int = WIDTH,
    parts: int = PARTS,
) -> tuple[Blocks, np.ndarray]:
    """Arranges a table, on the host.

    Args:
      item: number of each annotation's item, ascending: `[annotation]`.
      cell: worker x labels + label of each annotation, below 2^31.
      dims: sizes.
      gold: true labels, -1 where unknown: `[item]`.
      gold_weight: how much an item of known label counts.
      width: items in a block, at most.
      parts: number of parts.

    Returns:
      The table in columns, as NumPy arrays, and where each item is among all items of all blocks.
    """
    redundancy = np.bincount(item, minlength=dims.items).astype(np.int32)
    start = np.concatenate([[0], np.cumsum(redundancy, dtype=np.int64)])
    width = max(1, min(width, -(-dims.items // parts)))
    each = -(-dims.items // (width * parts))  # blocks in a part
    order = np.full(parts * each * width, -1, np.int32)
    order[: dims.items] = np.argsort(-redundancy, kind="stable")
    # Block b goes to part b mod parts, so that each part has items of every redundancy.
    order = order.reshape(each, parts, width).swapaxes(0, 1)
    there = order >= 0
    count = np.where(there, redundancy[order], 0)  # [part, block, width]
    depth = count.max(2)
    first = np.concatenate([np.zeros((parts, 1), np.int32), depth.cumsum(1, dtype=np.int32)], 1)
    nothing = dims.workers * dims.labels
    columns = np.full((parts, max(1, first.max()), width), nothing, np.int32)
    for part, block in np.ndindex(depth.shape):
        begin, size = start[order[part, block]], count[part, block]
        for column in range(depth[part, block]):
            has = size > column
            columns[part, first[part, block] + column, has] = cell[begin[has] + column]
    known, weight = None, np.where(count > 0, 1.0, 0.0)
    if gold is not None:
        known = np.where(there, np.asarray(gold, np.int32)[order], -1)
        weight[known >= 0] *= gold_weight
    place = np.empty(dims.items, np.int64)
    place[order[there]] = np.flatnonzero(there)
    arranged: Any = columns, first, known, weight.astype(np.float32)
    return Blocks(*arranged), place


def vote(part: Blocks, dims: Dims) -> Sums:
    """The sums of a part under the soft vote."""
    said = jnp.tile(jnp.eye(dims.labels), (dims.workers, 1))
    said = jnp.concatenate([said, jnp.zeros((1, dims.labels))])

    def believe(evidence):
        total = evidence.sum(1, keepdims=True)
        return evidence / jnp.where(total > 0, total, 1), jnp.zeros(len(evidence))

    return _pass(part, dims, Parameters(said, jnp.zeros(dims.labels)), believe)


def advance(part: Blocks, dims: Dims, parameters: Parameters) -> Sums:
    """The sums of a part under its items' posterior."""
    return _pass(part, dims, parameters, _posterior)


def posterior(
    part: Blocks, dims: Dims, parameters: Parameters
) -> Float[Array, "block width truth"]:
    """The posterior of a part's items."""
    body = lambda block: _told(_posterior(_evidence(part, block, parameters))[0], part, block)
    return jax.lax.map(body, jnp.arange(len(part.weight)))


def join(sums: Sums) -> Sums:
    """The sum over parts, in their order."""
    parts = jax.tree.leaves(sums)[0].shape[0]
    take = lambda number: jax.tree.map(lambda leaf: leaf[number], sums)
    add = lambda number, total: jax.tree.map(_add_pair, total, take(number))
    return jax.lax.fori_loop(1, parts, add, take(0))


def parameters(
    sums: Sums, dims: Dims, prior: Float[Array, "#worker #label #label"] | None = None
) -> tuple[Parameters, Float[Array, ""]]:
    """The M-step: by maximum likelihood, or a posteriori under pseudo-counts.

    Args:
      sums: over all parts.
      dims: sizes.
      prior: pseudo-counts, broadcast to [worker, truth, label]; None: maximum likelihood.

    Returns:
      The parameters, and the log-density of the prior there, up to a constant.
    """
    counts, mass, _ = jax.tree.map(lambda pair: pair.sum(0), sums)
    counts = counts.reshape(dims.workers, dims.labels, -1).swapaxes(1, 2)
    log_confusion = maximise(counts) if prior is None else log_normalise(counts + prior)
    density = jnp.zeros(())
    if prior is not None:
        density = (jnp.broadcast_to(prior, log_confusion.shape) * log_confusion).sum()
    rows = log_confusion.swapaxes(1, 2).reshape(-1, dims.labels)
    rows = jnp.concatenate([rows, jnp.zeros((1, dims.labels))])
    return Parameters(rows, log_normalise(mass)), density


def _pass(part: Blocks, dims: Dims, parameters: Parameters, believe: Any) -> Sums:
    """Adds up all blocks of a part; `believe(evidence)` is (posterior, log-likelihood)."""
    cells = dims.workers * dims.labels
    zeros = Sums(jnp.zeros((cells + 1, dims.labels)), jnp.zeros(dims.labels), jnp.zeros(()))

    def add(block, sums):
        """One block more."""
        belief, log_likelihood = believe(_evidence(part, block, parameters))
        there, rows = part.weight[block] > 0, belief
        if part.gold is not None:
            told = part.gold[block] >= 0
            truth = jnp.maximum(part.gold[block], 0)[:, None]
            of_truth = jnp.log(jnp.take_along_axis(belief, truth, 1)[:, 0] + TINY)
            log_likelihood += jnp.where(told, of_truth, 0)
            belief = _told(belief, part, block)
            rows = belief * part.weight[block][:, None]
        scatter = lambda column, counts: counts.at[part.columns[column]].add(rows)
        ends = part.first[block], part.first[block + 1]
        counts = jax.lax.fori_loop(*ends, scatter, sums.counts)
        mass = sums.mass + jnp.where(there[:, None], belief, 0).sum(0)
        log_likelihood = jnp.where(there, log_likelihood, 0).sum()
        return Sums(counts, mass, sums.log_likelihood + log_likelihood)

    count, width = part.weight.shape
    often = max(1, FULL // width)  # blocks after which what was rounded off is added
    if dims.items <= FULL:
        found = jax.lax.fori_loop(0, count, add, zeros)
        found = found._replace(counts=found.counts[:cells])
        return jax.tree.map(lambda leaf: leaf[None], found)

    def some(number, total):
        ends = number * often, jnp.minimum((number + 1) * often, count)
        return jax.tree.map(_add, total, jax.lax.fori_loop(*ends, add, zeros))

    start = jax.tree.map(lambda leaf: jnp.zeros((2, *leaf.shape)), zeros)
    total = jax.lax.fori_loop(0, -(-count // often), some, start)
    return total._replace(counts=total.counts[:, :cells])


def _evidence(part: Blocks, block: Array, parameters: Parameters) -> Float[Array, "width truth"]:
    """Logarithm of prior times likelihood of each item of a block."""
    add = lambda column, logits: logits + parameters.log_confusion[part.columns[column]]
    start = jnp.broadcast_to(parameters.log_prior[None], (part.weight.shape[1], len(parameters[1])))
    return jax.lax.fori_loop(part.first[block], part.first[block + 1], add, start)


def _posterior(evidence):
    """Posterior and log-likelihood of each item."""
    highest = evidence.max(1, keepdims=True)
    raised = jnp.exp(evidence - highest)
    total = raised.sum(1, keepdims=True)
    return raised / total, (jnp.log(total) + highest)[:, 0]


def _told(belief, part, block):
    """A block's posterior, all mass on the truth where that is known."""
    if part.gold is None:
        return belief
    gold = part.gold[block]
    return jnp.where((gold >= 0)[:, None], jax.nn.one_hot(gold, belief.shape[1]), belief)


def _add(pair, number):
    """A pair (sum, what was rounded off) and one number more, Knuth's exact sum."""
    total = pair[0] + number
    virtual = total - pair[0]
    lost = (pair[0] - (total - virtual)) + (number - virtual)
    return jnp.stack([total, pair[1] + lost])


def _add_pair(pair, other):
    """The sum of two such pairs, or of two numbers where nothing is rounded off."""
    if len(pair) == 1:
        return pair + other
    total = _add(pair, other[0])
    return total.at[1].add(other[1])

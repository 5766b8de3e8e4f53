"""Do workers err together? Every EM here takes labels for independent given the truth.

Where they are not, because workers copy, share a source or fail on the same items, as many labels
are worth fewer, and confidence is too high. For workers a and b who both labelled item i, let Q be
what is known of its truth without their two labels, pi the confusions, e a label as one-hot:

    u_a[l]     = sum_k Q[k] pi_a[k, l]                                  what a would say
    d_i(a, b)  = (e_a - u_a) . (e_b - u_b) - sum_k Q[k] (pi_a[k] - u_a) . (pi_b[k] - u_b)
    rho(a, b)  = sum_i d_i(a, b) / sqrt(sum_i d_i(a, a) sum_i d_i(b, b))
    z(a, b)    = sum_i d_i(a, b) / sqrt(sum_i d_i(a, b)^2)

The second term of d is how far two good workers agree where only Q is in doubt. So d has mean 0 if
the two are independent given the truth, whatever the others do; to first order it forgives errors
of pi where Q is sure. Where the truth is known, Q is all mass on it and rho the correlation of
labels given the truth: with two classes, of errors. Who copies has rho 1. z is self-normalised:
about standard normal, and at most the root of the number of items. No sum under a root is taken
for less than 1, which is about one error.

Without gold, a bias that is shared is partly taken for the truth. Where those who share it outvote
the others they are right by definition, and the others seem to err together: that some workers do
is then seen, by some gold items only who.

L. Kish. Survey Sampling. 1965, section 5.4 (the design effect). S. Holm. A simple sequentially
rejective multiple test procedure. Scand. J. Statistics 1979.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Scalar
from scipy.sparse.csgraph import connected_components
from scipy.special import ndtr

from trinity_jax.algorithms.statistics import holm
from trinity_jax.data.aggregation.annotations import Annotations, Dims, confusion_counts
from trinity_jax.data.aggregation.dawid_skene import (
    class_prior,
    expectation,
    log_normalise,
    pseudo_counts,
)
from trinity_jax.data.aggregation.gold import known
from trinity_jax.types import InputError

BLOCK = 4096  # pairs of annotations at once, each of labels x labels numbers
ONE_ERROR = 1.0  # sums of variance below it are raised to it: who never errs does not err together


class Pairs(NamedTuple):
    """What common items say of two workers: symmetric, and 0 on the diagonal.

    Attributes:
      worker: whose the rows and columns are, the busiest first.
      common: how many items both labelled, by weight.
      correlation: rho in [-1, 1], 0 where nothing is in common.
      z: how many standard errors rho is from 0.
    """

    worker: Int[Array, " chosen"]
    common: Float[Array, "chosen chosen"]
    correlation: Float[Array, "chosen chosen"]
    z: Float[Array, "chosen chosen"]


def error_correlation(
    table: Annotations, dims: Dims, gold: Int[Array, " item"], workers: int = 200
) -> Pairs:
    """Where the truth is known; confusions are the frequencies on the items of known truth.

    Args:
      table: annotations; a worker labels an item once; two rows count as the product of
        their weights.
      dims: its sizes.
      gold: true labels, -1 where unknown; items of unknown truth do not count.
      workers: of how many workers, those with most annotations.

    Returns:
      The pairs. Time is annotations x labels of an item x labels^2, memory workers^2: no array is
      of the size of items x workers.
    """
    _check(gold.shape[0], dims)
    table = table._replace(weight=table.weight * (gold >= 0)[table.item])
    log_truth = known(gold, dims.labels, table.weight.dtype)
    counts = confusion_counts(table, dims, jnp.exp(log_truth))
    return _pairs(table, dims, log_truth, log_normalise(counts), workers)


def excess_agreement(
    table: Annotations, dims: Dims, log_posterior: Float[Array, "item label"], workers: int = 200
) -> Pairs:
    """Where it is not: how far two workers agree beyond what the answers of the others explain.

    Args:
      table: annotations, as for `error_correlation`; so are the sizes, number and cost.
      dims: its sizes.
      log_posterior: what an aggregator found. Confusions and class prior are those that it
        implies, with the pseudo-counts of `dawid_skene_map`.
      workers: of how many workers, those with most annotations.
    """
    _check(log_posterior.shape[0], dims)
    posterior = jnp.exp(log_posterior)
    counts = confusion_counts(table, dims, posterior)
    log_confusion = log_normalise(counts + pseudo_counts(dims))
    log_prior = class_prior(table, dims, posterior)[None]
    log_posterior, _ = expectation(table, dims, log_confusion, log_prior)
    return _pairs(table, dims, log_posterior, log_confusion, workers)


def effective_workers(pairs: Pairs) -> Scalar:
    """How many independent workers these m are worth: m / (1 + (m - 1) mean rho), in [1, m].

    The mean is over pairs, by common items.
    """
    number = len(pairs.worker)
    common = pairs.common.sum()
    mean = (pairs.common * pairs.correlation).sum() / jnp.where(common > 0, common, 1)
    return number / jnp.clip(1 + (number - 1) * mean, 1, number)


def clusters(
    pairs: Pairs, level: float = 0.05, least: float = 0.1, common: float = 10.0
) -> list[Int[np.ndarray, " member"]]:
    """Groups of workers who err together, on the host.

    Two belong together if rho is greater than 0 by a one-sided test, Holm's correction for the
    pairs compared, and not too small to matter; groups are what such pairs connect.

    Args:
      pairs: of `error_correlation` or `excess_agreement`.
      level: chance that any two are joined if all are independent, in (0, 1).
      least: rho below it joins nobody: with many items any difficulty they share is significant.
      common: pairs with fewer items in common are not compared.

    Returns:
      Workers of each group of two or more in ascending order; the largest group first.
    """
    if not 0 < level < 1:
        raise InputError(f"level must lie between 0 and 1, not {level}")
    worker, both, rho, z = (np.asarray(leaf) for leaf in pairs)
    one, two = np.nonzero(np.triu((both >= common) & np.isfinite(z), 1))
    found = (holm(ndtr(-z[one, two].astype(np.float64))) <= level) & (rho[one, two] >= least)
    joined = np.zeros(both.shape, bool)
    joined[one[found], two[found]] = True
    _, group = connected_components(joined, directed=False)
    members = [np.sort(worker[group == g]) for g in range(group.max() + 1)]
    return sorted((m for m in members if len(m) > 1), key=lambda m: (-len(m), m[0]))


def _check(num_items: int, dims: Dims) -> None:
    if num_items != dims.items:
        raise ValueError(f"expected what is known of {dims.items} items, not of {num_items}")


def _pairs(
    table: Annotations,
    dims: Dims,
    log_truth: Float[Array, "item label"],
    log_confusion: Float[Array, "worker truth label"],
    workers: int,
) -> Pairs:
    """Rows are compared with the next, the next but one, ... as long as the item is the same."""
    workers = min(workers, dims.workers)
    activity = jnp.zeros(dims.workers, table.weight.dtype).at[table.worker].add(table.weight)
    chosen = jax.lax.top_k(activity, workers)[1]
    slot = jnp.full(dims.workers, workers).at[chosen].set(jnp.arange(workers))  # others are dropped
    row = jnp.arange(table.item.shape[0])
    first = jax.lax.cummax(jnp.where(jnp.diff(table.item, prepend=-1) > 0, row, 0))

    def covariances(rows):
        """[d(a, b), d(a, a), d(b, b)] of two rows."""
        worker, label = table.worker[rows], table.label[rows]
        log_own = log_confusion[worker, :, label].sum(0)
        others = jax.nn.softmax(log_truth[table.item[rows[0]]] - log_own)  # Q
        confusion = jnp.exp(log_confusion[worker])  # [2, truth, label]
        said = jnp.einsum("k,akl->al", others, confusion)  # u
        residual = jax.nn.one_hot(label, dims.labels, dtype=said.dtype) - said
        spread = jnp.sqrt(others)[None, :, None] * (confusion - said[:, None])
        products = residual @ residual.T - jnp.einsum("akl,bkl->ab", spread, spread)
        return jnp.stack([products[0, 1], products[0, 0], products[1, 1]])

    def compare(lag, sums):
        other = jnp.minimum(row + lag, row[-1])
        same = (table.item == table.item[other]) & (table.worker != table.worker[other])
        weight = table.weight * table.weight[other] * (same & (row + lag <= row[-1]))
        d = jax.lax.map(covariances, jnp.stack([row, other], 1), batch_size=min(BLOCK, len(row)))
        terms = jnp.concatenate([jnp.ones_like(d[:, :1]), d, d[:, :1] ** 2], axis=1)
        pair = slot[table.worker], slot[table.worker[other]]
        return sums.at[pair].add(weight[:, None] * terms, mode="drop")

    sums = jnp.zeros((workers, workers, 5), table.weight.dtype)
    furthest = jnp.where(table.weight > 0, row - first, 0).max()
    sums = jax.lax.fori_loop(1, furthest + 1, compare, sums)
    sums += sums.swapaxes(0, 1)[:, :, jnp.array([0, 1, 3, 2, 4])]
    common, excess, of_one, of_other, squares = jnp.moveaxis(sums, 2, 0)
    size = jnp.sqrt(jnp.maximum(of_one, ONE_ERROR)) * jnp.sqrt(jnp.maximum(of_other, ONE_ERROR))
    correlation = jnp.clip(excess / size, -1, 1)
    return Pairs(chosen, common, correlation, excess / jnp.sqrt(jnp.maximum(squares, ONE_ERROR)))

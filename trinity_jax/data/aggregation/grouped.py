"""Grouped confusions: Dawid-Skene for many classes, where errors stay among similar classes.

The classes are divided into groups of at most g. A worker's label leaves the group of the truth
with probability epsilon, to any class outside alike; inside the group G of k the worker has a
confusion phi, one row for each truth:

    pi[a, k, l] = (1 - epsilon) phi[a, k, l]  for l in G,     epsilon / (K - |G|)  for l not in G

    E   P[i, k]      proportional to  q_k prod_{t: item_t = i} pi[worker_t, k, label_t]
    M   phi[a, k, l] proportional to  counts[a, k, l] + prior[k, l]  over G,    q_k = mean_i P[i, k]

Counts are held as [worker, group, truth, label] with the last two counted inside the group, so
memory is m K g and a round takes N g steps, not m K^2 and N K. With one group it is Dawid-Skene
(`dawid_skene_map`). Groups of ten were used for the 1,000 classes of ImageNet in

A. Khetan, Z. C. Lipton, A. Anandkumar. Learning From Noisy Singly-labeled Data. ICLR 2018,
section 5.
"""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from trinity_jax.algorithms.em import EM
from trinity_jax.data.aggregation.annotations import Annotations, Dims, believe
from trinity_jax.data.aggregation.dawid_skene import (
    SMALLEST,
    class_prior,
    log_normalise,
    pseudo_counts,
)
from trinity_jax.data.aggregation.majority import from_vote
from trinity_jax.types import InputError


class State(NamedTuple):
    """Posterior of the hidden labels, the logarithm of phi, class prior."""

    log_posterior: Float[Array, "item label"]
    log_confusion: Float[Array, "worker group slot slot"]
    log_prior: Float[Array, " label"]


class Groups(NamedTuple):
    """A partition of the classes; slot s of a group is its s-th class.

    Attributes:
      of: the group of a class.
      slot: its slot there.
      member: the class in a slot.
      real: whether there is one; groups may differ in size.
    """

    of: Int[Array, " label"]
    slot: Int[Array, " label"]
    member: Int[Array, "group slot"]
    real: Bool[Array, "group slot"]


def partition(group: int | Int[np.ndarray, " label"], num_labels: int) -> Groups:
    """Groups of so many consecutive classes, or as the array says that each class belongs."""
    if isinstance(group, int):
        if group < 1:
            raise InputError(f"a group must have at least one class, not {group}")
        group = np.arange(num_labels) // group
    if len(group) != num_labels:
        raise InputError(f"expected the groups of {num_labels} classes, found {len(group)}")
    _, of, sizes = np.unique(group, return_inverse=True, return_counts=True)
    order = np.argsort(of, kind="stable")
    slot = np.empty(num_labels, int)
    slot[order] = np.arange(num_labels) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    real = np.arange(sizes.max()) < sizes[:, None]
    member = np.zeros(real.shape, int)
    member[real] = order
    return Groups(*map(jnp.asarray, (of, slot, member, real)))


def grouped(
    dims: Dims,
    group: int | Int[np.ndarray, " label"],
    outside: Float[Array, ""] | float = 0.01,
    prior: Float[Array, "#worker #group #slot #slot"] | None = None,
) -> EM:
    """Maximum a posteriori.

    Args:
      dims: sizes of the table.
      group: how many consecutive classes make a group, or the group of each class.
      outside: epsilon, probability that a label is of another group than the truth.
      prior: pseudo-counts, broadcast to [worker, group, truth, label] inside groups; by default
        those of `dawid_skene.pseudo_counts`.
    """
    groups = partition(group, dims.labels)
    num_groups, size = groups.real.shape
    prior = pseudo_counts(dims._replace(labels=size))[None] if prior is None else prior
    prior = jnp.where(groups.real[None, :, :, None] & groups.real[None, :, None, :], prior, 0)

    def estimate(table, posterior):
        inside = jnp.where(groups.real[None], posterior[:, groups.member], 0)
        of, slot = groups.of[table.label], groups.slot[table.label]
        rows = inside[table.item, of] * table.weight[:, None]  # [annotation, truth]
        counts = jnp.zeros((dims.workers, num_groups, size, size), rows.dtype)
        counts = counts.at[table.worker, of, slot].add(rows).swapaxes(2, 3)
        return log_normalise(prior + counts), class_prior(table, dims, posterior)

    def expect(table, log_confusion, log_prior):
        joint = log_prior[None] + _evidence(table, dims, groups, log_confusion, outside)
        log_posterior, log_likelihood = believe(table, dims, joint)
        log_density = (prior * (log_confusion - log_normalise(prior))).sum()  # 0 without labels
        return log_posterior, log_likelihood + log_density

    return from_vote(dims, State, estimate, expect)


def _evidence(
    table: Annotations,
    dims: Dims,
    groups: Groups,
    log_confusion: Float[Array, "worker group slot slot"],
    outside: Float[Array, ""] | float,
) -> Float[Array, "item truth"]:
    """Log-likelihood of each item's annotations, for each truth it may have."""
    others = dims.labels - groups.real.sum(1)  # [group]
    log_stay = jnp.where(others > 0, jnp.log1p(-outside), 0)
    log_leave = jnp.log(jnp.maximum(outside / jnp.maximum(others, 1), SMALLEST))
    of, slot = groups.of[table.label], groups.slot[table.label]
    rows = log_confusion.swapaxes(2, 3)[table.worker, of, slot] + log_stay[of][:, None]
    inside = jnp.zeros((dims.items, *groups.real.shape), rows.dtype)
    inside = inside.at[table.item, of].add(rows * table.weight[:, None])
    votes = jnp.zeros((dims.items, len(others)), rows.dtype).at[table.item, of].add(table.weight)
    left = votes.sum(1, keepdims=True) - votes
    return (inside + (left * log_leave[None])[:, :, None])[:, groups.of, groups.slot]

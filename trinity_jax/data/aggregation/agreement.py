"""How much workers agree, and how sure that makes their labels: no truth is needed.

Krippendorff's alpha for unordered labels, over items with n_i >= 2 labels, n_ik of them k:

    alpha = 1 - observed / expected disagreement
    observed = (1/n) sum_i (n_i^2 - sum_k n_ik^2) / (n_i - 1),    n = sum_i n_i
    expected = (n^2 - sum_k n_k^2) / (n (n - 1)),                 n_k = sum_i n_ik

1 is perfect agreement, 0 what chance would give.

`krippendorff_alpha` and the uncertainties are for users; `trinity-aggregate`, which goes through a
table block by block, adds up the parts of alpha.

K. Krippendorff. Content analysis: an introduction to its methodology. Sage, 1980, chapter 12.
`consistency` and the uncertainties are as in crowd-kit, D. Ustalov, N. Pavlichenko, B. Tseitlin,
JOSS 9(96), 2024: a label of a worker of skill s is k with probability s if it says k, else
(1 - s) / (K - 1).
"""

import jax.numpy as jnp
from jax.scipy.special import entr
from jaxtyping import Array, Float, Int

from trinity_jax.data.aggregation.annotations import Annotations, Dims, labelled, votes
from trinity_jax.data.aggregation.dawid_skene import expectation
from trinity_jax.data.aggregation.one_coin import coin_confusion


def krippendorff_alpha(table: Annotations, dims: Dims) -> Float[Array, ""]:
    """Agreement beyond chance: 1 where nobody disagrees, NaN where no item has two labels."""
    return alpha(*disagreement(votes(table, dims)))


def disagreement(
    count: Float[Array, "item label"],
) -> tuple[Float[Array, ""], Float[Array, " label"]]:
    """Of some items, by their votes: n times the observed disagreement, and n_k. Sums add up."""
    of_item = count.sum(1)
    pairable = of_item > 1
    count = jnp.where(pairable[:, None], count, 0)
    disagreeing = (of_item**2 - (count**2).sum(1)) / jnp.where(pairable, of_item - 1, 1)
    return jnp.where(pairable, disagreeing, 0).sum(), count.sum(0)


def alpha(disagreeing: Float[Array, ""], of_label: Float[Array, " label"]) -> Float[Array, ""]:
    """Krippendorff's alpha of the sums of `disagreement` over all items."""
    n = of_label.sum()
    observed = disagreeing / n
    expected = (1 - ((of_label / n) ** 2).sum()) * n / (n - 1)  # shares keep digits
    return jnp.where(observed == 0, 1, 1 - observed / expected)


def consistency(
    table: Annotations, dims: Dims, skill: Float[Array, " worker"], answer: Int[Array, " item"]
) -> Float[Array, ""]:
    """Mean posterior of the answers, over items with labels, if workers are one coin each.

    Args:
      table: annotations.
      dims: sizes.
      skill: probability that a worker is right.
      answer: the aggregated label of each item.
    """
    uniform = jnp.full((1, dims.labels), -jnp.log(dims.labels))
    log_posterior, _ = expectation(table, dims, coin_confusion(skill, dims.labels), uniform)
    of_answer = jnp.exp(jnp.take_along_axis(log_posterior, answer[:, None], axis=1)[:, 0])
    has = labelled(table, dims)
    return jnp.where(has, of_answer, 0).sum() / has.sum()


def item_uncertainty(
    table: Annotations, dims: Dims, skill: Float[Array, " worker"]
) -> Float[Array, " item"]:
    """Entropy in nats of each item's mean label; that of a uniform one where there are none.

    With skill 1 for everybody it is the entropy of the shares of the votes.
    """
    return _entropy(table, dims, skill, table.item, dims.items)


def worker_uncertainty(
    table: Annotations, dims: Dims, skill: Float[Array, " worker"]
) -> Float[Array, " worker"]:
    """The same of each worker's mean label: how much the labels that the worker gives vary."""
    return _entropy(table, dims, skill, table.worker, dims.workers)


def _entropy(table: Annotations, dims: Dims, skill, group, num_groups: int):
    said = skill[table.worker]
    other = (1 - said) / max(dims.labels - 1, 1)
    # Every label gets `other`, and the one that was given what is missing to the skill.
    total = jnp.zeros(num_groups, said.dtype).at[group].add(table.weight * other)
    mass = jnp.broadcast_to(total[:, None], (num_groups, dims.labels))
    mass = mass.at[group, table.label].add(table.weight * (said - other))
    total = mass.sum(1, keepdims=True)
    share = jnp.where(total > 0, mass / jnp.where(total > 0, total, 1), 1 / dims.labels)
    return entr(jnp.maximum(share, 0)).sum(1)

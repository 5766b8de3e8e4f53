"""Class-wise coin: a worker is right with one probability for each true class.

    E   log P[i, k] = log q_k + sum_{t: item_t = i} log pi[worker_t, k, label_t] - log Z_i,
        pi[a, k, l] = s[a, k] if l = k else (1 - s[a, k]) / (K - 1)
    M   s[a, k] = (sum_{t: worker_t = a} P[item_t, k] 1[label_t = k] + right)
                  / (sum_{t: worker_t = a} P[item_t, k] + right + (K - 1) wrong)
        q_k     = mean_i P[i, k]

Dawid-Skene whose wrong labels are equally likely: K numbers a worker instead of K^2, in memory too,
and for two classes the same. Workers who know some classes and guess the others are of this kind:

A. Khetan, Z. C. Lipton, A. Anandkumar. Learning From Noisy Singly-labeled Data. ICLR 2018,
section 5.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from trinity_jax.algorithms.em import EM
from trinity_jax.data.aggregation.annotations import Annotations, Dims, believe
from trinity_jax.data.aggregation.dawid_skene import SMALLEST, class_prior
from trinity_jax.data.aggregation.majority import from_vote


class State(NamedTuple):
    """Posterior of the hidden labels, each worker's probability of being right, class prior."""

    log_posterior: Float[Array, "item label"]
    skill: Float[Array, "worker truth"]
    log_prior: Float[Array, " label"]


def class_wise_coin(dims: Dims, right=1.1, wrong=0.1) -> EM:
    """Maximum a posteriori, with the prior of `dawid_skene.pseudo_counts` by default.

    Args:
      dims: sizes of the table.
      right: pseudo-count of right labels of each class, a scalar or [worker, truth].
      wrong: the same of each wrong label, alike. Both 0 is maximum likelihood.
    """
    others, chance = max(dims.labels - 1, 1), 1 / dims.labels

    def ratio(agreed, met):
        """Share of right labels; chance where there is neither label nor pseudo-count."""
        total = met + right + others * wrong
        share = jnp.where(total > 0, (agreed + right) / jnp.where(total > 0, total, 1), chance)
        return jnp.clip(share, SMALLEST, 1 - 1e-7)  # 1 - 1e-10 is 1 in float32

    def estimate(table, posterior):
        nothing = jnp.zeros((dims.workers, dims.labels), posterior.dtype)
        rows = table.weight[:, None] * posterior[table.item]
        met = nothing.at[table.worker].add(rows)
        given = jnp.take_along_axis(rows, table.label[:, None], 1)[:, 0]
        agreed = nothing.at[table.worker, table.label].add(given)
        return ratio(agreed, met), class_prior(table, dims, posterior)

    def expect(table, skill, log_prior):
        log_posterior, log_likelihood = _expectation(table, dims, skill, log_prior)
        nobody = ratio(0.0, 0.0)  # so that workers without labels add nothing
        log_density = right * jnp.log(skill / nobody)
        log_density += others * wrong * (jnp.log1p(-skill) - jnp.log1p(-nobody))
        return log_posterior, log_likelihood + log_density.sum()

    return from_vote(dims, State, estimate, expect)


def _expectation(
    table: Annotations,
    dims: Dims,
    skill: Float[Array, "worker truth"],
    log_prior: Float[Array, " truth"],
) -> tuple[Float[Array, "item truth"], Float[Array, ""]]:
    """Posterior of each item, and log-likelihood of all annotations (nats)."""
    log_wrong = jnp.log1p(-skill) - jnp.log(max(dims.labels - 1, 1))
    gain = jnp.log(skill) - log_wrong
    rows = table.weight[:, None] * log_wrong[table.worker]
    joint = jax.ops.segment_sum(rows, table.item, dims.items, indices_are_sorted=True)
    gained = table.weight * gain[table.worker, table.label]
    joint = log_prior[None] + joint.at[table.item, table.label].add(gained)
    return believe(table, dims, joint)

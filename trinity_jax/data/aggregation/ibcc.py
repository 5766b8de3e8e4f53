"""Independent Bayesian classifier combination: Dawid-Skene with its parameters integrated out.

Class prior and confusions have Dirichlet priors; their posterior is approximated by a product of
Dirichlets, which is best where

    nu[k]        = alpha + sum_i P[i, k]                                    class prior ~ Dir(nu)
    mu[a, k, l]  = prior[k, l] + counts[a, k, l]                            pi[a, k] ~ Dir(mu[a, k])
    log P[i, k]  = E[log q_k] + sum_{t: item_t = i} E[log pi[worker_t, k, label_t]] - log Z_i

with E[log p_k] = digamma(nu[k]) - digamma(sum_k nu[k]). No round lowers the bound on the evidence

    sum_i log Z_i - KL(Dir(nu) || Dir(alpha)) - sum_{a, k} KL(Dir(mu[a, k]) || Dir(prior[k]))

H.-C. Kim, Z. Ghahramani. Bayesian classifier combination. AISTATS 2012. Variational as in
Y. Li, B. Rubinstein, T. Cohn. Exploiting worker correlation for label aggregation in crowdsourcing.
ICML 2019.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax.scipy.special import digamma, gammaln
from jaxtyping import Array, Float

from trinity_jax.algorithms.em import EM
from trinity_jax.data.aggregation.annotations import Dims, class_mass, confusion_counts
from trinity_jax.data.aggregation.dawid_skene import expectation, pseudo_counts
from trinity_jax.data.aggregation.majority import from_vote

CLASS_PRIOR = 1.0  # alpha


class State(NamedTuple):
    """Posterior of the hidden labels, and the Dirichlets of the parameters."""

    log_posterior: Float[Array, "item label"]
    confusion: Float[Array, "worker truth label"]
    classes: Float[Array, " label"]


def expected_log(counts: Float[Array, "... label"]) -> Float[Array, "... label"]:
    """E[log p] of p ~ Dir(counts), over the last axis; exp of it sums to less than one."""
    return digamma(counts) - digamma(counts.sum(-1, keepdims=True))


def divergence(
    counts: Float[Array, "*rows label"], prior: Float[Array, "*#rows #label"]
) -> Float[Array, ""]:
    """KL(Dir(counts) || Dir(prior)) over the last axis, summed over the others."""
    prior = jnp.broadcast_to(prior, counts.shape)
    total = gammaln(counts.sum(-1)) - gammaln(prior.sum(-1))
    each = (counts - prior) * expected_log(counts) - gammaln(counts) + gammaln(prior)
    return total.sum() + each.sum()


def ibcc(dims: Dims, prior: Float[Array, "#worker #label #label"] | None = None) -> EM:
    """Variational Bayes.

    Args:
      dims: sizes of the table.
      prior: pseudo-counts of the confusions, broadcast to [worker, truth, label]; by default 4 on
        the diagonal and 1 elsewhere.
    """
    prior = pseudo_counts(dims, everywhere=1.0, diagonal=3.0) if prior is None else prior

    def estimate(table, posterior):
        confusion = prior + confusion_counts(table, dims, posterior)
        return confusion, CLASS_PRIOR + class_mass(table, dims, posterior)

    def expect(table, confusion, classes):
        log_posterior, log_evidence = expectation(
            table, dims, expected_log(confusion), expected_log(classes)[None]
        )
        bound = log_evidence - divergence(confusion, prior)
        return log_posterior, bound - divergence(classes, jnp.full((1,), CLASS_PRIOR))

    return from_vote(dims, State, estimate, expect)

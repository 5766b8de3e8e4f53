"""Enhanced BCC: items of a class have subtypes, so that workers err together.

An item of class k has a hidden subtype g of its class, and workers a confusion for each subtype:

    P(class k, subtype g)                     = q_k pi[k, g],           q ~ Dir(alpha)
    P(label l | worker a, class k, subtype g) = v[a, k, g, l],          pi[k] ~ Dir(a_pi / M)
                                                                        v[a, k, g] ~ Dir(prior[k])

M subtypes a class, most of them empty as a_pi is small. Given the class alone, workers are no
longer independent: on an odd subtype many are wrong in the same way. Variational Bayes as in
`ibcc`, over pairs (class, subtype) instead of classes:

    log P[i, k, g] = E[log q_k] + E[log pi[k, g]]
                     + sum_{t: item_t = i} E[log v[worker_t, k, g, label_t]] - log Z_i

A random start divides each class among its subtypes, so take the best of several with
`em.restarts`; the authors take 40.

Y. Li, B. Rubinstein, T. Cohn. Exploiting worker correlation for label aggregation in crowdsourcing.
ICML 2019.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from trinity_jax.algorithms.em import EM, Info, largest_change
from trinity_jax.data.aggregation.annotations import (
    Dims,
    believe,
    class_mass,
    confusion_counts,
    evidence,
    labelled,
)
from trinity_jax.data.aggregation.dawid_skene import pseudo_counts
from trinity_jax.data.aggregation.ibcc import divergence, expected_log
from trinity_jax.data.aggregation.majority import soft_vote


class State(NamedTuple):
    """Posterior of the hidden labels, the same with subtypes, and Dirichlets of the confusions."""

    log_posterior: Float[Array, "item label"]
    log_joint: Float[Array, "item label subtype"]
    confusion: Float[Array, "worker kind label"]  # a kind is a truth and a subtype of it


def ebcc(
    dims: Dims,
    subtypes: int = 10,
    concentration: Float[Array, ""] | float = 0.1,
    prior: Float[Array, "#worker #label #label"] | None = None,
    class_prior: Float[Array, "#label"] | None = None,
) -> EM:
    """Variational Bayes from one random start.

    Args:
      dims: sizes of the table.
      subtypes: M, at most so many subtypes of a class.
      concentration: a_pi, small where few of them are used.
      prior: pseudo-counts of the confusions, broadcast to [worker, truth, label]; by default 4 on
        the diagonal and 1 elsewhere.
      class_prior: alpha, pseudo-counts of the classes; by default the soft votes summed over items,
        as the authors report results with, at least 1 each.
    """
    prior = pseudo_counts(dims, everywhere=1.0, diagonal=3.0) if prior is None else prior
    subtype_prior = jnp.full((1, 1), concentration / subtypes)
    prior = jnp.broadcast_to(prior, (prior.shape[0], dims.labels, dims.labels))
    prior_of_kinds = jnp.repeat(prior, subtypes, axis=1)
    flat = lambda joint: joint.reshape(dims.items, -1)  # [item, kind]
    apart = lambda kinds: kinds.reshape(*kinds.shape[:-1], dims.labels, subtypes)

    def prior_of_classes(table):
        votes = class_mass(table, dims, soft_vote(table, dims))
        return jnp.maximum(votes, 1) if class_prior is None else class_prior

    def init(key, table, /):
        posterior = soft_vote(table, dims)
        share = jax.random.exponential(key, (dims.items, dims.labels, subtypes))
        joint = posterior[:, :, None] * share / share.sum(2, keepdims=True)  # uniform on a simplex
        counts = confusion_counts(table, dims, flat(joint))
        return State(jnp.log(posterior), jnp.log(joint), prior_of_kinds + counts)

    def step(key, state, table, /):
        del key
        joint = flat(jnp.exp(state.log_joint))
        mass = apart(class_mass(table, dims, joint))
        alpha = prior_of_classes(table)
        of_class, of_subtype = alpha + mass.sum(1), subtype_prior + mass
        confusion = prior_of_kinds + confusion_counts(table, dims, joint)

        log_prior = expected_log(of_class)[:, None] + expected_log(of_subtype)
        told = evidence(table, dims, expected_log(confusion))
        log_kinds, bound = believe(table, dims, log_prior.reshape(1, -1) + told)
        log_joint = apart(log_kinds)
        log_posterior = jax.nn.logsumexp(log_joint, axis=2)

        bound -= divergence(of_class, alpha) + divergence(of_subtype, subtype_prior)
        bound -= divergence(confusion, prior_of_kinds)
        change = largest_change(log_posterior, state.log_posterior, labelled(table, dims))
        info = Info(bound / table.weight.sum(), change)
        return State(log_posterior, log_joint, confusion), info

    return EM(init, step)

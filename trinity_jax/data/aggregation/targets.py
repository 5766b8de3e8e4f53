"""What to train a classifier on, given a table of crowd labels: one method a function.

Every function is `(key, evidence) -> Target`. The last three know what only a simulation knows, and
show how much there was to gain. Model-bootstrapped EM starts from `weighted_vote` and goes on with
`model_bootstrapped.update`.

A. Khetan, Z. C. Lipton, A. Anandkumar. Learning From Noisy Singly-labeled Data. ICLR 2018,
section 5 (all but `weighted_one_coin`).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from trinity_jax.algorithms.em import EM, fit_until
from trinity_jax.data.aggregation.annotations import Annotations, Dims
from trinity_jax.data.aggregation.dawid_skene import SMALLEST, dawid_skene, expectation
from trinity_jax.data.aggregation.majority import hard_vote, soft_vote
from trinity_jax.data.aggregation.one_coin import one_coin
from trinity_jax.types import PRNGKey


class Evidence(NamedTuple):
    """Crowd labels, and what only a simulation knows.

    Attributes:
      table: the annotations.
      dims: sizes of the table.
      truth: true labels, for the methods named oracle and clean.
      confusion: true confusions of the workers, for `oracle_weighted`.
    """

    table: Annotations
    dims: Dims
    truth: Int[Array, " item"]
    confusion: Float[Array, "worker truth label"]


class Target(NamedTuple):
    """Soft labels, and how much each item counts (0: not used)."""

    probs: Float[Array, "item label"]
    weight: Float[Array, " item"]


def _all(probs: Float[Array, "item label"]) -> Target:
    return Target(probs, jnp.ones(len(probs)))


def _hard(labels: Int[Array, " item"], evidence: Evidence) -> Float[Array, "item label"]:
    return jax.nn.one_hot(labels, evidence.dims.labels)


def _posterior(em: EM, key: PRNGKey, evidence: Evidence) -> Float[Array, "item label"]:
    fitted = fit_until(em, key, evidence.table, tolerance=1e-5, max_steps=50)
    return jnp.exp(fitted.state.log_posterior)


def majority(key: PRNGKey, evidence: Evidence) -> Target:
    """The label with most votes, ties broken at random."""
    return _all(_hard(hard_vote(key, evidence.table, evidence.dims), evidence))


def weighted_vote(key: PRNGKey, evidence: Evidence) -> Target:
    """Shares of the votes."""
    del key
    return _all(soft_vote(evidence.table, evidence.dims))


def em(key: PRNGKey, evidence: Evidence) -> Target:
    """The most likely label by Dawid-Skene (maximum likelihood)."""
    posterior = _posterior(dawid_skene(evidence.dims), key, evidence)
    return _all(_hard(posterior.argmax(1), evidence))


def weighted_em(key: PRNGKey, evidence: Evidence) -> Target:
    """The posterior by Dawid-Skene (maximum likelihood)."""
    return _all(_posterior(dawid_skene(evidence.dims), key, evidence))


def weighted_one_coin(key: PRNGKey, evidence: Evidence) -> Target:
    """The posterior by the one-coin model, which few labels a worker suffice for."""
    return _all(_posterior(one_coin(evidence.dims), key, evidence))


def oracle_weighted(key: PRNGKey, evidence: Evidence) -> Target:
    """The posterior under the workers' true confusions and a uniform class prior."""
    del key
    log_confusion = jnp.log(jnp.maximum(evidence.confusion, SMALLEST))
    uniform = jnp.full((1, evidence.dims.labels), -jnp.log(evidence.dims.labels))
    return _all(jnp.exp(expectation(evidence.table, evidence.dims, log_confusion, uniform)[0]))


def oracle_correct(key: PRNGKey, evidence: Evidence) -> Target:
    """The true label of the items that at least one worker labelled correctly, and no others."""
    del key
    table, truth = evidence.table, evidence.truth
    right = table.weight * (table.label == truth[table.item])
    weight = jnp.zeros(evidence.dims.items).at[table.item].max(jnp.minimum(right, 1))
    return Target(_hard(truth, evidence), weight)


def clean(key: PRNGKey, evidence: Evidence) -> Target:
    """The true labels of all items that are labelled."""
    del key
    return _all(_hard(evidence.truth, evidence))


TARGETS: dict[str, Callable[[PRNGKey, Evidence], Target]] = {
    f.__name__: f
    for f in (
        majority,
        weighted_vote,
        em,
        weighted_em,
        weighted_one_coin,
        oracle_weighted,
        oracle_correct,
        clean,
    )
}

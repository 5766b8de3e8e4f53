"""Methods that learn from items of known truth alone: what every use of gold must beat.

Naive Bayes has a confusion for every worker, and takes workers for independent:

    pi[a, k, l]     proportional to  prior[k, l] + sum_{t: gold, worker_t = a} w_t 1[truth, label_t]
    log P[i, k]  =  log q_k + sum_{t: item_t = i} w_t log pi[worker_t, k, label_t] + const,
    q_k             proportional to  1 + number of gold items of class k

The ridge vote has one number for every worker, and takes nobody for independent: weights beta are
those with which the votes come nearest to the truth,

    min  sum_{i gold, k} (1[gold_i = k] - 1/K - s[i, k])^2 + ridge sum_a (beta_a - 1/r)^2
    s[i, k] = sum_{t: item_t = i} w_t beta_{worker_t} (1[label_t = k] - 1/K),   r the mean number of
    labels an item,

so that workers who copy from each other share one vote, and without gold it is the majority's.

A. P. Dawid, A. M. Skene. Applied Statistics 28(1), 1979, section 2 (true responses known).
A. E. Hoerl, R. W. Kennard. Ridge regression. Technometrics 12(1), 1970. L. Breiman. Stacked
regressions. Machine Learning 24, 1996.
"""

import jax
import jax.numpy as jnp
from jax.scipy.sparse.linalg import cg
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int

from trinity_jax.data.aggregation.annotations import (
    Annotations,
    Dims,
    by_worker,
    confusion_counts,
    labelled,
    votes,
)
from trinity_jax.data.aggregation.dawid_skene import expectation, log_normalise, pseudo_counts

TOLERANCE = 1e-6  # of the residual of the ridge equations, relative
MOST_STEPS = 1000  # towards their solution


def naive_bayes(
    table: Annotations,
    dims: Dims,
    gold: Int[Array, " item"],
    prior: Float[Array, "#worker #label #label"] | None = None,
) -> Float[Array, "item label"]:
    """Log-probabilities of the true labels, by confusions counted on gold.

    Args:
      table: annotations.
      dims: its sizes.
      gold: true labels, -1 where unknown.
      prior: pseudo-counts, broadcast to [worker, truth, label]; by default `pseudo_counts(dims)`.

    Returns:
      Those of all items; of gold items too what their labels say.
    """
    prior = pseudo_counts(dims) if prior is None else prior
    truth = _truth(table, dims, gold)
    log_confusion = log_normalise(confusion_counts(table, dims, truth) + prior)
    log_prior = log_normalise(1 + truth.sum(0))
    return expectation(table, dims, log_confusion, log_prior[None])[0]


def ridge_vote(
    table: Annotations, dims: Dims, gold: Int[Array, " item"], ridge: ArrayLike = 1.0
) -> Float[Array, "item label"]:
    """Log-probabilities of the true labels, by votes whose weights are fitted to gold.

    Args:
      table: annotations.
      dims: its sizes.
      gold: true labels, -1 where unknown.
      ridge: how much weights are held to those of the majority, positive, in gold items.

    Returns:
      Those of all items; of gold items too what their labels say. As least squares of an indicator
      estimate its expectation, s + 1/K are probabilities but for their sign: they sum to 1, and
      below `dawid_skene.SMALLEST` they are raised to it. The largest remains the largest.
    """
    equal, weight = _weights(table, dims, gold, ridge)
    return log_normalise(_score(table, dims, equal + weight) + 1 / dims.labels)


def _weights(table: Annotations, dims: Dims, gold: Int[Array, " item"], ridge: ArrayLike):
    """1 / r, and what is added to it, [worker]: conjugate gradients, and no matrix."""
    told = (gold >= 0)[:, None]
    equal = labelled(table, dims).sum() / table.weight.sum()

    def normal(beta):
        return _worker_sums(table, dims, jnp.where(told, _score(table, dims, beta), 0))

    truth = _truth(table, dims, gold) - 1 / dims.labels
    missing = truth - _score(table, dims, jnp.full(dims.workers, equal))
    missing = _worker_sums(table, dims, jnp.where(told, missing, 0))
    equations = lambda beta: normal(beta) + ridge * beta
    added, _ = cg(equations, missing, tol=TOLERANCE, maxiter=MOST_STEPS)
    return equal, added


def _score(
    table: Annotations, dims: Dims, beta: Float[Array, " worker"]
) -> Float[Array, "item label"]:
    """s: weighted votes, less their mean."""
    vote = votes(by_worker(table, beta), dims)
    return vote - vote.mean(1, keepdims=True)


def _worker_sums(
    table: Annotations, dims: Dims, residual: Float[Array, "item label"]
) -> Float[Array, " worker"]:
    """The transpose of `_score`, of residuals whose means over labels are 0."""
    rows = table.weight * residual[table.item, table.label]
    return jnp.zeros(dims.workers, rows.dtype).at[table.worker].add(rows)


def _truth(table: Annotations, dims: Dims, gold: Int[Array, " item"]) -> Float[Array, "item label"]:
    """All mass on the truth, none where it is unknown."""
    if gold.shape != (dims.items,):
        raise ValueError(f"expected gold for {dims.items} items, not of shape {gold.shape}")
    return jax.nn.one_hot(gold, dims.labels, dtype=table.weight.dtype)

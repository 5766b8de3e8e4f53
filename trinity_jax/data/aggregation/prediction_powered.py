"""Intervals from a few known truths and many predictions of them, which may be wrong.

Of n rows the truth y is known and predicted by f, of N others f alone. The mean of y is

    estimate  = mean_n(y) + lambda (mean_N(f) - mean_n(f))
    variance  = var_n(y - lambda f) / n + lambda^2 var_N(f) / N
    lambda    = cov_n(y, f) / ((1 + n / N) var_{n+N}(f)),  clipped to [0, 1]

whatever f is, if rows of known truth are drawn at random from all, and f has not seen the truths
that it is compared with. lambda 0 is the mean of known truths; where predictions say much, the
interval is narrower than that mean's. So predictions are cross-fitted: gold is cut in folds, and
what is said of one fold comes of an aggregate that was told the others.

A. N. Angelopoulos, S. Bates, C. Fannjiang, M. I. Jordan, T. Zrnic. Prediction-powered inference.
Science 382, 2023. A. N. Angelopoulos, J. C. Duchi, T. Zrnic. PPI++: efficient prediction-powered
inference. arXiv 2311.01453 (the tuning). T. Zrnic, E. J. Candes. Cross-prediction-powered
inference. PNAS 121, 2024. A. Agresti, B. A. Coull. Approximate is better than "exact" for interval
estimation of binomial proportions. The American Statistician 52, 1998.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import ndtri
from jaxtyping import Array, Bool, Float, Int

from trinity_jax.algorithms import statistics
from trinity_jax.data.aggregation.annotations import Annotations, Dims
from trinity_jax.types import InputError, PRNGKey

LEAST = 2  # gold annotations of a worker who is judged


class Mean(NamedTuple):
    """Means of groups of rows: estimate, its standard error, lambda, rows of known truth."""

    estimate: Float[Array, " group"]
    error: Float[Array, " group"]
    tuning: Float[Array, " group"]
    known: Float[Array, " group"]


class Interval(NamedTuple):
    """Shares in [0, 1], NaN where too little is known; `known` says of how many known truths."""

    estimate: Float[Array, "*group"]
    low: Float[Array, "*group"]
    high: Float[Array, "*group"]
    known: Float[Array, "*group"]


def means(
    truth: Float[Array, " row"],
    prediction: Float[Array, " row"],
    known: Bool[Array, " row"],
    group: Int[Array, " row"],
    num_groups: int,
) -> Mean:
    """Prediction-powered means of groups of rows.

    Args:
      truth: y, which counts where it is known.
      prediction: f; of a group there may be none whose truth is not known.
      known: whether the truth is.
      group: of each row, from 0; `num_groups` for rows that do not exist.
      num_groups: how many there are.

    Returns:
      A mean a group; its error is NaN where less than two truths are known.
    """
    total = lambda x, where: jax.ops.segment_sum(jnp.where(where, x, 0), group, num_groups)
    every = jnp.ones_like(known)
    count = lambda where: total(jnp.ones_like(prediction), where)
    average = lambda x, where: total(x, where) / jnp.maximum(count(where), 1)
    centred = lambda x, where: x - average(x, where)[jnp.minimum(group, num_groups - 1)]

    n, others = count(known), count(~known)
    of_known, y = centred(prediction, known), centred(truth, known)
    covariance = total(of_known * y, known) / jnp.maximum(n - 1, 1)
    variance = total(centred(prediction, every) ** 2, every) / jnp.maximum(n + others - 1, 1)
    slope = covariance * others / jnp.where(variance > 0, variance * (n + others), 1)
    tuning = jnp.where(variance > 0, jnp.clip(slope, 0, 1), 0)

    residual = y - tuning[jnp.minimum(group, num_groups - 1)] * of_known
    of_residual = total(residual**2, known) / ((n - 1) * n)
    of_others = total(centred(prediction, ~known) ** 2, ~known)
    of_others /= jnp.maximum(others - 1, 1) * jnp.maximum(others, 1)
    difference = average(prediction, ~known) - average(prediction, known)
    error = jnp.sqrt(of_residual + tuning**2 * of_others)
    estimate = average(truth, known) + tuning * difference
    return Mean(estimate, jnp.where(n >= 2, error, jnp.nan), tuning, n)


def cross_fitted(
    key: PRNGKey,
    method: Callable[[PRNGKey, Int[Array, " item"]], Float[Array, "item label"]],
    gold: Int[Array, " item"],
    folds: int = 5,
) -> Float[Array, "item label"]:
    """What a method says of every item without having been told its truth.

    Args:
      key: of the folds, and for the method.
      method: `(key, gold) -> log_posterior`, such as `lambda key, gold: aggregate("ibcc", key,
        table, dims, gold)`; it is called with one fold of the gold hidden, for each.
      gold: true labels, -1 where unknown.
      folds: in how many parts, of sizes that differ by one at most, gold is cut at random.

    Returns:
      Log-probabilities: of a gold item those of the method that was not told its fold; of others
      the logarithm of the folds' mean.

    Raises:
      InputError: less than two folds.
    """
    if folds < 2:
        raise InputError(f"gold must be cut in two folds or more, not {folds}")
    key_fold, key_method = jax.random.split(key)
    lottery = jnp.where(gold >= 0, jax.random.uniform(key_fold, gold.shape), 2)
    fold = jnp.argsort(jnp.argsort(lottery)) % folds

    def hide(number):
        hidden = jnp.where(fold == number, -1, gold)
        return method(jax.random.fold_in(key_method, number), hidden)

    log_posterior = jax.lax.map(hide, jnp.arange(folds))  # [fold, item, label]
    own = jnp.take_along_axis(log_posterior, fold[None, :, None], axis=0)[0]
    average = jax.nn.logsumexp(log_posterior, axis=0) - jnp.log(folds)
    return jnp.where((gold >= 0)[:, None], own, average)


def worker_accuracy(
    table: Annotations,
    dims: Dims,
    gold: Int[Array, " item"],
    log_posterior: Float[Array, "item label"],
    confidence: float = 0.95,
) -> Interval:
    """How often each worker is right: y = 1[label = truth], f the posterior of the label.

    Args:
      table: annotations; those of weight 0 do not exist, and others count once.
      dims: its sizes.
      gold: true labels of items drawn at random, -1 where unknown.
      log_posterior: of `cross_fitted`.
      confidence: how often such intervals hold the worker's accuracy, in (0, 1).

    Returns:
      A share a worker, NaN for fewer than two gold annotations. As y is 0 or 1, and a few of them
      are often all 1, intervals are those of a mean with two right and two wrong rows more, of
      average prediction (Agresti and Coull's, which it is where predictions say nothing), and
      normal. They err on the wide side, the more so the fewer annotations there are.

    Raises:
      InputError: confidence is not in (0, 1).
    """
    statistics.check_confidence(confidence)
    row_gold = gold[table.item]
    right = (table.label == row_gold).astype(table.weight.dtype)
    belief = jnp.exp(log_posterior)[table.item, table.label]
    worker = jnp.where(table.weight > 0, table.worker, dims.workers)
    plain = means(right, belief, row_gold >= 0, worker, dims.workers)

    there = jnp.where(table.weight > 0, 1.0, 0.0).astype(belief.dtype)
    sums = jnp.zeros((2, dims.workers), belief.dtype)
    sums = sums.at[:, table.worker].add(jnp.stack([there * belief, there]))
    average = sums[0] / jnp.maximum(sums[1], 1)
    made = jnp.tile(jnp.arange(dims.workers), 4)
    wider = means(
        jnp.concatenate([right, jnp.where(jnp.arange(made.size) < made.size // 2, 1.0, 0.0)]),
        jnp.concatenate([belief, jnp.tile(average, 4)]),
        jnp.concatenate([row_gold >= 0, jnp.ones(made.shape, bool)]),
        jnp.concatenate([worker, made]),
        dims.workers,
    )
    half = ndtri((1 + confidence) / 2) * wider.error
    judged = plain.known >= LEAST
    share = lambda x: jnp.where(judged, jnp.clip(x, 0, 1), jnp.nan)
    low, high = share(wider.estimate - half), share(wider.estimate + half)
    return Interval(share(plain.estimate), low, high, plain.known)


def accuracy(
    gold: Int[Array, " item"],
    log_posterior: Float[Array, "item label"],
    confidence: float = 0.95,
) -> Interval:
    """How often the aggregate is right, on gold that it was not told.

    Args:
      gold: true labels of items drawn at random, -1 where unknown.
      log_posterior: of `cross_fitted`; see `statistics.accuracy`.
      confidence: how often such intervals hold the accuracy, in (0, 1).

    Returns:
      Of an aggregate that is told a fold less than all; Wilson's interval, NaN without gold.

    Raises:
      InputError: confidence is not in (0, 1).
    """
    count = (gold >= 0).sum().astype(log_posterior.dtype)
    share = jnp.where(count > 0, statistics.accuracy(log_posterior, gold), jnp.nan)
    low, high = statistics.wilson(share, count, confidence)
    return Interval(share, low, high, count)

"""Many labels for few items, or one for many: error against redundancy at a fixed budget.

N annotations, r for each item, label N / r items. Two predictions of the error of a classifier
trained on the posterior of the labels, both for workers whose quality is known:

    A, the bound       error <= C sqrt(r) / (1 - 2 beta(r)) sqrt(V / N)
    B, the efficiency  error / (error of N clean labels) ~ sqrt(r / omega(r))

For two equally likely classes beta(r) is the posterior mass that r labels leave on the wrong one,
on average, and 1 - 2 beta(r) = E[E[y | labels]^2], y in {-1, 1}, the information in them. For K
classes with posterior P that is

    omega(r) = (K E[sum_k P_k^2] - 1) / (K - 1)

1 where the labels settle the truth, 0 where (under a uniform prior) they say nothing.

A is how the paper's theorem depends on r, for VC dimension V and confusions known exactly
(eps = 0). B is not in the paper but derived: least squares on soft targets has signal omega and
noise omega, so N annotations are worth N omega(r) / r clean labels. By A good workers label once,
others repeatedly. By B once is best at any quality, of one-coin workers with two classes or of
hammers and spammers, as omega(r) / r then falls; with more classes it can rise, since labels that
each rule out some classes settle the truth together.

The figure draws workers at random and counts `information`; for users there are closed forms where
all are of one kind: `information_one_coin`, `posterior_error`, `bound`, and
`information_hammer_spammer`.

A. Khetan, Z. C. Lipton, A. Anandkumar.
Learning From Noisy Singly-labeled Data. ICLR 2018. https://arxiv.org/abs/1712.04577
"""

import jax
import jax.numpy as jnp
from jax.scipy.stats import binom
from jaxtyping import Array, Float, Scalar, ScalarLike

from trinity_jax.data.aggregation.workers import annotate
from trinity_jax.types import PRNGKey

MAX_REDUNDANCY = 50  # static, so that redundancy can be traced; above it the answer is NaN


def posterior_error(error: ScalarLike, redundancy: ScalarLike) -> Scalar:
    """beta(r): posterior mass on the wrong one of two classes, for workers who all err alike.

        beta(r) = rho^r sum_u C(r, u) / (tau_u + tau_{r-u}),    tau_u = (rho / (1 - rho))^u

    Term by term: the probability of u wrong labels, times the posterior of the wrong class.

    Args:
        error: the error rho of every worker, at most 1/2.
        redundancy: labels per item r, at most `MAX_REDUNDANCY`.
    """
    probability, log_odds = _wrong_labels(error, redundancy)
    return jnp.sum(probability * jax.nn.sigmoid(-log_odds))


def information_one_coin(error: ScalarLike, redundancy: ScalarLike) -> Scalar:
    """omega(r) = 1 - 2 beta(r), without the difference: precise where workers all but guess."""
    probability, log_odds = _wrong_labels(error, redundancy)
    return jnp.sum(probability * jnp.tanh(log_odds / 2) ** 2)


def information_hammer_spammer(quality: ScalarLike, redundancy: ScalarLike) -> Scalar:
    """omega(r) = 1 - (1 - gamma)^r, the share of items that at least one hammer labels.

    For any number of classes: a share gamma of workers is always right, the others guess.
    """
    return -jnp.expm1(redundancy * jnp.log1p(-jnp.asarray(quality)))


def information(
    key: PRNGKey,
    confusions: Float[Array, "worker truth label"],
    prior: Float[Array, " truth"],
    redundancy: ScalarLike,
    num_samples: int,
) -> Scalar:
    """omega(r) of given workers, by Monte Carlo over who labels, the truth, and the labels.

    Redundancy only says how many of an item's labels are seen, so under `vmap` all its values
    share the draws.

    Args:
        key: for the draws.
        confusions: P(label | truth) of each worker, `[worker, truth, label]`.
        prior: P(truth), `[truth]`.
        redundancy: distinct workers per item r, at most `worker` and `MAX_REDUNDANCY`.
        num_samples: items drawn; the standard error is at most 0.5 / sqrt(num_samples).
    """
    num_workers, num_classes, _ = confusions.shape
    slots = min(num_workers, MAX_REDUNDANCY)
    key_truth, key_label = jax.random.split(key)
    truth = jax.random.categorical(key_truth, jnp.log(prior), shape=(num_samples,))
    table = annotate(key_label, truth, confusions, slots)

    evidence = jnp.log(confusions)[table.worker, :, table.label]
    evidence = evidence.reshape(num_samples, slots, num_classes)
    seen = (jnp.arange(slots) < redundancy)[None, :, None]
    logits = jnp.log(prior)[None] + jnp.where(seen, evidence, 0.0).sum(axis=1)
    concentration = jnp.mean(jnp.sum(jax.nn.softmax(logits) ** 2, axis=1))
    omega = (num_classes * concentration - 1) / (num_classes - 1)
    return jnp.where(jnp.asarray(redundancy) <= slots, omega, jnp.nan)


def bound(error: ScalarLike, redundancy: ScalarLike) -> Scalar:
    """Prediction A for workers who all err alike: sqrt(r) / (1 - 2 beta(r))."""
    return bound_of(information_one_coin(error, redundancy), redundancy)


def bound_of(information: ScalarLike, redundancy: ScalarLike) -> Scalar:
    """Prediction A for workers of whom omega(r) is known, 1 - 2 beta(r) for two classes."""
    return jnp.sqrt(jnp.asarray(redundancy)) / information


def efficiency(information: ScalarLike, redundancy: ScalarLike) -> Scalar:
    """Prediction B, the error relative to as many clean labels: sqrt(r / omega(r))."""
    return jnp.sqrt(redundancy / jnp.asarray(information))


def _wrong_labels(
    error: ScalarLike, redundancy: ScalarLike
) -> tuple[Float[Array, " count"], Float[Array, " count"]]:
    """For each count u of wrong labels among r: its probability, and the log-odds of the truth."""
    redundancy, wrong = jnp.asarray(redundancy), jnp.arange(MAX_REDUNDANCY + 1)
    rho = jnp.maximum(error, jnp.finfo(jnp.float32).tiny)  # a tie of perfect workers: 0, not NaN
    probability = binom.pmf(wrong, redundancy, rho)
    probability = jnp.where(redundancy <= MAX_REDUNDANCY, probability, jnp.nan)
    log_odds = jnp.log1p((1 - 2 * rho) / rho)  # log((1 - rho) / rho), precise near 1/2
    return probability, (redundancy - 2 * wrong) * log_odds

"""Model-bootstrapped EM: the network's own predictions say how good the workers are.

Start from the soft vote P, and repeat

    f            trained on P                           posterior-weighted cross-entropy
    t_i          = argmax_k f_k(x_i)                    the model's answer for a training item
    pi[a, k, l]  proportional to sum_{t: worker_t = a} 1[t_i = k, label_t = l] + prior
    P[i, k]      proportional to f_k(x_i)^tau q_k prod_{t: item_t = i} pi[worker_t, k, label_t]

The reference answer comes from the model, not from agreement between workers, so a worker's
quality can be known when every item is labelled once, where Dawid-Skene learns nothing.

A. Khetan, Z. C. Lipton, A. Anandkumar. Learning From Noisy Singly-labeled Data. ICLR 2018,
algorithm 1. There tau = 0, the prior is nothing and q uniform, which are the defaults; the authors'
code also trains every model a second time on its own answers (`distilled`). With few labels per
worker the rows of pi are estimated from one or two labels each; `strength` pseudo-labels then
shrink a worker's confusion towards that worker's own one-coin matrix. With tau = 1 the model's
prediction is evidence beside the labels.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from trinity_jax.algorithms.em import EM, Info, largest_change
from trinity_jax.data.aggregation.annotations import Annotations, Dims, confusion_counts
from trinity_jax.data.aggregation.dawid_skene import class_prior, expectation, log_normalise
from trinity_jax.data.aggregation.majority import soft_vote
from trinity_jax.data.aggregation.one_coin import agreement, coin_confusion
from trinity_jax.types import PRNGKey

LogProbs = Float[Array, "item label"]
Reference = Callable[[LogProbs], Float[Array, "item label"]]
History = Float[Array, "#worker #label #label"] | float


class State(NamedTuple):
    """Posterior of the hidden labels, the confusions it comes from, and the model's predictions."""

    log_posterior: LogProbs
    log_confusion: Float[Array, "worker truth label"]
    log_probs: LogProbs


def hard_reference(log_probs: LogProbs) -> Float[Array, "item label"]:
    """The model's answer: all mass on its most likely label."""
    return jax.nn.one_hot(log_probs.argmax(1), log_probs.shape[1], dtype=log_probs.dtype)


def soft_reference(log_probs: LogProbs) -> Float[Array, "item label"]:
    """The model's probabilities, which say how sure it is."""
    return jax.nn.softmax(log_probs)


def log_confusion(
    table: Annotations,
    dims: Dims,
    reference: Float[Array, "item label"],
    strength: Float[Array, ""] | float = 0.0,
    history: History = 0.0,
) -> Float[Array, "worker truth label"]:
    """Logarithm of the workers' confusions against a reference.

    Args:
      table: annotations.
      dims: sizes.
      reference: probabilities of the true label, from outside the table.
      strength: pseudo-labels in each row, distributed as the worker's one-coin matrix. That coin's
        own prior is two labels at chance level. 0 is the paper's estimate; a row without labels
        is then uniform.
      history: counts of earlier labels, broadcast to [worker, truth, label], as if they were in the
        table, for the coin too.
    """
    chance, shape = 2 / dims.labels, (dims.workers, dims.labels, dims.labels)
    history = jnp.broadcast_to(history, shape)
    before = history.trace(axis1=1, axis2=2)
    right, wrong = chance + before, 2 - chance + history.sum((1, 2)) - before
    skill = agreement(table, dims, reference, right, wrong)
    prior = strength * jnp.exp(coin_confusion(skill, dims.labels)) + history
    return log_normalise(confusion_counts(table, dims, reference) + prior)


def update(
    table: Annotations,
    dims: Dims,
    log_probs: LogProbs,
    strength: Float[Array, ""] | float = 0.0,
    tau: Float[Array, ""] | float = 0.0,
    reference: Reference = hard_reference,
    estimate_prior: bool = False,
    history: History = 0.0,
) -> State:
    """Confusions from the model's answers, and the posterior from the confusions.

    Args:
      table: annotations.
      dims: sizes.
      log_probs: the model's log-probabilities (or logits) for the training items.
      strength: see `log_confusion`.
      tau: how much the prediction counts as evidence beside the labels, 0 to 1.
      reference: what of the prediction workers are compared with.
      estimate_prior: whether q is the share of each class in the reference, instead of uniform.
      history: see `log_confusion`.
    """
    log_probs = jax.nn.log_softmax(log_probs)
    answers = reference(log_probs)
    confusion = log_confusion(table, dims, answers, strength, history)
    uniform = jnp.full(dims.labels, -jnp.log(dims.labels))
    log_prior = class_prior(table, dims, answers) if estimate_prior else uniform
    log_posterior, _ = expectation(table, dims, confusion, log_prior[None] + tau * log_probs)
    return State(log_posterior, confusion, log_probs)


def predictive_likelihood(table: Annotations, state: State) -> Float[Array, ""]:
    """How well model and confusions predict labels: the mean of log sum_k f_k(x_i) pi[a, k, l].

    On labels that neither has seen it needs no gold, and says when more rounds do harm.
    """
    log_label = state.log_confusion[table.worker, :, table.label]
    per_label = jax.nn.logsumexp(state.log_probs[table.item] + log_label, axis=1)
    return (per_label * table.weight).sum() / jnp.maximum(table.weight.sum(), 1e-9)


def model_bootstrapped(
    dims: Dims,
    fit_predict: Callable[[PRNGKey, Float[Array, "item label"]], LogProbs],
    strength: Float[Array, ""] | float = 0.0,
    tau: Float[Array, ""] | float = 0.0,
    reference: Reference = hard_reference,
    estimate_prior: bool = False,
    held_out: Annotations | None = None,
    history: History = 0.0,
) -> EM:
    """MBEM as an `EM`: one step trains the model once and updates the posterior once.

    Args:
      dims: sizes of the table.
      fit_predict: `(key, posterior) -> log-probabilities`: trains a model from scratch on the items
        with these soft labels, and predicts the same items (out of fold, if it wants; see
        `out_of_fold`). The algorithm sees no network.
      strength: see `update`, as for the next three.
      tau: weight of the prediction in the posterior.
      reference: what of the prediction workers are compared with.
      estimate_prior: whether the class prior is estimated.
      held_out: labels that the objective, the predictive likelihood, is taken over; by default
        those of the table itself. `em.fit_best` keeps the round where it is highest.
      history: see `log_confusion`.
    """

    def init(key, table, /):
        del key
        posterior = soft_vote(table, dims)
        log_posterior = jnp.log(posterior)
        confusion = log_confusion(table, dims, posterior, strength, history)
        return State(log_posterior, confusion, log_posterior)

    def step(key, state, table, /):
        log_probs = fit_predict(key, jnp.exp(state.log_posterior))
        new = update(table, dims, log_probs, strength, tau, reference, estimate_prior, history)
        objective = predictive_likelihood(table if held_out is None else held_out, new)
        return new, Info(objective, largest_change(new.log_posterior, state.log_posterior))

    return EM(init, step)


def distilled(
    fit_predict: Callable[[PRNGKey, Float[Array, "item label"]], LogProbs],
) -> Callable[[PRNGKey, Float[Array, "item label"]], LogProbs]:
    """Predictions of a model trained on the answers of a first one, as in the authors' code.

    Args:
      fit_predict: see `model_bootstrapped`.

    Returns:
      `fit_predict` for `model_bootstrapped`.
    """

    def predict(key, posterior):
        key_first, key_second = jax.random.split(key)
        return fit_predict(key_second, hard_reference(fit_predict(key_first, posterior)))

    return predict


def out_of_fold(
    fit_predict: Callable[[PRNGKey, Float[Array, "item label"], Float[Array, " item"]], LogProbs],
    num_folds: int,
) -> Callable[[PRNGKey, Float[Array, "item label"]], LogProbs]:
    """Predictions for each item by a model that was not trained on it.

    Args:
      fit_predict: `(key, posterior, weight of each item) -> log-probabilities` of all items.
      num_folds: models trained, each without one fold of the items.

    Returns:
      `fit_predict` for `model_bootstrapped`.
    """

    def predict(key, posterior):
        key_fold, key_fit = jax.random.split(key)
        num_items = posterior.shape[0]
        fold = jax.random.permutation(key_fold, jnp.arange(num_items) % num_folds)
        weights = (fold[None] != jnp.arange(num_folds)[:, None]).astype(posterior.dtype)
        keys = jax.random.split(key_fit, num_folds)
        by_fold = jax.lax.map(lambda a: fit_predict(a[0], posterior, a[1]), (keys, weights))
        return by_fold[fold, jnp.arange(num_items)]

    return predict

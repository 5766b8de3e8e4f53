"""CROWDLAB: one pool of the workers' labels and a model's predictions, and how good each is.

With pbar the model's probabilities, r_i the labels of item i, K classes, and all means over items
that have two labels or more:

    A_a     = how often the others on worker a's items agree with a
    P0, E0  = share of labels that agree with the consensus h; share of items not of its top class
    w_a     = 1 - (1 - A_a) / E0,    w_M = (1 - error of argmax pbar against h / E0) sqrt(mean r)
    P[i, k] = ( w_M pbar[i, k] + sum_{t: item_t = i} w_a (P0 if label_t = k else Q0) )
              / ( w_M + sum_{t: item_t = i} w_a ),        a = worker_t,  Q0 = (1 - P0) / (K - 1)

first for h the majority vote, then for h = argmax P. ActiveLab then scores items, the lowest first
to be labelled again: their quality P[i, h_i], drawn to 1 / K by a label of average weight.

H. W. Goh, U. Tkachenko, J. Mueller. CROWDLAB: Supervised learning to infer consensus labels and
quality scores for data with multiple annotators. arXiv:2210.06812, 2022. H. W. Goh, J. Mueller.
ActiveLab: Active learning with re-labeling by multiple annotators. arXiv:2301.11856, 2023.
As in cleanlab.multiannotator.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from trinity_jax.data.aggregation.annotations import Annotations, Dims, by_worker, votes
from trinity_jax.data.aggregation.one_coin import agreement

SMALLEST = 1e-6  # weights and E0 below it are taken for it


class Result(NamedTuple):
    """What CROWDLAB says of items, workers and the model.

    Attributes:
      log_posterior: log P.
      label: the consensus h.
      quality: P of the consensus.
      active_score: ActiveLab's score; an item without labels has one too.
      worker_quality: mean P of a worker's labels and agreement with the consensus, mixed as the
        model and the workers are; 1 / labels for a worker without labels.
      worker_weight: w_a.
      model_weight: w_M.
    """

    log_posterior: Float[Array, "item label"]
    label: Int[Array, " item"]
    quality: Float[Array, " item"]
    active_score: Float[Array, " item"]
    worker_quality: Float[Array, " worker"]
    worker_weight: Float[Array, " worker"]
    model_weight: Float[Array, ""]


def crowdlab(table: Annotations, dims: Dims, log_probs: Float[Array, "item label"]) -> Result:
    """Consensus labels and qualities from labels and a model.

    Votes that tie go to the label the model finds likeliest, then to that given least in all, then
    to that of workers who agree more with others, then to the first. Where no item has two labels
    nothing tells how good anybody is: then every weight is 1, the consensus is what was given, and
    P is the model's.

    Args:
      table: annotations; weights are multiplicities.
      dims: sizes.
      log_probs: the model's log-probabilities, for items that it was not trained on. For ActiveLab
        calibrate them before (cleanlab does, by a temperature).
    """
    probs = jax.nn.softmax(log_probs)
    count = votes(table, dims)
    agreed = _agreement_with_others(table, dims, count)
    vote = _vote(table, dims, count, probs, agreed)
    posterior = _pool(table, dims, count, probs, agreed, vote)[0]
    best = _best(posterior, jax.nn.one_hot(vote, dims.labels))
    label = jnp.where(_shared(count).any(), best, vote)
    posterior, total, worker_weight, model_weight = _pool(table, dims, count, probs, agreed, label)
    quality = jnp.take_along_axis(posterior, label[:, None], axis=1)[:, 0]

    used = jnp.zeros(dims.workers, bool).at[table.worker].max(table.weight > 0)
    one_more = _mean(worker_weight, used)  # the weight of a label to come
    of_guess = one_more / (total + model_weight + one_more)
    active_score = (1 - of_guess) * quality + of_guess / dims.labels

    of_model = model_weight / (model_weight + one_more * _labels_an_item(count))
    shared = table._replace(weight=table.weight * _shared(count)[table.item])
    met = jnp.zeros(dims.workers, bool).at[table.worker].max(shared.weight > 0)
    of_labels = agreement(table, dims, posterior)
    of_consensus = agreement(shared, dims, jax.nn.one_hot(label, dims.labels))
    mixed = of_model * of_labels + (1 - of_model) * of_consensus
    worker_quality = jnp.where(met, mixed, of_labels)
    log_posterior = jnp.log(posterior)
    return Result(
        log_posterior, label, quality, active_score, worker_quality, worker_weight, model_weight
    )


def _shared(count: Float[Array, "item label"]) -> Bool[Array, " item"]:
    """Which items have two labels or more."""
    return count.sum(1) > 1


def _labels_an_item(count: Float[Array, "item label"]) -> Float[Array, ""]:
    """Mean r, over the items that have labels."""
    return count.sum() / (count.sum(1) > 0).sum()


def _vote(
    table: Annotations,
    dims: Dims,
    count: Float[Array, "item label"],
    probs: Float[Array, "item label"],
    agreed: Float[Array, " worker"],
) -> Int[Array, " item"]:
    """Majority vote, with ties as `crowdlab` says."""
    trust = votes(by_worker(table, agreed), dims) / jnp.maximum(count, SMALLEST)
    rarity = jnp.broadcast_to(-count.sum(0)[None], count.shape)
    return _best(count, probs, rarity, trust)


def _pool(
    table: Annotations,
    dims: Dims,
    count: Float[Array, "item label"],
    probs: Float[Array, "item label"],
    agreed: Float[Array, " worker"],
    label: Int[Array, " item"],
) -> tuple[Array, Array, Array, Array]:
    """P, the weight of each item's labels, w_a and w_M, if this label is the consensus."""
    shared = _shared(count)
    consensus = jax.nn.one_hot(label, dims.labels, dtype=probs.dtype)
    top_class = _mean(consensus, shared[:, None], axis=0).max()
    chance_error = jnp.maximum(1 - top_class, SMALLEST)
    model_error = _mean(probs.argmax(1) != label, shared)
    model_weight = jnp.maximum(1 - model_error / chance_error, SMALLEST)
    model_weight = jnp.where(shared.any(), model_weight * _labels_an_item(count) ** 0.5, 1)
    worker_weight = jnp.maximum(1 - (1 - agreed) / chance_error, SMALLEST)
    worker_weight = jnp.where(shared.any(), worker_weight, 1)

    right = _mean((consensus * count).sum(1) / jnp.maximum(count.sum(1), 1), shared)
    wrong = (1 - right) / max(dims.labels - 1, 1)
    mass = votes(by_worker(table, worker_weight), dims)
    total = mass.sum(1, keepdims=True)
    posterior = model_weight * probs + right * mass + wrong * (total - mass)
    posterior = jnp.where(shared.any(), posterior / (model_weight + total), probs)
    return posterior, total[:, 0], worker_weight, model_weight


def _agreement_with_others(
    table: Annotations, dims: Dims, count: Float[Array, "item label"]
) -> Float[Array, " worker"]:
    """A: the mean of all workers for one who shares no item with another."""
    zero = jnp.zeros(dims.workers, count.dtype)
    same = count[table.item, table.label] - table.weight
    others = count.sum(1)[table.item] - table.weight
    agreed = zero.at[table.worker].add(table.weight * same)
    total = zero.at[table.worker].add(table.weight * others)
    rate = agreed / jnp.where(total > 0, total, 1)
    return jnp.where(total > 0, rate, _mean(rate, total > 0))


def _mean(values, included, axis=None):
    """Mean over the entries that are included, 0 if none are."""
    return jnp.where(included, values, 0).sum(axis) / jnp.maximum(included.sum(axis), 1)


def _best(*scores: Float[Array, "item label"]) -> Int[Array, " item"]:
    """The label of highest first score; of tied ones that of highest second, and so on."""
    best = jnp.ones_like(scores[0], dtype=bool)
    for score in scores:
        score = jnp.where(best, score, -jnp.inf)
        best &= score == score.max(1, keepdims=True)
    return best.argmax(1)

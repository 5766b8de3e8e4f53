"""Networks that learn from each worker's labels directly: Crowd Layer and CoNAL.

There is no posterior. A base network predicts the hidden label, a small layer a worker turns that
into the label the worker would give, and both are trained on the labels given; afterwards the base
network is used alone. Losses are means over annotations, in nats.

    Crowd Layer   p(label | x, a) = softmax(W_a f(x))                 W_a [label, label], or simpler
    CoNAL         p(label | x, a) = omega pi_g f(x) + (1 - omega) pi_a f(x)
                  omega = sigmoid(u_a . v(x)): how much of a worker's confusion is everybody's

F. Rodrigues, F. C. Pereira. Deep learning from crowds. AAAI 2018.
Z. Chu, J. Ma, H. Wang. Learning from crowds by modeling common confusions. AAAI 2021.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from trinity_jax.algorithms.networks import Network
from trinity_jax.data.aggregation.annotations import Annotations, Dims
from trinity_jax.data.aggregation.dawid_skene import SMALLEST
from trinity_jax.types import Params, PRNGKey


def _mean(table: Annotations, log_likelihood: Float[Array, " annotation"]) -> Float[Array, ""]:
    return -(log_likelihood * table.weight).sum() / jnp.maximum(table.weight.sum(), SMALLEST)


def matrix_weights(dims: Dims) -> Float[Array, "worker label label"]:
    """The Crowd Layer's start, kind MW: every worker repeats the truth."""
    return jnp.tile(jnp.eye(dims.labels), (dims.workers, 1, 1))


def crowd_layer_loss(
    weights: Float[Array, "worker label label"],
    logits: Float[Array, "annotation label"],
    features: Float[Array, "annotation feature"],
    table: Annotations,
) -> Float[Array, ""]:
    """Cross-entropy of the labels given, by the Crowd Layer of kind MW.

    Args:
      weights: a linear map a worker, [worker, given, true]; not a confusion, nothing bounds it.
      logits: of the base network, for the item of each annotation. Its probabilities, not its
        logits, are mapped.
      features: not used.
      table: annotations, all or a batch of them.
    """
    del features
    mapped = jnp.einsum("tgk,tk->tg", weights[table.worker], jax.nn.softmax(logits))
    log_label = jax.nn.log_softmax(mapped)[jnp.arange(len(table.label)), table.label]
    return _mean(table, log_label)


class Conal(NamedTuple):
    """Parameters of CoNAL beside the base network."""

    common: Float[Array, "truth label"]  # logits of everybody's confusion
    own: Float[Array, "worker truth label"]  # logits of each worker's
    worker: Float[Array, "worker embedding"]
    feature: Float[Array, "feature embedding"]


def conal_start(key: PRNGKey, dims: Dims, num_features: int, embedding: int = 20) -> Conal:
    """Confusions near the identity, and small random embeddings."""
    key_worker, key_feature = jax.random.split(key)
    eye = 2 * jnp.eye(dims.labels)
    return Conal(
        eye,
        jnp.tile(eye, (dims.workers, 1, 1)),
        jax.random.normal(key_worker, (dims.workers, embedding)) / jnp.sqrt(embedding),
        jax.random.normal(key_feature, (num_features, embedding)) / jnp.sqrt(num_features),
    )


def conal_loss(
    params: Conal,
    logits: Float[Array, "annotation label"],
    features: Float[Array, "annotation feature"],
    table: Annotations,
    separation: float = 1e-5,
) -> Float[Array, ""]:
    """Cross-entropy of the labels given, by CoNAL.

    Args:
      params: confusions and embeddings.
      logits: of the base network, for the item of each annotation.
      features: of the same items, for the gate.
      table: annotations, all or a batch of them.
      separation: weight of the distance between a worker's confusion and everybody's, which is
        subtracted so that the two do not become the same.
    """
    probs = jax.nn.softmax(logits)
    common, own = jax.nn.softmax(params.common), jax.nn.softmax(params.own)
    item = features @ params.feature
    item = item / jnp.sqrt((item**2).sum(1, keepdims=True) + SMALLEST)
    gate = jax.nn.sigmoid((item * params.worker[table.worker]).sum(1))
    given = jnp.arange(len(table.label)), table.label
    by_common = (probs @ common)[given]
    by_own = jnp.einsum("tk,tkl->tl", probs, own[table.worker])[given]
    mixture = gate * by_common + (1 - gate) * by_own
    apart = jnp.sqrt(((own - common[None]) ** 2).sum((1, 2)) + SMALLEST).sum()
    return _mean(table, jnp.log(jnp.maximum(mixture, SMALLEST))) - separation * apart


def train(
    key: PRNGKey,
    network: Network,
    inputs: Float[Array, "item feature"],
    table: Annotations,
    start: Any,
    loss: Callable[[Any, Array, Array, Annotations], Float[Array, ""]],
    *,
    weight_decay: Float[Array, ""] | float,
    learning_rate: float,
    batch_size: int,
    num_steps: Array | int,
) -> Params:
    """Trains a base network and a layer on top of it on the labels themselves, with Adam.

    Args:
      key: for the base network's start and the batches of annotations.
      network: the base, without batch normalisation.
      inputs: of all items.
      table: annotations; those of weight 0 are never drawn.
      start: parameters of the layer.
      loss: `(layer, logits, inputs, annotations) -> loss` of a batch of annotations.
      weight_decay: L2 on the base network alone.
      learning_rate: of Adam.
      batch_size: annotations a step.
      num_steps: steps.

    Returns:
      The parameters of the base network; the layer has done its work.
    """
    key_start, key_batch = jax.random.split(key)
    base, stats = network.init(key_start, inputs[:1])
    optimiser = optax.adam(learning_rate)
    real_first = jnp.argsort(table.weight == 0)
    existing = (table.weight > 0).sum()

    def objective(params, batch):
        base, layer = params
        x = inputs[batch.item]
        squares = sum((leaf**2).sum() for leaf in jax.tree.leaves(base))
        return loss(layer, network.apply(base, stats, x), x, batch) + weight_decay * squares / 2

    def step(t, carry):
        params, state = carry
        draws = jax.random.randint(jax.random.fold_in(key_batch, t), (batch_size,), 0, existing)
        batch = jax.tree.map(lambda column: column[real_first[draws]], table)
        update, state = optimiser.update(jax.grad(objective)(params, batch), state)
        return optax.apply_updates(params, update), state

    params = (base, start)
    (base, _), _ = jax.lax.fori_loop(0, num_steps, step, (params, optimiser.init(params)))
    return base

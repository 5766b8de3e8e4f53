"""Crowd Layer and CoNAL: losses by loops, and a worker who swaps labels is seen through."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.algorithms.networks import softmax
from trinity_jax.data.aggregation import crowd_layer
from trinity_jax.data.aggregation.annotations import Annotations, Dims, annotations

DIMS = Dims(items=5, workers=3, labels=4)


@pytest.fixture
def batch():
    """Logits, features and annotations, one of them of weight 0 and one of 2."""
    random = np.random.default_rng(0)
    table = Annotations(
        jnp.arange(5), jnp.array([0, 1, 2, 0, 1]), jnp.array([3, 0, 1, 1, 2]), jnp.ones(5)
    )
    table = table._replace(weight=jnp.array([1.0, 0.0, 1.0, 2.0, 1.0]))
    return jnp.array(random.normal(size=(5, 4))), jnp.array(random.normal(size=(5, 6))), table


def normalised(logits):
    exp = np.exp(logits - logits.max(-1, keepdims=True))
    return exp / exp.sum(-1, keepdims=True)


def mean_loss(table, likelihood):
    weight = np.asarray(table.weight)
    return -(np.log(likelihood) * weight).sum() / weight.sum()


def test_crowd_layer_loss_equals_loops(batch):
    logits, features, table = batch
    weights = np.random.default_rng(1).normal(size=(3, 4, 4)).astype(np.float32)
    likelihood = []
    for t in range(5):
        mapped = weights[table.worker[t]] @ normalised(np.array(logits[t]))
        likelihood.append(normalised(mapped)[table.label[t]])
    found = crowd_layer.crowd_layer_loss(jnp.array(weights), logits, features, table)
    np.testing.assert_allclose(found, mean_loss(table, np.array(likelihood)), rtol=1e-5)


def test_it_starts_by_believing_everybody(batch):
    logits, features, table = batch
    found = crowd_layer.crowd_layer_loss(crowd_layer.matrix_weights(DIMS), logits, features, table)
    probs = normalised(normalised(np.array(logits)))
    expected = mean_loss(table, probs[np.arange(5), np.array(table.label)])
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_conal_loss_equals_loops(batch):
    logits, features, table = batch
    params = crowd_layer.conal_start(jax.random.key(0), DIMS, 6, embedding=2)
    params = params._replace(own=params.own + jax.random.normal(jax.random.key(1), (3, 4, 4)))
    common, own, worker, feature = map(np.array, params)
    probs, likelihood = normalised(np.array(logits)), []
    for t in range(5):
        item = np.array(features[t]) @ feature
        gate = 1 / (1 + np.exp(-(item / np.linalg.norm(item)) @ worker[table.worker[t]]))
        confusion = gate * normalised(common) + (1 - gate) * normalised(own)[table.worker[t]]
        likelihood.append((probs[t] @ confusion)[table.label[t]])
    apart = sum(np.linalg.norm(normalised(matrix) - normalised(common)) for matrix in own)
    expected = mean_loss(table, np.array(likelihood)) - 0.1 * apart
    found = crowd_layer.conal_loss(params, logits, features, table, separation=0.1)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_gradients_are_finite_where_a_worker_is_like_everybody(batch):
    logits, features, table = batch
    params = crowd_layer.conal_start(jax.random.key(0), DIMS, 6)  # own confusions = the common one
    gradient = jax.grad(crowd_layer.conal_loss)(params, logits, 0 * features, table)
    chex.assert_tree_all_finite(gradient)


def swapped():
    """Two clusters in the plane; worker 0 is right, 1 guesses, 2 always says the other label."""
    random = np.random.default_rng(0)
    truth = random.integers(2, size=200)
    x = random.normal(size=(200, 2)) + 4 * np.stack([truth, 1 - truth], axis=1)
    label = np.stack([truth, random.integers(2, size=200), 1 - truth], axis=1)
    seen = np.stack([np.ones(200), np.ones(200), np.arange(200) % 2], axis=1) > 0
    item, worker = np.nonzero(seen)
    table, dims = annotations(item, worker, label[item, worker])
    return jnp.array(x, jnp.float32), jnp.array(truth), table, dims


def learn(loss, start, key, x, table):
    network = softmax(2)
    how = {"weight_decay": 1e-3, "learning_rate": 0.05, "batch_size": 20, "num_steps": 300}
    base = crowd_layer.train(key, network, x, table, start, loss, **how)
    return network.apply(base, {}, x).argmax(1)


@pytest.mark.parametrize("method", ["crowd_layer", "conal"])
def test_who_swaps_labels_is_seen_through(method):
    x, truth, table, dims = swapped()
    if method == "conal":
        start, loss = crowd_layer.conal_start(jax.random.key(1), dims, 2), crowd_layer.conal_loss
    else:
        start, loss = crowd_layer.matrix_weights(dims), crowd_layer.crowd_layer_loss
    traces = []

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(0, None))
    def run(key, table):
        traces.append(1)
        return learn(loss, start, key, x, table)

    padding = Annotations(*(jnp.zeros(50, int) for _ in range(3)), jnp.zeros(50))
    padding = padding._replace(label=jnp.ones(50, int))  # would say 1 of the first item
    padded = jax.tree.map(lambda *columns: jnp.concatenate(columns), padding, table)
    keys = lambda: jax.random.split(jax.random.key(0), 2)
    found = run(keys(), padded)
    assert ((found == truth[None]).mean(1) > 0.95).all()
    np.testing.assert_array_equal(found, run(keys(), padded))
    assert len(traces) == 1

"""Raykar's EM: its rounds by loops, and what a model adds to labels given once."""

import jax
import jax.numpy as jnp
import numpy as np

from trinity_jax.algorithms.em import fit
from trinity_jax.data.aggregation.annotations import Dims, annotations, purchase
from trinity_jax.data.aggregation.dawid_skene import dawid_skene_map, pseudo_counts
from trinity_jax.data.aggregation.raykar import raykar

ITEM = [0, 0, 1, 1, 2, 3, 3, 4]
WORKER = [0, 1, 0, 2, 1, 0, 2, 1]
LABEL = [0, 0, 1, 0, 2, 1, 1, 2]
TABLE, DIMS = annotations(ITEM, WORKER, LABEL, Dims(6, 3, 3))  # nobody labelled the last item
SLOPE = np.linspace(0.5, 2, 6)[:, None]


def predict(key, posterior):
    """In place of a network: some items are fitted more sharply than others."""
    del key
    return SLOPE * jnp.log(posterior + 0.1)


def by_loops(prior, num_rounds):
    posterior = np.full((6, 3), 1e-30)
    for item, label in zip(ITEM, LABEL, strict=True):
        posterior[item, label] += 1
    posterior /= posterior.sum(1, keepdims=True)
    for _ in range(num_rounds):
        confusion = np.full((3, 3, 3), prior)
        for item, worker, label in zip(ITEM, WORKER, LABEL, strict=True):
            confusion[worker, :, label] += posterior[item]
        confusion /= confusion.sum(2, keepdims=True)
        posterior = (posterior + 0.1) ** SLOPE
        posterior /= posterior.sum(1, keepdims=True)
        for item, worker, label in zip(ITEM, WORKER, LABEL, strict=True):
            posterior[item] *= confusion[worker, :, label]
        joint = posterior.sum(1, keepdims=True)
        posterior = posterior / joint
    return posterior, confusion, np.log(joint[:5]).sum() / len(ITEM)


def test_equals_loops():
    run = jax.jit(lambda key, prior: fit(raykar(DIMS, predict, prior), key, TABLE, 3))
    for prior in (0.5, 1.0):
        state, info = run(jax.random.key(0), jnp.asarray(prior))
        posterior, confusion, objective = by_loops(prior, 3)
        np.testing.assert_allclose(np.exp(state.log_posterior), posterior, atol=1e-5)
        np.testing.assert_allclose(np.exp(state.log_confusion), confusion, atol=1e-5)
        np.testing.assert_allclose(info.objective[-1], objective, rtol=1e-5)


def test_where_the_model_knows_nothing_it_is_dawid_skene_of_equal_classes():
    silent = lambda key, posterior: jnp.zeros_like(posterior)
    prior = pseudo_counts(DIMS)
    state = fit(raykar(DIMS, silent, prior), jax.random.key(0), TABLE, 1)[0]
    other = fit(dawid_skene_map(DIMS, prior), jax.random.key(0), TABLE, 1)[0]
    expected = jax.nn.log_softmax(other.log_posterior - other.log_prior[None])
    np.testing.assert_allclose(np.exp(state.log_posterior), np.exp(expected), atol=1e-6)


def test_prior_redundancy_and_keys_are_axes_of_one_program():
    traces = []

    @jax.jit
    @jax.vmap
    def run(key, prior, redundancy):
        traces.append(1)
        return fit(raykar(DIMS, predict, prior), key, purchase(TABLE, redundancy), 2)[0]

    keys = lambda: jax.random.split(jax.random.key(0), 2)
    priors, redundancies = jnp.array([0.5, 2.0]), jnp.array([2, 1])
    both = run(keys(), priors, redundancies)
    swapped = run(keys(), priors[::-1], redundancies[::-1])
    assert len(traces) == 1
    np.testing.assert_allclose(both.log_posterior[0], swapped.log_posterior[1], rtol=1e-6)
    assert jnp.abs(both.log_posterior[0] - both.log_posterior[1]).max() > 0.1

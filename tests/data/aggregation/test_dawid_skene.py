"""Dawid-Skene against loops and enumeration, and where it learns nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from trinity_jax.algorithms.em import fit
from trinity_jax.data.aggregation.annotations import Dims, annotations
from trinity_jax.data.aggregation.dawid_skene import (
    dawid_skene,
    dawid_skene_map,
    expectation,
    log_normalise,
    pseudo_counts,
)

DIMS = oracles.DIMS


def answer(em, table, num_rounds):
    run = jax.jit(lambda key, table: fit(em, key, table, num_rounds))
    return run(jax.random.key(0), table)


def test_posterior_equals_enumeration_of_all_truths():
    rng, table = np.random.default_rng(0), oracles.tiny()
    confusion = rng.dirichlet(np.ones(DIMS.labels), (DIMS.workers, DIMS.labels))
    prior = rng.dirichlet(np.ones(DIMS.labels))
    with jax.enable_x64(True):
        compiled = jax.jit(expectation, static_argnums=1)
        found, log_likelihood = compiled(table, DIMS, np.log(confusion), np.log(prior)[None])
    expected, total = oracles.enumeration(oracles.rows(table), DIMS, confusion, prior)
    np.testing.assert_allclose(np.exp(found), expected, rtol=1e-10)
    np.testing.assert_allclose(log_likelihood, total, rtol=1e-10)


def test_equals_loops_and_products(num_rounds=6):
    table = oracles.tiny()
    with jax.enable_x64(True):
        state, info = answer(dawid_skene(DIMS), table, num_rounds)
    rows = oracles.rows(table)

    def maximisation(posterior):
        prior = oracles.class_prior(rows, posterior)
        return oracles.used_cells(rows, DIMS, posterior), prior

    expected = oracles.alternate(rows, DIMS, maximisation, num_rounds)
    np.testing.assert_allclose(np.exp(state.log_posterior), expected.posterior, atol=1e-8)
    np.testing.assert_allclose(np.exp(state.log_confusion), expected.confusion, atol=1e-8)
    np.testing.assert_allclose(np.exp(state.log_prior), expected.prior, atol=1e-8)
    mean = expected.log_likelihood / table.weight.sum()
    np.testing.assert_allclose(info.objective[-1], mean, atol=1e-8)


HISTORY = np.random.default_rng(3).gamma(1.0, size=(DIMS.workers, DIMS.labels, DIMS.labels))


@pytest.mark.parametrize("prior", [None, HISTORY[:1, :1, :1], HISTORY], ids=np.shape)
def test_map_equals_loops_and_products(prior, num_rounds=4):
    table = oracles.tiny()
    with jax.enable_x64(True):
        em = dawid_skene_map(DIMS, None if prior is None else jnp.asarray(prior))
        state, info = answer(em, table, num_rounds)
    rows = oracles.rows(table)
    prior = 0.1 + np.eye(DIMS.labels)[None] if prior is None else prior

    def maximisation(posterior):
        counts = oracles.confusion_counts(rows, DIMS, posterior) + prior
        confusion = counts / counts.sum(axis=-1, keepdims=True)
        return confusion, oracles.class_prior(rows, posterior)

    def objective(em):
        density = (prior * np.log(em.confusion)).sum()
        return (em.log_likelihood + density) / table.weight.sum()

    first, last = (oracles.alternate(rows, DIMS, maximisation, n) for n in (1, num_rounds))
    np.testing.assert_allclose(np.exp(state.log_posterior), last.posterior, atol=1e-8)
    np.testing.assert_allclose(np.exp(state.log_confusion), last.confusion, atol=1e-8)
    gain = objective(last) - objective(first)
    np.testing.assert_allclose(info.objective[-1] - info.objective[0], gain, atol=1e-8)


def test_pseudo_counts():
    expected = [[[2.5, 0.5], [0.5, 2.5]]]
    np.testing.assert_allclose(pseudo_counts(Dims(1, 1, 2), 0.5, 2.0), expected)


def test_log_normalise_raises_what_is_too_small():
    found = np.exp(log_normalise(jnp.array([[1.0, 3.0], [0.0, 1.0], [0.0, 0.0]])))
    np.testing.assert_allclose(found, [[0.25, 0.75], [1e-10, 1], [0.5, 0.5]], rtol=1e-5)


def test_hundreds_of_impossible_labels_do_not_underflow():
    """Two workers, perfect on a hundred items, disagree on the last again and again."""
    item = np.concatenate([np.tile(np.arange(100), 2), np.full(200, 100)])
    worker = np.repeat([0, 1, 0, 1], 100)
    label = np.concatenate([np.arange(200) % 2, np.repeat([0, 1], 100)])
    table, dims = annotations(item, worker, label)
    state, info = answer(dawid_skene(dims), table, 10)
    assert np.isfinite(state.log_posterior).all()
    assert np.isfinite(info.objective).all()
    np.testing.assert_array_equal(state.log_posterior[:100].argmax(1), np.arange(100) % 2)


def test_with_one_label_each_the_labels_are_the_answer():
    """Nobody is ever contradicted, so agreement says nothing about any worker.

    Every worker gave every label: a truth that a worker never met may be any label that the worker
    gave, and then the commoner class wins.
    """
    worker = np.repeat(np.arange(5), 7)
    label = np.tile([0, 0, 0, 0, 1, 1, 2], 5)
    table, dims = annotations(np.arange(35), worker, label)
    state, _ = answer(dawid_skene(dims), table, 5)
    np.testing.assert_allclose(np.exp(state.log_posterior), np.eye(3)[label], atol=1e-6)
    diagonal = np.tile(np.eye(3), (5, 1, 1))
    np.testing.assert_allclose(np.exp(state.log_confusion), diagonal, atol=1e-6)

"""IBCC against loops, and its bound against the evidence itself."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import digamma, gammaln

from trinity_jax.algorithms.em import fit
from trinity_jax.data.aggregation.annotations import annotations
from trinity_jax.data.aggregation.ibcc import divergence, ibcc

ITEM = [0, 0, 0, 1, 1, 2, 2, 2, 3]
WORKER = [0, 1, 2, 0, 2, 0, 1, 2, 1]
LABEL = [0, 0, 1, 2, 1, 2, 2, 2, 0]
TABLE, DIMS = annotations(ITEM, WORKER, LABEL)
PRIOR = 1 + 3 * np.eye(3)


def run(em, table, rounds):
    return jax.jit(lambda key: fit(em, key, table, rounds))(jax.random.key(0))


@pytest.fixture(scope="module")
def fitted():
    """An unused item and 50 rounds."""
    return run(ibcc(DIMS._replace(items=5)), TABLE, 50)


def log_beta(counts):
    return gammaln(counts).sum() - gammaln(counts.sum())


def by_loops(rounds):
    """Posterior, Dirichlets of the confusions, and the bound after each round."""
    posterior = np.zeros((4, 3))
    for i, l in zip(ITEM, LABEL, strict=True):
        posterior[i, l] += 1 / ITEM.count(i)
    bounds = []
    for _ in range(rounds):
        confusion = np.tile(PRIOR, (3, 1, 1))
        for i, a, l in zip(ITEM, WORKER, LABEL, strict=True):
            confusion[a, :, l] += posterior[i]
        classes = 1 + posterior.sum(0)
        logit = np.tile(digamma(classes) - digamma(classes.sum()), (4, 1))
        for i, a, l in zip(ITEM, WORKER, LABEL, strict=True):
            logit[i] += [digamma(row[l]) - digamma(row.sum()) for row in confusion[a]]
        posterior = np.exp(logit) / np.exp(logit).sum(1, keepdims=True)
        pairs = [(classes, np.ones(3))]
        pairs += [(confusion[a, k], PRIOR[k]) for a in range(3) for k in range(3)]
        divergences = [
            log_beta(p) - log_beta(c) + (c - p) @ (digamma(c) - digamma(c.sum())) for c, p in pairs
        ]
        bounds.append(np.log(np.exp(logit).sum(1)).sum() - sum(divergences))
    return posterior, confusion, bounds


def log_evidence():
    """Of all labels, truth and parameters integrated out: a sum over the truths of all items."""
    terms = []
    for truth in itertools.product(range(3), repeat=4):
        classes = np.bincount(truth, minlength=3)
        term = log_beta(1 + classes) - log_beta(np.ones(3))
        counts = np.zeros((3, 3, 3))
        for i, a, l in zip(ITEM, WORKER, LABEL, strict=True):
            counts[a, truth[i], l] += 1
        for a, k in itertools.product(range(3), repeat=2):
            term += log_beta(PRIOR[k] + counts[a, k]) - log_beta(PRIOR[k])
        terms.append(term)
    return np.logaddexp.reduce(terms)


def test_equals_loops(fitted):
    state, info = fitted
    posterior, confusion, bounds = by_loops(50)
    np.testing.assert_allclose(info.objective * len(ITEM), bounds, rtol=1e-5)
    np.testing.assert_allclose(jnp.exp(state.log_posterior[:4]), posterior, rtol=1e-3)
    np.testing.assert_allclose(state.confusion, confusion, rtol=1e-3)


def test_an_item_without_labels_has_the_prior(fitted):
    state, _ = fitted
    share = np.exp(digamma(state.classes))
    np.testing.assert_allclose(jnp.exp(state.log_posterior[4]), share / share.sum(), rtol=1e-4)


def test_bound_is_below_the_evidence_and_close(fitted):
    bound = fitted[1].objective[-1] * len(ITEM)
    assert 0 < log_evidence() - bound < 1.5


def test_divergence():
    counts, one = jnp.array([[2.0, 3.0], [4.0, 0.5]]), jnp.ones((1, 1))
    assert divergence(counts, counts) == 0
    assert divergence(counts, one) == divergence(counts, jnp.ones((2, 2))) > 0


def test_history_of_a_worker_decides():
    """Two workers disagree about each item; one has been right a hundred times before."""
    table, dims = annotations([0, 0, 1, 1], [0, 1, 0, 1], [0, 1, 1, 0])
    history = jnp.ones((2, 2, 2)).at[1].add(100 * jnp.eye(2))
    state, _ = run(ibcc(dims, history), table, 20)
    assert (state.log_posterior.argmax(1) == jnp.array([1, 0])).all()

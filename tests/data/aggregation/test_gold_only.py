"""What gold alone teaches, against loops and least squares."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests import oracles
from tests.oracles import DIMS
from trinity_jax.data.aggregation import gold_only
from trinity_jax.data.aggregation.annotations import Annotations, Dims, annotations
from trinity_jax.data.aggregation.majority import soft_vote

GOLD = np.array([2, -1, 0, 0, -1, 1, -1], np.int32)
TABLE = Annotations(*map(jnp.asarray, oracles.tiny()))
METHODS = naive_bayes, ridge_vote = [
    jax.jit(method, static_argnums=1) for method in (gold_only.naive_bayes, gold_only.ridge_vote)
]


def bayes_by_loops(rows, gold, prior):
    """Probabilities, of products."""
    confusion = np.tile(prior, (DIMS.workers, 1, 1))
    classes = np.ones(DIMS.labels)
    for item, worker, label, weight in rows:
        if gold[item] >= 0:
            confusion[worker, gold[item], label] += weight
    for truth in gold[gold >= 0]:
        classes[truth] += 1
    confusion /= confusion.sum(axis=2, keepdims=True)
    product = oracles.joint(rows, DIMS, confusion, classes / classes.sum())
    return product / product.sum(axis=1, keepdims=True)


def scores_by_lstsq(rows, gold, ridge):
    """s + 1/K: a row for each gold item and label, and one for each worker's penalty."""
    votes = np.zeros((DIMS.items, DIMS.labels, DIMS.workers))
    for item, worker, label, weight in rows:
        votes[item, :, worker] -= weight / DIMS.labels
        votes[item, label, worker] += weight
    has = {item for item, _, _, weight in rows if weight}
    equal = np.full(DIMS.workers, len(has) / sum(row[3] for row in rows))
    truth = np.eye(DIMS.labels)[gold[gold >= 0]] - 1 / DIMS.labels
    left = np.concatenate([votes[gold >= 0].reshape(-1, DIMS.workers), ridge**0.5 * np.eye(4)])
    right = np.concatenate([truth.ravel(), ridge**0.5 * equal])
    return votes @ np.linalg.lstsq(left, right)[0] + 1 / DIMS.labels


def test_naive_bayes_is_that_of_loops():
    prior = 0.2 + np.eye(DIMS.labels)
    found = naive_bayes(TABLE, DIMS, jnp.asarray(GOLD), jnp.asarray(prior)[None])
    expected = bayes_by_loops(oracles.rows(TABLE), GOLD, prior)
    np.testing.assert_allclose(np.exp(found), expected, rtol=1e-4)
    default = naive_bayes(TABLE, DIMS, jnp.asarray(GOLD))
    expected = bayes_by_loops(oracles.rows(TABLE), GOLD, 0.1 + np.eye(DIMS.labels))
    np.testing.assert_allclose(np.exp(default), expected, rtol=1e-4)


@pytest.mark.parametrize("ridge", [0.1, 1.0, 30.0])
def test_ridge_vote_is_that_of_least_squares(ridge):
    found = np.exp(ridge_vote(TABLE, DIMS, jnp.asarray(GOLD), ridge))
    scores = scores_by_lstsq(oracles.rows(TABLE), GOLD, ridge)
    np.testing.assert_allclose(scores.sum(axis=1), 1, rtol=1e-6)
    positive = np.maximum(scores, 0)
    np.testing.assert_allclose(found, positive / positive.sum(1, keepdims=True), atol=1e-5)


def test_without_gold_the_ridge_vote_is_the_majority():
    nothing = jnp.full(DIMS.items, -1)
    found = np.exp(ridge_vote(TABLE, DIMS, nothing))
    vote = np.asarray(soft_vote(TABLE, DIMS))
    top = lambda shares: shares > shares.max(axis=1, keepdims=True) - 1e-5  # ties and all
    np.testing.assert_array_equal(top(found), top(vote))
    random = np.random.default_rng(0)
    item, worker = np.repeat(np.arange(DIMS.items), 3), np.tile(np.arange(3), DIMS.items)
    table, _ = annotations(item, worker, random.integers(DIMS.labels, size=21), DIMS)
    found = ridge_vote(table, DIMS, nothing)  # of items with as many labels each, all shares
    np.testing.assert_allclose(np.exp(found), soft_vote(table, DIMS), atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_the_order_of_rows_does_not_matter(method):
    order = np.random.default_rng(1).permutation(20)
    order = order[np.argsort(TABLE.item[order], kind="stable")]
    other = Annotations(*(column[order] for column in TABLE))
    found, again = (np.exp(method(table, DIMS, jnp.asarray(GOLD))) for table in (TABLE, other))
    np.testing.assert_allclose(found, again, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_rows_of_no_weight_do_not_exist(method):
    there = np.asarray(TABLE.weight) > 0
    fewer = Annotations(*(column[there] for column in TABLE))
    found, again = (np.exp(method(table, DIMS, jnp.asarray(GOLD))) for table in (TABLE, fewer))
    np.testing.assert_allclose(found, again, atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_compiled_and_mapped_over_gold(method):
    gold = jnp.stack([jnp.asarray(GOLD), jnp.full(DIMS.items, -1)])
    mapped = jax.vmap(lambda gold: method(TABLE, DIMS, gold))(gold)
    np.testing.assert_allclose(np.exp(mapped[0]), np.exp(method(TABLE, DIMS, gold[0])), atol=1e-5)
    np.testing.assert_allclose(np.exp(mapped).sum(axis=2), 1, atol=1e-5)


@pytest.mark.parametrize("method", METHODS)
def test_a_vector_of_other_length_is_refused(method):
    with pytest.raises(ValueError, match=r"expected gold for 7 items, not of shape \(6,\)"):
        method(TABLE, DIMS, jnp.asarray(GOLD[1:]))


def test_ten_thousand_workers():
    """No matrix of workers by workers is made."""
    dims = Dims(items=20_000, workers=10_000, labels=3)
    random = np.random.default_rng(0)
    truth = random.integers(dims.labels, size=dims.items)
    item, worker = np.repeat(np.arange(dims.items), 5), random.integers(dims.workers, size=100_000)
    guesses = (random.random(dims.workers) < 0.3)[worker]
    label = np.where(guesses, random.integers(dims.labels, size=len(item)), truth[item])
    table, _ = annotations(item, worker, label, dims)
    gold = jnp.asarray(np.where(np.arange(dims.items) < 10_000, truth, -1))
    share = lambda found: (np.asarray(found).argmax(1) == truth)[10_000:].mean()
    assert share(ridge_vote(table, dims, gold)) > share(soft_vote(table, dims)) + 0.01

"""Votes: ties, and items nobody labelled."""

import jax
import jax.numpy as jnp
import numpy as np

from trinity_jax.data.aggregation.annotations import Dims, annotations
from trinity_jax.data.aggregation.majority import hard_vote, majority, soft, soft_vote

# Votes 2, 1, 0; then one each for the last two; then one; then none.
TABLE, DIMS = annotations([0, 0, 0, 1, 1, 2], [0, 1, 2, 0, 1, 0], [0, 1, 0, 1, 2, 2], Dims(4, 3, 3))


def test_posteriors():
    third = 1 / 3
    shares = [[2 / 3, third, 0], [0, 0.5, 0.5], [0, 0, 1], [third] * 3]
    winners = [[1, 0, 0], [0, 0.5, 0.5], [0, 0, 1], [third] * 3]
    np.testing.assert_allclose(soft_vote(TABLE, DIMS), shares, rtol=1e-6)
    for em, expected in [(soft, shares), (majority, winners)]:
        state = em(DIMS).init(jax.random.key(0), TABLE)
        np.testing.assert_allclose(np.exp(state.log_posterior), expected, rtol=1e-6)


def test_ties_are_broken_uniformly():
    keys = jax.random.split(jax.random.key(0), 3000)
    vote = jax.jit(jax.vmap(lambda key: hard_vote(key, TABLE, DIMS)))
    share = np.array(jax.nn.one_hot(vote(keys), 3).mean(axis=0))
    expected = [[1, 0, 0], [0, 0.5, 0.5], [0, 0, 1], [1 / 3] * 3]
    np.testing.assert_allclose(share, expected, atol=4 * np.sqrt(0.25 / 3000))
    assert (share[[0, 2]] == np.array(expected)[[0, 2]]).all()


def test_weights_are_votes():
    heavy = TABLE._replace(weight=jnp.array([1.0, 3.0, 1.0, 1.0, 0.0, 1.0]))
    np.testing.assert_allclose(soft_vote(heavy, DIMS)[:2], [[0.4, 0.6, 0], [0, 1, 0]], rtol=1e-6)

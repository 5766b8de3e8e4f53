"""One coin a worker against loops, and workers of whom nothing or everything is known."""

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from trinity_jax.algorithms.em import fit
from trinity_jax.data.aggregation.one_coin import agreement, coin_confusion, one_coin

DIMS = oracles.DIMS


@pytest.mark.parametrize(
    ("right", "wrong", "estimate_prior"), [(0.0, 0.0, False), (np.arange(4.0), 0.5, True)]
)
def test_equals_loops_and_products(right, wrong, estimate_prior, num_rounds=4):
    table = oracles.tiny()
    with jax.enable_x64(True):
        em = one_coin(DIMS, jnp.asarray(right), wrong, estimate_prior)
        run = jax.jit(lambda key, table: fit(em, key, table, num_rounds))
        state, info = run(jax.random.key(0), table)
    rows = oracles.rows(table)

    def maximisation(posterior):
        skill = oracles.coins(rows, DIMS, posterior, right, wrong)
        uniform = np.full(DIMS.labels, 1 / DIMS.labels)
        prior = oracles.class_prior(rows, posterior) if estimate_prior else uniform
        return oracles.coin_confusion(skill, DIMS.labels), prior

    def objective(em):
        s, other = em.confusion[:, 0, 0], em.confusion[:, 0, 1]
        density = (right * np.log(s) + wrong * np.log(other)).sum()
        return (em.log_likelihood + density) / table.weight.sum()

    first, last = (oracles.alternate(rows, DIMS, maximisation, n) for n in (1, num_rounds))
    np.testing.assert_allclose(np.exp(state.log_posterior), last.posterior, atol=1e-8)
    np.testing.assert_allclose(state.skill, last.confusion[:, 0, 0], atol=1e-8)
    np.testing.assert_allclose(np.exp(state.log_prior), last.prior, atol=1e-8)
    gain = objective(last) - objective(first)
    np.testing.assert_allclose(info.objective[-1] - info.objective[0], gain, atol=1e-8)
    if not wrong:  # no prior density, and no constant
        np.testing.assert_allclose(info.objective[-1], objective(last), atol=1e-8)


@pytest.mark.parametrize(("right", "wrong", "expected"), [(0, 0, 1 / 3), (3, 1, 0.75), (0, 2, 0)])
def test_skill_of_a_worker_without_labels(right, wrong, expected):
    table, posterior = oracles.tiny(), np.full((DIMS.items, DIMS.labels), 0.5, np.float32)
    arguments = jax.tree.map(jnp.asarray, (table, posterior))
    skill = agreement(arguments[0], DIMS, arguments[1], right, wrong)
    np.testing.assert_allclose(skill[-1], expected, rtol=1e-6)


@pytest.mark.parametrize("num_labels", [1, 2, 10])
def test_coins_are_distributions_even_at_the_ends(num_labels):
    skill = jnp.array([0.0, 0.3, 1.0])
    log_confusion = coin_confusion(skill, num_labels)
    assert np.isfinite(log_confusion).all()
    if num_labels > 1:
        np.testing.assert_allclose(np.exp(log_confusion).sum(axis=2), 1, rtol=1e-6)
        diagonal = np.exp(np.diagonal(log_confusion, axis1=1, axis2=2))
        np.testing.assert_allclose(diagonal, np.tile(skill[:, None], num_labels), atol=2e-7)

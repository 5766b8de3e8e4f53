"""The temperature of a network's probabilities."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from trinity_jax.algorithms.calibration import temperature


def made(seed, true):
    """Labels drawn from softmax(logits / true)."""
    rng = np.random.default_rng(seed)
    logits = 3 * rng.normal(size=(4000, 6)).astype(np.float32)
    noise = rng.gumbel(size=logits.shape)
    return jnp.asarray(logits), jnp.asarray((logits / true + noise).argmax(1))


@pytest.mark.parametrize("true", [0.5, 1.0, 3.0])
def test_it_is_found_and_minimises_the_loss(true):
    logits, truth = made(0, true)
    weight = jnp.ones(len(truth))
    found = float(temperature(logits, truth, weight))
    assert abs(np.log(found / true)) < 0.1

    def loss(log_t):
        log_probs = jax.nn.log_softmax(logits / np.exp(log_t))
        return -float(jnp.take_along_axis(log_probs, truth[:, None], 1).mean())

    best = scipy.optimize.minimize_scalar(loss, bounds=(-3, 3), method="bounded")
    assert loss(np.log(found)) <= best.fun + 1e-6


def test_what_weighs_nothing_does_not_count():
    logits, truth = made(1, 2.0)
    half = jnp.arange(len(truth)) < 2000
    wrong = jnp.where(half, truth, 0)
    alone = temperature(logits[:2000], truth[:2000], jnp.ones(2000))
    np.testing.assert_allclose(temperature(logits, wrong, half.astype(float)), alone, rtol=1e-4)
    assert temperature(logits, truth, jnp.zeros(len(truth))) == 1


def test_the_ends():
    """A network that is always right cannot be too sure of it; one that is always wrong can."""
    logits = 10 * jnp.eye(4)
    assert temperature(logits, jnp.arange(4), jnp.ones(4)) < 0.06
    assert temperature(logits, (jnp.arange(4) + 1) % 4, jnp.ones(4)) > 19

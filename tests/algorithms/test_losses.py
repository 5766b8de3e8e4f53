"""Soft labels, weights, and what is known of nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from trinity_jax.algorithms.losses import weighted_cross_entropy


def problem(seed, batch=16, labels=5):
    draw = np.random.default_rng(seed)
    logits = 3 * draw.normal(size=(batch, labels))
    target = draw.dirichlet(np.ones(labels), batch)
    parts = (logits, target, draw.uniform(size=batch))
    return tuple(jnp.asarray(part, jnp.float32) for part in parts)


@pytest.mark.parametrize("seed", range(5))
def test_it_is_the_weighted_mean_of_the_usual_one(seed):
    logits, target, weight = problem(seed)
    expected = (weight * optax.softmax_cross_entropy(logits, target)).mean()
    found = weighted_cross_entropy(logits, target, weight)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_the_gradient_is_prediction_minus_target():
    logits, target, weight = problem(0)
    found = jax.grad(weighted_cross_entropy)(logits, target, weight)
    expected = weight[:, None] * (jax.nn.softmax(logits) - target) / len(logits)
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_an_example_of_weight_0_is_an_example_of_which_nothing_is_known():
    logits, target, weight = problem(1)
    weight = weight.at[::2].set(0)
    other = target.at[::2].set(jnp.roll(target[::2], 1, axis=1))
    value, gradient = jax.value_and_grad(weighted_cross_entropy)(logits, target, weight)
    assert value == weighted_cross_entropy(logits, other, weight)
    np.testing.assert_array_equal(gradient[::2], 0)
    assert jnp.abs(gradient[1::2]).min() > 0


def test_a_batch_half_known_pulls_half_as_hard():
    logits, target, _ = problem(2)
    half = jnp.ones(16).at[8:].set(0)
    known = jax.grad(weighted_cross_entropy)(logits[:8], target[:8], jnp.ones(8))
    found = jax.grad(weighted_cross_entropy)(logits, target, half)
    np.testing.assert_allclose(found[:8], known / 2, rtol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 1e4, 1e30])
def test_rows_without_labels_and_logits_without_measure_do_no_harm(scale):
    logits, target, weight = problem(3)
    target = target.at[:4].set(0)
    target = target.at[4:8].set(jax.nn.one_hot(jnp.argmin(logits[4:8], 1), 5))
    value, gradient = jax.value_and_grad(weighted_cross_entropy)(scale * logits, target, weight)
    assert jnp.isfinite(value)
    assert jnp.isfinite(gradient).all()
    np.testing.assert_array_equal(gradient[:4], 0)

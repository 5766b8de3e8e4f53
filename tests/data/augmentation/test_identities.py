"""The identities hold in float32, and a direction that is not of the same network is found out."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.data.augmentation import identities, rendering
from trinity_jax.data.augmentation.rendering import Latents, Layer

LAYERS = (Layer(4, pool=2), Layer(6, pool=2))
LABELS, SLOPE = 3, 0.1
errors = jax.jit(identities.errors, static_argnums=2)


def made(seed):
    """Weights of any sign, biases too, and images."""
    key_weights, key_x, *keys = jax.random.split(jax.random.key(seed), 2 + len(LAYERS))
    weights = rendering.begin(key_weights, LAYERS, 1, LABELS)
    pairs = zip(keys, weights.biases, strict=True)
    weights = weights._replace(biases=tuple(jax.random.normal(k, b.shape) for k, b in pairs))
    return weights, jax.random.normal(key_x, (5, 8, 8, 1))


@pytest.mark.parametrize("slope", [0.0, SLOPE])
def test_errors_are_those_of_rounding(slope):
    for seed in range(4):
        weights, x = made(seed)
        found = np.asarray(errors(jax.random.key(seed), weights, LAYERS, x, slope))
        assert found.shape == (3,)
        assert (found < 1e-4).all()
        assert found.any()  # float32 is not exact: what is compared is computed twice


def shifted(network):
    """The network with other biases than the rendering has."""
    others = lambda weights: weights._replace(biases=tuple(b + 0.5 for b in weights.biases))
    return lambda weights, *rest: network(others(weights), *rest)


def dimmed(render):
    """The rendering with another first filter than the network has."""
    others = lambda kernels: (0.8 * kernels[0], *kernels[1:])
    return lambda weights, *rest: render(weights._replace(kernels=others(weights.kernels)), *rest)


@pytest.mark.parametrize(
    ("name", "tamper", "wrong"),
    [
        ("clamped", shifted, [True, False, False]),
        ("infer", shifted, [False, True, False]),  # biases do not change the gradient
        ("render", dimmed, [True, True, True]),
    ],
)
def test_what_is_wrong_is_found(monkeypatch, name, tamper, wrong):
    weights, x = made(0)
    monkeypatch.setattr(rendering, name, tamper(getattr(rendering, name)))
    tampered = jax.jit(lambda *given: identities.errors(*given), static_argnums=2)
    found = np.asarray(tampered(jax.random.key(0), weights, LAYERS, x, SLOPE))
    np.testing.assert_array_equal(found > 0.05, wrong)
    np.testing.assert_array_equal(found < 1e-4, np.logical_not(wrong))


def test_random_latents_are_any():
    """Every place of every cell, and both gates; also where a cell is one pixel."""
    layers = (Layer(4, pool=2), Layer(6), Layer(2, pool=3))
    sides, count = (6, 6, 2), 200
    shapes = [(count, n, n, layer.channels) for n, layer in zip(sides, layers, strict=True)]
    zeros = lambda dtype: tuple(jnp.zeros(shape, dtype) for shape in shapes)
    like = Latents(zeros(int), zeros(float))
    drawn = identities.random(jax.random.key(0), layers, like, SLOPE)
    for layer, shape, place, gate in zip(layers, shapes, *drawn, strict=True):
        assert place.shape == gate.shape == shape
        places = np.asarray(place).reshape(count, -1)
        share = np.bincount(places.ravel(), minlength=layer.pool**2) / places.size
        np.testing.assert_allclose(share, 1 / layer.pool**2, atol=0.04)
        assert (np.ptp(places, axis=0) == layer.pool**2 - 1).all()  # in every cell, all of them
        gates, counts = np.unique(gate, return_counts=True)
        np.testing.assert_array_equal(gates, np.float32([SLOPE, 1]))
        np.testing.assert_allclose(counts / places.size, 0.5, atol=0.03)
    flat = [np.ravel(gate)[: count * 8] for gate in drawn.gate]
    assert abs(np.corrcoef(flat)[np.triu_indices(3, 1)]).max() < 0.1  # each layer's is its own

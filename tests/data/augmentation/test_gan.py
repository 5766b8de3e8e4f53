"""Generators, the losses of both games, and what is said of made images."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from trinity_jax.data.augmentation import gan, rendering, samples
from trinity_jax.data.augmentation.nrm import Model
from trinity_jax.data.augmentation.rendering import Layer

MODEL = Model((Layer(4, pool=2), Layer(6, 3, 0)), (8, 8, 2), 3)
key = jax.random.key


@jax.jit
def made(seed):
    keys = jax.random.split(key(seed), 2)
    noise = jax.random.normal(keys[0], (5, gan.NOISE))
    return gan.generate(gan.begin(keys[1], MODEL), MODEL, noise, jnp.eye(3)[jnp.arange(5) % 3])


def test_generators_make_images_of_the_models_form():
    x = made(0)
    assert x.shape == (5, 8, 8, 2)
    assert rendering.infer(
        rendering.begin(key(1), MODEL.layers, 2, 3), MODEL.layers, x
    ).logits.shape
    assert np.isfinite(x).all()
    assert not np.allclose(x, made(1))
    assert float(x.std()) > 0.1


def test_losses_are_those_of_a_sigmoid():
    rng = np.random.default_rng(0)
    real, fake = jnp.asarray(rng.normal(size=(2, 4, 3)), jnp.float32)
    target, wanted = jnp.eye(3)[jnp.array([[0, 1, 2, 0], [2, 2, 1, 0]])]
    sigmoid = lambda v: 1 / (1 + np.exp(-v))
    d_real, d_fake = sigmoid((real * target).sum(1)), sigmoid((fake * wanted).sum(1))
    told = gan.conditional_discriminator_loss(real, fake, target, wanted)
    np.testing.assert_allclose(told, -np.log(d_real).mean() - np.log(1 - d_fake).mean(), rtol=1e-5)
    np.testing.assert_allclose(gan.generator_loss(fake, wanted), -np.log(d_fake).mean(), rtol=1e-5)
    share = lambda logits: np.exp(logits).sum(1) / (np.exp(logits).sum(1) + 1)
    expected = -np.log(share(real)).mean() - np.log(1 - share(fake)).mean()
    np.testing.assert_allclose(gan.discriminator_loss(real, fake), expected, rtol=1e-5)
    # Of K + 1 classes, the last of logit 0: the same as a softmax that says "made".
    more = np.concatenate([fake, np.zeros((4, 1))], 1)
    made_prob = np.exp(more)[:, -1] / np.exp(more).sum(1)
    np.testing.assert_allclose(1 - share(fake), made_prob, rtol=1e-5)


def test_matching_teaches_the_generator_alone():
    real, fake = jnp.ones((3, 2)), jnp.zeros((4, 2))
    assert gan.feature_matching_loss(real, fake) == 2
    assert not jax.grad(gan.feature_matching_loss)(real, fake).any()
    assert jax.grad(gan.feature_matching_loss, 1)(real, fake).all()


def test_a_generator_learns_the_mean_of_its_classes():
    """Descent on the distance to two constant images, told apart by their class."""
    target = jnp.eye(3)[jnp.arange(12) % 3]
    wanted = jnp.array([-1.0, 0.0, 1.0])[jnp.arange(12) % 3]
    optimiser = optax.adam(0.02)

    def loss(params, k):
        x = gan.generate(params, MODEL, jax.random.normal(k, (12, gan.NOISE)), target)
        return ((x.mean((1, 2, 3)) - wanted) ** 2).mean()

    def step(t, carry):
        params, state = carry
        slope = jax.grad(loss)(params, jax.random.fold_in(key(0), t))
        update, state = optimiser.update(slope, state)
        return optax.apply_updates(params, update), state

    @jax.jit
    def learn():
        params = gan.begin(key(1), MODEL)
        start = loss(params, key(2))
        params, _ = jax.lax.fori_loop(0, 100, step, (params, optimiser.init(params)))
        return start, loss(params, key(3))

    start, end = learn()
    assert end < 0.2 * start


@pytest.fixture
def images():
    return jax.random.normal(key(5), (40, 8, 8, 1))


def test_nearest_by_brute_force(images):
    one, other = images[:15], images[15:]
    distance = np.sqrt(((one[:, None] - other[None]) ** 2).sum((2, 3, 4)))
    np.testing.assert_allclose(samples.nearest(one, other), distance.min(1), rtol=1e-4)
    some = jnp.arange(25) % 3 == 0
    found = samples.nearest(one, other, some)
    np.testing.assert_allclose(found, distance[:, ::3].min(1), rtol=1e-4)
    own = np.sqrt(((one[:, None] - one[None]) ** 2).sum((2, 3, 4))) + np.diag([np.inf] * 15)
    np.testing.assert_allclose(samples.nearest(one, one, apart=True), own.min(1), rtol=1e-4)


def test_copies_and_repetitions_are_found(images):
    train, test = images[:20], images[20:]
    assert samples.memorised(train + 1e-4, train, test) < 0.01
    assert 0.9 < samples.memorised(test[::-1], train, test) < 1.1
    assert samples.duplicates(test, test) <= 2 / 20
    assert samples.duplicates(jnp.repeat(test[:10], 2, 0), test) == 1


def test_high_frequencies():
    rows = jnp.arange(8)
    checks = ((rows[:, None] + rows[None]) % 2).astype(float)[None, :, :, None]
    wave = jnp.cos(2 * jnp.pi * rows / 8)[None, :, None, None].repeat(8, 2)
    assert samples.high_frequencies(checks + 3) > 0.999
    assert samples.high_frequencies(wave) < 1e-5


def test_cosine():
    one = {"a": jnp.array([1.0, 0.0]), "b": jnp.array([[2.0]])}
    np.testing.assert_allclose(samples.cosine(one, one), 1, rtol=1e-6)
    other = {"a": jnp.array([0.0, 5.0]), "b": jnp.array([[0.0]])}
    assert samples.cosine(one, other) == 0
    np.testing.assert_allclose(
        samples.cosine(one, jax.tree.map(lambda v: -3 * v, one)), -1, rtol=1e-6
    )

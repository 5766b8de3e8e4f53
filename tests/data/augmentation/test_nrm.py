"""The terms of the joint loss, one by one, and that it is learnt."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.data.augmentation import nrm, rendering
from trinity_jax.data.augmentation.normalisation import divergence
from trinity_jax.data.augmentation.nrm import Model, Objective
from trinity_jax.data.augmentation.rendering import Layer

LAYERS = (Layer(4, pool=2), Layer(6, pool=2))
SHAPE = (8, 8, 1)
MODELS = {
    "exact": Model(LAYERS, SHAPE, 3, normalised=False),
    "authors": Model(LAYERS, SHAPE, 3),
    "dropout": Model(LAYERS, SHAPE, 3, normalised=False, dropout=0.5),
}
ALL = Objective(*[0.5] * 5)
half = jax.jit(nrm.half, static_argnums=2)


def made(name, seed=0, batch=5):
    keys = jax.random.split(jax.random.key(seed), 3)
    params, running = nrm.begin(keys[0], MODELS[name])
    wild = lambda b: tuple(v + jnp.linspace(-0.3, 0.3, len(v)) for v in b)
    params = params._replace(weights=params.weights._replace(biases=wild(params.weights.biases)))
    x = jax.random.normal(keys[1], (batch, *SHAPE))
    return params, running, x, jax.nn.one_hot(jnp.arange(batch) % 3, 3)


def terms(name, objective, target=True, seed=0):
    params, _, x, labels = made(name, seed)
    return half(jax.random.key(1), params, MODELS[name], objective, x, labels if target else None)


@functools.cache
def compiled(name):
    """Gradients of the whole loss and of a term, with arms and terms as arguments."""
    params, running, x, target = made(name)

    def value(params, arm, which):
        given = MODELS[name], arm, (x, target), x
        total, (_, found) = nrm.loss(params, jax.random.key(1), running, *given)
        return jnp.where(which, found["reconstruction"], total)

    slope = jax.jit(jax.grad(value))
    return lambda *given: slope(params, *given)


def gradient(name, objective, of="total"):
    arm = jax.tree.map(jnp.float32, objective)
    return compiled(name)(arm, of == "reconstruction")


def size(tree):
    return sum(float(jnp.abs(leaf).sum()) for leaf in jax.tree.leaves(tree))


def test_terms_are_their_formulas():
    params, _, x, target = made("exact")
    found, _ = terms("exact", ALL)
    seen = rendering.infer(params.weights, LAYERS, x, 0.1)
    log_probs = np.asarray(jax.nn.log_softmax(seen.logits))
    image, _, features, _ = rendering.render(params.weights, LAYERS, target, seen.latents, SHAPE)
    by_hand = {
        "label": -(np.asarray(target) * log_probs).sum(1).mean(),
        "entropy": -(np.exp(log_probs) * (np.log(3) + log_probs)).sum(1).mean(),
        "reconstruction": 0.5 * np.square(image - x).mean(),
        "negative": sum(np.square(np.minimum(h, 0)).mean() for h in features),
        "paths": np.abs(
            rendering.rpn(params.weights, LAYERS, target, seen.latents, SHAPE, 0.1)
        ).mean(),
        "moments": 0,
    }
    assert set(found) == set(by_hand)
    for name, value in by_hand.items():
        np.testing.assert_allclose(found[name], value, rtol=1e-4, err_msg=name)


def test_the_network_of_minima_takes_its_share():
    """Of an image's negative it sees the negative; terms are between those of both networks."""
    params, _, x, target = made("exact")
    low = rendering.infer(params.weights, LAYERS, x, 0.1, low=True)
    mirrored = params.weights._replace(biases=tuple(-b for b in params.weights.biases))
    turned = rendering.infer(mirrored, LAYERS, -x, 0.1)
    np.testing.assert_allclose(low.features[1], -turned.features[1], rtol=1e-5, atol=1e-6)
    found, _ = terms("exact", ALL._replace(low=1.0))
    expected = -(target * jax.nn.log_softmax(low.logits)).sum(1).mean()
    np.testing.assert_allclose(found["label"], expected, rtol=1e-5)
    both = [
        terms("exact", ALL._replace(low=share))[0]["reconstruction"] for share in (0.0, 0.5, 1.0)
    ]
    np.testing.assert_allclose(both[1], (both[0] + both[2]) / 2, rtol=1e-5)


def test_divergence_of_gaussians():
    """Against the integral of p log p / q, by sums on a fine grid."""
    v = np.linspace(-12, 12, 20_001)
    log = lambda mean, scale: -0.5 * ((v - mean) / scale) ** 2 - np.log(scale * np.sqrt(2 * np.pi))
    p, q = log(0.3, 1.5), log(-0.4, 0.8)
    exact = (np.exp(p) * (p - q)).sum() * (v[1] - v[0])
    one, other = ((jnp.array([m]), jnp.array([s**2])) for m, s in ((0.3, 1.5), (-0.4, 0.8)))
    np.testing.assert_allclose(divergence(one, other), exact, rtol=1e-4)
    assert divergence(one, one) == 0


def test_moments_are_those_before_normalisation():
    params, _, x, _ = made("authors")
    _, moments = terms("authors", ALL)
    a = rendering.conv(x, params.weights.kernels[0])
    np.testing.assert_allclose(moments.up[0][0], a.mean((0, 1, 2)), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(moments.up[0][1], a.var((0, 1, 2)), rtol=1e-4)
    assert [len(m) for m in moments.down] == [2, 2, 2]
    assert [m[0].size for m in moments.down] == [1, 4, 6]


@pytest.mark.parametrize("name", ["exact", "authors"])
def test_a_dark_image_has_the_prior_s_path(name):
    params, _, x, target = made(name)
    objective = ALL._replace(paths=1.0)
    paths = lambda x: half(jax.random.key(1), params, MODELS[name], objective, x, target)[0][
        "paths"
    ]
    np.testing.assert_allclose(paths(0 * x), 0, atol=1e-6)
    assert paths(x) > 1e-3


@pytest.mark.parametrize("name", ["exact", "authors"])
def test_weights_are_tied_or_not(name):
    """What is rendered teaches the filters themselves, or those of the decoder alone."""
    tied = gradient(name, Objective(reconstruction=1.0), "reconstruction")
    assert size(tied.weights) > 1e-2
    assert size(tied.decoder) == 0
    untied = gradient(name, Objective(reconstruction=1.0, untied=1.0), "reconstruction")
    assert size(untied.decoder) > 1e-2
    assert size(untied.weights) == 0


def test_the_sign_of_the_entropy_is_that_of_its_weight():
    sure, unsure, neither = (
        gradient("exact", Objective(entropy=w)).weights.templates for w in (1.0, -1.0, 0.0)
    )
    np.testing.assert_allclose(sure - neither, neither - unsure, rtol=1e-3, atol=1e-5)
    assert size(sure - neither) > 1e-2


def test_an_unlabelled_image_is_rendered_as_what_it_is_taken_for():
    params, _, x, _ = made("exact")
    guess = rendering.infer(params.weights, LAYERS, x, 0.1).logits.argmax(1)
    found, _ = terms("exact", ALL, target=False)
    given = MODELS["exact"], ALL, x, jax.nn.one_hot(guess, 3)
    told, _ = half(jax.random.key(1), params, *given)
    assert found["label"] == 0
    np.testing.assert_allclose(found["reconstruction"], told["reconstruction"], rtol=1e-6)


def test_dropout_is_the_same_in_both_directions():
    """So what is rendered is still a gradient, of the network with features left out."""
    params, _, x, target = made("dropout")
    keep = nrm._dropout(jax.random.key(2), MODELS["dropout"], len(x))
    assert keep is not None
    assert set(np.unique(keep[0])) == {0, 2}
    logits = lambda x: rendering.infer(params.weights, LAYERS, x, 0.1, keep=keep)
    gradient = jax.grad(lambda x: (logits(x).logits * target).sum())(x)
    image = rendering.render(params.weights, LAYERS, target, logits(x).latents, SHAPE).image
    np.testing.assert_allclose(image, gradient, atol=1e-5)


def test_scattered_places_render_worse():
    """The image's own places are the best ones for <x, h_0>; random ones lose it."""
    own, scattered = (
        terms("exact", ALL._replace(scattered=share))[0]["reconstruction"] for share in (0.0, 1.0)
    )
    assert own != scattered


@pytest.mark.parametrize("name", ["exact", "authors"])
def test_arms_are_an_axis(name):
    params, running, x, target = made(name)
    arms = [Objective(), ALL, Objective(reconstruction=1.0, low=0.5), Objective(paths=1.0)]
    stacked = Objective(*map(jnp.asarray, zip(*arms, strict=True)))
    value = lambda arm: nrm.loss(
        params, jax.random.key(1), running, MODELS[name], arm, (x, target), x
    )[0]
    with jax.debug_key_reuse(False):  # in a batch both branches run, and one is taken
        together = jax.jit(jax.vmap(value))(stacked)
    for got, arm in zip(together, arms, strict=True):
        np.testing.assert_allclose(got, jax.jit(value)(arm), rtol=1e-4)


@pytest.mark.parametrize("name", ["exact", "authors"])
def test_the_gradient_is_that_of_the_loss(name):
    """Of which arms that want less leave out what they do not."""
    params, running, x, target = made(name)
    slope = lambda arm: nrm.gradient(
        params, jax.random.key(1), running, MODELS[name], arm, (x, target), x
    )[0]
    find = jax.jit(slope)
    for arm in (Objective(), Objective(entropy=-0.5), Objective(paths=1.0), ALL):
        found, expected = find(jax.tree.map(jnp.float32, arm)), gradient(name, arm)
        chex.assert_trees_all_close(found, expected, rtol=1e-4, atol=1e-5 * size(expected))


@pytest.mark.parametrize("name", ["exact", "authors"])
def test_it_is_learnt(name):
    """Two stripes and a blank: half the labels, and images are rendered from what they are."""
    model, objective = MODELS[name], Objective(reconstruction=1.0, entropy=0.1)
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, 60)
    x = 0.1 * rng.normal(size=(60, *SHAPE))
    x[label == 1, 2:4] += 1
    x[label == 2, :, 2:4] += 1
    x, target = jnp.asarray(x, jnp.float32), jax.nn.one_hot(label, 3)
    params, running = nrm.begin(jax.random.key(0), model)

    def step(t, carry):
        params, running, _ = carry
        given = running, model, objective, (x[:30], target[:30]), x[30:]
        key = jax.random.fold_in(jax.random.key(1), t)
        slope, (running, found) = nrm.gradient(params, key, *given)
        params = jax.tree.map(lambda p, g: p - 0.1 * jnp.clip(g, -1, 1), params, slope)
        return params, running, found["reconstruction"]

    learn = jax.jit(lambda: jax.lax.fori_loop(0, 150, step, (params, running, jnp.zeros(()))))
    fitted, running, _ = learn()
    logits = nrm.predict(fitted, running, model, 0.0, x)
    assert (logits.argmax(1) == label).mean() > 0.95
    image = nrm.reconstruct(fitted, running, model, x, target).image
    assert np.square(image - x).mean() < 0.8 * np.square(x).mean()

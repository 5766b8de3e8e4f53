"""The theorems of the rendering model, in float64; the small one by trying all latents."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.algorithms.convolution import conv, conv_adjoint
from trinity_jax.data.augmentation import rendering
from trinity_jax.data.augmentation.rendering import Latents, Layer, Weights, from_cells, to_cells

jconv = jax.jit(conv, static_argnums=(2, 3))
infer = jax.jit(rendering.infer, static_argnums=1, static_argnames="low")
clamped, ascend, score = (
    jax.jit(f, static_argnums=1) for f in (rendering.clamped, rendering.ascend, rendering.score)
)
render, rpn = (jax.jit(f, static_argnums=(1, 4)) for f in (rendering.render, rendering.rpn))
LABELS = 3
LARGE = (
    Layer(4, pad=2, pool=2),
    Layer(5, pad=1),
    Layer(6, pad=0),
    Layer(4, window=2, pad=0, pool=2),
)
SMALL = (Layer(1, pool=2), Layer(2, pool=2))  # of 4 x 4 pixels: 15,625 latents, 262,144 if leaky


@pytest.fixture(autouse=True)
def exactly():
    with jax.enable_x64(True):
        yield


def model(layers, size, seed=0, signs=True, batch=4):
    """Random weights and images; without signs, what is rendered is nowhere below zero."""
    key, key_bias, key_x = jax.random.split(jax.random.key(seed), 3)
    weights = jax.tree.map(lambda leaf: leaf.astype(float), rendering.begin(key, layers, 1, LABELS))
    keys = jax.random.split(key_bias, len(layers))
    biases = tuple(jax.random.normal(k, b.shape) for k, b in zip(keys, weights.biases, strict=True))
    weights = weights._replace(biases=biases)
    if not signs:
        kernels = (weights.kernels[0], *map(jnp.abs, weights.kernels[1:]))
        weights = Weights(kernels, biases, jnp.abs(weights.templates))
    return weights, jax.random.normal(key_x, (batch, size, size, 1))


def classes(batch, label=None):
    label = jnp.arange(batch) % LABELS if label is None else jnp.full(batch, label)
    return jax.nn.one_hot(label, LABELS)


def any_latents(layers, like, slope, seed=0):
    """Random switches of the same shapes."""
    rng = np.random.default_rng(seed)
    place = tuple(
        jnp.asarray(rng.integers(0, layer.pool**2, t.shape))
        for layer, t in zip(layers, like.place, strict=True)
    )
    gate = tuple(jnp.asarray(rng.choice([slope, 1.0], s.shape)) for s in like.gate)
    return Latents(place, gate)


def every_latent(layers, size, slope):
    """All latents of an image, as a batch; closed gates without a place, if they are zero."""
    places = []
    for layer in layers:
        size //= layer.pool
        number = size * size * layer.channels
        states = [(t, 1.0) for t in range(layer.pool**2)]
        states += [(t, slope) for t in range(layer.pool**2 if slope else 1)]
        places.append((size, number, layer.channels, states))
    grid = [states for _, number, _, states in places for _ in range(number)]
    table = np.array(list(itertools.product(*grid)))  # [latent, cell of any layer, 2]
    start, place, gate = 0, [], []
    for size, number, channels, _ in places:
        part = table[:, start : start + number].reshape(-1, size, size, channels, 2)
        place.append(jnp.asarray(part[..., 0].astype(int)))
        gate.append(jnp.asarray(part[..., 1]))
        start += number
    return Latents(tuple(place), tuple(gate))


def tried(weights, layers, x, label, latents):
    """The scores of all latents for one image and class."""
    number = len(latents.gate[0])
    target = classes(number, label)
    images = jnp.broadcast_to(x, (number, *x.shape))
    return score(weights, layers, images, target, latents)


def test_cells_are_taken_apart_and_put_together():
    a = jax.random.normal(jax.random.key(0), (2, 6, 4, 3))
    cells = to_cells(a, 2)
    assert cells.shape == (4, 2, 3, 2, 3)
    np.testing.assert_array_equal(cells[:, 1, 2, 1, 0], a[1, 4:6, 2:4, 0].ravel())
    np.testing.assert_array_equal(from_cells(cells, 2), a)
    with pytest.raises(ValueError, match="cells of 4 x 4 do not divide 6 x 4"):
        to_cells(a, 4)


@pytest.mark.parametrize("pad", [0, 1, 2, (0, 2)])
@pytest.mark.parametrize("window", [2, 3, 5])
def test_p0_rendering_is_the_adjoint_of_convolution(window, pad):
    padding = [(pad, pad) if isinstance(pad, int) else pad] * 2
    keys = jax.random.split(jax.random.key(0), 3)
    x = jax.random.normal(keys[0], (2, 7, 6, 3))
    kernel = jax.random.normal(keys[1], (window, window, 3, 4))
    y = jconv(x, kernel, 1, tuple(padding))
    u = jax.random.normal(keys[2], y.shape)
    back = jax.jit(conv_adjoint, static_argnums=2)(u, kernel, tuple(padding))
    np.testing.assert_allclose((y * u).sum(), (x * back).sum(), rtol=1e-12)
    turned = jax.jit(lambda u: jax.vjp(lambda x: conv(x, kernel, 1, padding), x)[1](u)[0])(u)
    np.testing.assert_allclose(back, turned, atol=1e-12)


@pytest.mark.parametrize("slope", [0.0, 0.1])
class TestAnyWeights:
    """What holds whatever the signs (P1 to P5, P10, P11)."""

    def made(self, slope):
        weights, x = model(LARGE, 12)
        return weights, x, infer(weights, LARGE, x, slope)

    def test_p1_every_latent_scores_what_the_clamped_network_says(self, slope):
        weights, x, seen = self.made(slope)
        latents = any_latents(LARGE, seen.latents, slope)
        got = score(weights, LARGE, x, classes(4), latents)
        logits = clamped(weights, LARGE, x, latents).logits
        np.testing.assert_allclose(got, (logits * classes(4)).sum(1), rtol=1e-11, atol=1e-12)

    def test_p2_p5_the_network_attains_its_logits(self, slope):
        weights, x, seen = self.made(slope)
        for label in range(LABELS):
            got = score(weights, LARGE, x, classes(4, label), seen.latents)
            np.testing.assert_allclose(got, seen.logits[:, label], rtol=1e-11, atol=1e-12)

    def test_p3_p4_rendering_is_the_gradient(self, slope):
        weights, x, seen = self.made(slope)
        total = lambda x: (infer(weights, LARGE, x, slope).logits * classes(4)).sum()
        gradient = jax.jit(jax.grad(total))(x)
        image, prior, *_ = render(weights, LARGE, classes(4), seen.latents, (12, 12, 1))
        np.testing.assert_allclose(image, gradient, atol=1e-12)
        rest = (seen.logits * classes(4)).sum(1) - (x * gradient).sum((1, 2, 3))
        np.testing.assert_allclose(prior, rest, rtol=1e-10, atol=1e-12)

    def test_the_network_is_the_usual_one(self, slope):
        weights, x, seen = self.made(slope)
        for layer, w, b in zip(LARGE, weights.kernels, weights.biases, strict=True):
            x = jconv(x, w, 1, ((layer.pad, layer.pad),) * 2) + b[None, None, None]
            x = jnp.maximum(x, slope * x)
            window = (1, layer.pool, layer.pool, 1)
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")
        np.testing.assert_allclose(seen.logits, x.mean((1, 2)) @ weights.templates, rtol=1e-11)

    def test_gradients_of_what_is_rendered_are_those_of_the_second_derivative(self, slope):
        """One parameter, used twice: tied weights get both parts of the gradient."""
        weights, x, _ = self.made(slope)

        def explicit(weights):
            latents = infer(weights, LARGE, x, slope).latents
            image = render(weights, LARGE, classes(4), latents, (12, 12, 1)).image
            return ((image - x) ** 2).sum()

        def by_vjp(weights):
            logits = lambda x: infer(weights, LARGE, x, slope).logits
            return ((jax.vjp(logits, x)[1](classes(4))[0] - x) ** 2).sum()

        both = (
            jax.tree.leaves(jax.grad(explicit)(weights)),
            jax.tree.leaves(jax.grad(by_vjp)(weights)),
        )
        for got, expected in zip(*both, strict=True):
            np.testing.assert_allclose(got, expected, atol=1e-9)

    def test_p10_darkness_costs_nothing(self, slope):
        weights, x, _ = self.made(slope)
        dark = infer(weights, LARGE, 0 * x, slope).latents
        gap = rpn(weights, LARGE, classes(4), dark, (12, 12, 1), slope)
        np.testing.assert_allclose(gap, 0, atol=1e-11)

    def test_p12_frozen_normalisation_folds(self, slope):
        weights, x, _ = self.made(slope)
        rng = np.random.default_rng(0)
        scales = [jnp.asarray(rng.uniform(0.5, 2, layer.channels)) for layer in LARGE]
        shifts = [jnp.asarray(rng.normal(size=layer.channels)) for layer in LARGE]
        seen, y = infer(rendering.fold(weights, scales, shifts), LARGE, x, slope), x
        parts = zip(LARGE, weights.kernels, weights.biases, scales, shifts, strict=True)
        for layer, w, b, scale, shift in parts:
            a = (
                scale[None, None, None] * jconv(y, w, 1, ((layer.pad, layer.pad),) * 2)
                + shift[None, None, None]
            )
            a = a + b[None, None, None]
            y = to_cells(jnp.maximum(a, slope * a), layer.pool).max(0)
        np.testing.assert_allclose(seen.logits, y.mean((1, 2)) @ weights.templates, rtol=1e-11)

    @pytest.mark.parametrize("seed", range(3))
    def test_p14_ascent_never_descends(self, slope, seed):
        weights, x = model(LARGE, 12, seed)
        latents = infer(weights, LARGE, x, slope).latents
        before = first = score(weights, LARGE, x, classes(4), latents)
        for _ in range(4):
            latents = ascend(weights, LARGE, x, classes(4), latents, slope).latents
            after = score(weights, LARGE, x, classes(4), latents)
            assert (after >= before - 1e-9).all()
            before = after
        assert (before > first + 1e-3).any()  # the network's own switches are not the best


@pytest.mark.parametrize("seed", range(2))
class TestAllLatents:
    """What holds if nothing rendered is below zero but the image (P6 to P10, P13)."""

    def test_p6_the_network_finds_the_best_score(self, seed):
        weights, x = model(SMALL, 4, seed, signs=False, batch=1)
        latents = every_latent(SMALL, 4, 0.0)
        assert len(latents.gate[0]) == 15_625
        logits = infer(weights, SMALL, x).logits[0]
        for label in range(LABELS):
            best = tried(weights, SMALL, x[0], label, latents).max()
            np.testing.assert_allclose(best, logits[label], atol=1e-9)

    def test_p7_with_signs_it_need_not(self, seed):
        weights, x = model(SMALL, 4, seed, batch=1)
        latents, logits = every_latent(SMALL, 4, 0.0), infer(weights, SMALL, x).logits[0]
        gaps = [
            tried(weights, SMALL, x[0], label, latents).max() - logits[label]
            for label in range(LABELS)
        ]
        assert min(gaps) >= -1e-9  # P5: never above
        assert max(gaps) > 0.1

    def test_p8_the_lowest_path_finds_the_worst_score(self, seed):
        weights, x = model(SMALL, 4, seed, signs=False, batch=1)
        latents = every_latent(SMALL, 4, 0.0)
        seen = infer(weights, SMALL, x, low=True)
        for label in range(LABELS):
            worst = tried(weights, SMALL, x[0], label, latents).min()
            np.testing.assert_allclose(worst, seen.logits[0, label], atol=1e-9)
            own = score(weights, SMALL, x, classes(1, label), seen.latents)
            np.testing.assert_allclose(own, seen.logits[:, label], atol=1e-9)

    def test_p9_p10_the_prior_likes_darkness_best(self, seed):
        weights, x = model(SMALL, 4, seed, signs=False, batch=1)
        latents = every_latent(SMALL, 4, 0.0)
        best = rendering.prior_mode(weights, SMALL, (4, 4, 1)).logits[0]
        own = infer(weights, SMALL, x).latents
        for label in range(LABELS):
            prior = tried(weights, SMALL, 0 * x[0], label, latents)
            np.testing.assert_allclose(prior.max(), best[label], atol=1e-9)
            assert (rpn(weights, SMALL, classes(1, label), own, (4, 4, 1)) >= -1e-9).all()

    def test_p13_the_posterior_is_the_softmax_as_noise_vanishes(self, seed):
        weights, x = model(SMALL, 4, seed, signs=False, batch=1)
        latents = every_latent(SMALL, 4, 0.0)
        scores = jnp.stack([tried(weights, SMALL, x[0], k, latents) for k in range(LABELS)])
        logits = infer(weights, SMALL, x).logits[0]
        gaps = []
        for variance in (1, 0.1, 0.01):
            joint = jax.nn.logsumexp(scores / variance, axis=1)
            exact = joint - jax.nn.logsumexp(joint)
            network = jax.nn.log_softmax(logits / variance)
            gaps.append(np.abs(exact - network).max())
            assert gaps[-1] <= np.log(15_625)
            gaps[-1] *= variance
        assert gaps[2] < 0.05 * max(gaps[0], 0.1)


def test_p11_leaky_gates_too():
    """One seed, as there are 262,144 latents."""
    weights, x = model(SMALL, 4, 0, signs=False, batch=1)
    latents = every_latent(SMALL, 4, 0.1)
    best = tried(weights, SMALL, x[0], 1, latents).max()
    np.testing.assert_allclose(best, infer(weights, SMALL, x, 0.1).logits[0, 1], atol=1e-9)


def test_paths_are_counted():
    """By hand: one layer of one channel and window 1, over cells of 2 x 2."""
    layers = (Layer(1, window=1, pad=0, pool=2), Layer(1, window=1, pad=0))
    place = (jnp.zeros((1, 2, 2, 1), int), jnp.zeros((1, 2, 2, 1), int))
    gate = (jnp.array([1.0, 1, 0, 1]), jnp.array([1.0, 0, 1, 1]))
    latents = Latents(place, tuple(g.reshape(1, 2, 2, 1) for g in gate))
    np.testing.assert_allclose(rendering.active_paths(layers, latents, (4, 4, 1)), 2 / 4)


def test_shapes_are_checked():
    weights, x = model(LARGE, 12)
    latents = infer(weights, LARGE, x).latents
    with pytest.raises(ValueError, match=r"render images of \(12, 12, 1\), not of \(12, 12, 3\)"):
        render(weights, LARGE, classes(4), latents, (12, 12, 3))

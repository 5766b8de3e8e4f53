"""Every network keeps the same promises; the residual one has the paper's shape."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.algorithms.networks import NETWORKS, Conv, network
from trinity_jax.types import InputError

IMAGES = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), np.uint8)
LABELS = 10


@functools.cache
def ensemble(name):
    """A network, parameters and statistics of two members `[member, ...]`."""
    net = network(name, LABELS)
    keys = jax.random.split(jax.random.key(0), 2)
    return net, *jax.jit(jax.vmap(net.init, (0, None)))(keys, IMAGES[:1])


def member(name, index=0):
    net, params, stats = ensemble(name)
    return net, *jax.tree.map(lambda leaf: leaf[index], (params, stats))


def count(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(tree))


@pytest.mark.parametrize("name", NETWORKS)
def test_predictions_are_deterministic_and_do_not_depend_on_the_rest_of_the_batch(name):
    net, params, stats = member(name)
    _, stats = jax.jit(net.train)(params, stats, IMAGES)
    logits = jax.jit(net.apply)(params, stats, IMAGES)
    assert logits.shape == (len(IMAGES), LABELS)
    assert logits.dtype == jnp.float32
    np.testing.assert_array_equal(logits, jax.jit(net.apply)(params, stats, IMAGES))
    others = np.concatenate([IMAGES[:1], 255 - IMAGES[1:]])
    np.testing.assert_array_equal(logits[0], jax.jit(net.apply)(params, stats, others)[0])
    assert (logits[1:] != jax.jit(net.apply)(params, stats, others)[1:]).any()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_gradient_reaches_every_parameter(name):
    net, params, stats = member(name)
    loss = lambda params: -jax.nn.log_softmax(net.train(params, stats, IMAGES)[0])[:, 0].mean()
    for path, leaf in jax.tree.leaves_with_path(jax.jit(jax.grad(loss))(params)):
        assert np.isfinite(leaf).all(), path
        assert np.abs(leaf).max() > 0, path


@pytest.mark.parametrize("name", NETWORKS)
def test_an_ensemble_is_a_vmap(name):
    net, params, stats = ensemble(name)
    logits = jax.jit(jax.vmap(net.apply, (0, 0, None)))(params, stats, IMAGES)
    for index in (0, 1):
        alone, *variables = member(name, index)
        np.testing.assert_allclose(
            logits[index], jax.jit(alone.apply)(*variables, IMAGES), rtol=1e-4, atol=1e-4
        )
    assert np.abs(logits[0] - logits[1]).max() > 1e-2


@pytest.mark.parametrize("name", ["softmax", "convnet"])
def test_bytes_are_divided_by_255(name):
    net, params, stats = member(name)
    floats = jax.jit(net.apply)(params, stats, IMAGES / np.float32(255))
    np.testing.assert_allclose(
        jax.jit(net.apply)(params, stats, IMAGES), floats, rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("name", ["softmax", "mlp"])
def test_features(name):
    net = network(name, 3)
    x = np.random.default_rng(0).normal(size=(5, 20)).astype(np.float32)
    params, stats = net.init(jax.random.key(0), x)
    assert jax.jit(net.apply)(params, stats, x).shape == (5, 3)
    assert stats == jax.jit(net.train)(params, stats, x)[1] == {}


def test_images_are_needed_for_convolutions():
    with pytest.raises(ValueError, match="kernel"):
        network("convnet", 3).init(jax.random.key(0), np.zeros((5, 20, 3), np.float32))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("softmax", 3072 * 10 + 10),
        ("mlp", 3072 * 64 + 64 + 64 * 10 + 10),
        ("convnet", 27 * 32 + 32 + 288 * 64 + 64 + 576 * 128 + 128 + 128 * 10 + 10),
        ("convnet_bn", 27 * 32 + 2 * 32 + 288 * 64 + 2 * 64 + 576 * 128 + 2 * 128 + 128 * 10 + 10),
        ("resnet20", 272_541),
    ],
)
def test_number_of_parameters(name, expected):
    assert count(member(name)[1]) == expected


def test_hyperparameters():
    x = jax.ShapeDtypeStruct((1, 20), jnp.float32)
    params, _ = jax.eval_shape(network("mlp", 3, width=7).init, jax.random.key(0), x)
    assert count(params) == 20 * 7 + 7 + 7 * 3 + 3


class TestResNet20:
    """What distinguishes the network of the paper."""

    def setup_method(self):
        self.net, self.params, self.stats = member("resnet20")

    def test_statistics_move_in_training_by_a_tenth(self):
        _, moved = jax.jit(self.net.train)(self.params, self.stats, IMAGES)
        pixels = IMAGES.reshape(-1, 3) / 255
        first = moved["BatchNorm_0"]
        np.testing.assert_allclose(first["mean"], 0.1 * pixels.mean(axis=0), rtol=1e-4)
        np.testing.assert_allclose(first["var"], 0.9 + 0.1 * pixels.var(axis=0), rtol=1e-4)
        assert "scale" not in self.params["BatchNorm_0"]

    def test_training_normalises_by_the_batch(self):
        """So the contrast of the input does not matter; it does where statistics are fixed."""
        dark = IMAGES // 2
        both = lambda f: (f(self.params, self.stats, x) for x in (dark, 2 * dark))
        (dim, _), (bright, _) = both(jax.jit(self.net.train))
        np.testing.assert_allclose(dim, bright, atol=0.02)
        dim, bright = both(jax.jit(self.net.apply))
        assert np.abs(dim - bright).max() > 0.1

    def test_weights_are_gaussian_with_variance_two_over_fan_in(self):
        kernel = self.params["Conv_20"]["kernel"]
        assert kernel.shape == (3, 3, 64, 64)
        deviation = np.sqrt(2 / (9 * 64))
        np.testing.assert_allclose(kernel.std(), deviation, rtol=0.02)
        assert np.abs(kernel).max() > 3 * deviation  # not truncated

    def test_layers(self):
        """22 convolutions: the first, two per unit, and one shortcut per stage."""
        windows = [leaf["kernel"].shape[0] for n, leaf in self.params.items() if "Conv" in n]
        assert (windows.count(3), windows.count(1)) == (19, 3)


def test_conv_layer_halves_the_resolution():
    layer = Conv(5, stride=2, use_bias=True)
    y, variables = layer.init_with_output(jax.random.key(0), jnp.ones((2, 7, 8, 3)))
    assert y.shape == (2, 4, 4, 5)
    assert set(variables["params"]) == {"kernel", "bias"}


def test_unknown_name():
    with pytest.raises(InputError) as error:
        network("resnet", LABELS)
    assert str(error.value) == (
        "unknown network 'resnet': did you mean 'resnet20'? "
        "(known: softmax, mlp, convnet, convnet_bn, resnet20, resnet18)"
    )
    with pytest.raises(InputError, match=r"unknown network 'vgg': did you mean 'convnet'"):
        network("vgg", LABELS)


@pytest.mark.parametrize(("stem", "window"), [("cifar", 3), ("imagenet", 7)])
def test_the_eighteen_layers(stem, window):
    """Seventeen convolutions on the way and the output; shortcuts where channels change."""
    net = network("resnet18", 1000, stem=stem)
    params, _ = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 224, 224, 3)))
    kernels = [leaf.shape for leaf in jax.tree.leaves(params) if leaf.ndim == 4]
    assert sum(shape[0] == 3 for shape in kernels) == 16 + (window == 3)
    assert sum(shape[0] == 1 for shape in kernels) == 3
    assert (window, window, 3, 64) in kernels
    assert 11_100_000 < count(params) < 11_800_000
    with pytest.raises(ValueError, match="expected the stem cifar or imagenet, found x"):
        network("resnet18", 10, stem="x")

"""Generative adversarial networks: what teaches to generate is to be told real from made.

A generator G turns noise z (and a class y) into an image; a discriminator D tells it from a real
one. Both are of the form of the rendering model, the generator with weights of its own:

    conditional         D(x, y) = sigmoid(logit_y(x)); G raises log D(G(z, y), y)
    semi-supervised     D(x) = Z / (Z + 1), Z = sum_y exp logit_y(x): the network that predicts the
                        class also says whether the image is real (the class K + 1 has logit 0);
                        G matches the mean of its features

M. Mirza, S. Osindero. Conditional generative adversarial nets. arXiv 1411.1784.
T. Salimans, I. Goodfellow, W. Zaremba, V. Cheung, A. Radford, X. Chen. Improved techniques for
training GANs. NIPS 2016.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from trinity_jax.algorithms.convolution import conv_adjoint
from trinity_jax.data.augmentation import normalisation
from trinity_jax.data.augmentation.nrm import Model
from trinity_jax.data.augmentation.rendering import Images
from trinity_jax.types import PRNGKey

NOISE = 32  # numbers that an image is made of


class Generator(NamedTuple):
    """Parameters of a generator.

    Attributes:
      base: from noise and class to the features of the top layer.
      kernels: of the model's layers, `[window, window, in, out]`, used from out to in.
      affine: scale and shift after normalisation, by level.
      bias: of the image's channels.
    """

    base: Float[Array, "source feature"]
    kernels: tuple[Float[Array, "window window _ _"], ...]
    affine: normalisation.Moments
    bias: Float[Array, " channel"]


def begin(key: PRNGKey, model: Model) -> Generator:
    """Gaussian weights whose outputs keep the variance of their inputs."""
    key_base, *keys = jax.random.split(key, 1 + len(model.layers))
    sizes, below = _sizes(model), [model.shape[2], *(layer.channels for layer in model.layers)]
    source, top = NOISE + model.labels, sizes[-1]
    base = jax.random.normal(key_base, (source, top[0] * top[1] * below[-1])) / NOISE**0.5
    kernels = []
    for key_layer, layer, channels in zip(keys, model.layers, below, strict=False):
        shape = (layer.window, layer.window, channels, layer.channels)
        scale = (2 / (layer.window**2 * layer.channels)) ** 0.5
        kernels.append(scale * jax.random.normal(key_layer, shape))
    affine = tuple((jnp.ones(layer.channels), jnp.zeros(layer.channels)) for layer in model.layers)
    return Generator(base, tuple(kernels), affine, jnp.zeros(model.shape[2]))


def generate(
    params: Generator,
    model: Model,
    noise: Float[Array, "batch noise"],
    target: Float[Array, "batch label"],
) -> Images:
    """Images of these classes; features are normalised by the batch, also when it is used."""
    source = jnp.concatenate([noise, target], axis=1)
    high, wide = _sizes(model)[-1]
    h = (source @ params.base).reshape(len(noise), high, wide, -1)
    norm = normalisation.by_batch(params.affine, {})
    for level in reversed(range(len(model.layers))):
        layer = model.layers[level]
        h = jax.nn.leaky_relu(norm(level, h), model.slope)
        h = h.repeat(layer.pool, 1).repeat(layer.pool, 2)
        h = conv_adjoint(h, params.kernels[level], [(layer.pad, layer.pad)] * 2)
    return h + params.bias[None, None, None]


def conditional_discriminator_loss(
    real: Float[Array, "batch label"],
    made: Float[Array, "others label"],
    target: Float[Array, "batch label"],
    wanted: Float[Array, "others label"],
) -> Float[Array, ""]:
    """The conditional discriminator's loss on logits of real images and of made ones."""
    real, made = (real * target).sum(1), (made * wanted).sum(1)
    return jax.nn.softplus(-real).mean() + jax.nn.softplus(made).mean()


def generator_loss(
    made: Float[Array, "batch label"], wanted: Float[Array, "batch label"]
) -> Float[Array, ""]:
    """The conditional generator's loss, which does not vanish where the discriminator is sure."""
    return jax.nn.softplus(-(made * wanted).sum(1)).mean()


def discriminator_loss(
    real: Float[Array, "batch label"], made: Float[Array, "others label"]
) -> Float[Array, ""]:
    """The semi-supervised discriminator's loss: -log D(real image) - log (1 - D(made image))."""
    evidence = lambda logits: jax.nn.logsumexp(logits, axis=1)
    return jax.nn.softplus(-evidence(real)).mean() + jax.nn.softplus(evidence(made)).mean()


def feature_matching_loss(
    real: Float[Array, "batch feature"], made: Float[Array, "others feature"]
) -> Float[Array, ""]:
    """The semi-supervised generator's loss: squared distance between mean features."""
    return ((jax.lax.stop_gradient(real.mean(0)) - made.mean(0)) ** 2).sum()


def _sizes(model: Model) -> list[tuple[int, int]]:
    """Height and width of the image, and of the output of every layer after its pool."""
    sizes = [model.shape[:2]]
    for layer in model.layers:
        after = lambda n, layer=layer: (n + 2 * layer.pad - layer.window + 1) // layer.pool
        sizes.append((after(sizes[-1][0]), after(sizes[-1][1])))
    return sizes

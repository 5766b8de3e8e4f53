"""The Neural Rendering Model: a generative model whose inference is a convolutional network.

A class renders an image from the top: its template mu_y is spread over the positions of the last
layer, and layer by layer each feature h_l[q] of a pooling cell q is put at one position t_l[q] in
the cell, or is left out (s_l[q] = 0), and painted with a template Gamma_l, the network's filter:

    h_L = adjoint of global mean pooling (mu_y)
    u_l[q, p] = s_l[q] h_l[q] if p = t_l[q], else 0
    h_{l-1} = adjoint of convolution with Gamma_l (u_l),      the image's mean is h_0

The latents z = (t_1, s_1, ..., t_L, s_L) have the prior exp(eta / sigma^2) / Z_y, where

    eta(y, z) = sum_l <b_l, u_l>,       b_l being the network's biases

The network a_l = Gamma_l * psi_{l-1} + b_l, psi_l = maxpool(relu(a_l)), logit_y = <mu_y, mean
psi_L> looks for the best score of a class and its latents,

    J(y, z; x) = <x, h_0(y, z)> + eta(y, z)

The network's own switches z(x), where the maxima are and which of them are above zero, attain
J = logit_y, and rendering from them is the gradient of logit_y. If no h_l but the image is below
zero, as when neither mu nor any Gamma but the first is, logit_y is the maximum of J over all z:
the network infers the most probable latents; provided that ||h_0|| does not depend on (y, z), or is
made up for in the prior, and that log Z_y goes into a bias of the class, which is left out of all
logits here. With a leaky rectifier of slope alpha, s is alpha or 1 in place of 0 or 1.

N. Ho, T. Nguyen, A. Patel, A. Anandkumar, M. I. Jordan, R. G. Baraniuk. A Bayesian perspective of
convolutional neural networks through a deconvolutional generative model. arXiv 1811.02657.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, ScalarLike

from trinity_jax.algorithms.convolution import conv, conv_adjoint
from trinity_jax.types import PRNGKey

Images = Float[Array, "batch height width channel"]
Features = Float[Array, "batch _ _ _"]
Norm = Callable[[int, Features], Features]  # of the level: layers from 0, h_l by l
Cells = Float[Array, "place batch high wide channel"]


class Layer(NamedTuple):
    """The form of a layer, static: a square convolution of stride 1, then maxima of cells.

    Attributes:
      channels: of its output.
      window: pixels a side.
      pad: zeros on each side.
      pool: pixels a side of the cells; they have to divide the output of the convolution.
    """

    channels: int
    window: int = 3
    pad: int = 1
    pool: int = 1


class Weights(NamedTuple):
    """What both directions share.

    Attributes:
      kernels: Gamma_l, one per layer, `[window, window, in, out]`.
      biases: b_l, `[out]`.
      templates: mu, of every class.
    """

    kernels: tuple[Float[Array, "window window _ _"], ...]
    biases: tuple[Float[Array, " _"], ...]
    templates: Float[Array, "channel label"]


class Latents(NamedTuple):
    """z: where in its cell a feature is rendered, and by how much, of every layer.

    Attributes:
      place: t_l, number of the pixel in its cell, by rows.
      gate: s_l, 1 or the slope of the rectifier.
    """

    place: tuple[Int[Array, "batch _ _ _"], ...]
    gate: tuple[Float[Array, "batch _ _ _"], ...]


class Inferred(NamedTuple):
    """What the network sees.

    Attributes:
      logits: without a bias of the class.
      latents: its switches.
      features: psi_0, the image, to psi_L.
    """

    logits: Float[Array, "batch label"]
    latents: Latents
    features: tuple[Features, ...]


class Rendered(NamedTuple):
    """What a class looks like.

    Attributes:
      image: h_0.
      prior: eta.
      features: h_1 to h_L.
      masked: u_1 to u_L.
    """

    image: Images
    prior: Float[Array, " batch"]
    features: tuple[Features, ...]
    masked: tuple[Features, ...]


def begin(key: PRNGKey, layers: Sequence[Layer], channels: int, labels: int) -> Weights:
    """Gaussian weights of variance 2 / fan-in (He et al. 2015), biases of zero.

    Args:
      key: of the draws.
      layers: from the image upwards.
      channels: of the image.
      labels: number of classes.
    """
    kernels, fan = [], channels
    for key_layer, layer in zip(jax.random.split(key, len(layers)), layers, strict=True):
        shape = (layer.window, layer.window, fan, layer.channels)
        scale = (2 / (layer.window**2 * fan)) ** 0.5
        kernels.append(scale * jax.random.normal(key_layer, shape))
        fan = layer.channels
    templates = fan**-0.5 * jax.random.normal(jax.random.fold_in(key, len(layers)), (fan, labels))
    biases = tuple(jnp.zeros(layer.channels) for layer in layers)
    return Weights(tuple(kernels), biases, templates)


def to_cells(a: Images, pool: int) -> Cells:
    """Pixels by cell, and by place in it.

    Raises:
      ValueError: the cells do not divide the image.
    """
    batch, height, width, channels = a.shape
    if height % pool or width % pool:
        raise ValueError(f"cells of {pool} x {pool} do not divide {height} x {width} positions")
    a = a.reshape(batch, height // pool, pool, width // pool, pool, channels)
    a = a.transpose(2, 4, 0, 1, 3, 5)
    return a.reshape(pool * pool, *a.shape[2:])


def from_cells(cells: Cells, pool: int) -> Images:
    """The image that `to_cells` took apart."""
    _, batch, high, wide, channels = cells.shape
    a = cells.reshape(pool, pool, batch, high, wide, channels).transpose(2, 3, 0, 4, 1, 5)
    return a.reshape(batch, high * pool, wide * pool, channels)


def infer(
    weights: Weights,
    layers: Sequence[Layer],
    x: Images,
    slope: ScalarLike = 0.0,
    *,
    low: bool = False,
    norm: Norm | None = None,
    keep: Sequence[Features] | None = None,
) -> Inferred:
    """The network, bottom-up.

    Args:
      weights: of both directions.
      layers: their form.
      x: images.
      slope: of the rectifier below zero, in [0, 1).
      low: whether to look for the worst score: minima of cells, rectified from above.
      norm: what is done to the output of each convolution, before its bias is added.
      keep: factors of the gates of each layer, as of dropout; rendering has them too.
    """
    sign = -1 if low else 1

    def switch(level, cells):
        place = _highest(sign * cells)
        gate = jnp.where(sign * _at(cells, place) > 0, 1.0, slope)
        return place, gate if keep is None else gate * keep[level]

    return _upward(weights, layers, x, switch, norm)


def clamped(weights: Weights, layers: Sequence[Layer], x: Images, latents: Latents) -> Inferred:
    """The network with given switches in the place of its own."""
    return _upward(weights, layers, x, lambda level, _: (latents[0][level], latents[1][level]))


def ascend(
    weights: Weights,
    layers: Sequence[Layer],
    x: Images,
    target: Float[Array, "batch label"],
    latents: Latents,
    slope: ScalarLike = 0.0,
) -> Inferred:
    """Latents of no lower score: those of a layer at a time, from below, the others fixed.

    Where a feature to be rendered is negative, the most negative response of its cell is best.

    Args:
      weights: see `infer`.
      layers: see `infer`.
      x: images.
      target: their classes.
      latents: to go on from.
      slope: of the rectifier.
    """
    wanted = render(weights, layers, target, latents, x.shape[1:]).features

    def switch(level, cells):
        gain = cells * wanted[level][None]
        place = _highest(gain)
        return place, jnp.where(_at(gain, place) > 0, 1.0, slope)

    return _upward(weights, layers, x, switch)


def render(
    weights: Weights,
    layers: Sequence[Layer],
    target: Float[Array, "batch label"],
    latents: Latents,
    shape: Sequence[int],
    norm: Norm | None = None,
) -> Rendered:
    """The model, top-down.

    Args:
      weights: of both directions.
      layers: their form.
      target: one class an image, as a one; or shares of classes.
      latents: of every image.
      shape: of an image, (height, width, channel).
      norm: what is done to h_l; without, all is as said above.
    """
    batch, high, wide, channels = latents.gate[-1].shape
    template = (target @ weights.templates.T)[:, None, None] / (high * wide)
    h = jnp.broadcast_to(template, (batch, high, wide, channels))
    h = h if norm is None else norm(len(layers), h)
    prior, features, masked = jnp.zeros(batch), [], []
    for level in reversed(range(len(layers))):
        layer, place, gate = layers[level], latents.place[level], latents.gate[level]
        features.append(h)
        u = from_cells(_spread(gate * h, place, layer.pool), layer.pool)
        masked.append(u)
        prior += (u.sum((1, 2)) * weights.biases[level][None]).sum(-1)
        h = conv_adjoint(u, weights.kernels[level], [(layer.pad, layer.pad)] * 2)
        h = h if norm is None else norm(level, h)
    if h.shape[1:] != tuple(shape):
        raise ValueError(f"these latents render images of {h.shape[1:]}, not of {tuple(shape)}")
    return Rendered(h, prior, tuple(features[::-1]), tuple(masked[::-1]))


def score(
    weights: Weights,
    layers: Sequence[Layer],
    x: Images,
    target: Float[Array, "batch label"],
    latents: Latents,
) -> Float[Array, " batch"]:
    """J: sigma^2 times the log-density of image, class and latents, up to what is said above."""
    image, prior, *_ = render(weights, layers, target, latents, x.shape[1:])
    return (x * image).sum((1, 2, 3)) + prior


def prior_mode(
    weights: Weights, layers: Sequence[Layer], shape: Sequence[int], slope: ScalarLike = 0.0
) -> Inferred:
    """The latents that the prior likes best, of one image: those of darkness.

    The logits are max_z eta(y, z) under the same condition under which `infer`'s are max_z J.
    """
    return infer(weights, layers, jnp.zeros((1, *shape)), slope)


def rpn(
    weights: Weights,
    layers: Sequence[Layer],
    target: Float[Array, "batch label"],
    latents: Latents,
    shape: Sequence[int],
    slope: ScalarLike = 0.0,
) -> Float[Array, " batch"]:
    """Rendering path normalisation: what the prior takes off the latents used, max eta - eta.

    sigma^2 times minus the log-prior of the latents, as sigma goes to 0. Not negative under the
    condition above; 0 for the latents of darkness.

    Args:
      weights: see `render`, as are the others.
      layers: see `render`.
      target: see `render`.
      latents: those of an image, see `infer`.
      shape: see `render`.
      slope: of the rectifier.
    """
    best = (target * prior_mode(weights, layers, shape, slope).logits).sum(1)
    return best - render(weights, layers, target, latents, shape).prior


def active_paths(
    layers: Sequence[Layer], latents: Latents, shape: Sequence[int]
) -> Float[Array, " batch"]:
    """The share of rendering paths, from the top to a pixel, along which all gates are open.

    Only gates of 1 are open. A path is a choice of position and channel in every layer; the paper
    bounds the generalisation error by their number.
    """
    kernels, fan = [], shape[-1]
    for layer in layers:  # of mean 1, so that no number is too large
        size = (layer.window, layer.window, fan, layer.channels)
        kernels.append(jnp.full(size, 1 / (layer.window**2 * layer.channels)))
        fan = layer.channels
    biases = tuple(jnp.zeros(layer.channels) for layer in layers)
    weights = Weights(tuple(kernels), biases, jnp.ones((fan, 1)))
    everyone = jnp.ones((len(latents.gate[0]), 1))
    total = lambda gate: render(
        weights, layers, everyone, Latents(latents.place, gate), shape
    ).image.sum((1, 2, 3))
    open_gates = tuple((gate == 1).astype(gate.dtype) for gate in latents.gate)
    return total(open_gates) / total(tuple(jnp.ones_like(gate) for gate in latents.gate))


def fold(
    weights: Weights,
    scales: Sequence[Float[Array, " _"]],
    shifts: Sequence[Float[Array, " _"]],
) -> Weights:
    """Weights of the same network without `a -> scale a + shift` after its convolutions.

    With frozen statistics batch normalisation is such a map, and rendering multiplies u by scale.
    """
    kernels = tuple(w * g[None, None, None] for w, g in zip(weights.kernels, scales, strict=True))
    biases = tuple(b + s for b, s in zip(weights.biases, shifts, strict=True))
    return Weights(kernels, biases, weights.templates)


def _upward(
    weights: Weights,
    layers: Sequence[Layer],
    x: Images,
    switch: Callable,
    norm: Norm | None = None,
) -> Inferred:
    """The network with `switch(level, cells) -> (place, gate)`, which has no gradient."""
    features, places, gates = [x], [], []
    for level, layer in enumerate(layers):
        pad = [(layer.pad, layer.pad)] * 2
        a = conv(features[-1], weights.kernels[level], 1, pad)
        a = a if norm is None else norm(level, a)
        cells = to_cells(a + weights.biases[level][None, None, None], layer.pool)
        place, gate = jax.lax.stop_gradient(switch(level, cells))
        features.append(gate * _at(cells, place))
        places.append(place)
        gates.append(gate)
    logits = features[-1].mean((1, 2)) @ weights.templates
    return Inferred(logits, Latents(tuple(places), tuple(gates)), tuple(features))


def _highest(cells):
    """The place of the highest value of each cell, the first of equals; faster than `argmax`."""
    place, best = jnp.zeros(cells.shape[1:], jnp.int32), cells[0]
    for number in range(1, len(cells)):
        higher = cells[number] > best
        place = jnp.where(higher, number, place)
        best = jnp.where(higher, cells[number], best)
    return place


def _at(cells, place):
    """The value at a place of each cell; a sum, as gradients of gathers are slow on CPUs."""
    if len(cells) == 1:
        return cells[0]
    return sum(jnp.where(place == number, cells[number], 0) for number in range(len(cells)))


def _spread(values, place, pool):
    """The adjoint of `_at`."""
    if pool == 1:
        return values[None]
    return jnp.stack([jnp.where(place == number, values, 0) for number in range(pool * pool)])

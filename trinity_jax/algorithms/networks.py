"""Networks as pure functions; besides the tagger and its encoder, the only file to know Flax.

Inputs are images `[batch, height, width, channel]` or features `[batch, feature]`. Bytes (uint8)
are divided by 255, so that they lie in [0, 1]; floats are taken as they are.

`resnet20` is the pre-activation network of
    K. He, X. Zhang, S. Ren, J. Sun. Identity mappings in deep residual networks. ECCV 2016.
in the variant that the authors of
    A. Khetan, Z. C. Lipton, A. Anandkumar. Learning from noisy singly-labeled data. ICLR 2018.
trained: batch normalisation (without a scale) on the input, projected shortcuts at the start of all
three stages, Gaussian weights of variance 2 / fan-in. `resnet18` is the larger one of He et al. as
MXNet's Gluon has it (`resnet18_v2`), with weights of variance 2 / (fan-in + fan-out).
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax.numpy as jnp

from trinity_jax.algorithms.convolution import conv
from trinity_jax.types import lookup

GLOROT = nn.initializers.variance_scaling(1.0, "fan_avg", "normal")
HE = nn.initializers.variance_scaling(2.0, "fan_in", "normal")


class Network(NamedTuple):
    """Three pure functions; `stats` is the state of batch normalisation, `{}` without it.

    Attributes:
      init: `(key, x [batch, ...]) -> (params, stats)`; of x only shape and type matter.
      apply: `(params, stats, x) -> logits [batch, label]`, to predict.
      train: `(params, stats, x) -> (logits, stats)`, to learn: normalises by the batch, and moves
        the running statistics.
    """

    init: Callable
    apply: Callable
    train: Callable


class Conv(nn.Module):
    """Square convolution, `window // 2` zeros around: `[batch, height, width, channel]`, twice."""

    channels: int
    window: int = 3
    stride: int = 1
    use_bias: bool = False
    begin: Callable = HE

    @nn.compact
    def __call__(self, x):
        shape = (self.window, self.window, x.shape[-1], self.channels)
        pad = (self.window // 2, self.window // 2)
        y = conv(x, self.param("kernel", self.begin, shape), self.stride, (pad, pad))
        if self.use_bias:
            y += self.param("bias", nn.initializers.zeros, (1, 1, 1, self.channels))
        return y


class Model(nn.Module):
    """`forward(x, train) -> logits`, which may call Linen layers, as one module."""

    forward: Callable

    @nn.compact
    def __call__(self, x, train):
        x = jnp.asarray(x)
        return self.forward(x.astype(jnp.float32) / 255 if x.dtype == jnp.uint8 else x, train)


def pure(forward: Callable) -> Network:
    """A `Model` as pure functions of two plain pytrees."""
    model = Model(forward)

    def init(key, x):
        variables = model.init(key, x, train=False)
        return variables["params"], variables.get("batch_stats", {})

    def apply(params, stats, x):
        return model.apply({"params": params, "batch_stats": stats}, x, train=False)

    def train(params, stats, x):
        variables = {"params": params, "batch_stats": stats}
        logits, moved = model.apply(variables, x, train=True, mutable=["batch_stats"])
        return logits, moved.get("batch_stats", {})

    return Network(init, apply, train)


def softmax(num_labels: int) -> Network:
    """Logistic regression."""

    def forward(x, train):
        del train
        return nn.Dense(num_labels)(x.reshape(len(x), -1))

    return pure(forward)


def mlp(num_labels: int, width: int = 64) -> Network:
    """One hidden layer of `width` rectified units."""

    def forward(x, train):
        del train
        hidden = nn.relu(nn.Dense(width, kernel_init=HE)(x.reshape(len(x), -1)))
        return nn.Dense(num_labels)(hidden)

    return pure(forward)


def convnet(num_labels: int, widths: tuple[int, ...] = (32, 64, 128)) -> Network:
    """A 3x3 convolution per width, each after the first at half the resolution; then the mean."""

    def forward(x, train):
        del train
        for stage, channels in enumerate(widths):
            x = nn.relu(Conv(channels, stride=2 if stage else 1, use_bias=True)(x))
        return nn.Dense(num_labels)(x.mean(axis=(1, 2)))

    return pure(forward)


def convnet_bn(num_labels: int, widths: tuple[int, ...] = (32, 64, 128)) -> Network:
    """A `convnet` a quarter as dear: all resolutions halved, images and features normalised."""

    def forward(x, train):
        norm = functools.partial(
            nn.BatchNorm, use_running_average=not train, momentum=0.9, epsilon=1e-5
        )
        x = norm(use_scale=False, use_bias=False)(x)
        for channels in widths:
            x = nn.relu(norm()(Conv(channels, stride=2)(x)))
        return nn.Dense(num_labels)(x.mean(axis=(1, 2)))

    return pure(forward)


def resnet20(num_labels: int) -> Network:
    """Pre-activation ResNet: three stages of three units, of 16, 32 and 64 channels."""

    def forward(x, train):
        norm = functools.partial(
            nn.BatchNorm, use_running_average=not train, momentum=0.9, epsilon=2e-5
        )
        x = Conv(16)(norm(use_scale=False)(x))
        for stage, channels in enumerate((16, 32, 64)):
            for unit in range(3):
                stride = 2 if stage and not unit else 1
                h = nn.relu(norm()(x))
                shortcut = x if unit else Conv(channels, window=1, stride=stride)(h)
                h = Conv(channels, stride=stride)(h)
                x = shortcut + Conv(channels)(nn.relu(norm()(h)))
        x = nn.relu(norm()(x)).mean(axis=(1, 2))
        return nn.Dense(num_labels, kernel_init=HE)(x)

    return pure(forward)


def resnet18(num_labels: int, stem: str = "cifar") -> Network:
    """Pre-activation ResNet: four stages of two units, of 64, 128, 256 and 512 channels.

    Args:
      num_labels: classes.
      stem: "cifar", a 3x3 convolution; or "imagenet", which leaves a quarter of the resolution: 7x7
        with stride 2, then maxima of 3x3 with stride 2.
    """
    if stem not in ("cifar", "imagenet"):
        raise ValueError(f"expected the stem cifar or imagenet, found {stem}")

    def forward(x, train):
        norm = functools.partial(
            nn.BatchNorm, use_running_average=not train, momentum=0.9, epsilon=1e-5
        )
        convolve = functools.partial(Conv, begin=GLOROT)
        x = norm(use_scale=False, use_bias=False)(x)
        if stem == "cifar":
            x = convolve(64)(x)
        else:
            x = nn.relu(norm()(convolve(64, window=7, stride=2)(x)))
            around: Any = ((1, 1), (1, 1))
            x = nn.max_pool(x, (3, 3), (2, 2), around)
        for stage, channels in enumerate((64, 128, 256, 512)):
            for unit in range(2):
                stride = 2 if stage and not unit else 1
                h = nn.relu(norm()(x))
                narrow = channels != x.shape[-1]
                shortcut = convolve(channels, window=1, stride=stride)(h) if narrow else x
                h = convolve(channels, stride=stride)(h)
                x = shortcut + convolve(channels)(nn.relu(norm()(h)))
        x = nn.relu(norm()(x)).mean(axis=(1, 2))
        return nn.Dense(num_labels, kernel_init=GLOROT)(x)

    return pure(forward)


NETWORKS = {f.__name__: f for f in (softmax, mlp, convnet, convnet_bn, resnet20, resnet18)}


def network(name: str, num_labels: int, **hyper) -> Network:
    """The network of that name, or an `InputError` that names the nearest; `hyper` as above."""
    return lookup(NETWORKS, name, "network")(num_labels, **hyper)

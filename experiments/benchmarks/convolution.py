"""How fast `convnet` trains with the shipped convolution, with XLA's own, and in PyTorch.

    python -m experiments.benchmarks.convolution [--steps 20] [--batch 64] [--repeats 3]

SGD with momentum on cross-entropy, 32x32 images, float32. Every program is called once to compile,
then all of them in turn, `repeats` times: what disturbs the machine disturbs them all. Four minutes
on two quiet cores, most of them in native convolutions inside loops.
"""

import dataclasses
import pathlib
import time
from collections.abc import Callable
from typing import NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from trinity_jax.algorithms import convolution, networks

try:
    import torch
except ImportError:
    torch = None

LABELS, WIDTHS, MODELS = 10, (32, 64, 128), 4
NETWORK = networks.network("convnet", LABELS, widths=WIDTHS)
OPTIMISER = optax.sgd(0.01, momentum=0.9)
FORMS = {"shipped": convolution.conv, "native": convolution.conv_native}


@dataclasses.dataclass(frozen=True)
class Config:
    """What is measured, and how often."""

    steps: int = 20  # training steps of a measurement; a tenth for native convolutions in a loop
    batch: int = 64
    repeats: int = 3
    out: pathlib.Path | None = None  # also write the measurements there, as JSON


class Program(NamedTuple):
    form: str
    way: str
    images: int  # that one run trains on
    run: Callable[[], object]


def batches(steps, batch):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (steps, batch, 32, 32, 3), np.uint8)
    return images, rng.integers(0, LABELS, (steps, batch), np.int32)


def begin(key):
    params, _ = NETWORK.init(key, jnp.zeros((1, 32, 32, 3)))
    return params, OPTIMISER.init(params)


def step(state, batch):
    params, opt = state
    images, labels = batch

    def loss(params):
        logits, _ = NETWORK.train(params, {}, images)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    updates, opt = OPTIMISER.update(jax.grad(loss)(params), opt)
    return (optax.apply_updates(params, updates), opt), None


def jax_program(form, way, config):
    steps = config.steps if form == "shipped" or way == "steps" else max(1, config.steps // 10)
    data = jax.device_put(batches(steps, config.batch))
    one_step = jax.jit(step, donate_argnums=0)
    scan = lambda state: lax.scan(step, state, data)[0]

    def step_by_step(state):
        for s in range(steps):
            state, _ = one_step(state, jax.tree.map(lambda array: array[s], data))
        return state

    train = {
        "steps": step_by_step,
        "scan": jax.jit(scan, donate_argnums=0),
        "map": jax.jit(lambda states: lax.map(scan, states), donate_argnums=0),
        "vmap": jax.jit(jax.vmap(scan), donate_argnums=0),
    }[way]
    models = MODELS if way in ("map", "vmap") else 1
    keys = jax.random.split(jax.random.key(0), models)
    state = jax.vmap(begin)(keys) if models > 1 else begin(keys[0])

    def run():
        nonlocal state
        with mock.patch.object(networks, "conv", FORMS[form]):  # read when the first run is traced
            state = jax.block_until_ready(train(state))

    return Program(form, way, models * steps * config.batch, run)


def torch_model(params):
    """The network of these parameters, channels last in memory: what suits oneDNN best."""
    nn, (one, two, three) = torch.nn, WIDTHS
    model = nn.Sequential(
        *(nn.Conv2d(3, one, 3, 1, 1), nn.ReLU(), nn.Conv2d(one, two, 3, 2, 1), nn.ReLU()),
        *(nn.Conv2d(two, three, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        nn.Linear(three, LABELS),
    )
    weighted = [layer for layer in model if hasattr(layer, "weight")]
    with torch.no_grad():
        for layer, weights in zip(weighted, params.values(), strict=True):
            kernel = np.moveaxis(np.asarray(weights["kernel"]), (-1, -2), (0, 1))
            layer.weight.copy_(torch.tensor(kernel))
            layer.bias.zero_()
    return model.to(memory_format=torch.channels_last)


def torch_program(config):
    images, labels = batches(config.steps, config.batch)
    params, _ = begin(jax.random.key(0))
    model = torch_model(params)
    scaled = lambda batch: torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 255
    ours, theirs = NETWORK.apply(params, {}, images[0]), model(scaled(images[0]))
    np.testing.assert_allclose(ours, theirs.detach().numpy(), atol=1e-4)  # the same function
    optimiser = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9)

    def run():
        for x, y in zip(images, torch.from_numpy(labels).long(), strict=True):
            optimiser.zero_grad()
            torch.nn.functional.cross_entropy(model(scaled(x)), y).backward()
            optimiser.step()

    return Program(f"torch {torch.__version__}", "steps", labels.size, run)


def seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def floor(config):
    """What a step must compute and move, what the machine can do, and the bound from both."""
    images, labels = batches(1, config.batch)
    lowered = jax.jit(step).lower(begin(jax.random.key(0)), (images[0], labels[0]))
    cost = lowered.compile().cost_analysis()
    matrix, array = jnp.ones((2048, 2048)), jnp.ones(2**26)
    best = lambda f, x: min(seconds(lambda: jax.block_until_ready(f(x))) for _ in range(6))
    measured = {
        "gflop_per_step": cost["flops"] / 1e9,
        "gb_per_step": cost["bytes accessed"] / 1e9,
        "gflop_per_second": 2 * 2048**3 / 1e9 / best(jax.jit(lambda x: x @ x), matrix),
        "gb_per_second": 2 * array.nbytes / 1e9 / best(jax.jit(lambda x: x + 1), array),
    }
    compute = measured["gflop_per_step"] / measured["gflop_per_second"]
    memory = measured["gb_per_step"] / measured["gb_per_second"]
    return measured | {"images_per_second": config.batch / max(compute, memory)}

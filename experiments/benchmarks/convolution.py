"""How fast `convnet` trains with the shipped convolution, with XLA's own, and in PyTorch.

    python -m experiments.benchmarks.convolution [--steps 20] [--repeats 3]    four minutes

SGD with momentum on cross-entropy, 32x32 images, float32. Every program is called once to compile,
then all of them in turn, `repeats` times: what disturbs the machine disturbs them all. Four minutes
on two cores, most of them in native convolutions inside loops. Times in brackets are what the
machine needs for so much work at its best, and for so many bytes if none stayed in a cache.
"""

import dataclasses
import json
import os
import pathlib
import time
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np
import optax

from trinity_jax.algorithms import convolution, networks
from trinity_jax.compute import program

LABELS, MODELS, RATE = 10, 4, 0.01
NETWORK = networks.network("convnet", LABELS)
OPTIMISER = optax.sgd(RATE, momentum=0.9)
FORMS = {"shipped": convolution.conv, "native": convolution.conv_native}


@dataclasses.dataclass(frozen=True)
class Config:
    steps: int = 20  # training steps of a measurement; 2 for native convolutions in a loop
    batch: int = 64  # images a step
    repeats: int = 3  # measurements of each program
    out: pathlib.Path | None = None  # file for the measurements as JSON


def batches(steps, batch):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (steps, batch, 32, 32, 3), np.uint8)
    return images, rng.integers(0, LABELS, (steps, batch), np.int32)


def begin(key):
    params, _ = NETWORK.init(key, jnp.zeros((1, 32, 32, 3)))
    return params, OPTIMISER.init(params)


def make_step(form):
    """A new function for each form: JAX remembers what it has traced by the function."""

    def loss(params, images, labels):
        with mock.patch.object(networks, "conv", FORMS[form]):  # while tracing
            logits, _ = NETWORK.train(params, {}, images)
        return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()

    def step(state, batch):
        params, opt = state
        updates, opt = OPTIMISER.update(jax.grad(loss)(params, *batch), opt)
        return (optax.apply_updates(params, updates), opt), None

    return step


def jax_program(form, loop, config):
    """How many images one run trains on, and the run, from where the last one ended."""
    slow = form == "native" and loop != "steps"  # of one step, XLA would make no loop
    data = jax.device_put(batches(2 if slow else config.steps, config.batch))
    step = make_step(form)
    many = lambda state, data: jax.lax.scan(step, state, data)[0]
    trains = {
        "steps": lambda state, batch: step(state, batch)[0],
        "scan": many,
        "map": lambda states, data: jax.lax.map(lambda state: many(state, data), states),
        "vmap": jax.vmap(many, (0, None)),
    }
    train = jax.jit(trains[loop], donate_argnums=0)
    calls = list(zip(*data, strict=True)) if loop == "steps" else [data]
    models = MODELS if loop in ("map", "vmap") else 1
    keys = jax.random.split(jax.random.key(0), models)
    state = jax.vmap(begin)(keys) if models > 1 else begin(keys[0])

    def run():
        nonlocal state
        for call in calls:
            state = train(state, call)
        jax.block_until_ready(state)

    return models * data[1].size, run


def torch_program(config):
    """The same network, loss and optimiser."""
    import torch
    from torch import nn

    model = nn.Sequential(
        *(nn.Conv2d(3, 32, 3, 1, 1), nn.ReLU(), nn.Conv2d(32, 64, 3, 2, 1), nn.ReLU()),
        *(nn.Conv2d(64, 128, 3, 2, 1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
        nn.Linear(128, LABELS),
    )
    model.to(memory_format=torch.channels_last)  # what suits oneDNN best
    ours = jax.tree.leaves(begin(jax.random.key(0))[0])
    assert sum(p.numel() for p in model.parameters()) == sum(leaf.size for leaf in ours)
    images, labels = batches(config.steps, config.batch)
    scaled = lambda batch: torch.from_numpy(batch).permute(0, 3, 1, 2).float() / 255
    optimiser = torch.optim.SGD(model.parameters(), RATE, momentum=0.9)

    def run():
        for x, y in zip(images, torch.from_numpy(labels).long(), strict=True):
            optimiser.zero_grad()
            nn.functional.cross_entropy(model(scaled(x)), y).backward()
            optimiser.step()

    return labels.size, run


def seconds(run):
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def floor(config):
    """Prints what the machine can do, and how long that makes what a step must do."""
    matrix, source, target = jnp.ones((2048, 2048)), np.ones(2**25), np.ones(2**25)
    square = jax.jit(lambda x: x @ x)
    best = lambda run: min(seconds(run) for _ in range(6))
    flops = 2 * 2048**3 / best(lambda: square(matrix).block_until_ready())
    copied = 2 * source.nbytes / best(lambda: np.copyto(target, source))
    print(f"{os.cpu_count()} cores: matmul {flops / 1e9:.0f} GFLOP/s, copy {copied / 1e9:.1f} GB/s")
    arguments = begin(jax.random.key(0)), [array[0] for array in batches(1, config.batch)]
    speeds = ("flops", "GFLOP", flops), ("bytes accessed", "GB", copied)
    for form in FORMS:
        cost = jax.jit(make_step(form)).lower(*arguments).compile().cost_analysis()
        parts = [f"{cost[k] / 1e9:.2f} {u} ({1e3 * cost[k] / v:.0f} ms)" for k, u, v in speeds]
        print(f"a step, {form}: {', '.join(parts)}")


def main(config: Config):
    jax.config.update("jax_enable_compilation_cache", False)  # the first call is to compile
    floor(config)
    names = [(form, loop) for loop in ("scan", "steps", "vmap") for form in FORMS]
    names.append(("shipped", "map"))  # the native one's is its scan, four times
    programs = {", ".join(name): jax_program(*name, config) for name in names}
    try:
        programs["torch, steps"] = torch_program(config)
    except ImportError:
        print("PyTorch is not installed; to compare with it: pip install '.[bench]'")
    first = {name: seconds(run) for name, (_, run) in programs.items()}
    rates = {name: [] for name in programs}
    for name in list(programs) * config.repeats:
        images, run = programs[name]
        rates[name].append(images / seconds(run))
    median = {name: np.median(rate) for name, rate in rates.items()}

    print("\nsteps: a call each; scan: all in one program; map, vmap: that for four models")
    print(f"{'images/s':>24}{'min - max':>14}{'/native':>9}{'/torch':>9}{'first call':>12}")
    for name, rate in rates.items():
        span = f"{min(rate):.0f} - {max(rate):.0f}"
        loop = name.split()[1]
        peers = f"native, {'scan' if loop == 'map' else loop}", "torch, steps"
        ratios = [f"{median[name] / median.get(peer, np.nan):9.2f}" for peer in peers]
        print(f"{name:16}{median[name]:8.0f}{span:>14}{''.join(ratios)}{first[name]:10.1f} s")
    if config.out:
        config.out.write_text(json.dumps({"images/s": rates, "first call": first}, indent=2))


if __name__ == "__main__":
    program.script("benchmarks.convolution", Config, main, str(__doc__))

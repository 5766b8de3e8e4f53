"""How fast the rendering model learns, up and down, beside the same graph in PyTorch.

    python -m experiments.benchmarks.rendering [--networks small] [--repeats 3]   minutes

Steps of Adam by the loop of `experiments.neural_rendering`, as one replica or one a core; PyTorch
eager (see `torch_rendering`) with one thread, with all, or as one process a core. First both have
to find the same loss and gradients from the same parameters and images, in double precision: in
single precision two maxima may be too close to say which is larger. Then each is called once to
compile, which the arms of a network do once, and all in turn, `repeats` times. Images are noise.
Floor: products of the convolutions up and down and of their gradients, no more.
"""

import dataclasses
import functools
import importlib.util
import itertools
import json
import multiprocessing
import pathlib
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from experiments import few_data, few_labels, neural_rendering
from experiments.benchmarks.convolution import seconds
from trinity_jax.compute import mesh, program, replicas
from trinity_jax.data import sources
from trinity_jax.data.augmentation import normalisation, nrm, rendering

# Pixels a side, images of a step with labels and without, steps for one of medium.
NETWORKS = {"small": (8, 50, 64, 10), "medium": (28, 50, 64, 1), "mnist": (28, 100, 100, 1)}
IMAGES, LABELLED, LABELS, TOLERANCE = 2000, 100, 10, 1e-3


@dataclasses.dataclass(frozen=True)
class Config:
    networks: tuple[Literal["small", "medium", "mnist"], ...] = ("small", "medium")  # by name
    # Terms of the loss, by name.
    arms: tuple[Literal["supervised", "joint", "full"], ...] = ("supervised", "joint", "full")
    steps: int = 20  # steps of medium in a measurement; of small ten times as many
    repeats: int = 3  # measurements of each program
    out: pathlib.Path | None = None  # file for the seconds as JSON, first calls first


def problem(config, network):
    """The experiment's settings, its images, the network, and the objective of every arm."""
    side, labelled, unlabelled, times = NETWORKS[network]
    batches = {"batch_labelled": labelled, "batch_unlabelled": unlabelled}
    how = {"steps": times * config.steps, "rounds": 1, "labelled": (LABELLED,), **batches}
    settings = neural_rendering.Config(arms=config.arms, layers=network, **how)
    pixels = np.random.default_rng(0).integers(0, 256, (IMAGES, side, side, 1), np.uint8)
    labels = np.arange(IMAGES, dtype=np.int32) % LABELS
    images = sources.Images("noise", pixels, labels, pixels[:1], labels[:1], tuple("0123456789"))
    full = nrm.Objective(*(getattr(settings, name) for name in neural_rendering.TERMS))
    objectives = {arm: neural_rendering.ARMS[arm](full) for arm in config.arms}
    return settings, images, few_labels.model(settings, images), objectives


def example(config, network, arm, dtype):
    """What the loss is a function of: parameters not far from fresh ones, and a batch."""
    settings, images, model, objectives = problem(config, network)
    known, both = settings.batch_labelled, settings.batch_labelled + settings.batch_unlabelled
    x = few_labels.preparer(settings.inputs, images)(images.train_images[:both])
    halves = (x[:known], jax.nn.one_hot(images.train_labels[:known], LABELS)), x[known:]
    params, running = nrm.begin(jax.random.key(0), model)
    rng = np.random.default_rng(1)
    off = lambda leaf: leaf + 0.1 * rng.normal(size=leaf.shape).astype(np.float32)
    params = jax.tree.map(off, params)
    norm, given = normalisation.by_batch(params.up, {}), (params.weights, model.layers, x[known:])
    mean = rendering.infer(*given, model.slope, norm=norm).logits.mean(0)
    params = params._replace(bias=-mean)  # if all guesses were one class, templates would not vary
    cast = lambda tree: jax.tree.map(lambda leaf: np.asarray(leaf, dtype), tree)
    return cast(params), cast(running), model, objectives[arm], *cast(halves)


@functools.partial(jax.jit, static_argnames="model")
def jax_gradient(params, running, model, *given):
    given = jax.random.key(0), running, model, *given
    return jax.value_and_grad(lambda params: nrm.loss(params, *given)[0])(params)


def torch_gradient(*which):
    from experiments.benchmarks import torch_rendering

    return torch_rendering.gradient(*example(*which))


def check(config, cases, ask):
    """Prints how far ours and PyTorch's are apart; ends the program if that is too far."""
    for case, dtype in itertools.product(cases, ("float64", "float32")):
        theirs, given = ask(torch_gradient, (config, *case, dtype)), example(config, *case, dtype)
        with jax.enable_x64(dtype == "float64"):
            ours = jax.tree.map(np.asarray, jax_gradient(*given))
        pairs = zip(*map(jax.tree.leaves, (ours, theirs)), strict=True)  # the loss comes first
        loss, *slopes = [abs(a - b).max() / (abs(a).max() or 1.0) for a, b in pairs]
        print(f"{', '.join((*case, dtype))}: loss {loss:.0e} apart, gradients {max(slopes):.0e}")
        if dtype == "float64" and not np.max([loss, *slopes]) <= TOLERANCE:
            raise SystemExit(f"They are more than {TOLERANCE} apart, so nothing is timed.")


@functools.cache
def compiled(config, network, count):
    """The experiment's own loop, of so many replicas, and what all of them have."""
    settings, images, *_ = problem(config, network)
    init, train, _ = neural_rendering.make_round(settings, images)
    devices = jax.sharding.Mesh(np.reshape(jax.devices()[:count], (-1, 1)), ("replica", "data"))
    seeds = dataclasses.replace(settings, seeds=count)
    data = replicas.share(few_data.arrays(seeds, images), devices)
    over = lambda f, shared: jax.jit(replicas.over_replicas(f, devices, shared=shared))
    return devices, over(init, 1), over(train, 2), (np.int32(0), np.int32(settings.steps)), data


def jax_run(config, network, arm, count):
    """A call of the loop, always from the same start."""
    devices, init, train, *common = compiled(config, network, count)
    replica = {"seed": range(count), "arm": config.arms.index(arm), "labelled": LABELLED}
    replica["steps"] = NETWORKS[network][-1] * config.steps
    wide = replicas.spread({k: np.full(count, v, np.int32) for k, v in replica.items()}, devices)
    state = init(common[-1], wide)
    return lambda: jax.block_until_ready(train(*common, state, wide))


@functools.cache
def torch_program(config, network, arm):
    from experiments.benchmarks import torch_few_labels

    settings, images, model, objectives = problem(config, network)
    start = *nrm.begin(jax.random.key(0), model), model, objectives[arm]
    return torch_few_labels.trainer(*start, settings, images)


def torch_step(threads, *which):
    torch_program(*which)(threads)


def torch_run(pools, *given):
    """The same in each of these processes."""
    for wait in [pool.apply_async(torch_step, given) for pool in pools]:
        wait.get()


def products(model, objective, known, others):
    """Operations of a step's convolutions: a product forwards, and one for each gradient."""
    (height, width, fan), forward = model.shape, []
    for layer in model.layers:
        height, width = (n + 2 * layer.pad - layer.window + 1 for n in (height, width))
        forward.append(2 * height * width * layer.window**2 * fan * layer.channels)
        height, width, fan = height // layer.pool, width // layer.pool, layer.channels
    whole, above = sum(forward), sum(forward[1:])
    learnt = known + (others if objective.entropy else 0)  # else others only move the moments
    drawn = 3 * whole * bool(objective.reconstruction) + 6 * above * bool(objective.paths)
    return (known + others) * (whole + drawn) + learnt * (whole + above)  # none of the image


def main(config: Config):
    jax.config.update("jax_enable_compilation_cache", False)  # the first call is to compile
    mesh.use_cores()
    cores, programs, x = jax.device_count(), {}, jnp.ones((2048, 2048))
    speed = 2 * 2048**3 / min(seconds(lambda: (x @ x).block_until_ready()) for _ in range(6))
    start = multiprocessing.get_context("spawn").Pool
    pools = [start(1) for _ in range(cores)] if importlib.util.find_spec("torch") else []
    cases = [(network, arm) for network in config.networks for arm in config.arms]
    if pools:
        check(config, cases, pools[0].apply)
    else:
        print("PyTorch is not installed; to compare with it: pip install '.[bench]'")
    peers = {"1 thread": (1, 1), f"{cores} threads": (1, cores), f"{cores} processes": (cores, 1)}
    for case in cases:
        settings, _, model, objectives = problem(config, case[0])
        batch = settings.batch_labelled, settings.batch_unlabelled
        floor = products(model, objectives[case[1]], *batch) / speed
        for count in dict.fromkeys((1, cores)):
            work = settings.steps, count * sum(batch), floor
            programs[*case, f"ours, {count}"] = *work, jax_run(config, *case, count)
        for name, (count, threads) in peers.items() if pools else ():
            work = settings.steps, count * sum(batch), floor / threads
            run = functools.partial(torch_run, pools[:count], threads, config, *case)
            programs[*case, f"torch, {name}"] = *work, run
    times = {name: [] for name in programs}
    for name in list(programs) * (1 + config.repeats):
        times[name].append(seconds(programs[name][-1]))
    step = {name: np.array(spent[1:]) / programs[name][0] for name, spent in times.items()}
    rate = {name: programs[name][1] / np.median(spent) for name, spent in step.items()}
    print(f"{cores} cores of {speed / 1e9:.0f} GFLOP/s; last: how much faster than torch with ...")
    ends = "".join(f"{name:>12}" for name in peers)
    print(f"{'ms a step':>44}{'min - max':>17}{'floor':>8}{'images/s':>10}{ends}   first call")
    for name, spent in step.items():
        low, middle, high = 1e3 * np.quantile(spent, (0, 0.5, 1))
        span, floor = f"{low:.1f} - {high:.1f}", 1e3 * programs[name][2]
        ratios = [rate[name] / rate.get((*name[:2], f"torch, {peer}"), np.nan) for peer in peers]
        ends = "".join(f"{ratio:12.2f}" for ratio in ratios) + f"{times[name][0]:11.1f} s"
        print(f"{', '.join(name):34}{middle:10.1f}{span:>17}{floor:8.2f}{rate[name]:10.0f}{ends}")
    if config.out:
        config.out.write_text(json.dumps({", ".join(name): spent for name, spent in times.items()}))


if __name__ == "__main__":
    program.script("benchmarks.rendering", Config, main, str(__doc__))

"""How long a whole figure takes: as one program, its replicas one by one, and in PyTorch.

    python -m experiments.benchmarks.figures [--experiments crowdsourcing]    12 minutes, 2 cores
    python -m experiments.benchmarks.figures --platform gpu --times 8         on one GPU

one program      all replicas over all cores, as the experiments do, or vectorised on a GPU; see
                 `compute.replicas`
in turn          on a GPU, one program that maps them in turn
one by one       the program of one replica, compiled once and called for each, in one process
one a core       that, in as many processes as there are cores; not run: what it takes at least, as
                 large products use all cores already
a process each   every replica starts and compiles, as many at a time as there are cores; likewise
torch            the same replicas in PyTorch, eager, with one thread or all, whichever is faster
                 for the last; and in one process a core, or in four that share the GPU.
                 `torch_figures` says what it is spared

Programs begin with their data in memory and end with their results. The first call of each counts
compiling, without any cache of compiled programs; then all are called in turn, `repeats` times.
First, replicas have to find one by one what they find in one program, to the bit (on CPUs). Errors,
of ours and of PyTorch's networks, should be alike. Sizes are in `figure_cases`.
"""

import contextlib
import dataclasses
import functools
import importlib.util
import json
import multiprocessing
import os
import pathlib
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import jax
import numpy as np

from experiments.benchmarks import figure_cases
from experiments.benchmarks.convolution import seconds
from experiments.benchmarks.figure_costs import ALL, ONE, TURN, Measured, claims, show
from experiments.benchmarks.figure_processes import in_torch, load, load_torch, one_by_one
from trinity_jax.compute import mesh, program, replicas
from trinity_jax.types import InputError, choose

SHARING = 4  # processes of PyTorch on a GPU


@dataclasses.dataclass(frozen=True)
class Config:
    """What to measure."""

    experiments: tuple[str, ...] = ()  # figures to measure (default: all)
    repeats: int = 3  # measurements of each program
    platform: str = "cpu"  # or gpu, of which one is used
    times: tuple[int, ...] = ()  # one program is timed with so many times the seeds, too
    out: pathlib.Path | None = None  # file for the seconds as JSON, first calls first

    def __post_init__(self):
        program.in_range(self, repeats=(1, 10**6))
        program.known(self, platform=dict.fromkeys(("cpu", "gpu")))
        if self.times:
            program.in_range(self, times=(2, 10**6))


def one_program(name: str, config: Any, in_turn: bool = False):
    """A call of the program of all replicas, which returns what they find, [replica, ...]."""
    case, devices = figure_cases.case(name, config), mesh.make()
    every = jax.jit(replicas.over_replicas(case.whole, devices, shared=1, in_turn=in_turn))
    given = replicas.share(case.data, devices), replicas.spread(case.replica, devices)
    return lambda: jax.tree.map(np.asarray, every(*given))


def check(found: Any, others: Any) -> None:
    """Ends the program if replicas found something else one by one."""
    for one, other in zip(*map(jax.tree.leaves, (found, others)), strict=True):
        if one.tobytes() != other.tobytes():
            raise SystemExit("One by one, replicas find something else, so nothing is timed.")


def torch_arms(pools: list, name: str, config: Any, kept: Any, gpu: bool) -> dict[str, Callable]:
    """One process, on CPUs with the number of threads that suits it, of the first way; and all."""
    most, count, arms = len(pools), len(figure_cases.case(name, config).rows), {}
    each = [jax.tree.map(lambda leaf, i=i: leaf[i], kept) for i in range(count)]
    given = name, config, each, "gpu" if gpu else "cpu"
    waits = [pool.submit(load_torch, *given) for pool in pools]
    ask = lambda pool, *given: pool.submit(in_torch, *given)

    def last(threads, way, pool=pools[0]):
        return seconds(lambda: ask(pool, way, threads, [count - 1]).result())

    def share(way, processes, threads):
        parts = np.array_split(np.arange(count), processes)
        given = zip(pools[:processes], parts, strict=True)
        asked = [ask(pool, way, threads, part.tolist()) for pool, part in given]
        return [error for wait in asked for error in wait.result()]

    for way in [wait.result() for wait in waits][-1]:
        for pool in pools:
            last(1, way, pool)  # PyTorch is slower at first
        if gpu:
            arms[f"torch {way}, processes: 1"] = functools.partial(share, way, 1, 1)
        elif not arms:
            best = min(1, most, key=lambda threads, way=way: last(threads, way))
            arms[f"torch {way}, threads: {best}"] = functools.partial(share, way, 1, best)
        arms[f"torch {way}, processes: {most}"] = functools.partial(share, way, most, 1)
    return arms


def measure(name: str, config: Any, repeats: int, gpu: bool) -> Measured:
    """Times all arms of a figure."""
    found, times, spawn = {}, {}, multiprocessing.get_context("spawn")
    # One by one returns nothing from the second time on: what it found is known.
    keep = lambda arm, run: seconds(lambda: found.update({arm: run() or found[arm]}))
    with contextlib.ExitStack() as stack:
        new = lambda: stack.enter_context(ProcessPoolExecutor(1, spawn))
        alone = new()
        begun = seconds(lambda: alone.submit(load, name, config).result())
        case, every = figure_cases.case(name, config), one_program(name, config)
        ask = lambda wanted=False: alone.submit(one_by_one, name, config, wanted).result()
        times[ALL], times[ONE] = [keep(ALL, every)], [keep(ONE, lambda: ask(True))]
        arms: dict[str, Callable] = {ALL: every, ONE: ask}
        if gpu:
            arms[TURN] = one_program(name, config, in_turn=True)
            times[TURN] = [keep(TURN, arms[TURN])]
        else:
            check(found[ALL], found[ONE])
        if importlib.util.find_spec("torch"):
            pools = [new() for _ in range(SHARING if gpu else jax.device_count())]
            arms |= torch_arms(pools, name, config, found[ALL][1], gpu)
        for arm in list(arms) * repeats:
            times.setdefault(arm, [None]).append(keep(arm, arms[arm]))
    errors = {arm: float(np.mean(found[arm])) for arm in arms if "torch" in arm}
    ours = {arm: found[arm][0] for arm in arms if arm not in errors}
    errors |= {arm: float(case.error(metrics)[:, -1].mean()) for arm, metrics in ours.items()}
    return Measured(len(case.rows), times, begun, errors)


def larger(name: str, config: Any, times: int, repeats: int) -> list[float]:
    """Seconds of one program of so many times the seeds; the first is with compiling."""
    run = one_program(name, dataclasses.replace(config, seeds=times * config.seeds))
    found = [seconds(run) for _ in range(1 + repeats)]
    several = f"one program of {times} times the replicas"
    print(f"{several}: {np.median(found[1:]):.2f} s, with compiling {found[0]:.2f} s", flush=True)
    return found


def main(config: Config) -> None:
    gpu = config.platform == "gpu"
    os.environ["JAX_PLATFORMS"] = "cuda,cpu" if gpu else "cpu"  # of other processes too
    jax.config.update("jax_platforms", os.environ["JAX_PLATFORMS"])
    jax.config.update("jax_enable_compilation_cache", False)
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # processes share the GPU
    mesh.use_cores()
    names = choose(figure_cases.FIGURES, config.experiments, "experiment")
    cores, results = jax.device_count(), {}
    device = jax.devices()[0].device_kind
    if gpu and (cores > 1 or jax.devices()[0].platform != "gpu"):
        found = f"{cores} x {device}"
        raise InputError(f"--platform gpu: expected one, as CUDA_VISIBLE_DEVICES=0, found {found}")
    load = f"{os.getloadavg()[0]:.1f} cores were busy in the last minute"
    print(f"{cores} x {device}; {load}")
    for name in names:
        given = name, figure_cases.FIGURES[name]
        results[name] = measure(*given, config.repeats, gpu)
        show(name, results[name], cores)
        print("One program is,", *claims(results[name], cores), sep="\n  ", flush=True)
        for times in config.times:
            results[name].seconds[f"{ALL}, x {times}"] = larger(*given, times, config.repeats)
        jax.clear_caches()
    if config.out:
        sizes = {name: dataclasses.asdict(figure_cases.FIGURES[name]) for name in names}
        rows = {name: of._asdict() | {"config": sizes[name]} for name, of in results.items()}
        told = {"cores": cores, "device": device, "figures": rows}
        config.out.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    program.script("benchmarks.figures", Config, main, str(__doc__))

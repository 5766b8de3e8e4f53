"""Dawid-Skene on a long table, beside crowd-kit, SciPy's sparse products and the memory's speed.

    pip install '.[bench]' && python -m experiments.benchmarks.crowd       a minute
    python -m experiments.benchmarks.crowd --long 100000000      and a very long one, minutes

The same synthetic table (one-coin workers of accuracy uniform in [0.3, 0.95], five labels an
item) for the same number of rounds, all in one process and in turn; ours is compiled before, which
is timed apart. SciPy: the same EM in float32 as two products with a CSR matrix of items by (worker,
label).
Floor: a round cannot take less than to read the table and to write and read a posterior and the
sums once, 2 N (8 + 4 K) bytes (see `floor`), at the speed at which a large array is copied.
--long writes a Parquet file and runs `trinity-aggregate` on it, in a process of its own.
"""

import dataclasses
import json
import pathlib
import resource
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np

from experiments.benchmarks.convolution import seconds
from trinity_jax.compute import mesh, parts, program
from trinity_jax.data.aggregation import blocks
from trinity_jax.data.aggregation.annotations import Dims


@dataclasses.dataclass(frozen=True)
class Config:
    """What to measure."""

    annotations: int = 1_000_000  # rows of the table
    redundancy: int = 5  # labels an item
    workers: int = 10_000  # who label
    labels: int = 5  # classes
    rounds: int = 10  # rounds of EM
    repeats: int = 5  # measurements of each program (two of crowd-kit)
    long: int = 0  # annotations of a very long table; 0: none
    long_workers: int = 100_000  # workers of that table
    folder: str = ""  # for that table's files; empty: a temporary one
    out: str = ""  # file for the numbers as JSON; empty: none


def table(annotations: int, workers: int, config: Config) -> tuple[Dims, np.ndarray, np.ndarray]:
    """Sizes; worker and label of each annotation, [item, slot]."""
    rng = np.random.default_rng(0)
    dims = Dims(annotations // config.redundancy, workers, config.labels)
    shape = dims.items, config.redundancy
    skill = rng.uniform(0.3, 0.95, dims.workers).astype(np.float32)
    truth = rng.integers(0, dims.labels, (dims.items, 1), np.int32)
    worker = rng.integers(0, dims.workers, shape, np.int32)
    wrong = rng.integers(1, dims.labels, shape, np.int32)
    wrong[rng.random(shape, np.float32) < skill[worker]] = 0
    return dims, worker, (truth + wrong) % np.int32(dims.labels)


def ours(dims: Dims, cell: np.ndarray, rounds: int, devices: jax.sharding.Mesh):
    """`rounds` rounds as one compiled program, and the seconds it took to compile."""
    item = np.repeat(np.arange(dims.items, dtype=np.int32), cell.shape[1])
    columns, place = blocks.blocks(item, cell.ravel(), dims, parts=devices.size)
    data = parts.place(columns, devices)
    over = lambda f: parts.over_parts(lambda part, *a: f(part, dims, *a), devices, blocks.join)
    vote, advance = over(blocks.vote), over(blocks.advance)

    def run(data):
        def step(_, carry):
            found = blocks.parameters(carry[0], dims)[0]
            return advance(data, found), found

        first = vote(data)
        start = first, blocks.parameters(first, dims)[0]
        return jax.lax.fori_loop(0, rounds, step, start)

    began = time.perf_counter()
    program = jax.jit(run).lower(data).compile()
    seconds = time.perf_counter() - began
    find = parts.over_parts(lambda part, q: blocks.posterior(part, dims, q), devices)
    last = lambda: jax.jit(find)(data, program(data)[1]).reshape(-1, dims.labels)[place]
    return lambda: jax.block_until_ready(program(data)), seconds, last


def by_products(dims: Dims, cell: np.ndarray, rounds: int):
    """The same in NumPy, with SciPy's products of sparse and dense matrices."""
    import scipy.sparse

    ones = np.ones(cell.size, np.float32)
    ends = np.arange(0, cell.size + 1, cell.shape[1])
    given = scipy.sparse.csr_matrix(
        (ones, cell.ravel(), ends), (dims.items, dims.workers * dims.labels)
    )
    back = given.T.tocsr()

    def run():
        said = np.tile(np.eye(dims.labels, dtype=np.float32), (dims.workers, 1))
        votes = given @ said
        posterior = votes / votes.sum(1, keepdims=True)
        for _ in range(rounds):
            counts = (back @ posterior).reshape(dims.workers, dims.labels, dims.labels)
            total = counts.sum(1, keepdims=True)
            share = np.maximum(counts, 1e-10) / np.maximum(total, 1e-10)
            confusion = np.log(share).reshape(-1, dims.labels)
            logits = given @ confusion + np.log(posterior.mean(0))
            posterior = np.exp(logits - logits.max(1, keepdims=True))
            posterior /= posterior.sum(1, keepdims=True)
        return posterior

    return run


def crowd_kit(dims: Dims, worker: np.ndarray, label: np.ndarray, rounds: int):
    """crowd-kit's, from its data frame."""
    import pandas as pd
    from crowdkit.aggregation import DawidSkene

    item = np.repeat(np.arange(dims.items), worker.shape[1])
    frame = pd.DataFrame({"task": item, "worker": worker.ravel(), "label": label.ravel()})
    return lambda: DawidSkene(n_iter=rounds, tol=0).fit_predict_proba(frame)


def floor(dims: Dims, annotations: int) -> tuple[float, float]:
    """Seconds of a round at the speed of a copy; and that speed, bytes a second."""
    large = np.ones(64_000_000, np.float32)
    copy, times = np.empty_like(large), []
    for _ in range(5):
        began = time.perf_counter()
        np.copyto(copy, large)
        times.append(time.perf_counter() - began)
    speed = 2 * large.nbytes / min(times)
    return 2 * annotations * (8 + 4 * dims.labels) / speed, speed


def long_run(config: Config) -> dict:
    """`trinity-aggregate` on a very long table: seconds by phase, and the most memory it took."""
    import pyarrow
    from pyarrow import parquet

    with tempfile.TemporaryDirectory(dir=config.folder or None) as folder:
        file, out = pathlib.Path(folder, "labels.parquet"), pathlib.Path(folder, "out")
        dims, worker, label = table(config.long, config.long_workers, config)
        item = np.repeat(np.arange(dims.items, dtype=np.int32), config.redundancy)
        columns = {"item": item, "worker": worker.ravel(), "label": label.ravel()}
        parquet.write_table(pyarrow.table(columns), file, row_group_size=1 << 20)
        bytes_of_round, speed = floor(dims, config.long)
        del worker, label, item, columns
        command = [sys.executable, "-m", "trinity_jax.aggregate", str(file), "--out", str(out)]
        command += ["--method", "dawid-skene", "--rounds", str(config.rounds), "--tolerance", "0"]
        took = seconds(lambda: subprocess.run(command, check=True))
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
        phases = json.loads((out / "summary.json").read_text())["seconds"]
    print(f"{config.long} annotations: {took:.0f} s, at most {peak / 2**30:.1f} GiB; {phases}")
    rate = phases["rounds"] / config.rounds
    print(f"a round {rate:.2f} s, floor {bytes_of_round:.2f} s ({speed / 1e9:.1f} GB/s)")
    return {"seconds": took, "peak_bytes": peak, "phases": phases, "floor": bytes_of_round}


def main(config: Config) -> None:
    """Prints a row for each."""
    mesh.use_cores()
    jax.config.update("jax_enable_compilation_cache", False)
    dims, worker, label = table(config.annotations, config.workers, config)
    cell = worker * np.int32(dims.labels) + label
    programs, compiling, answers = {}, {}, {}
    for count in dict.fromkeys((1, jax.device_count())):
        devices = jax.sharding.Mesh(np.array(jax.devices()[:count]), ("data",))
        name = f"ours, {count} device{'s' * (count > 1)}"
        programs[name], compiling[name], answers[name] = ours(dims, cell, config.rounds, devices)
    programs["SciPy products"] = by_products(dims, cell, config.rounds)
    programs["crowd-kit"] = crowd_kit(dims, worker, label, config.rounds)
    theirs = programs["SciPy products"]()
    for name, answer in answers.items():
        print(f"{name}: posterior at most {np.abs(answer() - theirs).max():.0e} from SciPy's")
    times, floors = {name: [] for name in programs}, []
    for repeat in range(config.repeats):
        floors.append(floor(dims, config.annotations)[0] * config.rounds)
        for name, run in programs.items():
            if name != "crowd-kit" or repeat < 2:
                times[name].append(seconds(run))
    best, low = {name: float(np.median(of)) for name, of in times.items()}, np.median(floors)
    print(f"{config.annotations} annotations, {config.rounds} rounds; floor {low:.3f} s")
    print(f"{'':18}{'median, s':>10}{'min - max':>16}{'times floor':>12}{'crowd-kit / it':>16}")
    for name, of in times.items():
        ratio = best["crowd-kit"] / best[name]
        span = f"{min(of):.3f} - {max(of):.3f}"
        print(f"{name:18}{best[name]:10.3f}{span:>16}{best[name] / low:12.1f}{ratio:16.1f}", end="")
        print(f"   compiled in {compiling[name]:.1f} s" if name in compiling else "")
    found = {"seconds": times, "floor": floors, "compiling": compiling}
    if config.long:
        found["long"] = long_run(config)
    if config.out:
        pathlib.Path(config.out).write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    program.script("benchmarks.crowd", Config, main, str(__doc__))

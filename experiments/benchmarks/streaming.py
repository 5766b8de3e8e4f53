"""Scoring a pool that is read batch by batch, beside the same pool in memory.

    python -m experiments.benchmarks.streaming                     random images, two minutes
    python -m experiments.benchmarks.streaming --data tfds:NAME    a set that lies prepared

What a strategy of active learning does to a pool once a round: a network says how sure it is of
every image. Each way is a process of its own: images a second, reading included, and the most
memory it took beyond what it had when all was compiled. Both give the same scores; it ends
with a sentence where their means differ.
"""

import dataclasses
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np

from trinity_jax.algorithms import networks, training
from trinity_jax.compute import mesh, program
from trinity_jax.data import preparing, sources, streaming
from trinity_jax.types import InputError


@dataclasses.dataclass(frozen=True)
class Config:
    """What to measure."""

    data: str = ""  # tfds:NAME; empty: random images are made into a set
    images: int = 100_000  # that many of them
    size: int = 32  # pixels a side
    network: str = "softmax"  # what scores them; the smallest, so that reading is measured
    batch_size: int = 512  # images that are scored at a time
    way: str = ""  # memory or stream, in this process; empty: both
    out: str = ""  # file for the numbers as JSON; empty: none


def make_score(config: Config, pool: streaming.Stream):
    """`score(images) -> margin`, compiled, with weights as they are drawn."""
    network = networks.network(config.network, len(pool.labels))
    recipe = training.adam(network, 1e-3, config.batch_size, "linear_decay")
    first = jnp.zeros((config.batch_size, *pool.examples.shape), jnp.uint8)
    state = training.begin(jax.random.key(0), recipe, first)

    def score(images):
        best = jax.lax.top_k(jax.nn.softmax(network.apply(state.params, state.stats, images)), 2)[0]
        return best[:, 1] - best[:, 0]

    return jax.jit(score).lower(first).compile()


def by_stream(pool: streaming.Stream, score, config: Config) -> np.ndarray:
    """Never more than a few batches in memory."""
    found = np.empty(len(pool.examples), np.float32)
    for batch in streaming.once(pool, config.batch_size):
        real = batch.item >= 0
        found[batch.item[real]] = np.asarray(score(batch.images))[real]
    return found


def in_memory(pool: streaming.Stream, score, config: Config) -> np.ndarray:
    """Everything is read, then scored."""
    images = sources.images(pool.name).train_images
    rows = np.arange(0, len(images) + config.batch_size - 1, config.batch_size)
    rows = np.minimum(rows[:, None] + np.arange(config.batch_size), len(images) - 1)
    return np.concatenate([score(images[row]) for row in rows])[: len(images)]


WAYS = {"stream": by_stream, "memory": in_memory}


def peak() -> int:
    """The most bytes this process has had; `resource` would count its parent's, too."""
    status = pathlib.Path("/proc/self/status").read_text()
    return 1024 * int(re.findall(r"VmHWM:\s*(\d+) kB", status)[0])


def measure(config: Config) -> dict:
    """One way, in this process."""
    pool = streaming.stream(config.data)
    score = make_score(config, pool)
    score(np.zeros((config.batch_size, *pool.examples.shape), np.uint8))
    before, began = peak(), time.perf_counter()
    found = WAYS[config.way](pool, score, config)
    seconds = time.perf_counter() - began
    return {
        "images": len(found),
        "pool_MiB": round(len(found) * float(np.prod(pool.examples.shape)) / 2**20),
        "images_per_s": round(len(found) / seconds),
        "memory_MiB": round((peak() - before) / 2**20),
        "mean_score": round(float(found.mean(dtype=float)), 6),
    }


def make(config: Config, folder: pathlib.Path) -> None:
    """A set of random images; most of the time goes into writing and comparing it."""
    rng = np.random.default_rng(0)
    for part, count in (("train", config.images), ("test", 1000)):
        images = rng.integers(0, 256, (count, config.size, config.size, 3), np.uint8)
        np.savez(folder / f"pool_{part}.npz", images=images, labels=np.arange(count) % 10)
    preparing.prepare(f"npz:{folder}", "pool", str(folder))


def both(config: Config) -> dict:
    """Both ways, each in a process of its own."""
    found = {}
    for way in WAYS:
        words = ["--data", config.data, "--way", way, "--network", config.network]
        words += ["--batch-size", str(config.batch_size)]
        command = [sys.executable, "-m", __spec__.name, *words]
        ran = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        found[way] = json.loads(ran.stdout)
        print(way, found[way], flush=True)
    check(found)
    return found


def check(found: dict) -> None:
    """Ends the program where the two ways do not give the same scores, up to rounding."""
    one, other = (found[way]["mean_score"] for way in WAYS)
    if not abs(one - other) < 1e-5:
        raise SystemExit(f"The mean scores are {one} and {other}: they are not of the same images.")


def main(config: Config) -> None:
    mesh.use_cores()
    if config.way and config.way not in WAYS:
        raise InputError(f"--way: expected {' or '.join(WAYS)}, found {config.way}")
    if config.way:
        print(json.dumps(measure(config)))
        return
    with tempfile.TemporaryDirectory() as folder:
        if not config.data:
            os.environ["TFDS_DATA_DIR"] = folder
            make(config, pathlib.Path(folder))
            config = dataclasses.replace(config, data="tfds:pool")
        found = both(config)
    if config.out:
        pathlib.Path(config.out).write_text(json.dumps(found))


if __name__ == "__main__":
    program.script("benchmarks.streaming", Config, main, str(__doc__))

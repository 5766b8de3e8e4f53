"""What more devices give, along both axes of the mesh: a pass over a pool, and a sweep of replicas.

    python -m experiments.benchmarks.scaling --devices 1 2 4    two minutes on two cores

data      one network scores a pool of images; each device takes its share, results are gathered
replica   networks of several seeds are trained, each on one device

Devices of a CPU are simulated, each with a core while there are some left: more only show what
sharing costs. Every number of devices is a process of its own, in which sums are split alike
(`--deterministic`); all have to find the same bits. `scaling.md` has the plan for many chips.
"""

import dataclasses
import hashlib
import json
import os
import statistics
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from trinity_jax.algorithms import networks, training
from trinity_jax.compute import mesh, program, replicas
from trinity_jax.types import InputError

POOL, SIDE, LABELS = 20_000, 16, 10
REPLICAS, STEPS = 8, 60


@dataclasses.dataclass(frozen=True)
class Config:
    devices: tuple[int, ...] = (1, 2, 4)  # simulated devices of each measurement, up to 8
    repeats: int = 5  # measurements of each program, of which the median is taken
    within: bool = False  # measure here, with the devices there are, and print JSON

    def __post_init__(self):
        program.in_range(self, devices=(1, 8), repeats=(1, 1000))
        if self.devices[0] != 1:
            raise InputError("--devices has to begin with 1, which the others are compared to")


def problem():
    """A pool of images, and the recipe of a small convolutional network."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (POOL, SIDE, SIDE, 1), np.uint8)
    truth = rng.integers(0, LABELS, POOL)
    return jnp.asarray(pixels), jnp.asarray(truth), networks.network("convnet", LABELS)


def scoring(devices):
    """A call that scores the pool, its items over all devices."""
    pixels, _, network = problem()
    recipe = training.adam(network, 1e-3, 32)._replace(each=replicas.each_of(devices))

    def score(pixels, seed):
        state = training.begin(jax.random.key(seed), recipe, pixels)
        log_probs = jax.nn.log_softmax(training.predict(recipe, state, pixels, batch_size=500))
        return -(jnp.exp(log_probs) * log_probs).sum(1)

    one = jax.jit(replicas.over_replicas(score, devices, shared=1))
    given = replicas.share(pixels, devices), replicas.share(jnp.zeros(1, jnp.int32), devices)
    return lambda: jax.block_until_ready(one(*given))


def sweeping(devices):
    """A call that trains the replicas, each on one device."""
    pixels, truth, network = problem()
    recipe = training.adam(network, 1e-3, 32)
    count = 32 * STEPS

    def train(data, seed):
        pixels, truth = data
        key = jax.random.key(seed)
        start = training.begin(jax.random.fold_in(key, 0), recipe, pixels)
        target = jax.nn.one_hot(truth[:count], LABELS)
        examples = training.Examples(pixels, jnp.arange(count), target, jnp.ones(count), count)
        return training.train(jax.random.fold_in(key, 1), recipe, start, examples, 1)[1]

    every = jax.jit(replicas.over_replicas(train, devices, shared=1))
    given = replicas.share((pixels, truth), devices)
    seeds = replicas.spread(jnp.arange(REPLICAS), devices)
    return lambda: jax.block_until_ready(every(given, seeds))


def measure(config: Config) -> dict:
    """{axis: (digest of the result, seconds)} with the devices of this process."""
    count, found = jax.device_count(), {}
    for axis, make, sizes in (("data", scoring, (1, count)), ("replica", sweeping, (count, 1))):
        call, times = make(mesh.make(*sizes)), []
        digest = hashlib.sha256(np.asarray(call()).tobytes()).hexdigest()  # the first call compiles
        for _ in range(config.repeats):
            began = time.perf_counter()
            call()
            times.append(time.perf_counter() - began)
        found[axis] = digest, times
    return found


def main(config: Config) -> None:
    """Prints seconds, and how many times as fast as on one device."""
    cores = sorted(os.sched_getaffinity(0))
    if config.within:
        os.sched_setaffinity(0, cores[: int(os.environ["JAX_NUM_CPU_DEVICES"])])
        mesh.use_cores(deterministic=True)
        print(json.dumps(measure(config)))
        return
    base: dict = {}
    work = {"data": f"{POOL} images scored", "replica": f"{REPLICAS} x {STEPS} steps"}
    print(f"{len(cores)} cores\n| axis | work | devices | seconds | times one |")
    print("|---|---|---|---|---|")
    for count in config.devices:
        command = [sys.executable, "-m", "experiments.benchmarks.scaling", "--within"]
        command += ["--repeats", str(config.repeats)]
        env = os.environ | {"JAX_NUM_CPU_DEVICES": str(count)}
        told = subprocess.run(command, env=env, check=True, stdout=subprocess.PIPE, text=True)
        for axis, (digest, times) in json.loads(told.stdout).items():
            seconds = statistics.median(times)
            before = base.setdefault(axis, (digest, seconds))
            if before[0] != digest:
                raise SystemExit(f"{axis}: {count} devices find something else than one")
            ratio = before[1] / seconds
            print(f"| {axis} | {work[axis]} | {count} | {seconds:.2f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    program.script("benchmarks.scaling", Config, main, str(__doc__))

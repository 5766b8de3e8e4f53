"""How fast the best question of every image is found, and in how much memory.

    python -m experiments.benchmarks.partial_feedback [--items 1000000] [--table digits]   a minute

All questions of a hierarchy are scored for all items, whose sets of classes are packed in bits. The
floor is the time of the two matrix products alone, at the speed of a large one on this machine;
beside it is the same in NumPy, some thousand items at a time, in float32. All run in turn.
"""

import dataclasses
import resource
import time

import jax
import jax.numpy as jnp
import numpy as np

from experiments import partial_data
from trinity_jax.compute import program
from trinity_jax.data.collection import partial_feedback, questions

CHUNK = partial_feedback.ITEMS_AT_ONCE


@dataclasses.dataclass(frozen=True)
class Config:
    items: int = 1_000_000  # images that may be asked about
    table: str = "tinyimagenet"  # hierarchy: digits, cifar10, cifar100 or tinyimagenet
    score: str = "erc"  # of questions: eig, erc or edc
    repeats: int = 3  # measurements of each program


def seconds(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def peak() -> float:
    """The most memory that this process has had, in GiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def with_numpy(log_probs, packed, covers, labels):
    """The same by the formulas as they stand."""
    columns, numbers = covers.T.astype(np.float32), np.arange(labels)
    value, question = np.empty(len(packed), np.float32), np.empty(len(packed), np.int32)
    for start in range(0, len(packed), CHUNK):
        rows = slice(start, start + CHUNK)
        left = (packed[rows][:, numbers // 32] >> (numbers % 32).astype(np.uint32)) & 1
        left = left.astype(np.float32)
        joint = np.exp(log_probs[rows]) * left
        mass = joint.sum(1, keepdims=True)
        probs = np.where(mass < questions.NEGLIGIBLE, left, joint)
        probs /= probs.sum(1, keepdims=True)
        yes, if_yes = np.clip(probs @ columns, 0, 1), left @ columns
        if_no = left.sum(1, keepdims=True) - if_yes
        score = -(yes * if_yes + (1 - yes) * if_no)
        score[(if_yes == 0) | (if_no == 0)] = -np.inf
        question[rows] = score.argmax(1)
        value[rows] = score.max(1)
    return value, question


def main(config: Config) -> None:
    covers = partial_data.table(config.table).covers
    labels = covers.shape[1]
    rng = np.random.default_rng(0)
    log_probs = rng.normal(size=(config.items, labels)).astype(np.float32)
    log_probs -= np.log(np.exp(log_probs).sum(1, keepdims=True))
    packed = rng.integers(2**32, size=(config.items, -(-labels // 32)), dtype=np.uint32)
    score = lambda key, belief: questions.any_of([config.score])(0, key, belief)

    @jax.jit
    def scored(log_probs, packed, covers):
        key = jax.random.key(0)
        return partial_feedback.score_pool(key, score, log_probs, packed, covers)

    given = tuple(map(jnp.asarray, (log_probs, packed, covers)))
    before = peak()
    first = seconds(lambda: jax.block_until_ready(scored(*given)))
    extra = peak() - before
    square = jnp.ones((3000, 3000))
    works = {
        "ours": lambda: jax.block_until_ready(scored(*given)),
        "NumPy": lambda: with_numpy(log_probs, packed, covers, labels),
        "large product": lambda: (square @ square).block_until_ready(),
    }
    times = {name: [] for name in works}
    for _ in range(config.repeats):
        for name, work in works.items():
            times[name].append(seconds(work))
    speed = 2 * 3000**3 / min(times.pop("large product"))
    floor = 4 * config.items * labels * len(covers) / speed
    print(f"{config.items:,} items, {len(covers)} questions, {labels} labels, {config.score}")
    print(f"two products at {speed / 1e9:.0f} GFLOP/s: {floor:.2f} s; first call {first:.1f} s")
    print(f"extra memory of ours: {extra:.2f} GiB, over {before:.2f} GiB with the inputs")
    for name, spent in times.items():
        middle = float(np.median(spent))
        span = f"{min(spent):.2f} - {max(spent):.2f}"
        print(f"{name:8}{middle:8.2f} s ({span}){middle / floor:8.1f} x the floor")
    ours, theirs = (np.median(times[name]) for name in ("ours", "NumPy"))
    same = np.mean(
        np.asarray(scored(*given)[1]) == with_numpy(log_probs, packed, covers, labels)[1]
    )
    print(f"NumPy / ours {theirs / ours:.1f}; the same question for {100 * same:.2f} % of items")


if __name__ == "__main__":
    program.script("benchmarks.partial_feedback", Config, main, str(__doc__))

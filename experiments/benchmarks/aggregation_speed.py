"""Aggregators against the libraries people use: seconds side by side, in one process.

    pip install '.[bench]' && python -m experiments.benchmarks.aggregation_speed      minutes

Synthetic one-coin workers (accuracy uniform in [0.3, 0.95]), five labels an item; peers are
crowd-kit 1.4.2 and cleanlab 2.9.0, on the same table, for as many rounds (M-MSR until it stands
still). Compiling is timed apart. A run of ours is repeated and its median taken; peers run once, as
they take minutes.
"""

import dataclasses
import json
import pathlib
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

from trinity_jax.algorithms.em import EM, fit, fit_until
from trinity_jax.compute import program
from trinity_jax.data.aggregation.annotations import Dims
from trinity_jax.data.aggregation.crowdlab import crowdlab
from trinity_jax.data.aggregation.dawid_skene import dawid_skene
from trinity_jax.data.aggregation.glad import glad
from trinity_jax.data.aggregation.m_msr import m_msr
from trinity_jax.data.aggregation.one_coin import coin_confusion, one_coin
from trinity_jax.data.aggregation.workers import annotate


@dataclasses.dataclass(frozen=True)
class Config:
    """How long to measure."""

    repeats: int = 5  # runs of ours, of which the median counts
    out: str = ""  # file for the rows as JSON; empty: none


def problem(num_items: int, num_workers: int, num_labels: int):
    """A table of five labels an item, its sizes, and the truth."""
    key_truth, key_skill, key_label = jax.random.split(jax.random.key(0), 3)
    truth = jax.random.randint(key_truth, (num_items,), 0, num_labels)
    skill = jax.random.uniform(key_skill, (num_workers,), minval=0.3, maxval=0.95)
    confusion = jnp.exp(coin_confusion(skill, num_labels))
    return annotate(key_label, truth, confusion, 5), Dims(num_items, num_workers, num_labels), truth


def frame(table):
    """The table as crowd-kit wants it."""
    import pandas as pd

    columns = {"task": table.item, "worker": table.worker, "label": table.label}
    return pd.DataFrame({name: np.asarray(column) for name, column in columns.items()})


def ours(function, *arguments, repeats: int) -> tuple[float, float]:
    """Seconds of a compiled call (median), and of compiling."""
    began = time.perf_counter()
    program = jax.jit(function).lower(*arguments).compile()
    compiled = time.perf_counter() - began
    jax.block_until_ready(program(*arguments))
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        jax.block_until_ready(program(*arguments))
        times.append(time.perf_counter() - began)
    return statistics.median(times), compiled


def theirs(function) -> float:
    """Seconds of one call."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def em_row(em: EM, table, num_steps: int, peer, repeats: int):
    """Both times of an EM method, for the same number of rounds."""
    run = lambda table: fit(em, jax.random.key(0), table, num_steps)[0].log_posterior
    labels = frame(table)
    return *ours(run, table, repeats=repeats), theirs(lambda: peer(labels))


def m_msr_row(repeats: int):
    """Both until a round changes less than 1e-10, at most 10,000 rounds: crowd-kit's defaults."""
    from crowdkit.aggregation import MMSR

    table, dims, _ = problem(4000, 200, 5)
    stop = {"tolerance": 1e-10, "max_steps": 10_000}
    run = lambda table: fit_until(m_msr(dims), jax.random.key(0), table, **stop).state
    labels = frame(table)
    return *ours(run, table, repeats=repeats), theirs(lambda: MMSR().fit_predict(labels))


def crowdlab_row(repeats: int):
    """CROWDLAB with 200 annotators, on predictions that are right four times in five."""
    from cleanlab.multiannotator import get_label_quality_multiannotator

    table, dims, truth = problem(20_000, 200, 5)
    wrong = (truth + jax.random.bernoulli(jax.random.key(1), 0.2, truth.shape)) % dims.labels
    probs = 0.1 + 0.5 * jax.nn.one_hot(wrong, dims.labels)
    wide = np.full((dims.items, dims.workers), np.nan)
    wide[np.asarray(table.item), np.asarray(table.worker)] = np.asarray(table.label)
    run = lambda table, log_probs: crowdlab(table, dims, log_probs)
    peer = lambda: get_label_quality_multiannotator(wide, np.asarray(probs), verbose=False)
    return *ours(run, table, jnp.log(probs), repeats=repeats), theirs(peer)


def main(config: Config) -> None:
    """Prints a row a method."""
    from crowdkit.aggregation import GLAD, DawidSkene, OneCoinDawidSkene

    large, dims, _ = problem(20_000, 1000, 5)
    small, small_dims, _ = problem(4000, 1000, 5)
    rows = {
        "Dawid-Skene, 1e5 annotations, 10 rounds": lambda: em_row(
            dawid_skene(dims), large, 10, DawidSkene(n_iter=10, tol=0).fit_predict, config.repeats
        ),
        "one-coin, 1e5 annotations, 10 rounds": lambda: em_row(
            one_coin(dims, estimate_prior=True),
            large,
            10,
            OneCoinDawidSkene(n_iter=10, tol=0).fit_predict,
            config.repeats,
        ),
        "GLAD, 2e4 annotations, 10 rounds": lambda: em_row(
            glad(small_dims),
            small,
            10,
            GLAD(n_iter=10, tol=0, silent=True).fit_predict,
            config.repeats,
        ),
        "M-MSR, 2e4 annotations, 200 workers": lambda: m_msr_row(config.repeats),
        "CROWDLAB, 1e5 annotations, 200 workers": lambda: crowdlab_row(config.repeats),
    }
    print(f"{'':42}{'ours, s':>10}{'compiling':>11}{'peer, s':>10}{'ratio':>8}")
    results = {}
    for name, measure in rows.items():
        here, compiling, peer = measure()
        results[name] = {"ours": here, "compiling": compiling, "peer": peer, "ratio": peer / here}
        print(f"{name:42}{here:10.4f}{compiling:11.2f}{peer:10.2f}{peer / here:8.0f}", flush=True)
    if config.out:
        pathlib.Path(config.out).write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    program.script("benchmarks.aggregation_speed", Config, main, str(__doc__))

"""Every aggregator on every data set: accuracy of the labels, and seconds.

    python -m experiments.benchmarks.aggregation_accuracy --data DIR

Each folder of DIR is a data set: label.csv (item,worker,label) with truth.csv (item,truth);
answers.txt as LabelMe has it; or NAME.csv with a row an item and a column a worker, and NAME.key
with a true label a line. Others are passed over, in words. Tied labels share the credit.
"""

import csv
import dataclasses
import json
import pathlib
import time

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from trinity_jax.algorithms.statistics import accuracy
from trinity_jax.compute.program import keep_compiled
from trinity_jax.data import sources
from trinity_jax.data.aggregation.aggregators import AGGREGATORS, aggregate
from trinity_jax.data.aggregation.annotations import Dims, annotations


@dataclasses.dataclass(frozen=True)
class Config:
    """Where the data are, and where the table goes."""

    data: str  # folder of data sets
    out: str = ""  # file for the table as JSON (default: none)


def read(folder: pathlib.Path):
    """Annotations, sizes and truth of a data set; None where the folder is none."""
    if (folder / "label.csv").exists() and "sent" not in (folder / "label.csv").open().readline():
        crowd = sources.crowd(f"csv:{folder}")
        dims = Dims(len(crowd.items), len(crowd.workers), len(crowd.labels))
        return *annotations(crowd.item, crowd.worker, crowd.label, dims), crowd.truth
    if (folder / "answers.txt").exists():
        found = sources.crowd_features(f"labelme:{folder}")
        dims = Dims(len(found.train_labels), found.num_workers, len(found.labels))
        return *annotations(found.item, found.worker, found.label, dims), found.train_labels
    if (folder / f"{folder.name}.key").exists():
        names = (folder / f"{folder.name}.key").read_text().split()
        labels = sorted(set(names))
        with open(folder / f"{folder.name}.csv") as file:
            cells = [row for row in csv.reader(file) if row]
        given = [
            (i, a, labels.index(v)) for i, row in enumerate(cells) for a, v in enumerate(row) if v
        ]
        dims = Dims(len(names), len(cells[0]), len(labels))
        return *annotations(*np.array(given).T, dims), np.array([labels.index(n) for n in names])
    return None


def measure(name: str, table, dims: Dims, truth) -> tuple[float, float]:
    """Accuracy, and the seconds of a run that is compiled already."""
    run = jax.jit(lambda key, table: aggregate(name, key, table, dims)).lower(
        jax.random.key(0), table
    )
    run = run.compile()
    began = time.perf_counter()
    log_posterior = jax.block_until_ready(run(jax.random.key(0), table))
    seconds = time.perf_counter() - began
    return float(accuracy(log_posterior, jnp.asarray(truth))), seconds


def main(config: Config) -> None:
    """Prints the table a row at a time."""
    keep_compiled()
    folders = sorted(path for path in pathlib.Path(config.data).iterdir() if path.is_dir())
    rows = {}
    print("| set | " + " | ".join(AGGREGATORS) + " |\n|---|" + "---|" * len(AGGREGATORS))
    for folder in folders:
        if (found := read(folder)) is None:
            print(f"<!-- {folder.name}: no table of items, workers and labels -->")
            continue
        table, dims, truth = found
        names = [n for n in AGGREGATORS if not AGGREGATORS[n].binary or dims.labels == 2]
        rows[folder.name] = {name: measure(name, table, dims, truth) for name in names}
        cells = [f"{rows[folder.name][n][0]:.3f}" if n in names else "" for n in AGGREGATORS]
        print(f"| {folder.name} | " + " | ".join(cells) + " |", flush=True)
    if config.out:
        pathlib.Path(config.out).write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))

"""Every aggregator on every data set: accuracy of the labels; for tagged sentences, span F1.

    python -m experiments.benchmarks.aggregation_accuracy --data DIR

Each folder of DIR is a data set: label.csv (item,worker,label) with truth.csv (item,truth);
answers.txt as LabelMe has it; NAME.csv with a row an item and a column a worker, and NAME.key with
a true label a line; or label.csv (sent,tok,worker,tag) with truth.csv (sent,tok,tag) of BIO tags.
Others are passed over, in words. Tied labels share the credit. Spans are measured twice: an I-X
that goes on with nothing is no span, and after Viterbi has found tags that keep the rules.
"""

import csv
import dataclasses
import json
import pathlib
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import tyro

from trinity_jax.algorithms.em import fit_until
from trinity_jax.algorithms.spans import span_f1
from trinity_jax.algorithms.statistics import accuracy
from trinity_jax.compute.program import keep_compiled
from trinity_jax.data import sources
from trinity_jax.data.aggregation import sequences
from trinity_jax.data.aggregation.aggregators import AGGREGATORS, aggregate
from trinity_jax.data.aggregation.annotations import Annotations, Dims, annotations


@dataclasses.dataclass(frozen=True)
class Config:
    """Where the data are, and where the table goes."""

    data: str  # folder of data sets
    out: str = ""  # file for the table as JSON (default: none)


class Labelled(NamedTuple):
    """A data set of items, and of tokens where `sentence` says in which sentence each is."""

    table: Annotations
    dims: Dims
    truth: np.ndarray  # number of the label, -1 where unknown
    names: tuple[str, ...]
    sentence: np.ndarray | None = None


def read(folder: pathlib.Path) -> Labelled | None:
    """The data set in a folder; None where it holds none of these forms."""
    if (folder / "answers.txt").exists():
        found = sources.crowd_features(f"labelme:{folder}")
        dims = Dims(len(found.train_labels), found.num_workers, len(found.labels))
        table = annotations(found.item, found.worker, found.label, dims)[0]
        return Labelled(table, dims, found.train_labels, found.labels)
    if (folder / f"{folder.name}.key").exists():
        with open(folder / f"{folder.name}.csv") as file:
            cells = [row for row in csv.reader(file) if row]
        rows = [(i, a, v) for i, row in enumerate(cells) for a, v in enumerate(row) if v]
        truth = enumerate((folder / f"{folder.name}.key").read_text().split())
        return numbered(rows, list(truth))
    if not (folder / "label.csv").exists():
        return None
    texts = ((folder / f"{name}.csv").read_text() for name in ("label", "truth"))
    label, truth = (list(csv.reader(text.splitlines())) for text in texts)
    if label[0] == ["sent", "tok", "worker", "tag"]:
        rows = [((int(sent), int(tok)), worker, tag) for sent, tok, worker, tag in label[1:]]
        tags = sorted(((int(sent), int(tok)), tag) for sent, tok, tag in truth[1:])
        return numbered(rows, tags, np.array([sent for (sent, _), _ in tags]))
    crowd = sources.crowd(f"csv:{folder}")
    dims = Dims(len(crowd.items), len(crowd.workers), len(crowd.labels))
    table = annotations(crowd.item, crowd.worker, crowd.label, dims)[0]
    return Labelled(table, dims, crowd.truth, crowd.labels)


def numbered(rows: list[tuple], truth: list[tuple], sentence=None) -> Labelled:
    """From (item, worker, label) and (item, label) in names to numbers, in sorted order."""
    items, true = zip(*truth, strict=True)
    given, workers = {row[2] for row in rows}, {row[1] for row in rows}
    ids = [sorted(set(items)), sorted(workers), sorted(given | set(true))]
    number = [{name: n for n, name in enumerate(names)} for names in ids]
    columns = [[of[row[c]] for row in rows] for c, of in enumerate(number)]
    table, dims = annotations(*map(np.array, columns), Dims(*map(len, ids)))
    truth_numbers = np.array([number[2][name] for name in true])
    return Labelled(table, dims, truth_numbers, tuple(ids[2]), sentence)


def measure(name: str, data: Labelled) -> float:
    """Accuracy of an aggregator's labels."""
    run = jax.jit(lambda key, table: aggregate(name, key, table, data.dims))
    log_posterior = run(jax.random.key(0), data.table)
    return float(accuracy(log_posterior, jnp.asarray(data.truth)))


def measure_spans(name: str, data: Labelled) -> tuple[float, float]:
    """Span F1 of an aggregator's tags, and of the best that keep the rules of BIO."""
    place, names = jnp.asarray(data.sentence), np.array(data.names)

    @jax.jit
    def run(key, table):
        if name == "hmm_crowd":
            em = sequences.hmm_crowd(data.dims, place)
            log_posterior = fit_until(em, key, table).state.log_posterior
        else:
            log_posterior = aggregate(name, key, table, data.dims)
        decoded = sequences.viterbi(log_posterior, place, sequences.bio(data.names))
        return log_posterior.argmax(1), decoded

    ends = np.flatnonzero(np.diff(data.sentence)) + 1
    split = lambda tags: [list(names[part]) for part in np.split(np.asarray(tags), ends)]
    truth = split(data.truth)
    free, decoded = map(split, run(jax.random.key(0), data.table))
    return span_f1([without_strays(tags) for tags in free], truth).f1, span_f1(decoded, truth).f1


def without_strays(tags: list[str]) -> list[str]:
    """The tags, with O for every I-X that goes on with nothing."""
    kept: list[str] = []
    for tag in tags:
        before = kept[-1] if kept else "O"
        stray = tag.startswith("I-") and before not in ("B-" + tag[2:], tag)
        kept.append("O" if stray else tag)
    return kept


def main(config: Config) -> None:
    """Prints the table a row at a time, a method a row."""
    keep_compiled()
    folders = sorted(path for path in pathlib.Path(config.data).iterdir() if path.is_dir())
    sets = {folder.name: read(folder) for folder in folders}
    for name in [name for name, data in sets.items() if data is None]:
        print(f"{name}: passed over, no table of items, workers and labels")
    sets = {name: data for name, data in sets.items() if data is not None}
    rows: dict = {}
    print("| method | " + " | ".join(sets) + " |\n|---|" + "---|" * len(sets))
    for method in [*AGGREGATORS, "hmm_crowd"]:
        cells = rows[method] = {}
        for name, data in sets.items():
            if data.sentence is not None:
                if method == "hmm_crowd" or not AGGREGATORS[method].binary:
                    cells[name] = measure_spans(method, data)
            elif method != "hmm_crowd" and (
                data.dims.labels == 2 or not AGGREGATORS[method].binary
            ):
                cells[name] = (measure(method, data),)
        shown = [", ".join(f"{value:.3f}" for value in cells.get(name, ())) for name in sets]
        print(f"| {method} | " + " | ".join(shown) + " |", flush=True)
    if config.out:
        pathlib.Path(config.out).write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))

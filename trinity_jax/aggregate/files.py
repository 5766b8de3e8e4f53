"""What the tool writes: labels, workers, confusions and the table itself."""

import contextlib
import csv
import itertools
import json
import pathlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np
from scipy.special import entr

from trinity_jax.aggregate.results import Answer, Trust, choose_label
from trinity_jax.aggregate.start import CONFUSIONS, TABLE
from trinity_jax.data._names import Numbers
from trinity_jax.data.sources import Crowd

ROWS = 1 << 20  # written at a time
DIGITS = 6


@contextlib.contextmanager
def whole(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Where to write a file that gets its name when the block ends well, and else is not there."""
    part = path.with_name(path.name + ".part")
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def labels(path: pathlib.Path, answer: Answer, stability: np.ndarray | None = None) -> None:
    """A line an item: its label, how sure that is, entropy (nats), probability of every label.

    With `stability` also in how many draws of the workers it is the same.
    """
    shares = (f"P({name})" for name in answer.labels)
    header = ["item", "label", "confidence", "entropy", *shares]
    header += [] if stability is None else ["stability"]
    _write(path, header, _labels(answer, stability))


def _labels(answer: Answer, stability: np.ndarray | None) -> Iterable[Sequence]:
    for first in range(0, len(answer.items), ROWS):
        posterior = answer.posterior[first : first + ROWS]
        choice = choose_label(posterior)
        sure = np.round(choice.confidence.astype(float), DIGITS).tolist()
        columns = [entr(posterior).sum(1)[:, None], posterior]
        columns += [] if stability is None else [stability[first : first + ROWS, None]]
        rows = np.round(np.concatenate(columns, axis=1).astype(float), DIGITS).tolist()
        names = [answer.labels[label] if label >= 0 else "" for label in choice.label.tolist()]
        items = answer.items[first : first + ROWS]
        yield from (
            (item, name, confidence, *row)
            for item, name, confidence, row in zip(items, names, sure, rows, strict=True)
        )


def workers(
    path: pathlib.Path, answer: Answer, trust: Trust | None, skill: np.ndarray | None = None
) -> None:
    """A line a worker: how many labels, how good, by 95 % intervals [2, worker] if given.

    With gold also how often right, with interval.
    """
    header = ["worker", "labels", "skill"]
    columns = [answer.given.tolist(), np.round(answer.skill.astype(float), DIGITS).tolist()]
    if skill is not None:
        header += ["skill_low", "skill_high"]
        columns += np.round(skill, DIGITS).tolist()
    if trust is not None:
        header += ["accuracy", "accuracy_low", "accuracy_high"]
        known = np.round(trust.worker_accuracy.astype(float), DIGITS)
        columns += [["" if np.isnan(v) else v for v in column] for column in known.T.tolist()]
    _write(path, header, zip(answer.workers, *columns, strict=True))


def confusions(directory: pathlib.Path, answer: Answer, prior: np.ndarray) -> None:
    """Every worker's confusions, [truth][label], and the shares of the labels."""
    assert answer.confusion is not None
    rounded = np.round(answer.confusion.astype(float), DIGITS).tolist()
    held = {"labels": list(answer.labels), "prior": [float(share) for share in prior]}
    held["workers"] = dict(zip(answer.workers, rounded, strict=True))
    with whole(directory / CONFUSIONS) as part:
        part.write_text(json.dumps(held) + "\n")


def annotations(directory: pathlib.Path, crowd: Crowd) -> None:
    """The table, for a later run to go on from."""
    import pyarrow
    from pyarrow import parquet

    names = {"item": crowd.items, "worker": crowd.workers, "label": crowd.labels}

    def column(codes, of):
        if isinstance(of, Numbers):
            return pyarrow.array(of.array[codes])
        return pyarrow.DictionaryArray.from_arrays(pyarrow.array(codes), pyarrow.array(list(of)))

    def piece(first):
        rows = {name: getattr(crowd, name)[first : first + ROWS] for name in names}
        return pyarrow.table({name: column(rows[name], of) for name, of in names.items()})

    pieces = map(piece, range(0, len(crowd.item), ROWS))
    first = next(pieces)
    with (
        whole(directory / TABLE) as part,
        parquet.ParquetWriter(part, first.schema) as writer,
    ):
        for rows in itertools.chain([first], pieces):
            writer.write_table(rows)


def _write(path: pathlib.Path, header: Sequence[str], rows: Iterable[Sequence]) -> None:
    """A CSV."""
    with whole(path) as part, open(part, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)

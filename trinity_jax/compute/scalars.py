"""Scalars of a run in an event file, which TensorBoard shows: what its records say, and no more.

tensorboard --logdir DIR
"""

import os
import time
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import Any

from trinity_jax.types import InputError

FOLDER = "tensorboard"  # in the run's directory
NAME = "events.out.tfevents.{seconds:010d}.run.{process}"  # TensorBoard looks for the beginning
REPLICA = "seed"  # means are over the values of this field
Rows = Sequence[Mapping[str, Any]]


def means(rows: Rows) -> dict[str, float]:
    """What was measured in a round, as means over seeds.

    Args:
      rows: the records of one round, whose fields are in the same order. The first fields say which
        replica it is: as many as tell the records apart, and all that are words. Of the others,
        floating-point numbers are measurements.

    Returns:
      Means by tag: the measurement and what it is of, as in "test_error/mnlp" or
      "test_error/class_wise/quality_0.2/mbem", without what all the records have in common.
    """
    names = _identity(rows) if rows else []
    telling = [name for name in names if name != REPLICA and len({row[name] for row in rows}) > 1]
    values: dict[str, list[float]] = {}
    for row in rows:
        of = [_said(name, row[name]) for name in telling]
        for field, value in row.items():
            if isinstance(value, float) and field not in names:
                values.setdefault("/".join([field, *of]), []).append(value)
    return {tag: fmean(of_tag) for tag, of_tag in values.items()}


def _identity(rows: Rows) -> list[str]:
    """The first fields, which say which replica a record is of."""
    fields = [name for name, value in rows[0].items() if isinstance(value, str | int | float)]
    fields = [name for name in fields if name != "round"]
    least = max(
        (n for n, name in enumerate(fields, 1) if isinstance(rows[0][name], str)), default=0
    )
    apart = lambda n: len({tuple(row[name] for name in fields[:n]) for row in rows}) == len(rows)
    return fields[: next(filter(apart, range(least, len(fields))), least)]


def _said(name: str, value: Any) -> str:
    return value if isinstance(value, str) else f"{name}_{value}"


class Events:
    """The event file of a run. Use it in a `with` block."""

    def __init__(self, directory: Path):
        """Begins it anew: what an earlier one held is in the records.

        Args:
          directory: of the run.

        Raises:
          InputError: the package for such files is not installed.
        """
        try:  # of this package, only what works without TensorFlow, and without loading it
            from tensorboard.compat.proto import event_pb2, summary_pb2
            from tensorboard.summary.writer.record_writer import RecordWriter
        except ImportError as error:
            raise InputError(
                "--tensorboard needs a package that is not installed: pip install '.[tensorboard]'"
            ) from error
        self._events: Any = event_pb2  # classes are made when these modules are loaded
        self._summaries: Any = summary_pb2
        folder = directory / FOLDER
        folder.mkdir(exist_ok=True)
        for path in folder.glob("events.out.tfevents.*"):
            path.unlink()
        name = NAME.format(seconds=int(time.time()), process=os.getpid())
        self._file = open(folder / name, "wb")  # noqa: SIM115
        self._records = RecordWriter(self._file)
        self._write(0, file_version="brain.Event:2")
        # So that a TensorBoard that has seen an earlier file forgets its points.
        log = self._events.SessionLog
        self._write(0, session_log=log(status=log.START))

    def add(self, rows: Rows) -> None:
        """Writes the means of whole rounds; they can be read when this returns.

        Args:
          rows: records with their `round`, ascending.
        """
        for t, of_round in groupby(rows, lambda row: row["round"]):
            points = means(list(of_round)).items()
            summary = self._summaries.Summary
            values = [summary.Value(tag=tag, simple_value=mean) for tag, mean in points]
            self._write(t, summary=summary(value=values))
        self._file.flush()

    def _write(self, step: int, **what: Any) -> None:
        event = self._events.Event(wall_time=time.time(), step=step, **what)
        self._records.write(event.SerializeToString())

    def __enter__(self) -> "Events":
        return self

    def __exit__(self, *exception) -> None:
        self._file.close()

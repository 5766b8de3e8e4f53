"""Runs that were recorded: what is in their directories, and what it means."""

import json
import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from trinity_jax.algorithms.curves import Curve
from trinity_jax.types import InputError, lookup


class Kind(NamedTuple):
    """What the records of an experiment mean.

    Attributes:
      arm: the field whose values are compared.
      baseline: the arm that others are compared with.
      settings: further fields that tell curves apart; a panel is one of their combinations.
      metric: the field to compare, unless another is named.
      axis: what is along the axis.
      x: where on it a record is, of (configuration, where the one before it was, record).
      whole: whether the mean height of curves is compared, or where they end.
      seed: the field that tells replicas apart.
    """

    arm: str
    baseline: str
    settings: tuple[str, ...]
    metric: str
    axis: str
    x: Callable[[Mapping, float, Mapping], float]
    whole: bool = True
    seed: str = "seed"


adds = lambda field: lambda _, before, row: before + row[field]
steps = lambda config, _, row: (row["round"] + 1) * config["steps"] // config["rounds"]
each = lambda _, __, row: row["redundancy"]
penalty = lambda _, __, row: math.log10(row["l2"])
WORKERS, EACH = ("workers", "quality", "budget_match"), ("labels an item", each, True)
JOINT = "steps of the joint model"
KINDS = {  # of several, the first whose fields are in the records
    "ner_active_learning": (
        Kind("strategy", "random", (), "f1", "words annotated", adds("asked_words")),
    ),
    "partial_feedback": (
        Kind("method", "uniform", (), "accuracy", "questions asked", adds("cost")),
    ),
    "crowdsourcing": (
        Kind("method", "majority", WORKERS, "test_error", *EACH),
        Kind(
            "method", "hard_vote", ("panel",), "test_accuracy", "log10 L2", penalty, True, "round"
        ),
        Kind("method", "majority", (), "label_accuracy", *EACH, "round"),
    ),
    "neural_rendering": (Kind("arm", "supervised", ("labelled",), "error", "steps", steps, False),),
    "generative_augmentation": (
        Kind("arm", "supervised", ("budget",), "error", JOINT, steps, False),
    ),
}


class Recorded(NamedTuple):
    """What a run's directory holds."""

    name: str
    experiment: str
    config: dict[str, Any]
    rows: list[dict[str, Any]]
    finished: bool


def read(directory: str) -> Recorded:
    """A run, finished or not; of a running one the last line may be half written.

    Raises:
      InputError: the directory is not a run's, or nothing was measured in it yet.
    """
    path = pathlib.Path(directory)
    settings, records = path / "config.json", path / "records.jsonl"
    if not settings.is_file():
        raise InputError(f"{directory}: expected a run's directory, found no config.json in it")
    try:
        asked = json.loads(settings.read_text())
        name, config = asked["experiment"], dict(asked["config"])
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{settings} is not a run's configuration") from error
    lines = records.read_text(errors="replace").split("\n")[:-1] if records.exists() else []
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise TypeError
            rows.append(row)
        except (ValueError, TypeError) as error:
            raise InputError(f"{records}, line {number}: expected a record") from error
    if not rows:
        raise InputError(f"{directory}: expected a run that has measured, found no records in it")
    finished = (path / "summary.json").exists()
    return Recorded(path.resolve().name, name, config, rows, finished)


def kind_of(run: Recorded) -> Kind:
    """What its records mean.

    Raises:
      InputError: they are of none of the known experiments.
    """
    kinds = lookup(KINDS, run.experiment, "experiment")
    fields = lambda kind: {kind.arm, kind.metric, kind.seed, *kind.settings}
    fitting = [kind for kind in kinds if fields(kind) <= run.rows[0].keys()]
    if not fitting:
        raise InputError(f"{run.name}: expected records of {run.experiment}, found others")
    return fitting[0]


def curves_of(run: Recorded, kind: Kind, metric: str) -> dict[tuple, dict[str, dict[str, Curve]]]:
    """Curves by values of the settings, by arm, by seed.

    Raises:
      InputError: a record does not have this number.
    """
    points: dict = {}
    for row in run.rows:
        value = row.get(metric)
        if not isinstance(value, int | float):
            numbers = [name for name, x in row.items() if isinstance(x, int | float)]
            lookup(dict.fromkeys(numbers), metric, f"metric of {run.name}")
        panel = tuple(row[field] for field in kind.settings)
        of_arm = points.setdefault(panel, {}).setdefault(str(row[kind.arm]), {})
        of_seed = of_arm.setdefault(str(row[kind.seed]), {})
        before = next(reversed(of_seed), 0)
        of_seed[kind.x(run.config, before, row)] = value  # of one place the last record counts
    made = lambda at: Curve(
        np.array(sorted(at), float), np.array([at[x] for x in sorted(at)], float)
    )
    return {
        panel: {
            arm: {seed: made(at) for seed, at in of_arm.items()} for arm, of_arm in of_panel.items()
        }
        for panel, of_panel in points.items()
    }

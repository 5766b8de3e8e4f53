"""Going on from an earlier run: its labels, and what it knew of its workers."""

import json
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from trinity_jax.data import _files
from trinity_jax.data._names import positions
from trinity_jax.data.sources import Crowd
from trinity_jax.types import InputError

TABLE, CONFUSIONS = "annotations.parquet", "confusions.json"
LIMIT = 1 << 30  # bytes of the latter


class EarlierRun(NamedTuple):
    """What an earlier run knew.

    Attributes:
      labels: names of its classes.
      prior: their shares.
      confusions: of its workers by name, [truth, label].
    """

    labels: tuple[str, ...]
    prior: np.ndarray
    confusions: Mapping[str, np.ndarray]

    def parameters(self, crowd: Crowd) -> tuple[Any, Any]:
        """Logarithms of its workers' confusions by cell, new workers being as the mean, and prior.

        Classes that it did not know it holds for as rare as one item in as many as there are.
        """
        size, least = len(crowd.labels), 1 / len(crowd.items)
        place = positions(crowd.labels, self.labels)
        kept = place >= 0
        grid = np.ix_(place[kept], place[kept])
        mean = np.mean(list(self.confusions.values()), axis=0)
        of_workers = np.full((len(crowd.workers), size, size), least)
        of_workers[:, np.arange(size), np.arange(size)] = 1.0
        for worker, name in enumerate(crowd.workers):
            known = self.confusions.get(name, mean)[np.ix_(kept, kept)]
            of_workers[worker][grid] = known
        of_workers = np.maximum(of_workers, 1e-10)
        of_workers /= of_workers.sum(2, keepdims=True)
        rows = np.log(of_workers).swapaxes(1, 2).reshape(-1, size)
        prior = np.full(size, least)
        prior[place[kept]] = np.maximum(self.prior[kept], 1e-10)
        rows = np.concatenate([rows, np.zeros((1, size))])
        return jnp.asarray(rows, jnp.float32), jnp.log(jnp.asarray(prior / prior.sum()))


def read(directory: str) -> tuple[str, EarlierRun]:
    """The file of an earlier run's labels, and what it knew.

    Raises:
      InputError: the directory does not hold a finished run.
    """
    folder = pathlib.Path(directory).expanduser()
    for name in (TABLE, CONFUSIONS):
        if not (folder / name).is_file():
            raise InputError(f"--previous {directory}: expected a finished run, with {name} in it")
    text = _files.whole(folder / CONFUSIONS, LIMIT)
    try:
        held = json.loads(text.decode())
        labels, prior = tuple(held["labels"]), np.array(held["prior"], float)
        confusions = {name: np.array(rows, float) for name, rows in held["workers"].items()}
        shapes = {rows.shape for rows in confusions.values()}
        if not all(isinstance(name, str) for name in labels):
            raise TypeError
        if not all(((of >= 0) & (of < 1.001)).all() for of in (prior, *confusions.values())):
            raise ValueError
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{folder / CONFUSIONS}: expected confusions of workers") from error
    if shapes != {(len(labels), len(labels))} or prior.shape != (len(labels),):
        raise InputError(f"{folder / CONFUSIONS}: expected {len(labels)} x {len(labels)} matrices")
    return str(folder / TABLE), EarlierRun(labels, prior, confusions)

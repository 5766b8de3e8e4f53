"""Learning curves in a table `strategy,seed,words,score`, a row a measurement, in any order."""

import pathlib
import re

import numpy as np

from trinity_jax.algorithms.curves import Curve
from trinity_jax.data import _files, _names, _tables
from trinity_jax.types import InputError

HEADER = ("strategy", "seed", "words", "score")
NUMBER = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]{1,3})?")


def read(path: pathlib.Path) -> tuple[dict[str, dict[str, Curve]], int]:
    """Reads curves; strategies in order of appearance, seeds sorted, words ascending.

    Args:
      path: The file.

    Returns:
      The curves by strategy and seed, and how many exact repeats of a point were dropped.

    Raises:
      InputError: The file cannot be read, a line is not what it should be, or a curve is one point.
    """
    columns = _tables.read(path, HEADER)
    strategy, seed = columns[:2]
    words, score = (_numbers(path, *pair) for pair in zip(columns[2:], HEADER[2:], strict=True))
    seeds = _names.ordered(seed.values)
    run = strategy.codes.astype(np.int64) * len(seeds) + seed.indices(seeds)
    order = np.lexsort((np.arange(len(run)), words, run))  # a repeat comes after what it repeats
    again = (np.diff(run[order]) == 0) & (np.diff(words[order]) == 0)
    _check_repeats(path, order, again, words, score)
    order = order[np.append(True, ~again)]
    curves = {name: {} for name in strategy.values}
    for rows in np.split(order, np.flatnonzero(np.diff(run[order])) + 1):
        name, of = strategy.name(int(rows[0])), seed.name(int(rows[0]))
        if len(rows) == 1:
            which = f"strategy {_files.excerpt(name)}, seed {_files.excerpt(of)}"
            raise InputError(
                f"{path}, line {rows[0] + 2}: expected a curve of two points or more, found one "
                f"for {which}"
            )
        curves[name][of] = Curve(words[rows], score[rows])
    return curves, int(again.sum())


def _numbers(path: pathlib.Path, column: _tables.Column, name: str) -> np.ndarray:
    """The numbers that a column holds: float64 `[row]`; words are not negative."""
    values = np.array([_number(text) for text in column.values])
    wrong = ~np.isfinite(values) if name == "score" else ~(np.isfinite(values) & (values >= 0))
    if wrong.any():
        row = int(np.argmax(wrong[column.codes]))
        found = _files.excerpt(column.name(row))
        kind = "a finite number" if name == "score" else "a finite number, 0 or more,"
        raise InputError(f"{path}, line {row + 2}: expected {kind} for {name}, found {found}")
    return values[column.codes]


def _number(text: str) -> float:
    """Its value, NaN if it is not decimal; Python reads 1_000 and digits of any script too."""
    return float(text) if NUMBER.fullmatch(text) else np.nan


def _check_repeats(
    path: pathlib.Path, order: np.ndarray, again: np.ndarray, words: np.ndarray, score: np.ndarray
) -> None:
    """Raises the sentence about the first row that gives a point another score."""
    rows = order[1:][again & (np.diff(score[order]) != 0)]
    if len(rows):
        row = int(rows.min())
        before = order[np.flatnonzero(order == row)[0] - 1]
        raise InputError(
            f"{path}, line {row + 2}: expected score {score[before]:g} for this strategy and seed "
            f"at {words[row]:g} words, as before, found {score[row]:g}"
        )

"""Labels by many, from the columns of a file to a sorted table of integers."""

import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from trinity_jax.data import _files, _names, _parquet, _tables
from trinity_jax.types import InputError


class Table(NamedTuple):
    """Rows as integers, and what they stand for."""

    item: np.ndarray  # int32 [annotation], ascending
    worker: np.ndarray  # int32 [annotation]
    label: np.ndarray  # int32 [annotation]
    items: Sequence[str]
    workers: Sequence[str]
    labels: Sequence[str]
    duplicates: int  # exact repeats of a row, dropped


def columns(path: pathlib.Path, header: tuple[str, ...]) -> list[_tables.Column]:
    """Reads these columns of a Parquet file, if it is called one, or of a CSV.

    Raises:
      InputError: The file cannot be read, or lacks a column or a value; or two columns are one,
        or not printable.
    """
    if not all(map(str.isprintable, header)):
        found = _files.excerpt(", ".join(header))
        raise InputError(f"{path}: expected columns of printable names, found {found}")
    if len(set(header)) < len(header):
        found = ", ".join(header)
        raise InputError(f"{path}: expected columns of different names, found {found}")
    if _is_parquet(path):
        return _parquet.read(path, header)
    return _tables.read(path, header, among=True)


def _is_parquet(path: str | pathlib.Path) -> bool:
    return pathlib.Path(path).suffix.lower() in (".parquet", ".pq")


def concatenated(pieces: Sequence[_tables.Column]) -> _tables.Column:
    """One column of several files' pieces."""
    if len(pieces) == 1:
        return pieces[0]
    names = pieces[0].values
    for piece in pieces[1:]:
        names = _names.merged(names, piece.values)
    return _tables.Column(np.concatenate([piece.indices(names) for piece in pieces]), names)


def gold(path: str, known: Sequence[_tables.Column] | None, of: Table) -> tuple[np.ndarray, int]:
    """The true label of each item, -1 where unknown; and how many items are not of the table.

    Raises:
      InputError: An item has two truths.
    """
    truth = np.full(len(of.items), -1, np.int32)
    if known is None:
        return truth, 0
    item, label = known[0].indices(of.items), known[1].indices(of.labels)
    there = item >= 0
    rows = np.flatnonzero(there)[::-1]  # the first row of an item is written last
    truth[item[rows]] = label[rows]
    wrong = there & (truth[item] != label)
    if wrong.any():
        row = int(np.argmax(wrong))
        name = _files.excerpt(known[0].name(row))
        place = f"row {row + 1}" if _is_parquet(path) else f"line {row + 2}"
        raise InputError(f"{path}, {place}: expected one truth for item {name}, found two")
    return truth, len(set(known[0].codes[~there].tolist()))


def table(
    rows: Sequence[_tables.Column], labels: Sequence[str] = (), where: str = "label.csv"
) -> Table:
    """Sorts rows by (item, worker, label), without exact repeats.

    Args:
      rows: Columns of items, workers and labels.
      labels: Names of labels that need not occur.
      where: What to call them if there are too many.

    Raises:
      InputError: Items times workers times labels, or the last two, are too many.
    """
    items, workers = (_names.ordered(column.values) for column in rows[:2])
    names = items, workers, _names.merged(rows[2].values, labels)
    sizes = [len(of) for of in names]
    if sizes[1] * sizes[2] >= 2**31 or np.prod(sizes, dtype=object) >= 2**63:
        found = " x ".join(map(str, sizes))
        expected = "items x workers x labels below 2^63, and the last two below 2^31"
        raise InputError(f"{where}: expected {expected}, found {found}")
    key = rows[0].indices(items).astype(np.int64)
    for column, of in zip(rows[1:], names[1:], strict=True):
        key *= len(of)
        key += column.indices(of)
    key.sort()
    new = np.append(True, key[1:] != key[:-1])
    duplicates = len(key) - int(new.sum())
    key = key[new] if duplicates else key
    cell = (key % (sizes[1] * sizes[2])).astype(np.int32)
    item = (key // (sizes[1] * sizes[2])).astype(np.int32)
    worker, label = np.divmod(cell, np.int32(sizes[2]))
    return Table(item, worker, label, *names, duplicates)

"""Strict tables, a row a line: CSV of any strings, and integers between white space.

Fields of CSV are UTF-8 with any characters but line breaks and NUL; nothing is stripped. Lines end
in LF, CRLF or CR. A byte-order mark and blank lines after the last row are accepted.
"""

import array
import codecs
import collections
import contextlib
import csv
import itertools
import pathlib
import re
from collections.abc import Iterator, Sequence
from io import BufferedIOBase
from typing import NamedTuple

import numpy as np

from trinity_jax.data import _files, _names
from trinity_jax.types import InputError

LIMIT = 1_000_000  # bytes in a line
CHUNK = 1 << 16  # bytes read at a time
INTEGER = re.compile(b"-?[0-9]{1,9}")  # fits int32


class Column(NamedTuple):
    """A column of strings, each stored once."""

    codes: np.ndarray  # int32 [row], indices into values
    values: Sequence[str]  # distinct

    def name(self, row: int) -> str:
        """Returns what stood in a row."""
        return self.values[int(self.codes[row])]

    def indices(self, names: Sequence[str]) -> np.ndarray:
        """Returns each row's index in `names`, -1 where it is not there: int32 `[row]`."""
        return _names.positions(names, self.values)[self.codes]


def read(path: pathlib.Path, header: tuple[str, ...], *, among: bool = False) -> list[Column]:
    """Reads a table; row `i` of every column stood on line `i + 2` of the file.

    Args:
      path: The file.
      header: The names its first line must hold, in this order.
      among: Whether they may stand in any order, and among others.

    Returns:
      A column for each name of the header, all of one length, not zero.

    Raises:
      InputError: The file cannot be read, or a line is not what it should be.
    """
    width, places = len(header), range(len(header))
    whole = header  # the file's own
    codes = [array.array("i") for _ in header]
    tables = [collections.defaultdict(itertools.count().__next__) for _ in header]
    usual = csv.field_size_limit(LIMIT)  # a setting of the whole process, 128 kB unless changed
    try:
        with _files.opened(path) as file:
            for first, lines in numbered_lines(file):
                if first == 1 and among:
                    whole, places = _places(path, lines[0], header)
                    width = len(whole)
                fields = _fields(path, first, lines, whole, places)
                if first == 1:
                    found, fields = ",".join(fields[:width]), fields[width:]
                    if found != ",".join(whole):
                        wanted, found = ",".join(header), _files.excerpt(found)
                        raise InputError(
                            f"{path}, line 1: expected the header {wanted}, found {found}"
                        )
                for place, code, table in zip(places, codes, tables, strict=True):
                    code.extend(map(table.__getitem__, fields[place::width]))
    finally:
        csv.field_size_limit(usual)
    if not codes[0]:
        raise InputError(f"{path}: expected the header {','.join(header)} and rows, found no rows")
    return [
        Column(np.array(code, np.int32), tuple(table))
        for code, table in zip(codes, tables, strict=True)
    ]


def _places(
    path: pathlib.Path, line: bytes, header: tuple[str, ...]
) -> tuple[tuple[str, ...], list[int]]:
    """A file's own header, and where in it the wanted names stand."""
    if wrong := wrong_bytes(line):
        raise InputError(f"{path}, line 1: expected a header{wrong}")
    with contextlib.suppress(csv.Error):
        whole = tuple(next(csv.reader([line.decode()], strict=True), ()))
        if all(whole.count(name) == 1 for name in header):
            return whole, [whole.index(name) for name in header]
    found = _files.excerpt(line.decode())
    wanted = f"a header with {', '.join(header[:-1])} and {header[-1]}, each once"
    raise InputError(f"{path}, line 1: expected {wanted}, found {found}")


def truth(
    path: pathlib.Path,
    columns: list[Column] | None,
    items: Sequence[str],
    labels: Sequence[str],
) -> np.ndarray:
    """Returns the true label of each item, -1 where the table, if any, has none: `[item]`."""
    known = np.full(len(items), -1, np.int32)
    if columns is None:
        return known
    names, values = columns
    item, value = names.indices(items), values.indices(labels)
    if (item < 0).any():
        row = int(np.argmax(item < 0))
        found = _files.excerpt(names.name(row))
        raise InputError(f"{path}, line {row + 2}: expected an item of label.csv, found {found}")
    known[item[::-1]] = value[::-1]  # the first row of an item is written last
    wrong = known[item] != value
    if wrong.any():
        row = int(np.argmax(wrong))
        texts = names.name(row), labels[int(known[item[row]])], values.name(row)
        name, before, found = map(_files.excerpt, texts)
        expected = f"truth {before} for item {name}, as before"
        raise InputError(f"{path}, line {row + 2}: expected {expected}, found {found}")
    return known


def integers(path: pathlib.Path, width: int = 0) -> np.ndarray:
    """Reads integers; row `i` stood on line `i + 1` of the file.

    Args:
      path: The file.
      width: How many a line must hold; 0: as many as the first.

    Returns:
      An int32 array `[line, column]`, not empty.

    Raises:
      InputError: The file cannot be read, or a line is not what it should be.
    """
    values = array.array("i")
    as_before = "" if width else ", as on line 1"
    with _files.opened(path) as file:
        for first, lines in numbered_lines(file):
            for number, line in enumerate(lines, first):
                fields = line.split()
                width = width or len(fields)
                if (
                    not fields
                    or len(fields) != width
                    or not all(map(INTEGER.fullmatch, fields))
                    or len(line) > LIMIT
                ):
                    expected = f"{width or ''} integer{'s' * (width != 1)}".lstrip()
                    expected += as_before if number > 1 else ""
                    wrong = wrong_bytes(line) or _wrong_integers(line, fields, width)
                    raise InputError(f"{path}, line {number}: expected {expected}{wrong}")
                values.extend(map(int, fields))
    if not values:
        raise InputError(f"{path}: expected lines of integers, found none")
    return np.array(values, np.int32).reshape(-1, width)


def text_lines(path: pathlib.Path, expected: str) -> Iterator[tuple[int, str]]:
    """Yields the lines of a file of UTF-8, less the blank ones at the end, with their numbers.

    Args:
      path: The file.
      expected: What a line is, in words.

    Raises:
      InputError: The file cannot be read, or a line is too long, has a NUL or is not UTF-8.
    """
    with _files.opened(path) as file:
        for start, lines in numbered_lines(file):
            whole = b"\n".join(lines)
            decoded = None
            if b"\0" not in whole and max(map(len, lines)) <= LIMIT:
                with contextlib.suppress(UnicodeDecodeError):
                    decoded = whole.decode()
            if decoded is None:
                wrong = map(wrong_bytes, lines)
                number, found = next((n, found) for n, found in enumerate(wrong, start) if found)
                raise InputError(f"{path}, line {number}: expected {expected}{found}")
            yield from enumerate(decoded.split("\n"), start)


def numbered_lines(file: BufferedIOBase) -> Iterator[tuple[int, list[bytes]]]:
    """Yields (number of the first, lines without ends), less the blank lines at the end."""
    number = last = 0  # lines so far, and the last of them that was not blank
    for block in _blocks(file):
        lines = (block if number else block.removeprefix(codecs.BOM_UTF8)).splitlines()
        size = len(lines)
        while lines and not lines[-1]:
            lines.pop()
        if lines:
            if last < number:
                yield last + 1, [b""]  # the first of those between, for whoever refuses them
            yield number + 1, lines
            last = number + len(lines)
        number += size


def _blocks(file: BufferedIOBase) -> Iterator[bytes]:
    """Yields the file in pieces that end where lines end; the last may hold part of a long line."""
    rest = b""
    while piece := file.read(CHUNK):
        piece = rest + piece
        # A CR at the very end may be half of a CRLF.
        end = 1 + max(piece.rfind(b"\n"), piece.rfind(b"\r", 0, len(piece) - 1))
        rest = piece[end:]
        if end:
            yield piece[:end]
        if len(rest) > LIMIT + 1:  # too long even without that CR: no need to see the rest
            break
    if rest:
        yield rest


def _fields(
    path: pathlib.Path,
    first: int,
    lines: list[bytes],
    header: tuple[str, ...],
    places: Sequence[int],
) -> list[str]:
    """Splits lines, row after row; one by one if some are quoted, or wrong, to say which.

    Only fields at the places that are wanted may not be empty.
    """
    block = b",".join(lines)
    if (
        b'"' not in block
        and b"\0" not in block
        and set(map(bytes.count, lines, itertools.repeat(b","))) == {len(header) - 1}
        and max(map(len, lines)) <= LIMIT
    ):
        with contextlib.suppress(UnicodeDecodeError):
            fields = block.decode().split(",")
            if "" not in fields:
                return fields
    rows = (_row(path, number, line, header, places) for number, line in enumerate(lines, first))
    return list(itertools.chain.from_iterable(rows))


def _row(
    path: pathlib.Path, number: int, line: bytes, header: tuple[str, ...], places: Sequence[int]
) -> list[str]:
    """Splits one line, or raises the sentence about it."""
    try:
        row = next(csv.reader([line.decode()], strict=True))
    except (UnicodeDecodeError, csv.Error):
        row = []
    right = len(row) == len(header) and all(row[place] for place in places)
    if right and len(line) <= LIMIT and b"\0" not in line:
        return row
    wrong = _wrong(line, row, header, places)
    expected = _files.excerpt(",".join(header))[1:-1]  # it may be the file's own
    raise InputError(f"{path}, line {number}: expected {expected}{wrong}")


def _wrong(line: bytes, row: list[str], header: tuple[str, ...], places: Sequence[int]) -> str:
    """Says what is wrong with a line; `row` is empty if it could not be split."""
    if wrong := wrong_bytes(line):
        return wrong
    text = _files.excerpt(line.decode())
    if line and not row:
        return f" with quotes closed on the same line, found {text}"
    if len(row) != len(header):
        return f", found {len(row)} field{'s' * (len(row) != 1)} in {text}"
    empty = next(header[place] for place in places if not row[place])
    return f", found an empty {empty} in {text}"


def _wrong_integers(line: bytes, fields: list[bytes], width: int) -> str:
    """Says what is wrong with a line of integers in UTF-8."""
    if len(fields) != width or not fields:
        return f", found {len(fields)} in {_files.excerpt(line.decode())}"
    column = [INTEGER.fullmatch(field) is None for field in fields].index(True)
    return f", found {_files.excerpt(fields[column].decode())} in column {column + 1}"


def wrong_bytes(line: bytes) -> str:
    """Says what is wrong with a line before it is split, nothing if it is short UTF-8."""
    if len(line) > LIMIT:
        return ", found a line longer than 1 MB"
    if b"\0" in line:
        return f", found a NUL byte at byte offset {line.index(0)} of the line"
    try:
        line.decode()
    except UnicodeDecodeError as error:
        byte = f"byte 0x{line[error.start]:02x} at byte offset {error.start} of the line"
        return f" in UTF-8, found {byte}"
    return ""

"""Word vectors: text of GloVe, text or bytes of word2vec, or rows in NumPy's format.

    WORD NUMBER NUMBER ...    a line a word, between single spaces; words of GloVe may hold spaces
    COUNT DIM                 word2vec's first line; GloVe has none

The other format of word2vec has the same first line, then a word, a space and DIM float32 numbers
in little-endian bytes, COUNT times. Rows in NumPy's format have a table of words beside them.

Files are not trusted: memory grows with the rows that are kept, and a header is only compared.
"""

import array
import codecs
import contextlib
import gzip
import math
import os
import pathlib
import re
import zlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from io import BufferedIOBase
from typing import NamedTuple

import numpy as np

from trinity_jax.data import _arrays, _files, _tables
from trinity_jax.types import InputError

CHUNK = 1 << 20  # bytes; also the longest word
MAX_VALUES = 1 << 30  # 4 GiB; more is a mistake, or is read with `only`
HEADER = re.compile(b"[0-9]{1,12} [1-9][0-9]{0,5}")
ROW = re.compile("[0-9]{1,9}")


class Vectors(NamedTuple):
    """Words, and the rows that stand for them; several words may share one."""

    words: Mapping[str, int]
    table: np.ndarray  # float32 [row, dim]


def read(path: pathlib.Path, only: Collection[str] | None) -> Vectors:
    """Reads a file or a folder; see `sources.vectors`."""
    wanted = None if only is None else {form for word in only for form in _forms(word)}
    if os.path.isdir(path):
        return _folder(_files.folder("vectors", str(path)), wanted)
    return _binary(path, wanted) if _is_binary(path) else _text(path, wanted)


def rows(vectors: Vectors, words: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Looks words up: as they are, else in lower case, else capitalised.

    Args:
      vectors: What was read.
      words: Any words, also several times.

    Returns:
      float32 `[word, dim]`, zeros for words that are not there, and bool `[word]`, which are.
    """
    found = [
        next((vectors.words[form] for form in _forms(word) if form in vectors.words), -1)
        for word in words
    ]
    row = np.array(found, int).reshape(-1)
    known = row >= 0
    looked_up = np.zeros((len(row), vectors.table.shape[1]), np.float32)
    looked_up[known] = vectors.table[row[known]]
    return looked_up, known


def _forms(word: str) -> tuple[str, str, str]:
    return word, word.lower(), word.capitalize()


def _text(path: pathlib.Path, wanted: set[str] | None) -> Vectors:
    """Reads a file of text; of words that are not wanted, only the columns are counted."""
    words: dict[str, int] = {}
    values = array.array("f")
    header, dim, count = b"", 0, 0
    keys = None if wanted is None else {word.encode(errors="replace") for word in wanted}
    for number, line in _lines(path):
        line = line.rstrip(b" ")
        if number == 1 and HEADER.fullmatch(line):
            header, dim = line, int(line.split()[1])
            continue
        dim = dim or line.count(b" ")
        count += 1
        narrow = not dim or line.count(b" ") < dim
        if keys is None or narrow or line.rsplit(b" ", dim)[0] in keys:
            word, row = _row(f"{path}, line {number}", line, dim)
            if words.setdefault(word, len(words)) * dim == len(values):  # else it is a repeat
                values += row
            if len(values) > MAX_VALUES:
                expected = f"at most {MAX_VALUES} numbers"
                raise InputError(f"{path}, line {number}: expected {expected}, found more")
    if not count:
        raise InputError(f"{path}: expected lines of a word and numbers, found none")
    if header and count != int(header.split()[0]):
        promised = f"the {header.split()[0].decode()} words that line 1 promises"
        raise InputError(f"{path}: expected {promised}, found {count}")
    return Vectors(words, np.frombuffer(values, np.float32).reshape(-1, dim))


def _row(where: str, line: bytes, dim: int) -> tuple[str, array.array]:
    """Splits a line into its word and `dim` numbers."""
    fields = line.rsplit(b" ", dim) if dim else []
    expected = f"a word and {dim or 'some'} numbers"
    wrong = _tables.wrong_bytes(fields[0] if fields else line)
    try:
        if wrong or len(fields) != dim + 1 or not fields[0] or _is_number(fields[0].split(b" ")):
            raise ValueError
        if b"_" in line[len(fields[0]) :]:  # which Python takes for a number's
            raise ValueError
        row = array.array("f", map(float, fields[1:]))
    except ValueError:
        shown = _files.excerpt(line.decode(errors="replace"))
        found = wrong or f", found {line.count(b' ') + 1} fields, or not numbers, in {shown}"
        raise InputError(f"{where}: expected {expected}{found}") from None
    if not math.isfinite(sum(row)):  # as float32
        raise InputError(f"{where}: expected finite numbers, found {_extreme(row)}")
    return fields[0].decode(), row


def _is_number(pieces: list[bytes]) -> bool:
    """Tells whether a word with spaces in it ends in a number: then the line has one too many."""
    try:
        return len(pieces) > 1 and float(pieces[-1]) is not None
    except ValueError:
        return False


def _extreme(row: array.array | list[float]) -> float:
    return next(value for value in row if not math.isfinite(value))


def _is_binary(path: pathlib.Path) -> bool:
    """Tells whether a header is there and what follows it is no line of text."""
    with _opened(path) as stream:
        header = stream.readline(64).rstrip(b"\r\n ")
        start = stream.read(CHUNK) if HEADER.fullmatch(header) else b""
    if not start:
        return False
    dim = int(header.split()[1])
    with contextlib.suppress(ValueError):
        if list(map(float, start.partition(b"\n")[0].split(b" ")[-dim:])):
            return False
    numbers = start.partition(b" ")[2][: 4 * dim]
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(numbers)
        return any(char < " " and char not in "\t\r\n" for char in text)
    except UnicodeDecodeError:
        return True


def _binary(path: pathlib.Path, wanted: set[str] | None) -> Vectors:
    """Reads word2vec's bytes; rows of words that are not wanted are stepped over."""
    words: dict[str, int] = {}
    kept = bytearray()
    with _opened(path) as stream:
        count, dim = map(int, stream.readline(64).split())
        held, place, expected = b"", 0, f"a word and {dim} float32 numbers"
        for number in range(1, count + 1):
            where = f"{path}, word {number} of {count}"
            if len(held) - place < CHUNK + 4 * dim:
                held, place = held[place:] + stream.read(2 * CHUNK + 4 * dim), 0
            end = held.find(b" ", place, place + CHUNK) + 1
            if not end or len(held) < end + 4 * dim:
                raise InputError(f"{where}: expected {expected}, found the end of the file")
            word, place = held[place : end - 1].lstrip(b"\n"), end + 4 * dim
            if (wrong := _tables.wrong_bytes(word)) or not word:
                raise InputError(f"{where}: expected {expected}{wrong or ', found no word'}")
            name = word.decode()
            if name in words or (wanted is not None and name not in wanted):
                continue
            row = np.frombuffer(held, "<f4", dim, end)
            if not np.isfinite(row).all():
                raise InputError(
                    f"{where}: expected finite numbers, found {_extreme(row.tolist())}"
                )
            words[name] = len(words)
            kept += row.tobytes()
            if len(kept) > 4 * MAX_VALUES:
                raise InputError(f"{where}: expected at most {MAX_VALUES} numbers, found more")
        if (held[place:] + stream.read(CHUNK)).strip(b"\n"):
            raise InputError(f"{path}: expected the {count} words that line 1 promises, found more")
    return Vectors(words, np.frombuffer(kept, "<f4").astype(np.float32).reshape(-1, dim))


def _folder(path: pathlib.Path, wanted: set[str] | None) -> Vectors:
    """Reads one `.npy` file and the table beside it."""
    table = _arrays.features(_only(path, (".npy",)), "ef", "float16 or float32")
    words: dict[str, int] = {}
    number, names = 0, _only(path, (".tsv", ".tsv.gz"))
    for number, line in _lines(names):
        fields = [] if _tables.wrong_bytes(line) else line.decode().split("\t")
        if len(fields) != 2 or not fields[0] or not ROW.fullmatch(fields[1]):
            wrong = _tables.wrong_bytes(line) or f", found {_files.excerpt(line.decode())}"
            raise InputError(f"{names}, line {number}: expected WORD<TAB>ROW{wrong}")
        if int(fields[1]) >= len(table):
            expected = f"a row from 0 to {len(table) - 1}"
            raise InputError(f"{names}, line {number}: expected {expected}, found {fields[1]}")
        if wanted is None or fields[0] in wanted:
            words.setdefault(fields[0], int(fields[1]))
    if not number:
        raise InputError(f"{names}: expected lines WORD<TAB>ROW, found none")
    return Vectors(words, table)


def _only(folder: pathlib.Path, ends: tuple[str, ...]) -> pathlib.Path:
    names = [name for name in sorted(os.listdir(folder)) if name.endswith(ends)]
    if len(names) != 1 or not names[0].isprintable():
        found = _files.excerpt(", ".join(names) or "none", 200)
        raise InputError(f"{folder}: expected one file *{' or *'.join(ends)}, found {found}")
    return folder / names[0]


def _lines(path: pathlib.Path) -> Iterator[tuple[int, bytes]]:
    """Yields the lines of a file with their numbers."""
    with _opened(path) as stream:
        for start, lines in _tables.numbered_lines(stream):
            yield from enumerate(lines, start)


@contextlib.contextmanager
def _opened(path: pathlib.Path) -> Iterator[BufferedIOBase]:
    """A file to read, inflated if it is called .gz."""
    with _files.opened(path, EOFError, zlib.error) as file:
        yield gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file

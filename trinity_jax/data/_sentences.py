"""Sentences with a tag at every word: what readers share, and files of columns.

    IOB2         train.iob2, dev.iob2, test.iob2: TOKEN<TAB>TAG; a *.genre has a line a sentence
    CoNLL-2003   eng.train, eng.testa, eng.testb, or train.txt, valid.txt, test.txt: columns between
                 white space, the word first and the tag last, -DOCSTART- between documents

Blank lines end sentences. Tags become IOB2. Files are not trusted: memory grows with the distinct
tokens and with the number of lines, both of which must really be there.
"""

import itertools
import os
import pathlib
import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from trinity_jax.algorithms import spans
from trinity_jax.data import _files, _tables, _tags
from trinity_jax.types import InputError

MAX_TOKENS = 10_000  # in a sentence; more are a file without blank lines
SPACES = " \t\v\f"
SPACE = re.compile(f"[{SPACES}]+")
COLUMNS = "a word, other columns and a tag"
SPLITS = ("train", "dev", "test")
CONLL = {"train": (".train", "train.txt"), "dev": (".testa", "valid.txt", "dev.txt")}
CONLL |= {"test": (".testb", "test.txt")}


class Sentence(NamedTuple):
    """The words of a sentence."""

    tokens: tuple[str, ...]
    tags: tuple[str, ...]  # IOB2, as many
    genre: str  # "" where the source says nothing


class Corpus(NamedTuple):
    """Tagged sentences on the host, in the official split."""

    train: tuple[Sentence, ...]
    dev: tuple[Sentence, ...]
    test: tuple[Sentence, ...]
    types: tuple[str, ...]  # of entities, sorted
    synthetic: bool  # no human wrote or tagged it
    note: str  # what a report has to say of it, or ""


Fields = Callable[[str], tuple[str, str] | None]  # a line -> token and tag, or no row


def iob2(folder: pathlib.Path) -> Corpus:
    """Reads files of two columns in IOB2; see `sources.sentences`."""
    parts = []
    for split in SPLITS:
        path = folder / f"{split}.iob2"
        found = list(blocks(path, "TOKEN<TAB>TAG", _pair))
        genres = _genres(path, len(found))
        scheme = _tags.scheme(f"{path}, line", found, ("iob2",))
        parts.append(sentences(found, scheme, genres))
    return corpus(str(folder), parts)


def conll(folder: pathlib.Path) -> Corpus:
    """Reads CoNLL-2003's files of columns in IOB1, IOB2 or BIOES; see `sources.sentences`."""
    parts, schemes = [], []
    for split in SPLITS:
        path = _conll_path(folder, split)
        found = list(blocks(path, COLUMNS, _columns()))
        schemes.append(_tags.scheme(f"{path}, line", found, ("iob2", "iob1", "bioes")))
        parts.append(sentences(found, schemes[-1]))
    return corpus(str(folder), parts, note=f"tags read as {', '.join(schemes).upper()}")


def blocks(path: pathlib.Path, expected: str, fields: Fields) -> Iterator[_tags.Block]:
    """Yields the sentences of a file.

    Args:
      path: The file, in UTF-8.
      expected: What a line is, in words.
      fields: Splits a line, without its end, into token and tag; None ends the sentence. What it
        raises need not say which line.

    Raises:
      InputError: The file cannot be read, has no sentence, or a line is not what it should be.
    """
    once: dict[str, str] = {}  # strings are kept once each
    rows: list[tuple[str, str]] = []
    first = 0
    for number, line in _tables.text_lines(path, expected):
        try:
            row = fields(line)
        except InputError as error:
            raise InputError(f"{path}, line {number}: {error}") from None
        if row:
            first = first or number
            rows.append((once.setdefault(row[0], row[0]), once.setdefault(row[1], row[1])))
            if len(rows) > MAX_TOKENS:
                wanted = f"a blank line after {MAX_TOKENS} tokens at most, found none"
                raise InputError(f"{path}, line {number}: expected {wanted}")
        elif rows:
            yield _block(first, rows)
            first, rows = 0, []
    if rows:
        yield _block(first, rows)
    if not once:
        raise InputError(f"{path}: expected sentences, found none")


def columns(line: str) -> list[str]:
    """Splits a line at white space, which that of other scripts is not."""
    return SPACE.split(stripped) if (stripped := line.strip(SPACES)) else []


def sentences(
    found: list[_tags.Block], scheme: str, genres: Iterable[str] = itertools.repeat("")
) -> list[Sentence]:
    """Turns what was found, in tags of a known scheme, into sentences in IOB2."""
    convert = {"iob2": tuple, "iob1": spans.iob1_to_iob2, "bioes": spans.bioes_to_iob2}[scheme]
    return [
        Sentence(block.tokens, convert(block.tags), genre)
        for block, genre in zip(found, genres, strict=False)
    ]


def corpus(
    where: str, parts: Iterable[list[Sentence]], *, synthetic: bool = False, note: str = ""
) -> Corpus:
    """Joins training, development and test part."""
    train, dev, test = map(tuple, parts)
    types = [{tag[2:] for s in part for tag in s.tags if tag != "O"} for part in (train, dev, test)]
    if not types[0]:
        raise InputError(f"{where}: expected an entity in the training part, found O only")
    return Corpus(train, dev, test, tuple(sorted(set().union(*types))), synthetic, note)


def _block(first: int, rows: list[tuple[str, str]]) -> _tags.Block:
    tokens, tags = zip(*rows, strict=True)
    return _tags.Block(first, tokens, tags)


def _pair(line: str) -> tuple[str, str] | None:
    """Splits TOKEN<TAB>TAG."""
    if not line:
        return None
    row = line.split("\t")
    if len(row) != 2 or not all(row):
        found = "an empty one" if len(row) == 2 else f"{len(row)} field{'s' * (len(row) != 1)}"
        raise InputError(f"expected TOKEN<TAB>TAG, found {found} in {_files.excerpt(line)}")
    return row[0], row[1]


def _columns() -> Fields:
    """Splits lines of as many columns as the first has."""
    width = 0

    def fields(line: str) -> tuple[str, str] | None:
        nonlocal width
        row = columns(line)
        if not row or row[0] == "-DOCSTART-":
            return None
        if len(row) != (width or max(len(row), 2)):
            expected = f"{width} columns, as before" if width else COLUMNS
            found = f"{len(row)} in {_files.excerpt(line)}"
            raise InputError(f"expected {expected}, found {found}")
        width = len(row)
        return row[0], row[-1]

    return fields


def _conll_path(folder: pathlib.Path, split: str) -> pathlib.Path:
    ends = CONLL[split]
    names = sorted(os.listdir(folder))
    found = [n for n in names if n in ends[1:] or (n.endswith(ends[0]) and n.isprintable())]
    if len(found) != 1:
        wanted = " or ".join([f"*{ends[0]}", *ends[1:]])
        several = ", ".join(found) or "none"
        raise InputError(f"{folder}: expected one file {wanted}, found {several}")
    return folder / found[0]


def _genres(of: pathlib.Path, count: int) -> Iterable[str]:
    """Reads a line for each sentence of another file, if there is a file of genres beside it."""
    path = of.with_suffix(".genre")
    if not os.path.lexists(path):
        return itertools.repeat("")
    genres = []
    for number, line in _tables.text_lines(path, "a genre"):
        if not line:
            raise InputError(f"{path}, line {number}: expected a genre, found nothing")
        genres.append(line)
    if len(genres) != count:
        expected = f"{count} lines, one a sentence of {of.name}"
        raise InputError(f"{path}: expected {expected}, found {len(genres)}")
    return genres

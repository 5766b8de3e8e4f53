"""OntoNotes 5 as CoNLL-2012 released it: `*gold_conll` files, English, Chinese or Arabic.

    ...train/data/english/annotations/bc/cctv/00/cctv_0000.v4_gold_conll

A path says the part: its first folder or file with one of the words train, development (dev) and
test in its name. A line is a word, blank lines end sentences, `#begin document (ID); part 000` and
`#end document` stand around documents. Columns are between white space: the first is the ID, whose
first folder is the genre, the fourth the word, the eleventh the names in brackets.

    (PERSON*  *  *)  (GPE)  *        becomes B-PERSON I-PERSON I-PERSON B-GPE O

The New Testament (genre pt) has no names tagged and is left out, as all do who report F1.

S. Pradhan et al. Towards robust linguistic analysis using OntoNotes. CoNLL 2013.
"""

import os
import pathlib
import re
import sys
from collections.abc import Sequence

from trinity_jax.data import _files, _sentences, _tags
from trinity_jax.types import InputError

ID, WORD, NAME, WIDTH = 0, 3, 10, 12  # columns, and how many there are at least
UNTAGGED = "pt"
PARTS = {"train": "train", "development": "dev", "dev": "dev", "test": "test"}
LANGUAGES = ("english", "chinese", "arabic")
CELL = re.compile(r"(?:\(([^()*]+))?(\*?)(\)?)")  # type, star, end


def read(folder: pathlib.Path, language: str = "") -> _sentences.Corpus:
    """Reads all files below a folder.

    Args:
      folder: Where they are, as deep as they may.
      language: Which to read where there are several; "" where there is one.

    Returns:
      The corpus, documents in the order of their paths.

    Raises:
      InputError: Files that are missing, that are twice there, or that are not what they should be.
    """
    parts = {name: [] for name in _sentences.SPLITS}
    begun: dict[str, pathlib.Path] = {}
    for path in _paths(folder, language):
        part = _part(path.relative_to(folder))
        if not part:
            expected = "one of train, development, test in a folder's or the file's name"
            raise InputError(f"{path}: expected {expected}, found none or several")
        parts[part] += _file(path, begun)
    for name, part in parts.items():
        if not part:
            expected = f"files *gold_conll in a folder of the {name} part"
            raise InputError(f"{folder}: expected {expected}, found none")
    kept = [[s for s in part if s.genre != UNTAGGED] for part in parts.values()]
    left_out = sum(map(len, parts.values())) - sum(map(len, kept))
    note = f"{left_out} sentences of genre {UNTAGGED}, which has no names tagged, left out"
    return _sentences.corpus(str(folder), kept, note=note if left_out else "")


def _paths(folder: pathlib.Path, language: str) -> list[pathlib.Path]:
    """The files of one language, sorted."""
    found: dict[str, list[pathlib.Path]] = {}
    for root, _, names in os.walk(folder, onerror=_refuse):
        for path in (pathlib.Path(root, name) for name in names if name.endswith("gold_conll")):
            if not str(path).isprintable():
                raise InputError(f"{folder}: expected printable names, found {str(path)!r}")
            words = set().union(*_words(path.relative_to(folder)))
            spoken = [known for known in LANGUAGES if known in words]
            found.setdefault(" and ".join(spoken), []).append(path)
    unsaid = found.pop("", [])
    if language not in {"", *found} or not (found or unsaid):
        wanted = f"files *gold_conll{' in ' * bool(language)}{language}"
        there = ", ".join(sorted(found)) or "none"
        raise InputError(f"{folder}: expected {wanted}, found {there}")
    if not language and len(found) > 1:
        several = ", ".join(sorted(found))
        raise InputError(f"{folder}: expected one language or its name, found several: {several}")
    return sorted(unsaid + found.get(language or next(iter(found), ""), []))


def _refuse(error: OSError) -> None:
    raise InputError(f"{error.filename}: cannot be read ({_files.reason(error)})") from error


def _words(path: pathlib.Path) -> list[set[str]]:
    """The words in the name of each folder of a path and of the file."""
    return [set(re.split("[^a-z]+", name.lower())) for name in path.parts]


def _part(path: pathlib.Path) -> str:
    for words in _words(path):
        if parts := {PARTS[word] for word in words if word in PARTS}:
            return parts.pop() if len(parts) == 1 else ""
    return ""


def _file(path: pathlib.Path, begun: dict[str, pathlib.Path]) -> list[_sentences.Sentence]:
    """Reads a file, and notes which documents it holds."""

    def fields(line: str) -> tuple[str, str] | None:
        row = _sentences.columns(line)
        if not row or row[0] == "#end":
            return None
        if row[0] == "#begin":
            if line in begun:
                found = f"{_files.excerpt(line)} again, after {begun[line]}"
                raise InputError(f"expected each document once, found {found}")
            begun[line] = path
            return None
        if len(row) < WIDTH:
            found = f"{len(row)} in {_files.excerpt(line)}"
            raise InputError(f"expected at least {WIDTH} columns, found {found}")
        return row[WORD], f"{row[ID].partition('/')[0]} {row[NAME]}"

    found, genres = [], []
    for block in _sentences.blocks(path, f"at least {WIDTH} columns", fields):
        kinds, cells = zip(*(both.split(" ") for both in block.tags), strict=True)
        found.append(block._replace(tags=_iob2(path, block.first, cells)))
        genres.append(kinds[0])
    _tags.scheme(f"{path}, line", found, ("iob2",))
    return _sentences.sentences(found, "iob2", genres)


def _iob2(path: pathlib.Path, first: int, cells: Sequence[str]) -> tuple[str, ...]:
    """Turns the bracketed names of a sentence into tags."""
    tags = []
    open_kind = ""
    for number, cell in enumerate(cells, first):
        match = CELL.fullmatch(cell)
        kind, star, end = match.groups(default="") if match else ("", "", "")
        if not (star or (kind and end)) or (kind and open_kind) or (end and not kind + open_kind):
            expected = "*, (TYPE*, *) or (TYPE), brackets in pairs and none within others"
            found = _files.excerpt(cell) + f" within {_files.excerpt(open_kind)}" * bool(open_kind)
            raise InputError(f"{path}, line {number}: expected {expected}, found {found}")
        tags.append(f"B-{kind}" if kind else f"I-{open_kind}" if open_kind else "O")
        open_kind = "" if end else kind or open_kind
    if open_kind:
        expected = f"a closing bracket for {_files.excerpt(open_kind)}"
        number = first + len(cells) - 1
        raise InputError(f"{path}, line {number}: expected {expected}, found the sentence's end")
    return tuple(map(sys.intern, tags))

"""WordNet's nouns as a hierarchy: from the files `data.noun`, `index.noun` and `noun.exc`.

    data.noun   OFFSET LEXFILE n COUNT_HEX {WORD LEXID} POINTERS {SYMBOL OFFSET POS LINK} | GLOSS
    index.noun  LEMMA n SENSES POINTERS {SYMBOL} SENSES TAGGED {OFFSET}
    noun.exc    INFLECTED LEMMA ...

A synset is known by its offset in bytes, of which a wnid of ImageNet ("n02124075") is made: these
are offsets of version 3.0. It is called as is usual, "WORD.n.SENSE", by its first word and which
of the senses of this word it is. Pointers `@` and `@i` lead to what is more general.

G. A. Miller. WordNet: a lexical database for English. Communications of the ACM 38(11), 1995; the
formats are described in the manual page wndb(5WN).
"""

import collections
import os
import pathlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from trinity_jax.data import _files, _tables
from trinity_jax.types import InputError

DEBIAN = "/usr/share/wordnet"  # where its package wordnet-base puts the files
SENSES = ("all", "first")
LIMIT = 1 << 28  # bytes of data.noun, which has 15 MB
WNID = re.compile("n([0-9]{8})")
INFLECTED = (  # endings of plurals, and what stands for them
    *(("s", ""), ("ses", "s"), ("ves", "f"), ("xes", "x"), ("zes", "z")),
    *(("ches", "ch"), ("shes", "sh"), ("men", "man"), ("ies", "y")),
)


class WordNet(NamedTuple):
    """The files."""

    path: pathlib.Path  # of data.noun
    data: bytes
    senses: Mapping[str, tuple[int, ...]]  # offsets of a lemma's synsets, the usual sense first
    irregular: Mapping[str, tuple[str, ...]]  # lemmas of an inflected form


def read(folder: pathlib.Path) -> WordNet:
    """Reads a folder of WordNet's noun files."""
    path = folder / "data.noun"
    senses: dict[str, tuple[int, ...]] = {}
    irregular: dict[str, tuple[str, ...]] = collections.defaultdict(tuple)
    for where, fields in _lines(folder / "index.noun", entry := "a lemma and its senses"):
        try:
            count = int(fields[2])
            offsets = tuple(map(int, fields[-count:]))
            if not 0 < count == len(offsets) <= len(fields) - 6:
                raise ValueError
        except (ValueError, IndexError):
            raise InputError(f"{where}: expected {entry}, found {_shown(fields)}") from None
        senses[fields[0]] = offsets
    if not senses:
        raise InputError(f"{folder / 'index.noun'}: expected lines of {entry}, found none")
    for where, fields in _lines(folder / "noun.exc", entry := "an inflected form and its lemmas"):
        if len(fields) < 2:
            raise InputError(f"{where}: expected {entry}, found {_shown(fields)}")
        irregular[fields[0]] += tuple(fields[1:])
    _check_there(path)
    return WordNet(path, _files.whole(path, LIMIT), senses, irregular)


def of_wnids(net: WordNet, wnids: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The parents of every wnid, of theirs, and so on: `{node: parents}`.

    Raises:
      InputError: what is no wnid, or not one of this version.
    """
    if b"WordNet 3.0" not in net.data[:4096]:
        raise InputError(f"{net.path}: expected version 3.0, which wnids are of")
    offsets = {}
    for wnid in wnids:
        match = WNID.fullmatch(wnid)
        if not match or net.data[int(match[1]) : int(match[1]) + 9] != f"{match[1]} ".encode():
            raise InputError(f"{net.path}: expected the wnid of a noun, found {wnid!r}")
        offsets[wnid] = (int(match[1]),)
    return _above(net, offsets)


def of_names(net: WordNet, names: Sequence[str], senses: str = "all") -> dict[str, tuple[str, ...]]:
    """The same of class names, which have all of their senses as parents, or the first; or none.

    Args:
      net: the files.
      names: words, in any number and case, with underscores or spaces between them.
      senses: "all", as those who introduced partial feedback did, or "first".
    """
    offsets = {}
    for name in names:
        found = [offset for lemma in lemmas(net, name) for offset in net.senses[lemma]]
        offsets[name] = tuple(dict.fromkeys(found))[: None if senses == "all" else 1]
    return _above(net, offsets)


def lemmas(net: WordNet, word: str) -> list[str]:
    """The lemmas of a noun: itself, and what it may be an inflected form of.

    Irregular forms are listed. Of others, endings are replaced until something is a lemma.
    """
    form = word.lower().replace(" ", "_")
    known = lambda forms: [one for one in dict.fromkeys(forms) if one in net.senses]
    if form in net.irregular:
        return known([form, *net.irregular[form]])
    forms = _uninflected([form])
    found = known([form, *forms])
    while forms and not found:
        forms = _uninflected(forms)
        found = known(forms)
    return found


def _uninflected(forms: Iterable[str]) -> list[str]:
    return [
        form.removesuffix(old) + new
        for form in forms
        for old, new in INFLECTED
        if form.endswith(old)
    ]


def _above(net: WordNet, offsets: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[str, ...]]:
    """All that is above some synsets, by name."""
    parents = {name: tuple(_name(net, one) for one in own) for name, own in offsets.items()}
    left = [one for own in reversed(list(offsets.values())) for one in reversed(own)]
    while left:
        name = _name(net, offset := left.pop())
        if name not in parents:
            above = _synset(net, offset)[1]
            parents[name] = tuple(_name(net, one) for one in above)
            left += reversed(above)
    return parents


def _name(net: WordNet, offset: int) -> str:
    lemma = _synset(net, offset)[0].lower()
    if offset not in net.senses.get(lemma, ()):
        raise InputError(f"{net.path}: expected {lemma!r} in index.noun, as a word of {offset}")
    return f"{lemma}.n.{net.senses[lemma].index(offset) + 1:02d}"


def _synset(net: WordNet, offset: int) -> tuple[str, tuple[int, ...]]:
    """The first word of a synset, and the synsets above it."""
    line = net.data[offset : net.data.find(b"\n", offset)]
    fields = line.partition(b"|")[0].decode(errors="replace").split()
    try:
        if int(fields[0]) != offset:
            raise ValueError
        after = 4 + 2 * int(fields[3], 16)
        end = after + 1 + 4 * int(fields[after])
        pointers = zip(fields[after + 1 : end : 4], fields[after + 2 : end : 4], strict=True)
        return fields[4], tuple(int(to) for symbol, to in pointers if symbol in ("@", "@i"))
    except (ValueError, IndexError):
        found = _files.excerpt(repr(line))
        raise InputError(f"{net.path}, byte {offset}: expected a synset, found {found}") from None


def _lines(path: pathlib.Path, expected: str) -> Iterator[tuple[str, list[str]]]:
    """Where each line is, and its fields; but the licence's lines, which begin with spaces."""
    _check_there(path)
    for number, line in _tables.text_lines(path, expected):
        if line and not line.startswith(" "):
            yield f"{path}, line {number}", line.split()


def _shown(fields: Sequence[str]) -> str:
    return _files.excerpt(" ".join(fields[:20]))


def _check_there(path: pathlib.Path) -> None:
    if not os.path.lexists(path):
        hint = "; Debian has WordNet's files in its package wordnet-base"
        raise InputError(f"{path}: cannot be read, as it is not there{hint}")

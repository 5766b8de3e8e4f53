"""Hierarchies of classes: files of JSON and CSV, tables that are part of the package, and WordNet.

    {"labels": [LABEL, ...], "parents": {NODE: [PARENT, ...], ...}, "notice": ...}
    parent,child        a header of these two words, then a line an edge

The labels of JSON are in the order of the classes; those of CSV are the nodes without children.
"""

import collections
import importlib.resources
import json
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from trinity_jax.data import _files, _names, _tables, _wordnet
from trinity_jax.types import InputError, lookup

TABLES = ("digits", "cifar10", "cifar100", "tinyimagenet")
LIMIT = 1 << 26  # bytes of JSON


class Hierarchy(NamedTuple):
    """A directed graph of classes, not yet checked."""

    labels: tuple[str, ...]  # in the order of the classes
    parents: dict[str, tuple[str, ...]]  # of every node that has some
    where: str  # it was read from, for messages


def read(source: str, labels: Sequence[str]) -> Hierarchy:
    """Reads a hierarchy for classes of these names; see `sources.hierarchy`."""
    kind, _, argument = source.partition(":")
    if kind in ("wordnet", "wordnet-first"):
        return _of_wordnet(source, argument, labels, "first" if "-" in kind else "all")
    if source.endswith(".csv"):
        found = _csv(pathlib.Path(source).expanduser())
    elif source.endswith(".json"):
        path = pathlib.Path(source).expanduser()
        found = _json(str(path), _files.whole(path, LIMIT))
    else:
        known = (*TABLES, "wordnet:DIR", "FILE.json", "FILE.csv")
        lookup(dict.fromkeys(known), source, "hierarchy")
        table = importlib.resources.files("trinity_jax.data") / "hierarchies" / f"{source}.json"
        found = _json(source, table.read_bytes())
    return _in_order(source, found, labels)


def _in_order(source: str, found: Hierarchy, labels: Sequence[str]) -> Hierarchy:
    """With the names of the data, where it has names; else those of the file, in its order."""
    if set(found.labels) == set(labels):
        return found._replace(labels=tuple(labels))
    if len(found.labels) != len(labels):
        expected = f"a hierarchy of {len(labels)} labels, as the data has"
        raise InputError(f"{source}: expected {expected}, found {len(found.labels)}")
    if all(map(str.isdecimal, labels)) and not source.endswith(".csv"):
        return found
    unknown = sorted(set(labels) - set(found.labels))[0]
    raise InputError(f"{source}: expected the data's label {unknown!r}, found none of that name")


def _of_wordnet(source: str, argument: str, labels: Sequence[str], senses: str) -> Hierarchy:
    folder = _files.folder(source.partition(":")[0], argument or _wordnet.DEBIAN)
    net = _wordnet.read(folder)
    if all(map(_wordnet.WNID.fullmatch, labels)):
        return Hierarchy(tuple(labels), _wordnet.of_wnids(net, labels), source)
    if all(map(str.isdecimal, labels)):
        raise InputError(f"{source}: expected data with names of classes, found only numbers")
    return Hierarchy(tuple(labels), _wordnet.of_names(net, labels, senses), source)


def _csv(path: pathlib.Path) -> Hierarchy:
    above, below = _tables.read(path, ("parent", "child"))
    parents: dict[str, list[str]] = {name: [] for name in below.values}
    for row in range(len(below.codes)):
        parents[below.name(row)].append(above.name(row))
    leaves = set(below.values) - set(above.values)
    if not leaves:
        raise InputError(f"{path}: expected a node without children, found cycles only")
    return Hierarchy(tuple(_names.ordered(leaves)), _frozen(parents), str(path))


def _json(where: str, text: bytes) -> Hierarchy:
    expected = "an object with labels, a list of names, and parents, lists of names by name"
    try:
        held = json.loads(text.decode("utf-8-sig"), object_pairs_hook=_once)
        labels, parents = held["labels"], held["parents"]
        lists = [labels, *parents.values()]
        if not labels or not all(type(one) is list for one in lists):
            raise TypeError
        if not all(type(name) is str and name.isprintable() for one in lists for name in one):
            raise TypeError
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    except (ValueError, RecursionError) as error:  # not UTF-8, or an integer of too many digits
        raise InputError(f"{where}: expected JSON, found {_files.reason(error)}") from None
    except (KeyError, TypeError, AttributeError):
        raise InputError(f"{where}: expected {expected}") from None
    return Hierarchy(tuple(labels), _frozen(parents), where)


def _frozen(parents: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
    return {node: tuple(above) for node, above in parents.items()}


def _once(pairs: list) -> dict:
    """An object, of which no name is given twice."""
    made = dict(pairs)
    if len(made) < len(pairs):
        counts = collections.Counter(name for name, _ in pairs)
        twice = next(name for name, count in counts.items() if count > 1)
        raise InputError(f"expected each name once, found {_files.excerpt(twice)} twice")
    return made

"""Questions from a hierarchy of classes: each is a set of labels, "is it one of these?".

A hierarchy is any directed acyclic graph, given by the parents of every node. The question of a
node covers the labels below it. Questions come as a matrix, bool [question, label]; the first rows
are the labels themselves, so that every item can be labelled exactly. A node above all labels, or
none, asks nothing, and nodes above the same labels are one question with several names.

P. Hu, Z. C. Lipton, A. Anandkumar, D. Ramanan. Active learning with partial feedback. ICLR 2019.
Whatever is here runs once, on the host, in NumPy.
"""

import collections
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int, Shaped
from scipy.cluster import hierarchy as linkage
from scipy.spatial.distance import squareform

from trinity_jax.types import InputError

Parents = Mapping[str, Sequence[str]]  # of every node; a node without an entry has none


class Questions(NamedTuple):
    """What may be asked.

    Attributes:
      covers: bool [question, label].
      names: of each question; those of the first are the labels.
      aliases: other names of each: of nodes above the same labels, the nearest first.
    """

    covers: Bool[np.ndarray, "question label"]
    names: tuple[str, ...]
    aliases: tuple[tuple[str, ...], ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of the labels, which are the first questions."""
        return self.names[: self.covers.shape[1]]


def questions(labels: Sequence[str], parents: Parents, where: str = "hierarchy") -> Questions:
    """All different questions of a hierarchy; larger sets of labels first, behind the labels.

    Args:
      labels: the classes, in order. Of a label that is a parent too there are two questions, one
        about it alone and one about "LABEL and below".
      parents: of every node.
      where: they were read from, for messages.

    Raises:
      InputError: a label is there twice, or is not in the hierarchy, which names are alike; the
        hierarchy has a cycle, which is named; or a node without children is not a label.
    """
    labels = list(labels)
    twice = [name for name, count in collections.Counter(labels).items() if count > 1]
    if twice:
        raise InputError(f"{where}: expected labels that are different, found {twice[0]!r} twice")
    nodes = _above(labels, parents, where)
    if strange := sorted(set(parents) - nodes.keys() - set(labels)):
        raise InputError(f"{where}: expected every node to be above a label, found {strange[0]!r}")
    covered: dict[frozenset, list[str]] = {frozenset([k]): [name] for k, name in enumerate(labels)}
    by_size = sorted(nodes.items(), key=lambda item: -len(item[1]))
    for node, below in by_size:
        name = f"{node} and below" if node in labels else node
        covered.setdefault(frozenset(below), []).append(name)
    if len(labels) > 1:
        covered.pop(frozenset(range(len(labels))), None)
    covers = np.zeros((len(covered), len(labels)), bool)
    for row, below in enumerate(covered):
        covers[row, list(below)] = True
    names = [called[0] for called in covered.values()]
    return Questions(covers, tuple(names), tuple(tuple(called[1:]) for called in covered.values()))


def _above(labels: Sequence[str], parents: Parents, where: str) -> dict[str, set[int]]:
    """The numbers of the labels below every node that is above one."""
    below: dict[str, set[int]] = {}
    for number, label in enumerate(labels):
        if label not in parents:
            near = ", ".join(sorted(parents)[:5])
            expected = f"label {label!r} in a hierarchy that begins with {near}"
            raise InputError(f"{where}: expected {expected}, found none of that name")
        path, on_path, done = [label], {label}, set()
        ways = [iter(parents[label])]
        while ways:
            node = next(ways[-1], None)
            if node is None:
                ways.pop()
                on_path.remove(path[-1])
                done.add(path.pop())
            elif node in on_path:
                cycle = " > ".join([node, *reversed(path[path.index(node) :])])
                raise InputError(f"{where}: expected a hierarchy without cycles, found {cycle}")
            elif node not in done:
                below.setdefault(node, set()).add(number)
                path.append(node)
                on_path.add(node)
                ways.append(iter(parents.get(node, ())))
    for number, label in enumerate(labels):
        if label in below:
            below[label].add(number)
    return below


def alike(covers: Bool[np.ndarray, "question label"]) -> list[tuple[int, int]]:
    """Pairs of labels that no question tells apart; none where each label is a question."""
    columns: dict[bytes, int] = {}
    pairs = []
    for label, column in enumerate(covers.T):
        first = columns.setdefault(column.tobytes(), label)
        if first != label:
            pairs.append((first, label))
    return pairs


def balanced_cost(covers: Bool[np.ndarray, "question label"]) -> Int[np.ndarray, " label"]:
    """How many questions it takes to label an item of each class when nothing is known of it.

    Each question splits the labels that are left as evenly as it can, the first of several: with a
    uniform prior that is where its answer says most.
    """
    number, cost = covers.shape[1], np.zeros(covers.shape[1], int)
    groups = [np.ones(number, bool)]
    while groups:
        left = groups.pop()
        yes = (covers & left).sum(1)
        least = np.minimum(yes, left.sum() - yes)
        if not least.any():  # it is one label, or those are alike
            continue
        cost += left
        best = covers[least.argmax()]
        groups += [left & best, left & ~best]
    return cost


def learned(
    confusion: Shaped[np.ndarray, "_ _"], labels: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """A hierarchy from what a model mixes up: average linkage of one less the mean confusion.

    Args:
      confusion: [label, label], how often or how probably a label (row) is taken for another.
      labels: their names.

    Returns:
      The parents of every node; nodes are called "group 1", "group 2", ...

    Raises:
      InputError: the confusion is not square, or has numbers below zero or not finite.
    """
    confusion = np.asarray(confusion, float)
    number = len(labels)
    if confusion.shape != (number, number):
        raise InputError(f"expected a confusion of {number} x {number}, found {confusion.shape}")
    if not np.isfinite(confusion).all() or confusion.min() < 0:
        raise InputError("expected a confusion of finite numbers, none of them below zero")
    share = confusion / np.maximum(confusion.sum(1, keepdims=True), 1e-12)
    distance = 1 - (share + share.T) / 2
    np.fill_diagonal(distance, 0)
    names = [*labels, *(f"group {n + 1}" for n in range(number - 1))]
    parents: dict[str, tuple[str, ...]] = dict.fromkeys(names, ())
    pairs = linkage.average(squareform(distance, checks=False)) if number > 1 else []
    for group, (left, right, *_) in enumerate(pairs, number):
        parents[names[int(left)]] = parents[names[int(right)]] = (names[group],)
    return parents


def in_words(asked: Questions, question: int, most: int = 6) -> str:
    """A question as one asks a person: "is it a vehicle (airplane, automobile, ship or truck)?"."""
    names = [_plain(name) for name in (asked.names[question], *asked.aliases[question])]
    members = [_shown(asked, int(label)) for label in np.flatnonzero(asked.covers[question])]
    if question < asked.covers.shape[1]:
        return f"is it {_article(members[0])}?"
    more = [f"{len(members) - most + 1} more"] if len(members) > most else []
    members = members[: most - 1] if more else members
    return f"is it {_article(names[0])} ({_either([*members, *more])})?"


def _shown(asked: Questions, label: int) -> str:
    """A label's name; that of a wnid is the name of its synset."""
    name, others = asked.names[label], asked.aliases[label]
    return _plain(others[0] if others and name[1:].isdigit() else name)


def _plain(name: str) -> str:
    return name.partition(".n.")[0].replace("_", " ")


def _article(noun: str) -> str:
    return f"{'an' if noun[:1].lower() in 'aeiou' and noun else 'a'} {noun}"


def _either(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} or {last}" if most else last

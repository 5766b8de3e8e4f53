"""Spans of BIO tags, and how well they are found: conlleval's precision, recall and F1.

A span is found if its type and both its ends are. As conlleval reads tags, an I-X that goes on with
nothing of type X begins a span too.

E. F. Tjong Kim Sang, F. De Meulder. Introduction to the CoNLL-2003 shared task. CoNLL 2003.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

Sentences = Sequence[Sequence[str]]


class Score(NamedTuple):
    """Shares of the spans: right of those given, given of those that are true, harmonic mean."""

    precision: float
    recall: float
    f1: float


def spans(tags: Sequence[str]) -> Iterator[tuple[str, int, int]]:
    """Yields the spans of a sentence: type, first token, token after the last.

    Raises:
      ValueError: a tag that is neither O nor B-X nor I-X.
    """
    kind, begin = "", 0  # of the open span; no type: none is open
    for position, tag in enumerate([*tags, "O"]):
        prefix, _, new = tag.partition("-")
        if tag != "O" and (prefix not in ("B", "I") or not new):
            raise ValueError(f"token {position}: expected O, B-X or I-X, found {tag!r}")
        if kind and (prefix == "B" or new != kind):
            yield kind, begin, position
            kind = ""
        if new and not kind:
            kind, begin = new, position


def span_f1(tags: Sentences, truth: Sentences) -> Score:
    """Precision, recall and F1 over all sentences; each is 0 where it would be 0 / 0.

    Args:
      tags: the tags of each sentence.
      truth: the true ones, as many.
    """
    found = _all(tags)
    true = _all(truth)
    lengths = [list(map(len, sentences)) for sentences in (tags, truth)]
    if lengths[0] != lengths[1]:
        raise ValueError("tags and truth must have the same sentences, token by token")
    right = len(found & true)
    precision, recall = right / max(len(found), 1), right / max(len(true), 1)
    return Score(precision, recall, 2 * right / max(len(found) + len(true), 1))


def _all(sentences: Sentences) -> set[tuple[int, str, int, int]]:
    return {(i, *span) for i, tags in enumerate(sentences) for span in spans(tags)}

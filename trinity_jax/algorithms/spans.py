"""Spans of tags: three schemes, two ways of reading them, and how well spans are found.

    IOB1     I-X within a span, B-X only where a span follows another of its type at once
    IOB2     B-X begins every span, I-X goes on with it
    BIOES    B-X begins, I-X goes on, E-X ends; S-X is a span of one token

A span is found if its type and both its ends are. Tags of people and models may break the scheme;
`spans` reads BIO as conlleval does, where an I-X that goes on with nothing of type X begins a span
too, and `strict_spans` drops whatever does not begin and end by the rules, as seqeval's strict mode
does. Published scores are either; with BIOES the strict one is usual, and `span_counts` computes it
within a compiled program.

E. F. Tjong Kim Sang, F. De Meulder. Introduction to the CoNLL-2003 shared task. CoNLL 2003.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Int

Sentences = Sequence[Sequence[str]]
Span = tuple[str, int, int]  # type, first token, token after the last

LETTERS: Mapping[str, str] = {"iob1": "BI", "iob2": "BI", "bioes": "BIES"}
IN_WORDS: Mapping[str, str] = {"BI": "O, B-X or I-X", "BIES": "O, B-X, I-X, E-X or S-X"}


class Score(NamedTuple):
    """Shares of the spans: right of those given, given of those that are true, harmonic mean."""

    precision: float
    recall: float
    f1: float


class Counts(NamedTuple):
    """Numbers of spans, of each type: integers `[type]`, NumPy's or JAX's.

    Attributes:
      right: found and true, with the same ends.
      found: given by the tags.
      true: in the truth.
    """

    right: Any
    found: Any
    true: Any


class Report(NamedTuple):
    """Scores over all types together, and of each."""

    micro: Score
    types: dict[str, Score]


def bioes_tags(types: Sequence[str]) -> tuple[str, ...]:
    """Every BIOES tag of some types, in the order in which models number them: O is 0."""
    return ("O", *(f"{letter}-{kind}" for kind in types for letter in LETTERS["bioes"]))


def spans(tags: Sequence[str]) -> Iterator[Span]:
    """Yields the spans of a sentence in BIO, as conlleval reads it; IOB1 and IOB2 alike.

    Raises:
      ValueError: a tag that is neither O nor B-X nor I-X.
    """
    kind, begin = "", 0  # of the open span; no type: none is open
    for position, (letter, new) in enumerate([*_parsed(tags, "iob2"), ("O", "")]):
        if kind and (letter == "B" or new != kind):
            yield kind, begin, position
            kind = ""
        if new and not kind:
            kind, begin = new, position


def strict_spans(tags: Sequence[str], scheme: str = "iob2") -> Iterator[Span]:
    """Yields the spans of a sentence that begin and end as the scheme, IOB2 or BIOES, says.

    Raises:
      ValueError: a tag that the scheme does not have.
    """
    kind, begin = "", 0
    for position, (letter, new) in enumerate([*_parsed(tags, scheme), ("O", "")]):
        if letter in "IE" and new == kind != "":
            if letter == "E":
                yield kind, begin, position + 1
                kind = ""
            continue
        if kind and scheme == "iob2":  # spans of BIOES need an E
            yield kind, begin, position
        kind, begin = (new if letter == "B" else ""), position
        if letter == "S":
            yield new, position, position + 1


def iob1_to_iob2(tags: Sequence[str]) -> tuple[str, ...]:
    """The same spans, as conlleval reads them, in IOB2; so IOB2 with stray I-X is repaired too."""
    return _written(spans(tags), len(tags), "iob2")


def iob2_to_bioes(tags: Sequence[str]) -> tuple[str, ...]:
    """The same spans, as conlleval reads them, in BIOES."""
    return _written(spans(tags), len(tags), "bioes")


def bioes_to_iob2(tags: Sequence[str]) -> tuple[str, ...]:
    """The same spans, strictly read, in IOB2; tags that make no span become O."""
    return _written(strict_spans(tags, "bioes"), len(tags), "iob2")


def first_illegal(tags: Sequence[str], scheme: str) -> int | None:
    """Where the tags first break their scheme: IOB1, IOB2 or BIOES.

    Returns:
      The position of a tag that may not follow the one before it; the number of tags if the last
      span is not ended; None if all is well.

    Raises:
      ValueError: a tag that the scheme does not have.
    """
    before, kind = "O", ""
    for position, (letter, new) in enumerate([*_parsed(tags, scheme), ("O", "")]):
        same = new == kind != ""
        if scheme == "bioes":
            goes_on = letter in "IE"
            legal = goes_on == (before in "BI") and (same or not goes_on)
        else:
            legal = same or letter != ("I" if scheme == "iob2" else "B")
        if not legal:
            return position
        before, kind = letter, new
    return None


def span_f1(tags: Sentences, truth: Sentences) -> Score:
    """Precision, recall and F1 over all sentences of BIO, as conlleval computes them.

    Args:
      tags: the tags of each sentence.
      truth: the true ones, as many.

    Returns:
      The score; each share is 0 where it would be 0 / 0.
    """
    found, true = _all(map(spans, tags)), _all(map(spans, truth))
    _check_same_tokens(tags, truth)
    return _score(len(found & true), len(found), len(true))


def strict_f1(tags: Sentences, truth: Sentences, scheme: str = "iob2") -> Report:
    """Precision, recall and F1 of strictly read IOB2 or BIOES, as seqeval computes them.

    Args:
      tags: the tags of each sentence.
      truth: the true ones, as many.
      scheme: of both.

    Returns:
      The scores, with all types that have a span in either.
    """
    found = _all(strict_spans(sentence, scheme) for sentence in tags)
    true = _all(strict_spans(sentence, scheme) for sentence in truth)
    _check_same_tokens(tags, truth)
    types = sorted({kind for _, kind, _, _ in found | true})
    count = lambda some: np.array([sum(span[1] == kind for span in some) for kind in types], int)
    return report(Counts(count(found & true), count(found), count(true)), types)


def span_counts(
    tags: Int[Array, "sentence token"],
    truth: Int[Array, "sentence token"],
    length: Int[Array, " sentence"],
    num_types: int,
) -> Counts:
    """Counts strictly read spans of BIOES; can be traced.

    Args:
      tags: numbers of `bioes_tags`.
      truth: the true ones.
      length: how many tokens of a sentence count.
      num_types: how many types there are.

    Returns:
      int32 `[type]` each; counts of several batches may be added.
    """
    chex.assert_equal_shape([tags, truth])
    real = jnp.arange(tags.shape[1])[None] < length[:, None]
    found_ends, found_begin = _ends(jnp.where(real, tags, 0))
    true_ends, true_begin = _ends(jnp.where(real, truth, 0))
    right = found_ends & true_ends & (tags == truth) & (found_begin == true_begin)
    # A right span has the same last tag in both, E-X or S-X, which also says its type.
    one_hot = lambda of: (of[..., None] - 1) // 4 == jnp.arange(num_types)[None, None]
    count = lambda ends, of: (ends[..., None] & one_hot(of)).sum((0, 1), dtype=jnp.int32)
    return Counts(count(right, truth), count(found_ends, tags), count(true_ends, truth))


def report(counts: Counts, types: Sequence[str]) -> Report:
    """The scores that counts of some types amount to."""
    each = np.stack([np.asarray(count, int) for count in counts], axis=1)  # [type, 3]
    return Report(
        _score(*map(int, each.sum(axis=0))),
        {kind: _score(*map(int, row)) for kind, row in zip(types, each, strict=True)},
    )


def _parsed(tags: Sequence[str], scheme: str) -> Iterator[tuple[str, str]]:
    """Yields letter and type of each tag; those of O are "O" and nothing."""
    letters = LETTERS[scheme]
    for position, tag in enumerate(tags):
        letter, _, kind = tag.partition("-")
        if tag != "O" and (letter not in tuple(letters) or not kind):
            raise ValueError(f"token {position}: expected {IN_WORDS[letters]}, found {tag!r}")
        yield letter, kind


def _written(found: Iterable[Span], length: int, scheme: str) -> tuple[str, ...]:
    """Writes spans as tags, IOB2 or BIOES."""
    tags = ["O"] * length
    for kind, begin, end in found:
        tags[begin:end] = [f"B-{kind}", *[f"I-{kind}"] * (end - begin - 1)]
        if scheme == "bioes":
            tags[end - 1] = f"{'E' if end - begin > 1 else 'S'}-{kind}"
    return tuple(tags)


def _all(sentences: Iterable[Iterable[Span]]) -> set[tuple[int, str, int, int]]:
    return {(i, *span) for i, found in enumerate(sentences) for span in found}


def _check_same_tokens(tags: Sentences, truth: Sentences) -> None:
    if list(map(len, tags)) != list(map(len, truth)):
        raise ValueError("tags and truth must have the same sentences, token by token")


def _score(right: int, found: int, true: int) -> Score:
    return Score(right / max(found, 1), right / max(true, 1), 2 * right / max(found + true, 1))


def _ends(tags: Int[Array, "sentence token"]) -> tuple[Array, Array]:
    """Tells for each token whether a span ends there, and where it began: `[sentence, token]`."""
    letter = jnp.where(tags > 0, (tags - 1) % 4, 4)  # B, I, E, S, O
    before = jnp.pad(tags, ((0, 0), (1, 0)))[:, :-1]
    opened = (before > 0) & ((before - 1) % 4 < 2)
    goes_on = opened & ((letter == 1) | (letter == 2)) & ((before - 1) // 4 == (tags - 1) // 4)
    position = jnp.broadcast_to(jnp.arange(tags.shape[1]), tags.shape)
    begin = jax.lax.cummax(jnp.where(goes_on, 0, position), axis=1)
    begun = jnp.take_along_axis(letter, begin, axis=1) == 0
    return (letter == 3) | ((letter == 2) & goes_on & begun), begin

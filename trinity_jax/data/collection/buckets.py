"""Sentences of like length in one array, padded to its width, so that few shapes are compiled."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike

from trinity_jax.algorithms.spans import iob2_to_bioes


@runtime_checkable
class Sentence(Protocol):
    """Tokens, and as many tags in IOB2."""

    @property
    def tokens(self) -> Sequence[str]: ...

    @property
    def tags(self) -> Sequence[str]: ...


class Bucket(NamedTuple):
    """Sentences padded to one width, in the order of their part.

    Attributes:
      form: int32 `[sentence, token]`, 0 after the last token.
      tag: int32 `[sentence, token]`, numbers of `bioes_tags`, 0 (O) after the last.
      length: int32 `[sentence]`; 0 in rows that fill up the last batch.
      index: int32 `[sentence]`, the sentence's place in its part; in rows that fill up, one that is
        out of range, which JAX drops when it scatters.
    """

    form: np.ndarray
    tag: np.ndarray
    length: np.ndarray
    index: np.ndarray  # pyright: ignore[reportIncompatibleMethodOverride] (of a tuple)


def bucket_edges(lengths: ArrayLike, num_widths: int) -> tuple[int, ...]:
    """Chooses the widths for which least is padded, by dynamic programming.

    Args:
      lengths: of the sentences.
      num_widths: how many widths there may be.

    Returns:
      The widths, ascending; the last is the greatest length.
    """
    width, count = np.unique(np.asarray(lengths, int), return_counts=True)
    if not len(width) or num_widths < 1:
        raise ValueError("expected at least one length and one width")
    upto = np.concatenate([[0], np.cumsum(count)])  # sentences of the first n lengths
    cost = np.concatenate([[0], width * upto[1:]])  # of the first n lengths in one bucket
    choices = []
    for _ in range(min(num_widths, len(width)) - 1):
        # Lengths before `cut` keep the cost of one bucket less; the others share a new one.
        new, cuts = cost.copy(), np.zeros(len(cost), int)
        for n in range(1, len(cost)):
            total = cost[:n] + width[n - 1] * (upto[n] - upto[:n])
            cuts[n] = total.argmin()
            new[n] = total[cuts[n]]
        cost = new
        choices.append(cuts)
    n, edges = len(width), [int(width[-1])]
    for cuts in reversed(choices):
        if n := int(cuts[n]):
            edges.append(int(width[n - 1]))
    return tuple(reversed(edges))


def buckets(
    sentences: Sequence[Sentence],
    strings: Sequence[str],
    tags: Sequence[str],
    edges: Sequence[int],
    multiple: int = 1,
) -> tuple[Bucket, ...]:
    """Sorts sentences into buckets of widths.

    Args:
      sentences: a part of the corpus, tagged in IOB2.
      strings: those of `form_strings`, of all tokens there are.
      tags: those of `bioes_tags`, of all types there are.
      edges: the widths, ascending; none may be too long.
      multiple: what the number of sentences in a bucket must be a multiple of.

    Returns:
      The buckets that have sentences, narrow ones first.
    """
    form_of = {string: form for form, string in enumerate(strings)}
    tag_of = {tag: number for number, tag in enumerate(tags)}
    place = np.searchsorted(edges, [len(sentence.tokens) for sentence in sentences])
    if (place == len(edges)).any():
        index = int((place == len(edges)).argmax())
        found = len(sentences[index].tokens)
        raise ValueError(f"expected at most {edges[-1]} tokens, found {found} in sentence {index}")
    made = []
    for number, width in enumerate(edges):
        members = np.flatnonzero(place == number).tolist()
        if members:
            rows = -(-len(members) // multiple) * multiple
            form, tag = np.zeros((rows, width), np.int32), np.zeros((rows, width), np.int32)
            length = np.zeros(rows, np.int32)
            index = np.full(rows, len(sentences), np.int32)
            made.append(Bucket(form, tag, length, index))
            index[: len(members)] = members
            for row, member in enumerate(members):
                _fill(made[-1], row, sentences[member], form_of, tag_of)
    return tuple(made)


def _fill(
    bucket: Bucket,
    row: int,
    sentence: Sentence,
    form_of: Mapping[str, int],
    tag_of: Mapping[str, int],
) -> None:
    length = len(sentence.tokens)
    bucket.length[row] = length
    bucket.form[row, :length] = [form_of[token] for token in sentence.tokens]
    bucket.tag[row, :length] = [tag_of[tag] for tag in iob2_to_bioes(sentence.tags)]

"""From sentences to arrays for a tagger: a vocabulary, what tokens are made of, buckets.

A token is a number, its form: every distinct string of a corpus has one, and what it is made of
(characters, word, case) stands once in `Forms`. The vocabulary knows the text of the pool, of which
no label is needed, and words that have a vector already; other words of other parts are unknown
ones, made of characters. All of this is NumPy on the host.
"""

import collections
import itertools
from collections.abc import Collection, Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from trinity_jax.algorithms.spans import bioes_tags
from trinity_jax.algorithms.tagger import Forms
from trinity_jax.data.collection.buckets import Bucket, Sentence, bucket_edges, buckets

PADDING, UNKNOWN, BEGIN, END = range(4)  # of characters; words have the first two
CASES = ("padding", "lower", "upper", "title", "mixed", "caseless", "digit", "other")


class Vocabulary(NamedTuple):
    """The string of every row of an embedding; the first rows are for none of them.

    Attributes:
      words: row 0 is padding, row 1 unknown words.
      chars: the same, then the beginning and the end of a word.
      lower: whether words are looked up in lower case.
    """

    words: tuple[str, ...]
    chars: tuple[str, ...]
    lower: bool


class Encoded(NamedTuple):
    """A corpus as arrays.

    Attributes:
      vocabulary: of the pool, which is the training part.
      strings: what each form is, "" for form 0.
      forms: what each form is made of.
      tags: what each number of a tag means.
      edges: the widths of buckets.
      buckets: of all parts behind one another, narrow ones first; without those that are empty.
    """

    vocabulary: Vocabulary
    strings: tuple[str, ...]
    forms: Forms
    tags: tuple[str, ...]
    edges: tuple[int, ...]
    buckets: tuple[Bucket, ...]


def encode(
    parts: Sequence[Sequence[Sentence]],
    types: Sequence[str],
    *,
    max_chars: int = 20,
    num_widths: int = 6,
    multiple: int = 1,
    min_count: int = 1,
    lower: bool = False,
    with_vectors: Collection[str] = (),
) -> Encoded:
    """Turns a corpus into arrays.

    Args:
      parts: the training part, which is the pool, and others, such as dev and test.
      types: the types of entities.
      max_chars: how many characters of a word are kept, two marks included.
      num_widths: how many widths of buckets there may be; they fit the lengths of all parts.
      multiple: what the number of sentences in a bucket must be a multiple of.
      min_count: words seen fewer times in the training part are unknown.
      lower: whether words are looked up in lower case; characters and case are as they were.
      with_vectors: words that are known even if they stand in no part, or too seldom.
    """
    texts = [[sentence.tokens for sentence in part] for part in parts]
    known = vocabulary(texts[0], min_count, lower, with_vectors)
    strings = form_strings(itertools.chain(*texts))
    tags = bioes_tags(types)
    edges = bucket_edges([len(tokens) for text in texts for tokens in text], num_widths)
    everything = list(itertools.chain(*parts))
    in_buckets = buckets(everything, strings, tags, edges, multiple)
    return Encoded(known, strings, forms(known, strings, max_chars), tags, edges, in_buckets)


def vocabulary(
    pool: Iterable[Sequence[str]],
    min_count: int = 1,
    lower: bool = False,
    with_vectors: Collection[str] = (),
) -> Vocabulary:
    """Collects the words and characters of a pool, frequent ones first.

    Args:
      pool: the tokens of each sentence.
      min_count: words seen fewer times are left out; characters never are.
      lower: whether words are taken in lower case.
      with_vectors: words that are kept in any case, behind the others.
    """
    tokens = collections.Counter(itertools.chain.from_iterable(pool))
    words: collections.Counter[str] = collections.Counter()
    chars: collections.Counter[str] = collections.Counter()
    for token, count in tokens.items():
        words[token.lower() if lower else token] += count
        for char in token:
            chars[char] += count
    ranked = lambda counts: sorted(counts, key=lambda key: (-counts[key], key))
    kept = [word for word in ranked(words) if words[word] >= min_count]
    more = {word.lower() if lower else word for word in with_vectors} - {"", *kept}
    return Vocabulary(("", "", *kept, *sorted(more)), ("", "", "", "", *ranked(chars)), lower)


def form_strings(texts: Iterable[Sequence[str]]) -> tuple[str, ...]:
    """The distinct tokens of some sentences, each at the place of its form; "" at 0."""
    return ("", *dict.fromkeys(itertools.chain.from_iterable(texts)))


def forms(known: Vocabulary, strings: Sequence[str], max_chars: int) -> Forms:
    """Writes down what forms are made of.

    Args:
      known: the vocabulary.
      strings: those of `form_strings`.
      max_chars: how many characters are kept, the marks of beginning and end included. Of longer
        words head and tail are.

    Returns:
      int32 arrays: `chars [form, char]`, `word [form]`, `case [form]`.
    """
    if max_chars < 3:
        raise ValueError(f"max_chars must be at least 3, found {max_chars}")
    word_row = {word: row for row, word in enumerate(known.words) if row > UNKNOWN}
    char_row = {char: row for row, char in enumerate(known.chars) if row > END}
    chars = np.full((len(strings), max_chars), PADDING, np.int32)
    words = np.full(len(strings), PADDING, np.int32)
    cases = np.zeros(len(strings), np.int32)
    room = max_chars - 2
    for form, string in enumerate(strings[1:], 1):
        tail = room // 2
        kept = (
            string if len(string) <= room else string[: room - tail] + string[-tail:] * (tail > 0)
        )
        rows = [char_row.get(char, UNKNOWN) for char in kept]
        chars[form, : len(kept) + 2] = [BEGIN, *rows, END]
        words[form] = word_row.get(string.lower() if known.lower else string, UNKNOWN)
        cases[form] = case(string)
    arrays: Any = chars, words, cases  # to be placed on devices by whoever trains
    return Forms(*arrays)


def case(token: str) -> int:
    """The place in `CASES` of a token's capitalisation."""
    if any(map(str.isdigit, token)):
        name = "digit"
    elif not any(map(str.isalpha, token)):
        name = "other"
    elif token.isupper():
        name = "upper"
    elif token.islower():
        name = "lower"
    elif token[0].isupper() and token[1:].islower():
        name = "title"
    else:
        name = "mixed" if any(char.isupper() or char.islower() for char in token) else "caseless"
    return CASES.index(name)

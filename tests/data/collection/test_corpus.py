"""Arrays of a corpus: against the sentences they came from, and widths against every choice."""

import itertools
from typing import Any, NamedTuple

import hypothesis
import hypothesis.strategies as st
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.algorithms.spans import bioes_tags, bioes_to_iob2
from trinity_jax.data import sources
from trinity_jax.data.collection import buckets, corpus
from trinity_jax.data.collection.corpus import CASES


class Sentence(NamedTuple):
    tokens: tuple[str, ...]
    tags: tuple[str, ...]


def sentence(text, tags=""):
    tokens = tuple(text.split())
    return Sentence(tokens, tuple(tags.split()) or ("O",) * len(tokens))


TRAIN = [
    sentence("Ann Lee saw Rome", "B-PER I-PER O B-LOC"),
    sentence("Ann saw saw"),
    sentence("a b c d e f g"),
]
DEV = [sentence("Bob saw rome", "B-PER O B-LOC")]
TEST = [sentence("Ann slept", "B-PER O")]
TYPES = ("LOC", "PER")


def test_vocabulary_is_of_the_pool_frequent_words_first():
    known = corpus.vocabulary([["b", "a", "Rome"], ["b", "rome", "b", "a"]])
    assert known.words == ("", "", "b", "a", "Rome", "rome")
    assert known.chars == ("", "", "", "", "b", "a", "e", "m", "o", "R", "r")
    assert corpus.vocabulary([["b", "a", "b"]], min_count=2).words == ("", "", "b")
    small = corpus.vocabulary([["Rome", "rome", "b"]], min_count=2, lower=True)
    assert small.words == ("", "", "rome")
    assert "R" in small.chars
    more = corpus.vocabulary([["b", "a"]], min_count=2, with_vectors=("rare", "a", "b", ""))
    assert more.words == ("", "", "a", "b", "rare")
    assert corpus.vocabulary([]) == (("", ""), ("",) * 4, False)


def test_forms_by_hand():
    known = corpus.vocabulary([["ab", "b", "abcdefg"]])
    strings = corpus.form_strings([["ab", "zb"], ["ab", "abcdefg", "b"]])
    assert strings == ("", "ab", "zb", "abcdefg", "b")
    made = corpus.forms(known, strings, 6)
    char = {c: row for row, c in enumerate(known.chars) if c}
    a, b, f, g = (char[c] for c in "abfg")
    expected = [
        [0, 0, 0, 0, 0, 0],
        [2, a, b, 3, 0, 0],
        [2, 1, b, 3, 0, 0],
        [2, a, b, f, g, 3],  # head and tail
        [2, b, 3, 0, 0, 0],
    ]
    np.testing.assert_array_equal(made.chars, expected)
    np.testing.assert_array_equal(corpus.forms(known, strings, 5).chars[3], [2, a, b, g, 3])
    np.testing.assert_array_equal(corpus.forms(known, strings, 3).chars[3], [2, a, 3])
    words = [known.words[row] for row in made.word]
    assert words == ["", "ab", "", "abcdefg", "b"]
    assert made.word.tolist()[:3:2] == [0, 1]  # padding, unknown
    assert {array.dtype for array in made} == {np.dtype(np.int32)}
    with pytest.raises(ValueError, match="at least 3, found 2"):
        corpus.forms(known, strings, 2)


def test_words_in_lower_case_keep_their_characters():
    known = corpus.vocabulary([["Rome", "rome"]], lower=True)
    made = corpus.forms(known, ("", "ROME", "Rome", "x"), 8)
    np.testing.assert_array_equal(made.word, [0, 2, 2, 1])
    assert (made.chars[1] != made.chars[2]).any()
    assert [CASES[row] for row in made.case] == ["padding", "upper", "title", "lower"]


@pytest.mark.parametrize(
    ("name", "tokens"),
    [
        ("lower", "rome it's élan e-mail ß"),
        ("upper", "ROME U.N. I AT&T É"),
        ("title", "Rome It's Élan Ab"),
        ("mixed", "McDonald iPhone O'Neil Al-Ani eBay"),
        ("caseless", "猫 上海 ข่าว"),
        ("digit", "1984 3rd B2B ٣ MP3 ²"),
        ("other", ". , -- 😀 。 ' $"),
    ],
)
def test_case(name, tokens):
    assert {CASES[corpus.case(token)] for token in tokens.split()} == {name}


def padded(lengths, edges):
    return sum(min(edge for edge in edges if edge >= length) for length in lengths)


@hypothesis.settings(max_examples=80, deadline=None)
@hypothesis.given(st.lists(st.integers(1, 40), min_size=1, max_size=40), st.integers(1, 4))
def test_widths_are_the_best_there_are(lengths, num_widths):
    edges = corpus.bucket_edges(lengths, num_widths)
    assert list(edges) == sorted(set(edges))
    assert edges[-1] == max(lengths)
    assert len(edges) == min(num_widths, len(set(lengths)))
    others = sorted(set(lengths) - {max(lengths)})
    best = min(
        padded(lengths, (*few, max(lengths)))
        for count in range(min(num_widths - 1, len(others)) + 1)
        for few in itertools.combinations(others, count)
    )
    assert padded(lengths, edges) == best


def test_widths_by_hand():
    assert corpus.bucket_edges([3, 3, 9], 1) == (9,)
    assert corpus.bucket_edges([3, 3, 9], 5) == (3, 9)
    assert corpus.bucket_edges([1] * 9 + [5] * 9 + [6, 30], 3) == (1, 6, 30)
    assert corpus.bucket_edges(np.array([7]), 2) == (7,)
    for lengths, widths in (([], 2), ([1], 0)):
        with pytest.raises(ValueError, match="at least one length and one width"):
            corpus.bucket_edges(lengths, widths)


def unpadded(part, made, strings, tags):
    """The sentences that buckets hold, at their places."""
    back: list[Any] = [None] * len(part)
    for bucket in made:
        for form, tag, length, index in zip(*bucket, strict=True):
            if length:
                assert back[index] is None
                tokens = tuple(strings[number] for number in form[:length])
                back[index] = Sentence(tokens, bioes_to_iob2([tags[k] for k in tag[:length]]))
            else:
                assert index == len(part)
            assert not form[length:].any()
            assert not tag[length:].any()
    return back


@pytest.mark.parametrize("multiple", [1, 2, 16])
def test_buckets_hold_every_sentence_once(multiple):
    rng = np.random.default_rng(0)
    pieces = ["B-LOC", "B-PER I-PER", "O", "O O"]
    part = []
    for _ in range(99):
        tags = " ".join(rng.choice(pieces, rng.integers(1, 9)))
        part.append(sentence(" ".join(rng.choice(list("abcde"), len(tags.split()))), tags))
    strings, tags = corpus.form_strings(s.tokens for s in part), bioes_tags(TYPES)
    edges = corpus.bucket_edges([len(s.tokens) for s in part], 3)
    made = buckets.buckets(part, strings, tags, edges, multiple)
    assert unpadded(part, made, strings, tags) == part
    assert [bucket.form.shape[1] for bucket in made] == list(edges)
    for bucket in made:
        assert len(bucket.form) % multiple == 0
        assert (bucket.length == 0).sum() < multiple  # and they come last
        assert (np.diff(bucket.index) > 0)[bucket.length[1:] > 0].all()
        assert {array.dtype for array in bucket} == {np.dtype(np.int32)}
    lower = (0, *edges)
    for bucket, before in zip(made, lower, strict=False):
        assert (bucket.length[bucket.length > 0] > before).all()


def test_rows_that_fill_up_are_dropped_by_a_scatter():
    encoded = corpus.encode((TRAIN,), TYPES, num_widths=1, multiple=4)
    [bucket] = encoded.buckets
    assert bucket.index.tolist() == [0, 1, 2, 3]
    assert bucket.length.tolist() == [4, 3, 7, 0]
    scores = jnp.zeros(3).at[jnp.asarray(bucket.index)].set(1 + jnp.arange(4.0))
    assert scores.tolist() == [1, 2, 3]


def test_buckets_without_sentences_are_left_out():
    strings = corpus.form_strings(s.tokens for s in TRAIN)
    made = buckets.buckets(TRAIN[:1], strings, bioes_tags(TYPES), (2, 4, 9))
    assert [bucket.form.shape for bucket in made] == [(1, 4)]
    assert buckets.buckets([], strings, bioes_tags(TYPES), (2, 4)) == ()
    with pytest.raises(ValueError, match="at most 5 tokens, found 7 in sentence 2"):
        buckets.buckets(TRAIN, strings, bioes_tags(TYPES), (2, 5))


def test_encode():
    encoded = corpus.encode((TRAIN, DEV, TEST), TYPES, max_chars=6, num_widths=2, min_count=2)
    assert encoded.vocabulary.words == ("", "", "saw", "Ann")
    assert set(encoded.strings) == {""}.union(*(s.tokens for s in [*TRAIN, *DEV, *TEST]))
    assert encoded.tags[:5] == ("O", "B-LOC", "I-LOC", "E-LOC", "S-LOC")
    assert encoded.edges == (3, 7)
    assert encoded.forms.chars.shape == (len(encoded.strings), 6)
    whole = [*TRAIN, *DEV, *TEST]
    assert unpadded(whole, encoded.buckets, encoded.strings, encoded.tags) == whole
    bob = encoded.strings.index("Bob")
    assert encoded.forms.word[bob] == 1
    chars = encoded.vocabulary.chars  # "B" is not in the pool
    assert encoded.forms.chars[bob, :5].tolist() == [2, 1, chars.index("o"), chars.index("b"), 3]
    assert encoded.forms.word[encoded.strings.index("Ann")] == 3


def test_labels_of_other_parts_are_not_looked_at():
    """Nor is their text, for the vocabulary; what is new in them is unknown."""
    blank = [s._replace(tags=("O",) * len(s.tokens)) for s in DEV]
    one = corpus.encode((TRAIN, DEV, TEST), TYPES)
    other = corpus.encode((TRAIN, blank, TEST), TYPES)
    for a, b in zip(one[:5], other[:5], strict=True):
        assert (a == b) if not isinstance(a, corpus.Forms) else all(map(np.array_equal, a, b))
    assert one.vocabulary == corpus.encode((TRAIN, TEST, TEST), TYPES).vocabulary
    assert not {"Bob", "rome", "slept"} & set(one.vocabulary.words)
    assert "B" not in one.vocabulary.chars


def test_real_corpus(real_data):
    read = sources.sentences(f"iob2:{real_data('ner', 'uner_zh_gsdsimp')}")
    encoded = corpus.encode(read[:3], read.types, max_chars=6, num_widths=8, multiple=32)
    words = 98_616 + 12_663 + 12_012
    assert sum(int(bucket.length.sum()) for bucket in encoded.buckets) == words
    assert len(encoded.buckets) == 8
    sizes = sum(bucket.form.size for bucket in encoded.buckets)
    assert sizes / words < 1.21  # what the usual widths cost, without full batches
    index = np.concatenate([bucket.index[bucket.length > 0] for bucket in encoded.buckets])
    np.testing.assert_array_equal(np.sort(index), np.arange(3997 + 500 + 500))
    unknown = len(encoded.strings) - 1 - (len(encoded.vocabulary.words) - 2)
    assert (np.asarray(encoded.forms.word) == 1).sum() == unknown

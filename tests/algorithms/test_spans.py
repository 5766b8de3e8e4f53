"""Spans on cases worked out by hand, and on random tags against seqeval."""

import itertools
import warnings

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.algorithms.spans import (
    Counts,
    Report,
    Score,
    bioes_tags,
    bioes_to_iob2,
    first_illegal,
    iob1_to_iob2,
    iob2_to_bioes,
    report,
    span_counts,
    span_f1,
    spans,
    strict_f1,
    strict_spans,
)


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("", []),
        ("O O", []),
        ("B-PER", [("PER", 0, 1)]),
        ("B-PER I-PER O B-LOC", [("PER", 0, 2), ("LOC", 3, 4)]),
        ("B-PER B-PER I-PER", [("PER", 0, 1), ("PER", 1, 3)]),
        ("O I-PER I-PER O", [("PER", 1, 3)]),  # from here on ill-formed, as conlleval reads it
        ("B-PER I-LOC I-LOC", [("PER", 0, 1), ("LOC", 1, 3)]),
        ("I-PER B-PER", [("PER", 0, 1), ("PER", 1, 2)]),
        ("B-A-B I-A-B", [("A-B", 0, 2)]),
    ],
)
def test_spans(tags, expected):
    assert list(spans(tags.split())) == expected


def test_f1_by_hand():
    truth = [["B-PER", "I-PER", "O", "B-LOC"], ["O", "B-ORG"], ["O"]]
    found = [["B-PER", "O", "O", "B-LOC"], ["B-ORG", "B-ORG"], ["B-LOC"]]
    score = span_f1(found, truth)  # LOC and one ORG are right, of 5 found and 3 true
    np.testing.assert_allclose(score, (2 / 5, 2 / 3, 0.5))
    assert span_f1(truth, truth) == (1, 1, 1)
    np.testing.assert_allclose(span_f1(truth, found), (2 / 3, 2 / 5, 0.5))


def test_same_span_of_another_sentence_type_or_length_is_wrong():
    assert span_f1([["B-PER"], ["O"]], [["O"], ["B-PER"]]).f1 == 0
    assert span_f1([["B-PER"]], [["B-LOC"]]).f1 == 0
    assert span_f1([["B-PER", "I-PER"]], [["B-PER", "O"]]).f1 == 0


def test_nothing_found_or_nothing_true():
    assert span_f1([["O"]], [["O"]]) == (0, 0, 0)
    assert span_f1([["O"]], [["B-PER"]]) == (0, 0, 0)
    assert span_f1([], []) == (0, 0, 0)


@pytest.mark.parametrize("tag", ["PER", "S-PER", "B-", "B", "", "o", "O-PER"])
def test_other_tags_are_refused(tag):
    with pytest.raises(ValueError, match="token 1: expected O, B-X or I-X, found"):
        span_f1([["O", tag]], [["O", "O"]])


def test_sentences_must_match():
    with pytest.raises(ValueError, match="same sentences"):
        span_f1([["O"]], [["O", "O"]])


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("", []),
        ("B-PER I-PER O B-LOC", [("PER", 0, 2), ("LOC", 3, 4)]),
        ("B-PER B-PER", [("PER", 0, 1), ("PER", 1, 2)]),
        ("O I-PER I-PER O", []),  # nothing begins it
        ("B-PER I-LOC I-PER", [("PER", 0, 1)]),
        ("B-PER I-LOC I-LOC B-LOC I-LOC", [("PER", 0, 1), ("LOC", 3, 5)]),
    ],
)
def test_strict_spans_of_iob2(tags, expected):
    assert list(strict_spans(tags.split())) == expected


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("S-PER S-PER", [("PER", 0, 1), ("PER", 1, 2)]),
        ("B-PER E-PER", [("PER", 0, 2)]),
        ("B-PER I-PER I-PER E-PER S-LOC", [("PER", 0, 4), ("LOC", 4, 5)]),
        ("B-PER", []),  # no end
        ("B-PER I-PER", []),
        ("E-PER", []),  # no beginning
        ("I-PER E-PER", []),
        ("B-PER B-PER E-PER", [("PER", 1, 3)]),
        ("B-PER E-LOC", []),
        ("B-PER I-LOC E-PER", []),
        ("B-PER S-PER E-PER", [("PER", 1, 2)]),
        ("B-PER E-PER E-PER", [("PER", 0, 2)]),
        ("B-PER E-PER I-PER E-PER", [("PER", 0, 2)]),
        ("B-PER O E-PER", []),
    ],
)
def test_strict_spans_of_bioes(tags, expected):
    assert list(strict_spans(tags.split(), "bioes")) == expected


@pytest.mark.parametrize(
    ("scheme", "tags", "expected"),
    [
        *(("iob1", "I-A I-A O I-B", None), ("iob1", "I-A B-A I-A", None)),
        *(("iob1", "B-A", 0), ("iob1", "O B-A", 1), ("iob1", "I-A B-B", 1)),
        *(("iob2", "B-A I-A B-A O", None), ("iob2", "I-A", 0), ("iob2", "B-A I-B", 1)),
        *(("iob2", "B-A O I-A", 2), ("iob2", "", None)),
        *(("bioes", "S-A B-A I-A E-A O", None), ("bioes", "B-A", 1), ("bioes", "B-A I-A", 2)),
        *(("bioes", "O E-A", 1), ("bioes", "B-A E-B", 1), ("bioes", "B-A S-A", 1)),
        *(("bioes", "B-A B-A E-A", 1), ("bioes", "S-A I-A", 1), ("bioes", "B-A O", 1)),
    ],
)
def test_where_tags_break_their_scheme(scheme, tags, expected):
    assert first_illegal(tags.split(), scheme) == expected


@pytest.mark.parametrize(
    ("convert", "tags", "expected"),
    [
        (iob1_to_iob2, "I-A I-A B-A O I-B I-A", "B-A I-A B-A O B-B B-A"),
        (iob1_to_iob2, "B-A I-A I-B", "B-A I-A B-B"),
        (iob2_to_bioes, "B-A I-A I-A B-A O B-B B-A I-A", "B-A I-A E-A S-A O S-B B-A E-A"),
        (bioes_to_iob2, "B-A I-A E-A S-A O S-B B-A E-A", "B-A I-A I-A B-A O B-B B-A I-A"),
        (bioes_to_iob2, "B-A I-A O S-B E-B", "O O O B-B O"),
    ],
)
def test_conversions(convert, tags, expected):
    assert convert(tags.split()) == tuple(expected.split())


def legal(tags, scheme):
    return first_illegal(tags, scheme) is None


def test_conversions_keep_the_spans_of_every_short_sentence():
    """Of all tags of two types, and back again where the tags were legal."""
    iob = ["O", "B-A", "I-A", "B-B", "I-B"]
    seen = 0
    for tags in itertools.product(iob, repeat=4):
        written = iob1_to_iob2(tags)
        assert list(spans(written)) == list(strict_spans(written)) == list(spans(tags))
        bioes = iob2_to_bioes(written)
        assert list(strict_spans(bioes, "bioes")) == list(spans(tags))
        assert legal(written, "iob2")
        assert legal(bioes, "bioes")
        assert bioes_to_iob2(bioes) == written
        assert legal(tags, "iob2") == (written == tags)
        seen += legal(tags, "iob2")
    assert seen > 100
    for tags in itertools.product(bioes_tags(["A", "B"]), repeat=3):
        iob2 = bioes_to_iob2(tags)
        assert list(strict_spans(iob2)) == list(strict_spans(tags, "bioes"))
        assert legal(tags, "bioes") == (iob2_to_bioes(iob2) == tags)


def random_sentences(rng, scheme, number, near=None):
    """Random tags of three types, or tags `near` those given, so that some spans are right."""
    letters = {"iob2": "BI", "bioes": "BIES"}[scheme]
    tags = np.array(["O", *(f"{letter}-{kind}" for kind in "XYZ" for letter in letters)])
    if near is None:
        # Letters by turns likelier to go on than to be O, so that there are long spans.
        return [list(rng.choice(tags[: rng.integers(2, len(tags) + 1)], n)) for n in number]
    return [
        [tag if rng.random() < 0.7 else str(rng.choice(tags)) for tag in sentence]
        for sentence in near
    ]


def seqeval_report(truth, tags, scheme):
    metrics = pytest.importorskip("seqeval.metrics")
    schemes = pytest.importorskip("seqeval.scheme")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # shares of nothing
        return metrics.classification_report(
            truth,
            tags,
            mode="strict",
            scheme={"iob2": schemes.IOB2, "bioes": schemes.IOBES}[scheme],
            output_dict=True,
            zero_division=0,
        )


@pytest.mark.parametrize("scheme", ["iob2", "bioes"])
def test_strict_scores_are_those_of_seqeval(scheme):
    """Over 3,000 sentences of which most break the scheme, batch by batch."""
    rng = np.random.default_rng(0)
    illegal = 0
    for _ in range(100):
        truth = random_sentences(rng, scheme, rng.integers(1, 12, size=30))
        tags = random_sentences(rng, scheme, None, near=truth)
        illegal += sum(not legal(sentence, scheme) for sentence in tags)
        scores = strict_f1(tags, truth, scheme)
        theirs = seqeval_report(truth, tags, scheme)
        for name, ours in {"micro avg": scores.micro, **scores.types}.items():
            row = theirs.pop(name)
            expected = row["precision"], row["recall"], row["f1-score"]
            np.testing.assert_allclose(ours, expected, rtol=0, atol=1e-12)
        assert set(theirs) == {"macro avg", "weighted avg"}
    assert illegal > 1500


def test_strict_scores_of_nothing():
    assert strict_f1([["O"]], [["O"]]) == Report(Score(0, 0, 0), {})
    assert strict_f1([], [], "bioes").micro == (0, 0, 0)
    with pytest.raises(ValueError, match="token 0: expected O, B-X or I-X, found 'S-A'"):
        strict_f1([["S-A"]], [["O"]])
    with pytest.raises(ValueError, match="expected O, B-X, I-X, E-X or S-X, found 'U-A'"):
        strict_f1([["U-A"]], [["O"]], "bioes")
    with pytest.raises(ValueError, match="same sentences"):
        strict_f1([["O"]], [["O", "O"]], "bioes")


TYPES = "XYZ"
NUMBER = {tag: number for number, tag in enumerate(bioes_tags(TYPES))}


def padded(sentences, width, rng):
    """Numbers of tags, and behind each sentence whatever tags a model may say there."""
    numbers = rng.integers(0, len(NUMBER), (len(sentences), width), dtype=np.int32)
    for row, sentence in zip(numbers, sentences, strict=True):
        row[: len(sentence)] = [NUMBER[tag] for tag in sentence]
    return jnp.asarray(numbers)


def test_compiled_counts_are_those_of_python():
    rng = np.random.default_rng(1)
    count = jax.jit(chex.assert_max_traces(span_counts, 1), static_argnums=3)
    total = 0
    for _ in range(100):
        lengths = rng.integers(0, 13, size=20)
        truth = random_sentences(rng, "bioes", lengths)
        tags = random_sentences(rng, "bioes", None, near=truth)
        arrays = padded(tags, 12, rng), padded(truth, 12, rng), jnp.asarray(lengths, jnp.int32)
        counts = count(*arrays, 3)
        assert {array.dtype for array in counts} == {np.dtype(np.int32)}
        ours = report(counts, TYPES)
        python = strict_f1(tags, truth, "bioes")
        assert ours.micro == python.micro
        assert {k: v for k, v in ours.types.items() if k in python.types} == python.types
        total += int(counts.right.sum())
    assert total > 1000


def test_counts_of_hand_made_tags():
    truth = [["B-X", "E-X", "O", "S-Y"], ["S-Z"], []]
    tags = [["B-X", "E-X", "S-X", "O"], ["S-Y"], []]
    rng = np.random.default_rng(0)
    lengths = jnp.array([4, 1, 0])
    counts = span_counts(padded(tags, 4, rng), padded(truth, 4, rng), lengths, 3)
    chex.assert_trees_all_equal(
        counts, Counts(jnp.array([1, 0, 0]), jnp.array([2, 1, 0]), jnp.array([1, 1, 1]))
    )
    assert report(counts, TYPES).micro == (1 / 3, 1 / 3, 1 / 3)

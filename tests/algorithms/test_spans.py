"""Spans on cases worked out by hand."""

import numpy as np
import pytest

from trinity_jax.algorithms.spans import span_f1, spans


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

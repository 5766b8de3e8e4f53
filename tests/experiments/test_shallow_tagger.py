"""The shallow tagger: its features by hand, what it learns, the same bytes twice."""

import os
import tempfile
from typing import NamedTuple

import pytest

from experiments.shallow_tagger import Tagger, features, predict, train
from trinity_jax.types import InputError


class Sentence(NamedTuple):
    tokens: tuple[str, ...]
    tags: tuple[str, ...]


def sentence(text):
    """Words with their tags after a slash, O where there is none."""
    pairs = [word.partition("/") for word in text.split()]
    return Sentence(tuple(w for w, _, _ in pairs), tuple(tag or "O" for _, _, tag in pairs))


TOWNS = ("Paris", "Oslo", "Lima", "Cairo", "Quito", "Delhi")
NAMES = ("Ada Lovelace", "Alan Turing", "Grace Hopper", "John McCoy-Smith")
TOY = [sentence(f"we live in {town}/B-LOC now .") for town in TOWNS] + [
    sentence("Mrs. {}/B-PER {}/I-PER lives in {}/B-LOC .".format(*name.split(), town))
    for name in NAMES
    for town in TOWNS
]


def test_features_by_hand():
    found = features(("In", "McCoy-99", "'s", "way"))
    assert found[1] == [
        "bias",
        *("w=McCoy-99", "l=mccoy-99", "s=XxXxx-dd", "ss=XxXx-d", "n=8"),
        *("capital", "digit", "hyphen"),
        *("p=m", "x=9", "p=mc", "x=99", "p=mcc", "x=-99", "p=mcco", "x=y-99"),
        "-2edge",
        *("-1l=in", "-1ss=Xx", "-1p=i", "-1x=n", "-1p=in", "-1x=in"),
        *("1l='s", "1ss='x", "1p='", "1x=s", "1p='s", "1x='s"),
        *("2l=way", "2ss=x"),
        *("b-=in mccoy-99", "b+=mccoy-99 's", "t=Xx XxXx-d 'x"),
    ]
    assert {"-2edge", "-1edge", "b-= in", "t= Xx XxXx-d", "2l='s"} <= set(found[0])
    assert {"1edge", "2edge", "b+=way ", "-1l='s", "-2ss=XxXx-d"} <= set(found[3])


def test_features_of_odd_words():
    (found,) = features(("北京",))
    assert {"s=hh", "ss=h", "n=2", "c=北", "c=京", "p=北", "x=京", "p=北京", "x=北京"} <= set(found)
    assert not {"capital", "capitals", "digit", "digits", "hyphen", "p="} & set(found)
    (found,) = features(("USA",))
    assert {"capital", "capitals", "s=XXX", "ss=X"} <= set(found)
    (found,) = features(("1984",))
    assert {"digit", "digits", "s=dddd", "ss=d", "n=4"} <= set(found)
    (found,) = features(("x" * 50,))
    assert "n=10" in found
    assert features(()) == []


def test_it_learns_a_toy_corpus_and_reads_new_names():
    tagger = train(TOY)
    assert predict(tagger, TOY) == [list(one.tags) for one in TOY]
    new = [sentence("Mrs. Rosa/B-PER Parks/I-PER lives in Kyoto/B-LOC ."), Sentence((), ())]
    assert predict(tagger, new) == [list(one.tags) for one in new]


def test_equal_training_makes_equal_bytes():
    features.cache_clear()
    first = train(TOY, max_iterations=20)
    assert train(iter(TOY), max_iterations=20) == first
    assert train(TOY, max_iterations=5) != first
    assert len(train(TOY, c1=2.0, max_iterations=20).model) < len(first.model)  # sparser


def test_any_tags_and_a_corpus_without_names():
    bioes = [sentence("to/O Oslo/S-LOC New/B-LOC York/E-LOC")]
    assert predict(train(bioes), bioes) == [["O", "S-LOC", "B-LOC", "E-LOC"]]
    nothing = [Sentence((), ()), sentence("nothing to see")]
    assert predict(train(nothing), TOY[:1]) == [["O"] * 6]


def test_the_model_outlives_its_file(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    tagger = train(TOY, max_iterations=20)
    assert os.listdir(tmp_path) == []
    assert predict(Tagger(bytes(tagger.model)), TOY[:1]) == [list(TOY[0].tags)]


@pytest.mark.parametrize("sentences", [[], [Sentence((), ())]])
def test_no_words_are_refused(sentences):
    with pytest.raises(InputError, match="found no words"):
        train(sentences)


def test_tags_for_other_words_are_refused():
    with pytest.raises(InputError, match="sentence 1: expected a tag for each of its 2 words"):
        train([TOY[0], Sentence(("a", "b"), ("O",))])

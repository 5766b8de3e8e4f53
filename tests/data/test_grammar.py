"""Synthetic sentences: what they promise, and that there is something to learn from them."""

import collections
import sys

import pytest

from trinity_jax.algorithms.spans import first_illegal, spans
from trinity_jax.data import _grammar, _grammar_en, _grammar_zh, sources
from trinity_jax.types import InputError

faker = pytest.importorskip("faker", reason="needs Faker installed")


@pytest.fixture(scope="module", params=["en", "zh"])
def corpus(request):
    return sources.sentences(f"grammar:{request.param}")


def everything(corpus):
    return [sentence for part in corpus[:3] for sentence in part]


def names(part):
    """Every name in some sentences, with its type."""
    for sentence in part:
        for kind, begin, end in spans(sentence.tags):
            yield " ".join(sentence.tokens[begin:end]), kind


def test_sizes_and_words(corpus):
    assert [len(part) for part in corpus[:3]] == [2000, 400, 600]
    assert corpus.types == ("LOC", "ORG", "PER")
    lengths = [len(sentence.tokens) for sentence in everything(corpus)]
    assert min(lengths) >= 5
    assert max(lengths) in (29, 30)
    assert len({sentence.tokens for sentence in everything(corpus)}) == 3000
    for sentence in everything(corpus):
        assert len(sentence.tokens) == len(sentence.tags)
        assert first_illegal(sentence.tags, "iob2") is None
        assert not any("$" in token or " " in token or not token for token in sentence.tokens)


def test_it_says_that_it_is_synthetic(corpus):
    assert corpus.synthetic
    assert corpus.note.startswith("synthetic sentences: a template grammar over Faker")


def test_genres_differ(corpus):
    counts = collections.Counter(sentence.genre for sentence in corpus.train)
    assert set(counts) == {"news", "mail", "reviews", "forum", "history"}
    assert min(counts.values()) > 300
    words = lambda genre: {t for s in corpus.train if s.genre == genre for t in s.tokens}
    assert len(words("news") - words("mail")) > 100


def test_the_same_seed_gives_the_same_sentences(corpus):
    language = "zh" if any("。" in s.tokens for s in corpus.train) else "en"
    assert sources.sentences(f"grammar:{language}") == corpus
    assert _grammar.read("", language, seed=1).train != corpus.train


def test_there_are_rare_unseen_and_ambiguous_names(corpus):
    train, test = (collections.Counter(names(part)) for part in (corpus.train, corpus.test))
    assert sum(count == 1 for count in train.values()) > 0.25 * len(train)  # rare
    assert max(train.values()) > 40  # and frequent
    unseen = sum(count for name, count in test.items() if name not in train)
    assert 0.25 < unseen / sum(test.values()) < 0.6
    types = collections.defaultdict(set)
    for name, kind in [*train, *test]:
        types[name].add(kind)
    assert sum(len(kinds) > 1 for kinds in types.values()) > 30  # the same name of two types
    outside = {
        t for s in corpus.train for t, tag in zip(s.tokens, s.tags, strict=True) if tag == "O"
    }
    first = {name.split()[0] for name, _ in train}
    assert len(outside & first) > 5  # names that are also words
    without = sum(set(s.tags) == {"O"} for s in corpus.train)
    assert 200 < without < 600


def test_capitals_are_no_sure_sign():
    corpus = sources.sentences("grammar:en")
    forum = [s for s in corpus.train if s.genre == "forum"]
    small = [s for s in forum if all(token == token.lower() for token in s.tokens)]
    assert 0.5 < len(small) / len(forum) < 1
    assert any(set(s.tags) != {"O"} for s in small)
    rest = [s for s in corpus.train if s.genre != "forum"]
    assert all(s.tokens[0][0] == s.tokens[0][0].upper() for s in rest)


def test_a_look_up_of_names_is_not_enough(corpus):
    """Nor does the most frequent tag of every word in training find them."""
    seen = collections.defaultdict(collections.Counter)
    for sentence in corpus.train:
        for token, tag in zip(sentence.tokens, sentence.tags, strict=True):
            seen[token][tag] += 1
    right = found = true = 0
    for sentence in corpus.test:
        guess = [
            seen[token].most_common(1)[0][0] if token in seen else "O" for token in sentence.tokens
        ]
        guessed, real = set(spans(guess)), set(spans(sentence.tags))
        right, found, true = right + len(guessed & real), found + len(guessed), true + len(real)
    assert 0.2 < 2 * right / (found + true) < 0.75


@pytest.mark.parametrize("words", [_grammar_en, _grammar_zh])
def test_rules_are_whole(words):
    """Every symbol has a rule and is used, every kind of name too."""
    rules = _grammar.parse(words.RULES)
    used = [word for choices in rules.values() for choice in choices for word in choice]
    symbols = {word.partition("$")[2] for word in used if "$" in word}
    kinds = set(words.names(faker.Faker())) if words is _grammar_en else None
    kinds = kinds or set(words.names(faker.Faker("zh_CN")))
    assert {symbol for symbol in symbols if symbol.isupper()} <= kinds | {"ANY"}
    assert {symbol for symbol in symbols if not symbol.isupper()} == set(rules) - set(words.GENRES)
    assert all(choice for choices in rules.values() for choice in choices)
    glued = {word.partition("$")[2] for word in used if "$" in word[1:]}
    assert all(len(choice) == 1 for symbol in glued for choice in rules[symbol])


@pytest.mark.parametrize("source", ["grammar:", "grammar", "grammar:fr", "grammar:en "])
def test_other_languages_are_refused(source):
    with pytest.raises(InputError, match=r"^expected grammar:en or grammar:zh, found 'grammar"):
        sources.sentences(source)


def test_faker_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "faker", None)
    with pytest.raises(InputError, match=r"^grammar:en: .*pip install '\.\[experiments\]'$"):
        sources.sentences("grammar:en")

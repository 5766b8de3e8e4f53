"""Synthetic sentences for trying things out: a grammar of templates over Faker's names.

Rules write sentences of five genres; names of people (PER), places (LOC) and organisations (ORG)
are drawn like words, few often and most rarely. A third of all names is kept out of training, and
many names are also words, or names of another type. So there is something to learn, from words,
their spelling and their neighbours, and something left that cannot be known.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple, TypeVar

from trinity_jax.data import _files, _grammar_en, _grammar_zh, _sentences
from trinity_jax.types import InputError

SIZES = {"train": 2000, "dev": 400, "test": 600}
SHORTEST, LONGEST = 5, 30  # words
UNSEEN = 1 / 3  # of the names of each kind: not in training
FRESH = 0.5  # how often a name in dev and test is one of them
TWO = 0.25  # how often a sentence is two, as in notes and headlines
TYPES = ("PER", "LOC", "ORG")
LANGUAGES = {"en": ("en_US", _grammar_en), "zh": ("zh_CN", _grammar_zh)}
# Kinds of names that are not called as their type is.
TYPE_OF = {"FIRST": "PER", "LAST": "PER", "FULL": "PER", "TEAM": "ORG"}
T = TypeVar("T")


class Writer(NamedTuple):
    """What writes sentences; all its choices are multiples of one kind of random number."""

    rng: random.Random
    rules: Mapping[str, list[list[str]]]
    known: Mapping[str, list[str]]  # names of each kind that training may have
    unseen: Mapping[str, list[str]]
    fresh: float  # probability of a name from `unseen`


def read(source: str, language: str, seed: int = 0) -> _sentences.Corpus:
    """Writes the corpus of a language.

    Args:
      source: What the user wrote, for messages.
      language: "en" or "zh".
      seed: Another one gives other sentences; the same gives the same for one version of Faker.

    Returns:
      The corpus, which says that it is synthetic; no sentence is in it twice.

    Raises:
      InputError: An unknown language, or Faker is not installed.
    """
    if language not in LANGUAGES:
        known = " or ".join(f"grammar:{name}" for name in LANGUAGES)
        raise InputError(f"expected {known}, found {_files.excerpt(source)}")
    try:
        import faker
    except ImportError as error:
        raise _files.not_installed(source, "faker") from error
    locale, words = LANGUAGES[language]
    fake = faker.Faker(locale)
    fake.seed_instance(seed)
    rng = random.Random(seed)
    pools = {kind: _shuffled(rng, names) for kind, names in words.names(fake).items()}
    cut = {kind: round(len(names) * (1 - UNSEEN)) for kind, names in pools.items()}
    known = {kind: names[: cut[kind]] for kind, names in pools.items()}
    unseen = {kind: names[cut[kind] :] for kind, names in pools.items()}
    writer = Writer(rng, parse(words.RULES), known, unseen, 0.0)
    written: set[tuple[str, ...]] = set()
    parts = []
    for split, size in SIZES.items():
        writer = writer._replace(fresh=0.0 if split == "train" else FRESH)
        parts.append([_sentence(writer, words.GENRES, words.CASUAL, written) for _ in range(size)])
    note = f"synthetic sentences: a template grammar over Faker {faker.VERSION}'s {locale} names"
    return _sentences.corpus(source, parts, synthetic=True, note=note)


def parse(rules: str) -> dict[str, list[list[str]]]:
    """Parses lines `symbol: word $symbol ... | ...`; a symbol may have several lines."""
    parsed: dict[str, list[list[str]]] = {}
    for line in rules.strip().splitlines():
        symbol, _, right = line.partition(": ")
        parsed.setdefault(symbol, []).extend(choice.split() for choice in right.split(" | "))
    return parsed


def _sentence(
    writer: Writer, genres: Sequence[str], casual: str, written: set[tuple[str, ...]]
) -> _sentences.Sentence:
    """Writes a sentence that is not too short, not too long, and new."""
    while True:
        genre = _pick(writer.rng, genres)
        words = list(_expand(writer, genre))
        if writer.rng.random() < TWO:
            words += _expand(writer, genre)
        if not SHORTEST <= len(words) <= LONGEST:
            continue
        tokens = [token for token, _ in words]
        if genre == casual:
            tokens = [token.lower() for token in tokens] if writer.rng.random() < 0.7 else tokens
        else:
            tokens[0] = tokens[0][:1].upper() + tokens[0][1:]
        if tuple(tokens) not in written:
            written.add(tuple(tokens))
            return _sentences.Sentence(tuple(tokens), tuple(tag for _, tag in words), genre)


def _expand(writer: Writer, symbol: str) -> Iterator[tuple[str, str]]:
    """Yields the words that a symbol becomes, with their tags."""
    for word in _pick(writer.rng, writer.rules[symbol]):
        before, mark, inner = word.partition("$")
        if not mark:
            yield word, "O"
        elif inner.isupper():
            yield from _name(writer, inner)
        elif before:  # as in Chinese "第$quarter": one word
            [(token, _)] = _expand(writer, inner)
            yield before + token, "O"
        else:
            yield from _expand(writer, inner)


def _name(writer: Writer, kind: str) -> Iterator[tuple[str, str]]:
    """Yields the words of a name; the n-th of those known has about 1/n of the first's share."""
    rng = writer.rng
    kind = _pick(rng, TYPES) if kind == "ANY" else kind
    fresh = rng.random() < writer.fresh
    names = writer.known[kind]
    name = _pick(rng, writer.unseen[kind]) if fresh else names[int(len(names) ** rng.random()) - 1]
    for place, token in enumerate(name.split()):
        yield token, f"{'I' if place else 'B'}-{TYPE_OF.get(kind, kind)}"


def _pick(rng: random.Random, choices: Sequence[T]) -> T:
    # Python promises that `random()` stays the same in other versions, and only that.
    return choices[int(rng.random() * len(choices))]


def _shuffled(rng: random.Random, names: list[str]) -> list[str]:
    """Returns the distinct names in random order."""
    distinct = sorted(set(names))
    return [name for _, name in sorted((rng.random(), name) for name in distinct)]

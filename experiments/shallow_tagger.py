"""The shallow tagger: a linear-chain CRF on hand-made features, as CRFsuite trains it.

What a network has to beat. No word vectors, no lists of names: each word's form, its pieces, its
shape and its neighbours. J. Lafferty, A. McCallum, F. Pereira. Conditional random fields. ICML
2001; N. Okazaki. CRFsuite. 2007.
"""

import functools
import itertools
import pathlib
import re
import tempfile
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

import pycrfsuite

from trinity_jax.types import InputError

EDGE = ""  # stands for what is before the first word and after the last
RUNS = re.compile(r"(.)\1+")


class Sentence(Protocol):
    """What can be learnt from: words, and a tag for each."""

    @property
    def tokens(self) -> Sequence[str]: ...

    @property
    def tags(self) -> Sequence[str]: ...


class Tagger(NamedTuple):
    """A trained tagger, as CRFsuite's file; equal training makes equal bytes."""

    model: bytes


def train(
    sentences: Iterable[Sentence],
    c1: float = 0.1,
    c2: float = 0.05,
    max_iterations: int = 150,
) -> Tagger:
    """Trains by L-BFGS (OWL-QN where c1 > 0), the same way every time.

    Args:
        sentences: their tags may follow any scheme; those of no words are passed over.
        c1: weight of the L1 penalty.
        c2: weight of the squared L2 penalty.
        max_iterations: at which training ends, if it has not converged.

    Raises:
        InputError: there are no words, or a sentence has more or fewer tags than words.
    """
    trainer = pycrfsuite.Trainer(  # pyright: ignore[reportAttributeAccessIssue]
        algorithm="lbfgs", verbose=False
    )
    trainer.set_params({"c1": c1, "c2": c2, "max_iterations": max_iterations})
    empty = True
    for number, sentence in enumerate(sentences):
        if len(sentence.tokens) != len(sentence.tags):
            raise InputError(
                f"sentence {number}: expected a tag for each of its {len(sentence.tokens)} words, "
                f"found {len(sentence.tags)}"
            )
        if len(sentence.tokens):
            trainer.append(features(tuple(sentence.tokens)), sentence.tags)
            empty = False
    if empty:
        raise InputError("expected sentences to train on, found no words")
    with tempfile.TemporaryDirectory() as folder:  # CRFsuite writes to files only
        path = pathlib.Path(folder, "model")
        trainer.train(str(path))
        return Tagger(path.read_bytes())


def predict(tagger: Tagger, sentences: Iterable[Sentence]) -> list[list[str]]:
    """The most probable tags of each sentence, by Viterbi; the sentences' own are not looked at."""
    crf = pycrfsuite.Tagger()  # pyright: ignore[reportAttributeAccessIssue]
    crf.open_inmemory(tagger.model)
    return [crf.tag(features(tuple(sentence.tokens))) for sentence in sentences]


# A pool is trained on again and again as labels come in, and its sentences do not change.
@functools.lru_cache(maxsize=1 << 16)
def features(tokens: tuple[str, ...]) -> list[list[str]]:
    """The features of each word that are on.

    Args:
        tokens: the words of a sentence.

    Returns:
        Names, `[token][feature]`; not to be changed, they are kept for the next time.
    """
    words = [EDGE, EDGE, *tokens, EDGE, EDGE]
    return [_at(words[i : i + 5]) for i in range(len(tokens))]


def _at(window: list[str]) -> list[str]:
    """The features of the word in the middle of five."""
    before, word, after = window[1:4]
    lower = [near.lower() for near in (before, word, after)]
    found = ["bias", *_own(word)]
    for offset, near in zip((-2, -1, 1, 2), window[:2] + window[3:], strict=True):
        found += _neighbour(near, offset)
    found += [f"b-={lower[0]} {lower[1]}", f"b+={lower[1]} {lower[2]}"]
    found.append("t=" + " ".join(map(_short_shape, (before, word, after))))
    return found


@functools.lru_cache(maxsize=1 << 17)
def _own(word: str) -> tuple[str, ...]:
    """What a word says of itself."""
    flags = {
        "capital": word[:1].isupper(),
        "capitals": word.isupper(),
        "digit": any(map(str.isdigit, word)),
        "digits": word.isdigit(),
        "hyphen": "-" in word,
    }
    return (
        f"w={word}",
        f"l={word.lower()}",
        f"s={_shape(word)}",
        f"ss={_short_shape(word)}",
        f"n={min(len(word), 10)}",
        *(flag for flag, on in flags.items() if on),
        *_affixes(word.lower(), ""),
        # A Chinese word has no case and few affixes, but every character means something.
        *(f"c={character}" for character in dict.fromkeys(word) if _is_han(character)),
    )


@functools.lru_cache(maxsize=1 << 18)
def _neighbour(word: str, offset: int) -> tuple[str, ...]:
    """What a word says of the one `offset` places before it."""
    if word == EDGE:
        return (f"{offset}edge",)
    found = f"{offset}l={word.lower()}", f"{offset}ss={_short_shape(word)}"
    return found + _affixes(word.lower(), str(offset)) if abs(offset) == 1 else found


def _affixes(word: str, name: str) -> tuple[str, ...]:
    """Its first and last one to four characters."""
    lengths = range(1, min(4, len(word)) + 1)
    ends = ((f"{name}p={word[:n]}", f"{name}x={word[-n:]}") for n in lengths)
    return tuple(itertools.chain.from_iterable(ends))


@functools.lru_cache(maxsize=1 << 17)
def _shape(word: str) -> str:
    """Its characters by kind: McCoy-99 is XxXxx-dd."""
    return "".join(map(_kind, word))


def _short_shape(word: str) -> str:
    """Its shape with repeats said once: McCoy-99 is XxXx-d."""
    return RUNS.sub(r"\1", _shape(word))


def _kind(character: str) -> str:
    if character.isdigit():
        return "d"
    if character.isupper():
        return "X"
    if character.isalpha():
        return "h" if _is_han(character) else "x"
    return character


def _is_han(character: str) -> bool:
    return "\u3400" <= character <= "\u9fff"

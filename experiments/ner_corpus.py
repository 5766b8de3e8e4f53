"""The sentences of an active-learning run, from files to arrays."""

from typing import NamedTuple

import jax
import numpy as np

from trinity_jax.algorithms.tagger import Forms
from trinity_jax.data import sources
from trinity_jax.data.collection import corpus


class Corpus(NamedTuple):
    """The sentences on the device: those to learn from, then dev, then test."""

    forms: Forms
    vectors: jax.Array | np.ndarray | None
    has_vector: jax.Array | np.ndarray  # bool [word]
    buckets: tuple
    length: jax.Array | np.ndarray  # [sentence]
    part: jax.Array | np.ndarray  # [sentence]: 0 to learn from, 1 dev, 2 test


def read(config) -> tuple[sources.Corpus, corpus.Encoded, Corpus]:
    """The corpus as it was read, what numbers mean, and the numbers."""
    found = sources.sentences(config.data, language=config.language)
    parts = (found.train, found.dev, found.test)
    sentences = [sentence for part in parts for sentence in part]
    strings = corpus.form_strings(sentence.tokens for sentence in sentences)
    given = sources.vectors(config.vectors, only=strings) if config.vectors else None
    how = {"num_widths": config.num_widths, "multiple": config.batch_size}
    how |= {"min_count": config.min_count, "max_chars": config.max_chars}
    if given:
        known = sources.rows(given, strings)[1]
        how["with_vectors"] = [string for string, has in zip(strings, known, strict=True) if has]
    encoded = corpus.encode(parts, found.types, **how)
    vectors, has_vector = None, np.zeros(len(encoded.vocabulary.words), bool)
    if given:
        vectors, has_vector = initial_vectors(*sources.rows(given, encoded.vocabulary.words))
    length = np.array([len(sentence.tokens) for sentence in sentences], np.int32)
    part = np.repeat(np.arange(3), [len(part) for part in parts])
    data = Corpus(encoded.forms, vectors, has_vector, encoded.buckets, length, part)
    return found, encoded, data


def initial_vectors(table: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The word embedding to begin with, noise where a word has no vector; and who has one."""
    spread = np.sqrt((table[known] ** 2).mean()) if known.any() else 1.0
    noise = np.random.default_rng(0).normal(0, 0.4, table.shape)
    start = np.where(known[:, None], table * (0.5 / spread), noise)
    start[0] = 0
    return start.astype(np.float32), known

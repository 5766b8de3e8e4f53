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
    buckets: tuple
    length: jax.Array | np.ndarray  # [sentence]
    part: jax.Array | np.ndarray  # [sentence]: 0 to learn from, 1 dev, 2 test


def read(config) -> tuple[sources.Corpus, corpus.Encoded, Corpus]:
    """The corpus as it was read, what numbers mean, and the numbers."""
    found = sources.sentences(config.data, language=config.language)
    parts = (found.train, found.dev, found.test)
    how = {"num_widths": config.num_widths, "multiple": config.batch_size}
    how |= {"min_count": config.min_count, "max_chars": config.max_chars}
    encoded = corpus.encode(parts, found.types, **how)
    length = np.array([len(sentence.tokens) for part in parts for sentence in part], np.int32)
    part = np.repeat(np.arange(3), [len(part) for part in parts])
    vectors = initial_vectors(config.vectors, encoded)
    return found, encoded, Corpus(encoded.forms, vectors, encoded.buckets, length, part)


def initial_vectors(path: str, encoded) -> np.ndarray | None:
    """The word embedding to begin with, noise where a word has no vector; None for all random."""
    if not path:
        return None
    words = encoded.vocabulary.words
    table, known = sources.rows(sources.vectors(path, only=words), words)
    spread = np.sqrt((table[known] ** 2).mean()) if known.any() else 1.0
    noise = np.random.default_rng(0).normal(0, 0.4, table.shape).astype(np.float32)
    start = np.where(known[:, None], table * (0.5 / spread), noise)
    start[0] = 0
    return start.astype(np.float32)

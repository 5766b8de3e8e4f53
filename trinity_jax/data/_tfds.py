"""Sets of TensorFlow Datasets, read without TensorFlow."""

import contextlib
import importlib
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from trinity_jax.data import _arrays, _files, _sentences, _tags
from trinity_jax.types import InputError

TAGS = ("ner", "tags", "ner_tags")  # what a column of tags may be called
DEV = ("dev", "validation", "valid")  # and the development part


def images(source: str, name: str, target: str) -> tuple[list[_arrays.Part], tuple[str, ...]]:
    """Reads training and test part of labelled images, and the names of the labels."""
    key = "label" if target == "fine" else f"{target}_label"
    with _builder(source, name, f"image, {key}, train and test") as builder:
        parts = []
        for split in ("train", "test"):
            examples = list(builder.as_data_source(split=split))
            pixels = np.stack([example["image"] for example in examples])
            label = np.array([example[key] for example in examples])
            parts.append(_arrays.part(f"{source}, {split}", pixels, label))
        feature = builder.info.features[key]
        return parts, tuple(map(feature.int2str, range(feature.num_classes)))


def sentences(source: str, name: str) -> _sentences.Corpus:
    """Reads sentences of tokens with a sequence of tags."""
    with _builder(source, name, "tokens, ner or tags, train, dev and test") as builder:
        features = builder.info.features
        key = next((key for key in TAGS if key in features), TAGS[0])
        names = features[key].feature.names
        dev = next((split for split in DEV if split in builder.info.splits), DEV[0])
        parts, empty = [], 0
        for split in ("train", dev, "test"):
            examples = builder.as_data_source(split=split)
            rows = [(example["tokens"], example[key]) for example in examples]
            empty += sum(not len(tokens) for tokens, _ in rows)
            found = list(_blocks(f"{source}, {split}, token", rows, names))
            scheme = _tags.scheme(f"{source}, {split}, token", found, ("iob2", "iob1", "bioes"))
            parts.append(_sentences.sentences(found, scheme))
    # Its reader of CoNLL's files ends every part with one.
    note = f"{empty} empty sentences left out" if empty else ""
    return _sentences.corpus(source, parts, note=note)


def _blocks(where: str, rows: list[tuple[Any, Any]], names: list[str]) -> Iterator[_tags.Block]:
    """Yields the sentences that are not empty; tokens are counted through the whole part."""
    number = 1
    for tokens, tags in rows:
        if len(tokens) != len(tags) or len(tokens) > _sentences.MAX_TOKENS:
            expected = f"at most {_sentences.MAX_TOKENS} tokens and as many tags"
            found = f"{len(tokens)} and {len(tags)}"
            raise InputError(f"{where} {number}: expected {expected}, found {found}")
        texts = tuple(t.decode() if isinstance(t, bytes) else str(t) for t in tokens)
        if "" in texts:
            place = number + texts.index("")
            raise InputError(f"{where} {place}: expected a token, found an empty one")
        if texts:
            yield _tags.Block(number, texts, tuple(names[tag] for tag in tags))
        number += len(texts)


@contextlib.contextmanager
def _builder(source: str, name: str, wanted: str) -> Iterator[Any]:
    """Prepares a set if need be, as array_record: other formats need TensorFlow or lose data.

    Raises:
      InputError: Instead of whatever TFDS raises, also while the set is read.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise _files.not_installed(source, "tensorflow-datasets") from error
    # TFDS itself looks at the variable only once, when it is imported.
    root = os.path.expanduser(os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets")
    first = name.split("/")[0].split(":")[0]
    if first.isidentifier():  # sets of text are known to TFDS once their module is imported
        with contextlib.suppress(ImportError):
            importlib.import_module(f"tensorflow_datasets.text.{first}")
    try:
        builder: Any = tfds.builder(name, data_dir=root, file_format="array_record")
        if not builder.is_prepared():
            builder.download_and_prepare(file_format="array_record")
        yield builder
    except InputError:
        raise
    except Exception as error:  # TFDS raises KeyError, ModuleNotFoundError, NotImplementedError ...
        raise InputError(
            f"{source}: expected a data set with {wanted} in {root} (or "
            f"TFDS_DATA_DIR), found {_files.reason(error)}; prepare it with tfds.builder("
            f"{name!r}, file_format='array_record').download_and_prepare(), which for most "
            "sets needs TensorFlow installed"
        ) from error

"""Images, tagged sentences and labels by people from sets of TensorFlow Datasets."""

import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from trinity_jax.data import _arrays, _crowds, _files, _sentences, _tables, _tags, _tfds_files
from trinity_jax.data._tfds_files import Part, Prepared
from trinity_jax.types import InputError

TAGS = ("ner", "tags", "ner_tags")  # what a column of tags may be called
DEV = ("dev", "validation", "valid")  # and the development part
TEST = ("test", "validation", "valid")  # ImageNet's kin have no test part with labels
PEOPLE = ("item", "truth", "workers", "labels")  # features of labels by many


def images(
    source: str, name: str, target: str, root: pathlib.Path | None = None
) -> tuple[list[_arrays.Part], tuple[str, ...]]:
    """Reads training and test part of labelled images, and the names of the labels."""
    of = _tfds_files.opened(source, name, root)
    key, names = classes(of, target)
    parts = [Part(of, "train"), Part(of, test_part(of))]
    _check_memory(of, parts)
    read = [_arrays.part(part.where, *_pixels(part, key)) for part in parts]
    for part in read:
        if part.labels.max() >= len(names):
            expected = f"{part.where}: expected labels from 0 to {len(names) - 1}"
            raise InputError(f"{expected}, found {part.labels.max()}")
    return read, names


def classes(of: Prepared, target: str) -> tuple[str, tuple[str, ...]]:
    """Which feature of a set of images holds the labels, and what these are called."""
    key = "label" if target == "fine" else f"{target}_label"
    if "image" not in of.features or not getattr(of.features.get(key), "num_classes", 0):
        raise _lacks(of, f"an image and classes {key}")
    return key, tuple(of.features[key].names)


def test_part(of: Prepared) -> str:
    """Which part of a set of images is tested on."""
    return _known(of, TEST)


def sentences(source: str, name: str, root: pathlib.Path | None = None) -> _sentences.Corpus:
    """Reads sentences of tokens with a sequence of tags."""
    of = _tfds_files.opened(source, name, root)
    key = next((key for key in TAGS if key in of.features), TAGS[0])
    names = getattr(getattr(of.features.get(key), "feature", None), "names", ())
    if "tokens" not in of.features or not names:
        raise _lacks(of, f"tokens and classes {' or '.join(TAGS)}")
    parts, empty = [], 0
    for split in ("train", _known(of, DEV), "test"):
        part = Part(of, split)
        rows = [(row["tokens"], row[key], _text(row.get("genre", ""))) for row in part]
        rows = [row for row in rows if len(row[0]) or len(row[1])]
        empty += len(part) - len(rows)
        where = f"{part.where}, token"
        found = list(_blocks(where, rows, names))
        scheme = _tags.scheme(where, found, ("iob2", "iob1", "bioes"))
        parts.append(_sentences.sentences(found, scheme, [genre for _, _, genre in rows]))
    # TFDS's reader of CoNLL's files ends every part with one.
    note = f"{empty} empty sentences left out" if empty else str(of.note.get("note", ""))
    synthetic = of.note.get("synthetic") is True
    return _sentences.corpus(source, parts, synthetic=synthetic, note=note)


def crowd(
    source: str, name: str, root: pathlib.Path | None = None
) -> tuple[_crowds.Table, np.ndarray]:
    """Reads labels by people, an item a record; and the true label of each item, -1 if unknown."""
    of = _tfds_files.opened(source, name, root)
    names: tuple[str, ...] = tuple(getattr(of.features.get("truth"), "names", ()))
    given = getattr(of.features.get("labels"), "feature", None)
    if not _holds_people(of.features) or not names or getattr(given, "names", ()) != list(names):
        raise _lacks(of, ", ".join(PEOPLE))
    part = Part(of, "train")
    rows, truths = _rows(part, names)
    table = _crowds.table(rows)  # in which classes are ordered as are those of files
    place = rows[0]._replace(codes=np.arange(len(truths))).indices(table.items)
    known = np.full(len(truths), -1, np.int32)
    known[place] = _tables.Column(truths, (*names, "")).indices(table.labels)
    known[place[truths == len(names)]] = -1
    dropped = of.note.get("duplicates")  # before the set was made
    dropped = dropped if isinstance(dropped, int) else 0
    return table._replace(duplicates=table.duplicates + dropped), known


def is_crowd(source: str, name: str) -> bool:
    """Whether a set lies prepared that holds labels by people."""
    folder = _tfds_files.where(source, name, _tfds_files.usual_root())
    if folder is None:
        return False
    described = _tfds_files.json_object(folder / "features.json").get("featuresDict")
    return isinstance(described, dict) and _holds_people(described.get("features", ()))


def _holds_people(features: Any) -> bool:
    return all(key in features for key in PEOPLE)


def _known(of: Prepared, splits: tuple[str, ...]) -> str:
    """The first of these parts that there is."""
    return next((split for split in splits if split in of.builder.info.splits), splits[0])


def _lacks(of: Prepared, wanted: str) -> InputError:
    found = ", ".join(sorted(of.features))
    return InputError(f"{of.source}: expected {wanted}, found features {found} in {of.folder}")


def _check_memory(of: Prepared, parts: list[Part]) -> None:
    needed = sum(len(part) * part[0]["image"].nbytes for part in parts)
    there = room()
    if needed > there:
        expected = f"{of.source}: expected images of at most {there / 2**30:.1f} GiB in all"
        hint = "experiments.neural_rendering reads these in chunks, trinity_jax.data.streaming in "
        hint += "batches"
        raise InputError(f"{expected}, found {needed / 2**30:.1f} GiB: {hint}")


def room() -> int:
    """Bytes that images may take in memory."""
    return _memory() * 4 // 5


def _memory() -> int:
    """Bytes of the machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _pixels(part: Part, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Images of one size, and their labels."""
    first = part[0]["image"]
    pixels = np.empty((len(part), *first.shape), first.dtype)
    labels = np.empty(len(part), np.int64)
    for row, example in enumerate(part):
        if example["image"].shape != first.shape:
            sizes = ["x".join(map(str, x.shape)) for x in (first, example["image"])]
            expected = f"{part.where}, image {row + 1} (counted from 1): expected {sizes[0]}"
            raise InputError(f"{expected}, as the first, found {sizes[1]}")
        pixels[row], labels[row] = example["image"], example[key]
    return pixels, labels


def _blocks(where: str, rows: list[tuple], names: list[str]) -> Iterator[_tags.Block]:
    """Yields the sentences; tokens are counted through the whole part."""
    number = 1
    for tokens, tags, _ in rows:
        if len(tokens) != len(tags) or len(tokens) > _sentences.MAX_TOKENS:
            expected = f"at most {_sentences.MAX_TOKENS} tokens and as many tags"
            found = f"{len(tokens)} and {len(tags)}"
            raise InputError(f"{where} {number}: expected {expected}, found {found}")
        texts = tuple(map(_text, tokens))
        if "" in texts:
            place = number + texts.index("")
            raise InputError(f"{where} {place}: expected a token, found an empty one")
        if min(tags) < 0 or max(tags) >= len(names):
            found = [int(tag) for tag in tags[:20]]
            expected = f"tags from 0 to {len(names) - 1}"
            raise InputError(f"{where} {number}: expected {expected}, found {found}")
        yield _tags.Block(number, texts, tuple(names[tag] for tag in tags))
        number += len(texts)


def _rows(part: Part, names: tuple[str, ...]) -> tuple[list[_tables.Column], np.ndarray]:
    """Columns of items, workers and labels; and the true label of each item, the last: none."""
    items: dict[str, int] = {}
    workers: dict[str, int] = {}
    columns: tuple[list[Any], ...] = [], [], []
    truths = []
    for number, record in enumerate(part, 1):
        given, labels = record["workers"], np.asarray(record["labels"])
        item, truth = _text(record["item"]), int(record["truth"])
        where = f"{part.where}, item {number} (counted from 1)"
        if items.setdefault(item, len(items)) < number - 1 or not item:
            raise InputError(f"{where}: expected another item, found {_files.excerpt(item)}")
        if len(given) != len(labels) or not len(labels):
            found = f"{len(given)} and {len(labels)}"
            raise InputError(f"{where}: expected workers and as many labels, found {found}")
        low, high = min(labels.min(), truth + 1), max(labels.max(), truth)
        if low < 0 or high >= len(names):
            found = f"{labels.tolist()[:20]} and truth {truth}"
            raise InputError(f"{where}: expected labels below {len(names)}, found {found}")
        columns[0].append(np.full(len(labels), number - 1))
        columns[1].append([workers.setdefault(_text(who), len(workers)) for who in given])
        columns[2].append(labels)
        truths.append(truth if truth >= 0 else len(names))
    codes = [np.concatenate(column).astype(np.int32) for column in columns]
    values = tuple(items), tuple(workers), names
    made = [_tables.Column(*pair) for pair in zip(codes, values, strict=True)]
    return made, np.array(truths, np.int32)


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)

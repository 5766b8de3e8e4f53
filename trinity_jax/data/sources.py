"""Real data on the host: the source a user names in, NumPy arrays out.

    digits      1,797 handwritten digits of 8x8 pixels, part of scikit-learn
    npz:DIR     *_train*.npz and *_test*.npz with `images` and `labels` (or `fine`, `coarse`)
    idx:DIR     MNIST's four files, gzipped or not
    tinyimagenet:DIR  the folders of Tiny ImageNet, JPEG files of 64x64 pixels
    tfds:NAME   a set of TensorFlow Datasets, of images, tagged sentences or labels by people
    csv:DIR     label.csv (item,worker,label) and, if there, truth.csv (item,truth)
    labelme:DIR features, true labels and answers.txt, a line an item and a column a worker
    iob2:DIR    train.iob2, dev.iob2 and test.iob2: TOKEN<TAB>TAG
    conll:DIR   CoNLL-2003's columns: eng.train, eng.testa, eng.testb, or train.txt, valid.txt ...
    ontonotes:DIR  CoNLL-2012's *gold_conll files, as deep as they may be
    grammar:en  synthetic English sentences; grammar:zh: Chinese

Word vectors are read by `vectors`, hierarchies of classes by `hierarchy`.

Learning curves come from a file of their own, see `curves`.

Readers are strict. Whatever is wrong is an `InputError` of one sentence that names the file, the
line where there is one, what was expected and what was found. Files are not trusted.
"""

import os
import pathlib
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from trinity_jax.algorithms.curves import Curve
from trinity_jax.data import (
    _arrays,
    _crowds,
    _curves,
    _files,
    _grammar,
    _hierarchies,
    _labelme,
    _ontonotes,
    _sentences,
    _tables,
    _tfds,
    _tinyimagenet,
    _vectors,
)
from trinity_jax.data._sentences import Corpus
from trinity_jax.data._sentences import Sentence as Sentence  # for whoever imports this module
from trinity_jax.data._vectors import Vectors
from trinity_jax.data._vectors import rows as rows
from trinity_jax.types import InputError, lookup


class Images(NamedTuple):
    """Labelled images on the host, with an official test part."""

    name: str  # what the user wrote, e.g. "npz:DIR"
    train_images: np.ndarray  # uint8 [item, height, width, channel]
    train_labels: np.ndarray  # int32 [item]
    test_images: np.ndarray
    test_labels: np.ndarray
    labels: tuple[str, ...]  # class names ("0", "1", ... where the file has none)


class Crowd(NamedTuple):
    """A table of labels by people, as integers, with the strings they stand for."""

    name: str
    item: np.ndarray  # int32 [annotation], ascending
    worker: np.ndarray  # int32 [annotation]
    label: np.ndarray  # int32 [annotation]
    truth: np.ndarray  # int32 [item], -1 where unknown
    items: Sequence[str]
    workers: Sequence[str]
    labels: Sequence[str]
    duplicates: int  # exact repeats of a row of label.csv, dropped and reported


class CrowdFeatures(NamedTuple):
    """Features of items labelled by people, with clean validation and test parts."""

    name: str
    item: np.ndarray  # int32 [annotation], ascending; items without labels have no rows
    worker: np.ndarray  # int32 [annotation]
    label: np.ndarray  # int32 [annotation]
    num_workers: int  # those who labelled nothing included
    train_features: np.ndarray  # float32 [item, feature]
    train_labels: np.ndarray  # int32 [item], the truth, as in the other parts
    valid_features: np.ndarray
    valid_labels: np.ndarray
    test_features: np.ndarray
    test_labels: np.ndarray
    labels: tuple[str, ...]  # "0", "1", ...


def images(source: str, *, prefix: str = "", target: str = "fine", size: int = 0) -> Images:
    """Reads labelled images.

    Args:
      source: "digits", "npz:DIR", "idx:DIR", "tinyimagenet:DIR" or "tfds:NAME".
      prefix: How the wanted files start where an npz folder holds several sets, e.g. "cifar100".
      target: Which labels of a set that has several, "fine" or "coarse".
      size: Pixels a side that the images of tinyimagenet:DIR are reduced to; 0 leaves them as
        they are.

    Returns:
      Training and test part; labels are indices into the class names.

    Raises:
      InputError: An unknown source, or files that are missing or not what they should be.
    """
    kind, argument = _split(source)
    reader = lookup(IMAGES, kind, "source")
    if prefix and kind != "npz":
        raise InputError(f"{source}: expected a prefix with npz:DIR only, found {prefix!r}")
    if target != "fine" and kind not in ("npz", "tfds"):
        raise InputError(f"{source}: expected no target, there are no others, found {target!r}")
    if size and kind != "tinyimagenet":
        raise InputError(f"{source}: expected a size with tinyimagenet:DIR only, found {size}")
    return reader(source, argument, prefix=prefix, target=target, size=size)


def crowd(source: str) -> Crowd:
    """Reads labels by people.

    Ids are any strings. Items, workers and labels are sorted, by value if all of a kind are decimal
    integers, and annotations by (item, worker, label), so that the order of rows does not matter. A
    worker may give an item several labels; a true label that nobody gave is a class too.

    Args:
      source: "csv:DIR", or "tfds:NAME" of a set that `preparing.prepare` made.

    Returns:
      The table, without exact repeats.

    Raises:
      InputError: An unknown source, or files that are missing or not what they should be.
    """
    kind, argument = _split(source)
    return lookup(CROWDS, kind, "source")(source, argument)


def annotations(
    paths: Sequence[str],
    columns: tuple[str, str, str] = ("item", "worker", "label"),
    gold: str = "",
    gold_columns: tuple[str, str] = ("item", "label"),
    earlier: str = "",
) -> tuple[Crowd, int]:
    """Reads labels by people from files of any name, as `crowd` does.

    Args:
      paths: CSV or Parquet (.parquet or .pq) files, whose rows are put together. They may have
        more columns. In Parquet ids may be integers.
      columns: What their columns of items, workers and labels are called.
      gold: A file of items whose label is known; by default there are none.
      gold_columns: What its columns of items and labels are called.
      earlier: One more file of annotations, whose columns are called item, worker and label.

    Returns:
      The table, and how many items of the gold file nobody labelled, which are left out.

    Raises:
      InputError: Files that are missing or not what they should be, or an item has two truths.
    """
    rows = [_crowds.columns(_path(path), columns) for path in paths]
    rows += [_crowds.columns(_path(earlier), ("item", "worker", "label"))] if earlier else []
    rows = [_crowds.concatenated(pieces) for pieces in zip(*rows, strict=True)]
    known = _crowds.columns(_path(gold), gold_columns) if gold else None
    table = _crowds.table(rows, known[1].values if known else (), paths[0])
    truth, unseen = _crowds.gold(gold, known, table)
    return Crowd(", ".join(paths), *table[:3], truth, *table[3:]), unseen


def crowd_features(source: str) -> CrowdFeatures:
    """Reads labels by people with the features of what they labelled.

    Annotations are ordered by (item, worker). A training item that nobody labelled is allowed: it
    has features and a true label, but no annotation. The true labels of the training part say how
    many classes there are.

    Args:
      source: "labelme:DIR".

    Returns:
      The three parts, and the labels that people gave to the items of the first.

    Raises:
      InputError: An unknown source, or files that are missing or not what they should be.
    """
    kind, argument = _split(source)
    return lookup(CROWD_FEATURES, kind, "source")(source, argument)


def kind(source: str) -> str:
    """Returns how a source is read: "digits", "csv" ...; "crowd" for a crowd's "tfds:NAME"."""
    kind, argument = _split(source)
    return "crowd" if kind == "tfds" and _tfds.is_crowd(source, argument) else kind


def curves(path: str) -> tuple[dict[str, dict[str, Curve]], int]:
    """Reads learning curves from a CSV with the header strategy,seed,words,score.

    Rows may come in any order, strategies and seeds are any strings, a strategy may lack seeds that
    others have, and every seed may have words of its own.

    Args:
      path: The file.

    Returns:
      The curves by strategy (in order of appearance) and seed (sorted), words ascending; and how
      many exact repeats of a point were dropped.

    Raises:
      InputError: The file cannot be read, a line is not what it should be, a point has two scores,
        or a curve has one point.
    """
    return _curves.read(_path(path))


def sentences(source: str, *, language: str = "") -> Corpus:
    """Reads tagged sentences.

    Tags come out in IOB2. Those of `iob2:DIR` must be IOB2; those of `conll:DIR` and `tfds:NAME`
    may be IOB1, IOB2 or BIOES, a file all in one; a tag that its scheme forbids is refused.

    Args:
      source: "iob2:DIR", "conll:DIR", "ontonotes:DIR", "tfds:NAME", "grammar:en" or "grammar:zh".
      language: Which language of OntoNotes where DIR holds several, e.g. "chinese".

    Returns:
      The three official parts.

    Raises:
      InputError: An unknown source, or files that are missing or not what they should be.
    """
    kind, argument = _split(source)
    reader = lookup(SENTENCES, kind, "source")
    if language and kind != "ontonotes":
        found = _files.excerpt(language)
        raise InputError(f"{source}: expected a language with ontonotes:DIR only, found {found}")
    return reader(source, argument, language)


def vectors(path: str, only: Collection[str] | None = None) -> Vectors:
    """Reads word vectors.

    Args:
      path: A file of GloVe's text, or word2vec's text or bytes, gzipped or not; or a folder with a
        `.npy` file of rows and a `.tsv` or `.tsv.gz` file of WORD<TAB>ROW.
      only: Words that will be looked up; others are dropped while reading, to save memory.

    Returns:
      The words and their rows; `rows` looks words up.

    Raises:
      InputError: Files that are missing or not what they should be.
    """
    return _vectors.read(_path(path), only)


def hierarchy(source: str, labels: Sequence[str]) -> _hierarchies.Hierarchy:
    """Reads a hierarchy of classes.

    Args:
      source: "digits", "cifar10", "cifar100" or "tinyimagenet", which are part of the package; a
        file of JSON, `{"labels": [...], "parents": {node: [parent, ...]}}`, or CSV with the header
        parent,child; or "wordnet:DIR", WordNet's noun files (by default Debian's), for names of
        classes with all their senses, or the first with "wordnet-first:DIR", and for wnids.
      labels: The names of the classes, in order.

    Returns:
      The labels, called as in the file where the data only has numbers, the parents of nodes, and
      where they are from.

    Raises:
      InputError: An unknown source, files that are missing or not what they should be, or a
        hierarchy that is not of these classes.
    """
    _split(source)
    return _hierarchies.read(source, labels)


def _path(path: str) -> pathlib.Path:
    _split(path)
    return pathlib.Path(os.path.expanduser(path))


def _split(source: str) -> tuple[str, str]:
    """Splits KIND:ARGUMENT; what is printable can be shown in one line and names no odd file."""
    if not source.isprintable():
        raise InputError(f"expected a source in printable characters, found {source!r}")
    kind, _, argument = source.partition(":")
    return kind, argument


def _digits(source: str, argument: str, **_) -> Images:
    """The digits, 16 grey levels spread over 0 to 255, 80 percent of each class for training."""
    if argument:
        raise InputError(f"{source}: expected 'digits' alone, found {argument!r} after it")
    try:
        from sklearn import datasets, model_selection
    except ImportError as error:
        raise _files.not_installed(source, "scikit-learn") from error
    pixels, label = datasets.load_digits(return_X_y=True)
    pixels = np.round(pixels * (255 / 16)).astype(np.uint8).reshape(-1, 8, 8, 1)
    train, test = model_selection.train_test_split(
        np.arange(len(label)), test_size=360, stratify=label, random_state=0
    )
    parts = [_arrays.part(source, pixels[rows], label[rows]) for rows in (train, test)]
    return _images(source, parts)


def _npz(source: str, argument: str, *, prefix: str, target: str, **_) -> Images:
    return _images(source, _arrays.npz(_files.folder(source, argument), prefix, target))


def _idx(source: str, argument: str, **_) -> Images:
    return _images(source, _arrays.idx(_files.folder(source, argument)))


def _tiny_image_net(source: str, argument: str, *, size: int, **_) -> Images:
    return _images(source, *_tinyimagenet.read(_files.folder(source, argument), size))


def _tfds_images(source: str, argument: str, *, target: str, **_) -> Images:
    return _images(source, *_tfds.images(source, argument, target))


def _csv(source: str, argument: str) -> Crowd:
    folder = _files.folder(source, argument)
    columns = _tables.read(folder / "label.csv", ("item", "worker", "label"))
    known = None
    if os.path.lexists(folder / "truth.csv"):
        known = _tables.read(folder / "truth.csv", ("item", "truth"))
    table = _crowds.table(columns, known[1].values if known else ())
    truth = _tables.truth(folder / "truth.csv", known, table.items, table.labels)
    return Crowd(source, *table[:3], truth, *table[3:])


def _tfds_crowd(source: str, argument: str) -> Crowd:
    table, truth = _tfds.crowd(source, argument)
    return Crowd(source, *table[:3], truth, *table[3:])


def _labelme_folder(source: str, argument: str) -> CrowdFeatures:
    train, valid, test, answers = _labelme.read(_files.folder(source, argument))
    item, worker = np.nonzero(answers >= 0)
    label = answers[item, worker]
    item, worker = item.astype(np.int32), worker.astype(np.int32)
    names = tuple(map(str, range(train.labels.max() + 1)))
    workers = answers.shape[1]
    return CrowdFeatures(source, item, worker, label, workers, *train, *valid, *test, names)


def _images(source: str, parts: list[_arrays.Part], names: tuple[str, ...] = ()) -> Images:
    """Joins training and test part, if they belong together; without `names`, training counts."""
    train, test = parts
    sizes = ["x".join(map(str, part.images.shape[1:])) for part in parts]
    if sizes[0] != sizes[1]:
        raise InputError(
            f"{test.where}: expected images of {sizes[0]}, as in training, found {sizes[1]}"
        )
    names = names or tuple(map(str, range(train.labels.max() + 1)))
    if test.labels.max() >= len(names):
        expected = f"labels from 0 to {len(names) - 1}, as in training"
        raise InputError(f"{test.where}: expected {expected}, found {test.labels.max()}")
    return Images(source, train.images, train.labels, test.images, test.labels, names)


IMAGES: Mapping[str, Callable[..., Images]] = {
    "digits": _digits,
    "npz": _npz,
    "idx": _idx,
    "tinyimagenet": _tiny_image_net,
    "tfds": _tfds_images,
}
CROWDS = {"csv": _csv, "tfds": _tfds_crowd}
CROWD_FEATURES = {"labelme": _labelme_folder}
SENTENCES: Mapping[str, Callable[[str, str, str], Corpus]] = {
    "iob2": lambda source, argument, _: _sentences.iob2(_files.folder(source, argument)),
    "conll": lambda source, argument, _: _sentences.conll(_files.folder(source, argument)),
    "ontonotes": lambda source, argument, language: _ontonotes.read(
        _files.folder(source, argument), language
    ),
    "tfds": lambda source, argument, _: _tfds.sentences(source, argument),
    "grammar": lambda source, argument, _: _grammar.read(source, argument),
}

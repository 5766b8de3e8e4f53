"""Images that do not fit into memory: batches of a prepared set, read by Grain as they are needed.

Whatever fits is better read whole by `sources.images`, as experiments do: a batch of what lives on
the device costs nothing, and one from here about 0.2 ms an image. This is for one pass over a pool
that is too large for that, to score it, and for training on more than fits, batch by batch or, as
`experiments.neural_rendering` does, a chunk that fits after the other:

    pool = streaming.stream("tfds:imagenet_resized/64x64", "train")
    score = np.empty(len(pool.examples))
    for batch in streaming.once(pool, 1024):
        real = batch.item >= 0
        score[batch.item[real]] = uncertainty(network.apply(params, stats, batch.images))[real]

Batches are of one size, so that a compiled function is compiled once. Which items are in the batch
of a step is a function of (seed, step): whoever keeps the step in a checkpoint goes on with the
same batches, on any number of devices. Grain's own state is the step and nothing else.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from trinity_jax.data import _files, _tfds, _tfds_files
from trinity_jax.types import InputError

AHEAD = 4  # batches read before they are asked for, each by a thread
PIECE = 256  # images of a chunk that are read as a batch, at most


class Batch(NamedTuple):
    """Some images."""

    images: np.ndarray  # uint8 [batch, height, width, channel]
    labels: np.ndarray | np.int32  # int32 [batch]
    item: np.ndarray | np.int64  # int64 [batch], which of the part's; -1: one again, to fill up


class Examples:
    """The examples of a part, checked one by one as they are read."""

    def __init__(self, part: _tfds_files.Part, key: str, labels: int):
        self.part, self.key, self.labels = part, key, labels
        self.shape = part[0]["image"].shape

    def __len__(self) -> int:
        return len(self.part)

    def __getitem__(self, index: int) -> Batch:
        example = self.part[index]
        pixels, label = example["image"], example[self.key]
        if pixels.dtype != np.uint8 or pixels.shape != self.shape or not 0 <= label < self.labels:
            expected = f"{self.part.where}, image {index + 1} (counted from 1): expected uint8 "
            expected += f"{self.shape} and a label below {self.labels}"
            raise InputError(f"{expected}, found {pixels.dtype} {pixels.shape} and {label}")
        return Batch(pixels, np.int32(label), np.int64(index))


class Stream(NamedTuple):
    """A part of a set, on the disk."""

    name: str  # what the user wrote, e.g. "tfds:NAME"
    examples: Examples  # batches of one, without an axis for it
    labels: tuple[str, ...]  # class names


class _Some:
    """Some items of a stream, the last said again, as item -1, until batches are full."""

    def __init__(self, examples: Examples, items: np.ndarray, batch_size: int):
        self.examples, self.items = examples, items
        self.length = -(-len(items) // batch_size) * batch_size

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Batch:
        example = self.examples[int(self.items[min(index, len(self.items) - 1)])]
        return example if index < len(self.items) else example._replace(item=np.int64(-1))


def stream(source: str, split: str = "train", *, target: str = "fine") -> Stream:
    """Opens a part of a set of images; none of them is kept.

    Args:
      source: "tfds:NAME", a set that lies prepared in array_record.
      split: Which part of it.
      target: Which labels of a set that has several, "fine" or "coarse".

    Raises:
      InputError: Another source, or the set or the part is not there or not what it should be;
        also, from whatever reads the stream, where a record is not.
    """
    return _part(_opened(source), split, target)


def parts(source: str, *, target: str = "fine") -> tuple[Stream, Stream]:
    """Opens the training and the test part that `sources.images` reads whole.

    Args:
      source: "tfds:NAME", as of `stream`.
      target: Which labels, as of `stream`.

    Raises:
      InputError: As `stream` does; also where images of the two differ in size.
    """
    of = _opened(source)
    train, test = (_part(of, split, target) for split in ("train", _tfds.test_part(of)))
    sizes = ["x".join(map(str, part.examples.shape)) for part in (train, test)]
    if sizes[0] != sizes[1]:
        expected = f"{test.examples.part.where}: expected images of {sizes[0]}, as in training"
        raise InputError(f"{expected}, found {sizes[1]}")
    return train, test


def _opened(source: str) -> _tfds_files.Prepared:
    kind, _, name = source.partition(":")
    if kind != "tfds":
        expected = "expected tfds:NAME, a set read record by record (trinity-prepare makes one)"
        raise InputError(f"{expected}, found {_files.excerpt(source)}")
    return _tfds_files.opened(source, name)


def _part(of: _tfds_files.Prepared, split: str, target: str) -> Stream:
    key, labels = _tfds.classes(of, target)
    return Stream(of.source, Examples(_tfds_files.Part(of, split), key, len(labels)), labels)


def room(*parts: Stream) -> tuple[int, int]:
    """Bytes that the images of these parts take, and that images may take in memory."""
    sizes = (len(part.examples) * math.prod(part.examples.shape) for part in parts)
    return sum(sizes), _tfds.room()


def once(of: Stream, batch_size: int, items: np.ndarray | None = None) -> Iterator[Batch]:
    """Reads every item once, in order, or some items; the last batch is filled with item -1.

    Args:
      of: What to read.
      batch_size: Images in each batch.
      items: Which, int `[item]`; by default all.
    """
    items = np.arange(len(of.examples)) if items is None else items
    return _iterator(_dataset(_Some(of.examples, items, batch_size)), batch_size)


def batches(
    of: Stream, batch_size: int, *, seed: int, step: int = 0, items: np.ndarray | None = None
) -> Any:
    """Reads batches for training without end, each pass over the items in an order of its own.

    Args:
      of: What to read.
      batch_size: Images in each batch.
      seed: Of the orders.
      step: How many batches to leave out: those that an interrupted run has had.
      items: Which to draw from, int `[item]`; by default all.

    Returns:
      Grain's `DatasetIterator` of `Batch`.
    """
    items = np.arange(len(of.examples)) if items is None else items
    iterator = _iterator(_shuffled(of, items, seed), batch_size, drop=True)
    iterator.set_state({"next_index": step})
    return iterator


def read(of: Stream, items: np.ndarray | None = None) -> Batch:
    """Reads all items, or some, into memory, in the order of `items`."""
    items = np.arange(len(of.examples)) if items is None else items
    return _joined(of, len(items), once(of, PIECE, items))


def chunk(of: Stream, size: int, number: int, *, seed: int) -> Batch:
    """Reads the batch of `batches(of, size, seed=seed, step=number)`, which may fill the memory.

    It is read in pieces, so that it is held once, and no other is read ahead.

    Args:
      of: What to read.
      size: Images in each chunk.
      number: Which chunk, from 0.
      seed: Of the orders.
    """
    endless = _shuffled(of, np.arange(len(of.examples)), seed)
    mine = endless.slice(slice(number * size, (number + 1) * size))
    return _joined(of, size, _iterator(mine, PIECE))


def _joined(of: Stream, size: int, pieces: Iterator[Batch]) -> Batch:
    """The first images of batches, in arrays that are made once."""
    images = np.empty((size, *of.examples.shape), np.uint8)
    found = images, np.empty(size, np.int32), np.empty(size, np.int64)
    start = 0
    while start < size:
        piece = [np.asarray(values) for values in next(pieces)]
        for joined, part in zip(found, piece, strict=True):
            joined[start : start + len(part)] = part[: size - start]
        start += len(piece[0])
    return Batch(*found)


def _shuffled(of: Stream, items: np.ndarray, seed: int) -> Any:
    """Items without end, each pass in an order of its own."""
    return _dataset(_Some(of.examples, items, 1)).seed(seed).shuffle().repeat()


def _dataset(source: _Some) -> Any:
    try:
        import grain
    except ImportError as error:
        raise _files.not_installed("streaming", "grain") from error
    return grain.MapDataset.source(source)


def _iterator(dataset: Any, batch_size: int, drop: bool = False) -> Any:
    """Batches; of a set without end all are full, and to `drop` the last lets Grain not count."""
    import grain

    how = grain.ReadOptions(num_threads=AHEAD, prefetch_buffer_size=AHEAD)
    return iter(dataset.batch(batch_size, drop_remainder=drop).to_iter_dataset(how))

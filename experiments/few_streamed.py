"""Few labels, and more images without than fit into memory: another chunk of them in each round."""

from typing import Any

import numpy as np

from experiments import few_labels
from trinity_jax.data import sources, streaming
from trinity_jax.data.streaming import Stream
from trinity_jax.types import InputError

HELD = 4  # times that data are in memory: the first, the last round's, the next, read and placed
READ = 1024  # images at a time, of which the labels alone are kept


def read(config, run) -> tuple[sources.Images, Any]:
    """Images, and what a `Sweep` of `neural_rendering` reads of them.

    Returns:
      All images and `few_labels.arrays` of them. Of a tfds:NAME that does not fit into memory, or
      with `config.chunk`, images of which the training part is the first chunk, whose mean and
      standard deviation then stand for those of all; and a function of the round that returns such
      arrays: the labelled ones are drawn from all images, the pool is the round's chunk.

    Raises:
      InputError: as `sources.images` does; or labelled images, test part and a chunk do not fit.
    """
    if not config.data.startswith("tfds:"):
        if config.chunk:
            expected = "expected 0, or --data tfds:NAME, which is read record by record"
            raise InputError(f"--chunk is {config.chunk} with --data {config.data}; {expected}")
        return _whole(config, run)
    with run.phase("load", f"opening {config.data}"):
        parts = streaming.parts(config.data, target=config.target)
    needed, there = streaming.room(*parts)
    if not config.chunk and needed <= there:
        return _whole(config, run)
    sizes = f"{_gib(needed)} of images, where {_gib(there)} fit into memory"
    if config.evaluate == "validation" or config.prefix:
        given = f"--prefix {config.prefix}" if config.prefix else "--evaluate validation"
        found = f"found --chunk {config.chunk} and {sizes}"
        raise InputError(f"{given} expects --chunk 0 and a set that fits, {found}")
    size = _size(config, *parts)
    run.say(f"{sizes}: reading {size} images without labels at a time, others in each round")
    return _in_chunks(config, run, *parts, size)


def _whole(config, run) -> tuple[sources.Images, Any]:
    images = few_labels.read(config, run)
    return images, few_labels.arrays(config, images)


def _size(config, train: Stream, test: Stream) -> int:
    """Images of a chunk."""
    (bulk, there), count = streaming.room(train), len(train.examples)
    each = bulk // count
    labelled = config.seeds * min(max(config.labelled), count)
    kept = streaming.room(test)[0] + labelled * each
    fit = (there // HELD - kept) // each
    wanted = min(config.chunk, count)
    if fit < max(wanted, 1):
        expected = f"{config.data}: expected what fits {HELD} times into {_gib(there)}"
        chunk = _gib(max(wanted, 1) * each)
        found = f"{_gib(kept)} of test and labelled images and a chunk of {chunk}"
        raise InputError(f"{expected}, found {found}")
    fit -= fit % streaming.PIECE if fit > streaming.PIECE else 0  # which is read fastest
    return wanted or fit


def _in_chunks(config, run, train: Stream, test: Stream, size: int) -> tuple[sources.Images, Any]:
    count, labels = len(train.examples), train.labels
    with run.phase("load", f"reading the labels of {count} images"):
        truth = np.concatenate([batch.labels for batch in streaming.once(train, READ)])[:count]
        few_labels.check_labelled(config, truth, len(labels))
    with run.phase("load", "reading labelled images, test part and first chunk"):
        order = few_labels.labelled(config, truth, len(labels))
        known = streaming.read(train, order.ravel())
        tests, first = streaming.read(test), streaming.chunk(train, size, 0, seed=0)
    run.say(f"{count} images to learn from, {len(tests.labels)} to test on ({config.evaluate})")
    named = known.labels.reshape(order.shape)
    known = known.images.reshape(*order.shape, *train.examples.shape)

    def of_round(t: int) -> tuple[np.ndarray, ...]:
        pool = first
        if t:
            with run.phase("load"):
                pool = streaming.chunk(train, size, t, seed=0)
        return known, named, pool.images, tests.images, tests.labels

    images = sources.Images(config.data, *first[:2], *tests[:2], labels)
    return images, of_round


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"

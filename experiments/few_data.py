"""What `neural_rendering` learns from: few labels, and all images without, or of more than fit into
memory a chunk, another in each round.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import numpy as np

from experiments import few_labels
from trinity_jax.compute import hosts
from trinity_jax.data import sources, streaming
from trinity_jax.data.streaming import Stream
from trinity_jax.types import InputError


class Data(NamedTuple):
    """What training reads.

    Attributes:
      known: labelled images, of whose seed the first n are the n labelled ones.
      named: their labels.
      pool: training images, whose labels are not used: all of them, or a chunk.
      test_images: what is tested on, as `test_labels`.
    """

    known: np.ndarray  # uint8 [seed, most, height, width, channel]
    named: np.ndarray  # int32 [seed, most]
    pool: np.ndarray  # uint8 [item, height, width, channel]
    test_images: np.ndarray
    test_labels: np.ndarray


def items_to_label(config, truth, labels: int) -> np.ndarray:
    """Which training images `Data.known` are, int32 [seed, most]."""
    order = jax.jit(few_labels.draw_order, static_argnums=2)
    most = max(config.labelled)
    return np.stack([order(seed, truth, labels)[:most] for seed in range(config.seeds)])


def arrays(config, images: sources.Images) -> Data:
    """All training images are the pool."""
    items = items_to_label(config, images.train_labels, len(images.labels))
    pool, truth, *tests = images[1:5]
    return Data(pool[items], truth[items], pool, *tests)


def read(config, run) -> tuple[sources.Images, Data | Callable[[int], Data]]:
    """Images, and what a `Sweep` of `neural_rendering` reads of them.

    Returns:
      All images and `arrays` of them. Of a tfds:NAME that does not fit into memory, or
      with `config.chunk`, images of which the training part is the first chunk, whose mean and
      standard deviation then stand for those of all; and a function of the round: the labelled
      images are drawn from all, the pool is the round's chunk. How many are held is decided once,
      by the first process, and kept with the run.

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
    decide = lambda: hosts.agree(lambda: _size(config, run.mesh, *parts))
    size = run.once("images held at a time", decide)
    return _in_chunks(config, run, *parts, size) if size else _whole(config, run)


def _whole(config, run) -> tuple[sources.Images, Data]:
    images = few_labels.read(config, run)
    return images, arrays(config, images)


def _size(config, devices: jax.sharding.Mesh, train: Stream, test: Stream) -> int:
    """Images of a chunk; 0 where all fit. Memory has them once, and once on each device."""
    here = devices.local_devices
    placed = len(here) if here[0].platform == "cpu" else 0  # in the same memory
    (bulk, there), count = streaming.room(train), len(train.examples)
    tests, stats = streaming.room(test)[0], [device.memory_stats() for device in here]
    of_devices = [of["bytes_limit"] // 2 for of in stats if of]  # of accelerators
    if not config.chunk and bulk + tests <= min([there // (1 + placed), *of_devices]):
        return 0
    if config.evaluate == "validation" or config.prefix:
        given = f"--prefix {config.prefix}" if config.prefix else "--evaluate validation"
        found = f"--chunk {config.chunk} and {_gib(bulk + tests)} of images"
        raise InputError(f"{given} expects --chunk 0 and a set that fits, found {found}")
    each, held = bulk // count, 2 + placed  # the first chunk, that which is read, those placed
    limit = min([there // held, *of_devices])
    kept = tests + config.seeds * min(max(config.labelled), count) * each
    fit, wanted = (limit - kept) // each, min(config.chunk, count)
    if fit < max(wanted, 1):
        expected = f"{config.data}: expected what fits into {_gib(limit)}"
        chunk = f"a chunk of {max(wanted, 1)}, {_gib(max(wanted, 1) * each)}"
        found = f"{_gib(kept)} of test and labelled images and {chunk}"
        raise InputError(f"{expected}, found {found}")
    return wanted or min(fit, count)


def _in_chunks(config, run, train: Stream, test: Stream, size: int):
    count, labels = len(train.examples), train.labels
    seen = min(1, config.rounds * size / count)
    held = f"{count} training images: {size} at a time, others in each round"
    run.say(f"{held}; {seen:.0%} of them are seen in {config.rounds} rounds (--chunk, --rounds)")
    with run.phase("load", f"reading the labels of {count} images"):
        batches = streaming.once(train, streaming.PIECE)
        truth = np.concatenate([batch.labels for batch in batches])[:count]
        few_labels.check_labelled(config, truth, len(labels))
    with run.phase("load", "reading labelled images, test part and first chunk"):
        items = items_to_label(config, truth, len(labels))
        known = streaming.read(train, items.ravel())
        tests, first = streaming.read(test), streaming.chunk(train, size, 0, seed=0)
    run.say(f"{count} images to learn from, {len(tests.labels)} to test on ({config.evaluate})")
    given = known.images.reshape(*items.shape, *train.examples.shape), truth[items]

    def of_round(t: int) -> Data:
        pool = first
        if t:
            with run.phase("load"):
                pool = streaming.chunk(train, size, t, seed=0)
        return Data(*given, pool.images, tests.images, tests.labels)

    images = sources.Images(config.data, *first[:2], *tests[:2], labels)
    return images, of_round


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"

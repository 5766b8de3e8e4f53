"""What a source holds, made into a set of TensorFlow Datasets: from then on `tfds:NAME`.

    trinity-prepare iob2:DIR --name my_corpus --to TFDS_DIR

is the command. A set is read by any program that knows TFDS, with or without TensorFlow, and record
by record if it does not fit into memory (`streaming`). It equals its source: every array and string
is read again and compared before the set gets its name.
"""

import contextlib
import errno
import os
import pathlib
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from trinity_jax.data import _arrays, _files, _tfds, _tfds_builders, _tfds_files, sources
from trinity_jax.types import InputError, lookup

NAME = re.compile(r"[a-z][a-z0-9_]*")


class Made(NamedTuple):
    """A set that was made."""

    folder: pathlib.Path
    counts: dict[str, int]  # records, by part


class Plan(NamedTuple):
    """What is to be written, and whether the same is read from under a root."""

    contents: _tfds_builders.Contents
    counts: dict[str, int]
    same: Callable[[pathlib.Path], bool]


def prepare(
    source: str,
    name: str,
    root: str = "",
    *,
    prefix: str = "",
    size: int = 0,
    language: str = "",
    overwrite: bool = False,
) -> Made:
    """Makes a set of what a source holds, whole or not at all.

    Args:
      source: Any that `sources.images`, `sources.sentences` or `sources.crowd` reads. Of npz:DIR
        with fine and coarse labels both are kept.
      name: What the set will be called: lower-case letters, digits and `_`.
      root: Where sets lie; by default TFDS_DATA_DIR, or ~/tensorflow_datasets.
      prefix: See `sources.images`, as for `size`.
      size: Pixels a side.
      language: See `sources.sentences`.
      overwrite: Whether to replace a set of the name.

    Returns:
      Where it is, and how many records it has.

    Raises:
      InputError: The source is not what it should be, the name is taken, or nothing can be written
        there.
      OSError: Writing fails, or what is read again is not what was written.
    """
    if not NAME.fullmatch(name):
        expected = "--name expects lower-case letters, digits and _, a letter first"
        raise InputError(f"{expected}, found {_files.excerpt(name)}")
    above = pathlib.Path(os.path.expanduser(root)).absolute() if root else _tfds_files.usual_root()
    folder = above / name / _tfds_builders.VERSION
    if folder.exists() and not overwrite:
        raise InputError(f"{folder}: expected no set, found one; --overwrite replaces it")
    plan = _plan(source, name, prefix, size, language)
    with _workplace(above, name) as work:
        about = f"Made by trinity_jax of {source.partition(':')[0]} files."
        made = _tfds_builders.write(plan.contents, name, about, work)
        if not plan.same(work):
            raise OSError(errno.EIO, "what is read again is not what was written", str(made))
        _move(made, folder, work / "replaced")
    return Made(folder, plan.counts)


def _plan(source: str, name: str, prefix: str, size: int, language: str) -> Plan:
    """Reads a source."""
    kind = sources.kind(source)
    known = {of: of for of in (*sources.IMAGES, *sources.SENTENCES, *sources.CROWDS)}
    known.pop("tfds")
    if kind in ("tfds", "crowd"):
        raise InputError(f"{source}: expected another source, it is a set of TFDS already")
    lookup(known, kind, "source")
    if kind not in sources.IMAGES and (prefix or size):
        raise InputError(f"{source}: expected a prefix or a size with images only")
    if kind not in sources.SENTENCES and language:
        raise InputError(f"{source}: expected a language with sentences only")
    if kind in sources.IMAGES:
        return _images(source, name, prefix, size)
    return _sentences(source, name, language) if kind in sources.SENTENCES else _crowd(source, name)


def _images(source: str, name: str, prefix: str, size: int) -> Plan:
    kind, _, argument = source.partition(":")
    several = kind == "npz" and _arrays.has_coarse(_files.folder(source, argument), prefix)
    targets = ("fine", "coarse") if several else ("fine",)
    read = [sources.images(source, prefix=prefix, target=of, size=size) for of in targets]
    parts = {
        "train": (read[0].train_images, *(of.train_labels for of in read)),
        "test": (read[0].test_images, *(of.test_labels for of in read)),
    }

    def same(root: pathlib.Path) -> bool:
        for place, (target, of) in enumerate(zip(targets, read, strict=True), 1):
            found, names = _tfds.images(f"tfds:{name}", name, target, root)
            for part, arrays in zip(found, parts.values(), strict=True):
                images = np.array_equal(part.images, arrays[0])
                if not images or not np.array_equal(part.labels, arrays[place]):
                    return False
            if names != of.labels:
                return False
        return True

    contents = _tfds_builders.images(source, parts, [of.labels for of in read])
    return Plan(contents, {part: len(arrays[0]) for part, arrays in parts.items()}, same)


def _sentences(source: str, name: str, language: str) -> Plan:
    corpus = sources.sentences(source, language=language)
    counts = {"train": len(corpus.train), "dev": len(corpus.dev), "test": len(corpus.test)}
    same = lambda root: _tfds.sentences(f"tfds:{name}", name, root) == corpus
    return Plan(_tfds_builders.sentences(source, corpus), counts, same)


def _crowd(source: str, name: str) -> Plan:
    table = sources.crowd(source)

    def same(root: pathlib.Path) -> bool:
        found, truth = _tfds.crowd(f"tfds:{name}", name, root)
        arrays = zip((*found[:3], truth), table[1:5], strict=True)
        names = zip(found[3:6], table[5:8], strict=True)
        return (
            all(np.array_equal(one, other) for one, other in arrays)
            and all(list(one) == list(other) for one, other in names)
            and found.duplicates == table.duplicates
        )

    return Plan(_tfds_builders.crowd(source, table), {"train": len(table.items)}, same)


@contextlib.contextmanager
def _workplace(root: pathlib.Path, name: str) -> Iterator[pathlib.Path]:
    """A folder on the same disk, for as long as the set is not whole."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        work = pathlib.Path(tempfile.mkdtemp(prefix=f".{name}-", dir=root))
    except OSError as error:
        found = _files.reason(error)
        raise InputError(f"{root}: expected a folder that may be written to ({found})") from error
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _move(made: pathlib.Path, folder: pathlib.Path, away: pathlib.Path) -> None:
    """Gives a set its name, in place of one that has it, which comes back if that fails."""
    folder.parent.mkdir(exist_ok=True)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.rename(folder, away)
        os.rename(made, folder)
    finally:
        if away.exists() and not folder.exists():
            os.rename(away, folder)

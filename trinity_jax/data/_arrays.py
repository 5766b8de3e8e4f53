"""Files of arrays: labelled images in NumPy's `.npz` and MNIST's idx, features in `.npy`.

Files are not trusted: objects are never unpickled, and memory grows with the bytes that are really
there, not with what a header promises.
"""

import gzip
import io
import math
import os
import pathlib
import struct
import zipfile
import zlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from trinity_jax.data import _files
from trinity_jax.types import InputError

MAX_CLASSES = 65_536  # a label above is a mistake, and would make as many class names
CHUNK = 1 << 14  # bytes; LZMA inflates what it is given at once, up to 7,000 times


class Part(NamedTuple):
    """The training or the test part."""

    where: str
    images: np.ndarray  # uint8 [item, height, width, channel]
    labels: np.ndarray  # int32 [item]


def npz(folder: pathlib.Path, prefix: str, target: str) -> list[Part]:
    """Reads `PREFIX_train*.npz` and `PREFIX_test*.npz`; see `sources.images`."""
    return [_npz_part(path, target) for path in _npz_paths(folder, prefix)]


def has_coarse(folder: pathlib.Path, prefix: str) -> bool:
    """Whether both parts have fine and coarse labels."""
    there = []
    for path in _npz_paths(folder, prefix):
        with _files.opened(path, Exception) as file, zipfile.ZipFile(file) as archive:
            there.append({"fine.npy", "coarse.npy"} <= set(archive.namelist()))
    return all(there)


def idx(folder: pathlib.Path) -> list[Part]:
    """Reads MNIST's four files, gzipped or not."""
    parts = []
    for name in ("train", "t10k"):
        path = _plain_or_gz(folder / f"{name}-images-idx3-ubyte")
        images = _idx_array(path, rank=3)[..., None]
        labels = _idx_array(_plain_or_gz(folder / f"{name}-labels-idx1-ubyte"), rank=1)
        parts.append(part(str(path), images, labels))
    return parts


def features(path: pathlib.Path, codes: str = "f", numbers: str = "float32") -> np.ndarray:
    """Reads a `.npy` file of finite numbers: float32 `[item, feature]`.

    Args:
      path: The file.
      codes: The type codes that are accepted in it.
      numbers: The same in words.
    """
    with _files.opened(path, Exception) as file:
        size = os.fstat(file.fileno()).st_size
        values = _npy(str(path), file.read, size, codes, numbers)
    if values.ndim != 2:
        raise InputError(f"{path}: expected {numbers} [item, feature], found {values.shape}")
    if (cell := first(~np.isfinite(values))) is not None:
        row, column = cell
        where = f"{path}, row {row + 1}, column {column + 1} (counted from 1)"
        raise InputError(f"{where}: expected a finite number, found {values[cell]}")
    return values.astype(np.float32, copy=False)


def first(wrong: np.ndarray) -> tuple[int, ...] | None:
    """Returns the index of the first that is true, row by row, None if none is."""
    flat = int(wrong.argmax())
    cell = tuple(map(int, np.unravel_index(flat, wrong.shape)))
    return cell if wrong[cell] else None


def part(where: str, images: np.ndarray, labels: np.ndarray) -> Part:
    """Checks images, uint8 `[item, height, width, channel]`, and integer labels `[item]`."""
    if images.dtype != np.uint8 or images.ndim != 4:
        found = f"{images.dtype} {images.shape}"
        raise InputError(
            f"{where}: expected images uint8 [item, height, width, channel], found {found}"
        )
    if labels.shape != images.shape[:1]:
        expected = f"labels [{len(images)}], one an image"
        raise InputError(f"{where}: expected {expected}, found {labels.shape}")
    low, high = labels.min(), labels.max()
    if low < 0 or high >= MAX_CLASSES:
        raise InputError(
            f"{where}: expected labels from 0 to {MAX_CLASSES - 1}, found {low} to {high}"
        )
    return Part(where, images, labels.astype(np.int32))


def _npz_paths(folder: pathlib.Path, prefix: str) -> list[pathlib.Path]:
    names = [name for name in sorted(os.listdir(folder)) if name.endswith(".npz")]
    names = [name for name in names if name.isprintable() and not name.startswith(".")]
    marks = "_train", "_test"
    prefixes = {name.split(mark)[0] for mark in marks for name in names if mark in name}
    known = ", ".join(sorted(prefixes)) or "none"
    if not prefix and len(prefixes) > 1:
        raise InputError(f"{folder}: expected one data set or a prefix, found several: {known}")
    prefix = prefix or "".join(prefixes)
    paths = []
    for mark in marks:
        found = [name for name in names if name.startswith(prefix + mark)]
        if len(found) != 1:
            found = ", ".join(found) or f"none (prefixes there: {known})"
            expected = f"one file {prefix + mark + '*.npz'!r}"
            raise InputError(f"{folder}: expected {expected}, found {found}")
        paths.append(folder / found[0])
    return paths


def _npz_part(path: pathlib.Path, target: str) -> Part:
    # zipfile, its decompressors and NumPy's parser raise nearly anything on forged files.
    with _files.opened(path, Exception) as file, zipfile.ZipFile(file) as archive:
        only = target == "fine" and "fine.npy" not in archive.namelist()
        key = "labels" if only else target
        return part(str(path), _member(path, archive, "images"), _member(path, archive, key))


def _member(path: pathlib.Path, archive: zipfile.ZipFile, key: str) -> np.ndarray:
    """Reads one array of integers."""
    names = archive.namelist()
    if f"{key}.npy" not in names:
        found = _files.excerpt(", ".join(name.removesuffix(".npy") for name in names), 200)
        raise InputError(f"{path}: expected an array {key!r}, found {found}")
    info = archive.getinfo(f"{key}.npy")
    where = f"{path}, array {key!r}"
    _files.check_packed(where, info.file_size, info.compress_size)
    with archive.open(info) as stream:
        return _npy(where, stream.read, info.file_size, np.typecodes["AllInteger"], "integers")


def _npy(
    where: str, read: Callable[[int], bytes], size: int, codes: str, numbers: str
) -> np.ndarray:
    """Reads an array; `np.load` would trust its header.

    Args:
      where: What is read, for messages.
      read: Reads the next bytes of a `.npy` file.
      size: How many there are.
      codes: The type codes that are accepted, in any byte order.
      numbers: The same in words.

    Returns:
      The array as it was stored, not empty.
    """
    read_header = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    head = io.BytesIO(read(CHUNK))  # a header may say that it is 4 GiB long
    version = np.lib.format.read_magic(head)
    if version not in read_header:
        raise InputError(f"{where}: expected .npy format 1.0 or 2.0, found {version}")
    try:
        shape, fortran_order, dtype = read_header[version](head)
    except MemoryError as error:  # what Python's parser says of deep nesting
        raise InputError(f"{where}: expected a header of .npy, found one too deep") from error
    if dtype.char not in codes or math.prod(shape) < 1:
        raise InputError(f"{where}: expected {numbers}, at least one, found {dtype} {shape}")
    promised = math.prod(shape) * dtype.itemsize
    _check_size(where, promised, size - head.tell())
    data = _exactly(where, read, promised, head.read())
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran_order else "C")


def _plain_or_gz(path: pathlib.Path) -> pathlib.Path:
    zipped = path.with_name(path.name + ".gz")
    return zipped if os.path.lexists(zipped) and not os.path.lexists(path) else path


def _idx_array(path: pathlib.Path, rank: int) -> np.ndarray:
    """Reads an idx file of unsigned bytes: magic, sizes as big-endian int32, data."""
    with _files.opened(path, EOFError, zlib.error) as file:
        stream = gzip.GzipFile(fileobj=file) if path.suffix == ".gz" else file
        head = stream.read(4 + 4 * rank)
        magic = bytes([0, 0, 8, rank])
        if head[:4] != magic or len(head) != 4 + 4 * rank:
            expected = f"an idx file that starts with {magic.hex()} and {rank} sizes"
            raise InputError(f"{path}: expected {expected}, found {head.hex() or 'nothing'}")
        shape = struct.unpack(f">{rank}I", head[4:])
        if min(shape) < 1:
            raise InputError(f"{path}: expected at least one item and pixel, found sizes {shape}")
        if stream is not file:
            _files.check_packed(path, math.prod(shape), os.fstat(file.fileno()).st_size)
        data = _exactly(str(path), stream.read, math.prod(shape))
    return np.frombuffer(data, np.uint8).reshape(shape)


def _exactly(where: str, read: Callable[[int], bytes], count: int, start: bytes = b"") -> bytearray:
    """Reads up to `count` bytes, those of the start included; they must be all there are."""
    data = bytearray(start)
    while len(data) < count and (piece := read(min(CHUNK, count - len(data)))):
        data += piece
    _check_size(where, count, len(data) + len(read(1)))
    return data


def _check_size(where: str, promised: int, held: int) -> None:
    if promised != held:
        raise InputError(
            f"{where}: expected the {promised} bytes its header promises, "
            f"found {'more' if held > promised else held}"
        )

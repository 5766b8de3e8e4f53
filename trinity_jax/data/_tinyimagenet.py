"""Tiny ImageNet as it is distributed: 200 classes of 500 JPEG files, and 10,000 for validation.

    wnids.txt                       the classes, a wnid a line
    train/WNID/images/*.JPEG
    val/images/*.JPEG
    val/val_annotations.txt         FILE<TAB>WNID<TAB>a box, a line an image

The official test part has no labels: as usual, the validation part is what is tested on.
"""

import os
import pathlib

import numpy as np

from trinity_jax.data import _arrays, _files, _tables, _wordnet
from trinity_jax.types import InputError

MAX_PIXELS = 4096  # a side


def read(folder: pathlib.Path, size: int) -> tuple[list[_arrays.Part], tuple[str, ...]]:
    """Reads training and validation part, and the wnids; see `sources.images`."""
    try:
        import PIL.Image  # noqa: F401
    except ImportError as error:
        raise _files.not_installed("tinyimagenet", "pillow") from error
    number_of = _classes(folder / "wnids.txt")
    train = []
    for wnid, label in number_of.items():
        images = _files.folder("tinyimagenet", str(folder / "train" / wnid / "images"))
        names = sorted(filter(_is_jpeg, os.listdir(images)), key=lambda name: (len(name), name))
        train += [(images / name, label) for name in names]
    valid = []
    notes = folder / "val" / "val_annotations.txt"
    for number, line in _tables.text_lines(notes, "FILE<TAB>WNID"):
        fields = line.split("\t")
        if len(fields) < 2 or fields[1] not in number_of or not _is_jpeg(fields[0]):
            found = _files.excerpt(line)
            raise InputError(f"{notes}, line {number}: expected FILE<TAB>WNID, found {found}")
        valid.append((folder / "val" / "images" / fields[0], number_of[fields[1]]))
    parts = {"train": train, "val": valid}
    return [_part(folder / name, parts[name], size) for name in parts], tuple(number_of)


def _classes(path: pathlib.Path) -> dict[str, int]:
    """The number of each wnid."""
    number_of: dict[str, int] = {}
    for number, line in _tables.text_lines(path, "a wnid"):
        if line.strip():
            wnid = line.split()[0]
            if not _wordnet.WNID.fullmatch(wnid) or wnid in number_of:
                wrong = _files.excerpt(wnid)
                raise InputError(f"{path}, line {number}: expected another wnid, found {wrong}")
            number_of[wnid] = len(number_of)
    if not number_of:
        raise InputError(f"{path}: expected wnids, found none")
    return number_of


def _part(where: pathlib.Path, files: list[tuple[pathlib.Path, int]], size: int) -> _arrays.Part:
    if not files:
        raise InputError(f"{where}: expected JPEG files, found none")
    shape, values = (), bytearray()  # which grow with the images that are really there
    for path, _ in files:
        pixels = _pixels(path, size)
        shape = shape or pixels.shape
        if pixels.shape != shape:
            sizes = ["x".join(map(str, one)) for one in (shape, pixels.shape)]
            raise InputError(f"{path}: expected {sizes[0]}, as others are, found {sizes[1]}")
        values += pixels.tobytes()
    images = np.frombuffer(values, np.uint8).reshape(-1, *shape)
    return _arrays.part(str(where), images, np.array([label for _, label in files]))


def _pixels(path: pathlib.Path, size: int) -> np.ndarray:
    """An image, uint8 `[height, width, 3]`; some are grey and get three equal channels."""
    from PIL import Image

    # Pillow raises nearly anything on forged files.
    with _files.opened(path, Exception) as file, Image.open(file, formats=("JPEG",)) as image:
        if max(image.size) > MAX_PIXELS:
            raise InputError(f"{path}: expected at most {MAX_PIXELS} pixels a side")
        colours = image.convert("RGB")
        if size:
            colours = colours.resize((size, size), Image.Resampling.BOX)
        return np.asarray(colours)


def _is_jpeg(name: str) -> bool:
    return name.isprintable() and "/" not in name and name.lower().endswith((".jpeg", ".jpg"))

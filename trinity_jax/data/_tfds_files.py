"""Sets of TensorFlow Datasets where they lie prepared, opened without TensorFlow.

    ROOT/NAME/VERSION/           or ROOT/NAME/CONFIG/VERSION/, of which the newest is read
      dataset_info.json          which parts there are, and how many records in each file
      features.json              what a record holds; LABEL.labels.txt: names of classes
      NAME-PART.array_record-00000-of-00001 ...

The public catalogue's sets and those of `preparing` are opened alike, without the code that made
them. Files are not trusted: only features of TFDS itself are made, every record has a checksum, and
each file must hold as many as were promised. The format must be array_record: reading TFRecord
needs TensorFlow, and TFDS's writer of Parquet loses records.
"""

import contextlib
import importlib
import importlib.util
import json
import logging
import os
import pathlib
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from trinity_jax.data import _files
from trinity_jax.types import InputError

FORMAT = "array_record"
NAME = re.compile(r"([A-Za-z]\w*)(?:/([\w+-][\w.+-]*))?(?::([0-9]+\.[0-9]+\.[0-9]+))?", re.ASCII)
VERSION = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+")


class Prepared(NamedTuple):
    """A set that lies ready."""

    source: str  # what the user wrote
    folder: pathlib.Path
    builder: Any
    features: dict[str, Any]
    note: dict[str, Any]  # what our own sets say of themselves


class Part:
    """The examples of a part, as `Prepared` holds them; what cannot be read is an `InputError`."""

    def __init__(self, of: Prepared, split: str):
        self.where = f"{of.source}, {split}"
        if split not in of.builder.info.splits:
            known = ", ".join(of.builder.info.splits) or "none"
            expected = f"{of.source}: expected a part {split!r}"
            raise InputError(f"{expected}, found parts {known} in {of.folder}")
        info = of.builder.info.splits[split]
        if not info.num_examples:
            raise InputError(f"{self.where}: expected examples in {of.folder}, found none")
        with _said(f"{of.folder}: {split}"):
            self.files = [pathlib.Path(path) for path in info.filepaths]
            self.ends = np.cumsum(info.shard_lengths)
            for path, length in zip(self.files, info.shard_lengths, strict=True):
                _check_length(path, length)
            self.examples = of.builder.as_data_source(split=split)

    def __len__(self) -> int:
        return int(self.ends[-1])

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < len(self):
            raise IndexError(index)
        try:
            return self.examples[index]
        except Exception as error:  # of Riegeli, protobuf, NumPy, Pillow ...
            file = int(np.searchsorted(self.ends, index, side="right"))
            record = index + 1 - (int(self.ends[file - 1]) if file else 0)
            where = f"{self.files[file]}, record {record} (counted from 1)"
            raise InputError(f"{where}: cannot be read ({_files.reason(error)})") from error


def opened(source: str, name: str, root: pathlib.Path | None = None) -> Prepared:
    """Finds a set, prepared now if it is one of the public catalogue and TensorFlow is installed.

    Args:
      source: What the user wrote.
      name: NAME, NAME/CONFIG, NAME:VERSION or NAME/CONFIG:VERSION.
      root: Where sets lie; by default TFDS_DATA_DIR, or ~/tensorflow_datasets.

    Raises:
      InputError: It is not there, or not what it should be.
    """
    try:
        import tensorflow_datasets as tfds
    except ImportError as error:
        raise _files.not_installed(source, "tensorflow-datasets") from error
    logging.getLogger("absl").addFilter(_matters)
    root = root or usual_root()
    folder = where(source, name, root) or _prepare(source, name, root)
    _check_format(folder)
    _check_features(folder / "features.json", json_object(folder / "features.json"))
    metadata = folder / "metadata.json"
    note = json_object(metadata) if metadata.exists() else {}
    with _said(str(folder)):
        builder: Any = tfds.builder_from_directory(folder)
        builder.info.set_file_format(FORMAT, override=True, override_if_initialized=True)
        return Prepared(source, folder, builder, dict(builder.info.features.items()), note)


def _matters(record: logging.LogRecord) -> bool:
    """TFDS says, each time, that OpenCV would decode faster than Pillow."""
    return "OpenCV" not in str(record.msg)


def usual_root() -> pathlib.Path:
    """TFDS itself looks at the variable only once, when it is imported."""
    root = os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets"
    return pathlib.Path(os.path.expanduser(root))


def where(source: str, name: str, root: pathlib.Path) -> pathlib.Path | None:
    """Where a set lies prepared, if it does."""
    match = NAME.fullmatch(name)
    if not match:
        expected = f"{source}: expected tfds:NAME, tfds:NAME/CONFIG or tfds:NAME:1.0.0"
        raise InputError(f"{expected}, found {_files.excerpt(name)}")
    first, config, version = match.groups()
    folder = root / first / (config or "")
    found = _versions(folder)
    if not found and not config:
        configs = [child.name for child in _subfolders(folder) if _versions(child)]
        if len(configs) > 1:
            known = _files.excerpt(", ".join(configs), 200)
            raise InputError(f"{source}: expected one of the configurations of {folder}: {known}")
        folder = folder / "".join(configs)
        found = _versions(folder) if configs else []
    if found and version and version not in found:
        raise InputError(f"{source}: expected that version in {folder}, found {', '.join(found)}")
    return folder / (version or found[-1]) if found else None


def _versions(folder: pathlib.Path) -> list[str]:
    """Versions prepared in a folder, the newest last."""
    names = [child.name for child in _subfolders(folder) if VERSION.fullmatch(child.name)]
    return sorted(names, key=lambda name: tuple(map(int, name.split("."))))


def _subfolders(folder: pathlib.Path) -> list[pathlib.Path]:
    if not folder.is_dir():
        return []
    with _said(str(folder)):
        return sorted(child for child in folder.iterdir() if child.is_dir())


def _prepare(source: str, name: str, root: pathlib.Path) -> pathlib.Path:
    """Downloads and prepares a set of the public catalogue."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import registered

    first = re.split("[/:]", name)[0]
    with contextlib.suppress(ImportError):  # sets of text are known once their module is imported
        importlib.import_module(f"tensorflow_datasets.text.{first}")
    again = f"tfds.builder({name!r}, file_format={FORMAT!r}).download_and_prepare()"
    expected = f"{source}: expected a set that lies in {root} (TFDS_DATA_DIR)"
    try:
        tfds.builder_cls(first)
        if not _has_tensorflow():
            hint = f"{again}, where TensorFlow is installed, prepares it"
            raise InputError(f"{expected}, found none: {hint}")
        builder: Any = tfds.builder(name, data_dir=root, file_format=FORMAT)
        builder.download_and_prepare(file_format=FORMAT)
        return pathlib.Path(builder.data_dir)
    except InputError:
        raise
    except registered.DatasetNotFoundError as error:
        is_set = lambda child: any(map(_versions, (child, *_subfolders(child))))
        there = ", ".join(child.name for child in _subfolders(root) if is_set(child))
        there = _files.excerpt(there or "nothing", 200)
        found = f"found neither; what lies there: {there}"
        raise InputError(f"{expected} or that TFDS can prepare, {found}") from error
    except Exception as error:  # TFDS raises KeyError, ModuleNotFoundError, NotImplementedError ...
        found = f"found none, and {again} failed ({_files.reason(error)})"
        raise InputError(f"{expected}, {found}") from error


def _has_tensorflow() -> bool:
    """Whether the public catalogue's sets can be prepared; reading them does not need it."""
    return importlib.util.find_spec("tensorflow") is not None


def _check_format(folder: pathlib.Path) -> None:
    """Others need TensorFlow, or lose records."""
    path = folder / "dataset_info.json"
    info = json_object(path)
    found = [info.get("fileFormat") or "tfrecord"]
    also = info.get("alternativeFileFormats")
    found += also if isinstance(also, list) else []
    if FORMAT not in found:
        again = f"prepare it anew with file_format={FORMAT!r}"
        found = _files.excerpt(", ".join(map(str, found)))
        raise InputError(f"{path}: expected files in {FORMAT}, found {found}: {again}")


def _check_features(path: pathlib.Path, described: Any) -> None:
    """TFDS would import any module that is named there."""
    if isinstance(described, list):
        for inner in described:
            _check_features(path, inner)
    if isinstance(described, dict):
        for key, inner in described.items():
            _check_features(path, inner)
            if key not in ("pythonClassName", "type") or not isinstance(inner, str):
                continue
            if not inner.startswith("tensorflow_datasets.core.features."):
                found = _files.excerpt(inner)
                raise InputError(f"{path}: expected features of TFDS itself, found {found}")


def json_object(path: pathlib.Path) -> dict[str, Any]:
    """The object in a JSON file; raises `InputError` where there is none."""
    with _files.opened(path, ValueError, RecursionError) as file:
        found = json.load(file)
    if not isinstance(found, dict):
        raise InputError(f"{path}: expected a JSON object, found {_files.excerpt(str(found))}")
    return found


def _check_length(path: pathlib.Path, length: int) -> None:
    """TFDS believes what is written beside the file."""
    from array_record.python import array_record_module  # pyright: ignore

    with _files.opened(path, RuntimeError):
        reader = array_record_module.ArrayRecordReader(str(path))
        found = reader.num_records()
        reader.close()
    if found != length:
        expected = f"{path}: expected {length} records, as dataset_info.json says"
        raise InputError(f"{expected}, found {found}")


@contextlib.contextmanager
def _said(where: str) -> Iterator[None]:
    """Whatever TFDS raises, in a sentence."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:  # KeyError, ModuleNotFoundError, NotImplementedError ...
        raise InputError(f"{where}: cannot be read ({_files.reason(error)})") from error

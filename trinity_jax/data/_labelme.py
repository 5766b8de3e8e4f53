"""The LabelMe photographs with answers of people, in the files of PyLearningCrowds.

    LabelMe_VGG_avg_{train,valid,test}.npy   float32 [item, feature]
    LabelMe_Z_{train,valid,test}.txt         the true label of an item a line, an integer
    answers.txt                              a line a training item, a column a worker, -1: none

Lines and rows are in the same order. The training labels say which classes there are.
"""

import pathlib
from typing import NamedTuple

import numpy as np

from trinity_jax.data import _arrays, _tables
from trinity_jax.types import InputError


class Part(NamedTuple):
    """One of three parts."""

    features: np.ndarray  # float32 [item, feature]
    labels: np.ndarray  # int32 [item]


def read(folder: pathlib.Path) -> tuple[Part, Part, Part, np.ndarray]:
    """Reads training, validation and test part, and the answers: int32 `[item, worker]`, or -1."""
    train = _part(folder, "train", None)
    valid, test = (_part(folder, name, train) for name in ("valid", "test"))
    path = folder / "answers.txt"
    answers = _tables.integers(path)
    _check_length(path, answers, _features(folder, "train"), train.features)
    _check_range(path, answers, -1, train)
    if answers.max() < 0:
        raise InputError(f"{path}: expected at least one answer, found -1 only")
    return train, valid, test, answers


def _part(folder: pathlib.Path, name: str, train: Part | None) -> Part:
    """Reads a part, which must be like the training part if that is known."""
    path = _features(folder, name)
    features = _arrays.features(path)
    if train and features.shape[1] != train.features.shape[1]:
        expected = f"{train.features.shape[1]} features, as in training"
        raise InputError(f"{path}: expected {expected}, found {features.shape[1]}")
    labels_path = folder / f"LabelMe_Z_{name}.txt"
    labels = _tables.integers(labels_path, width=1)
    _check_length(labels_path, labels, path, features)
    _check_range(labels_path, labels, 0, train)
    return Part(features, labels[:, 0])


def _features(folder: pathlib.Path, name: str) -> pathlib.Path:
    return folder / f"LabelMe_VGG_avg_{name}.npy"


def _check_length(
    path: pathlib.Path, lines: np.ndarray, of: pathlib.Path, features: np.ndarray
) -> None:
    if len(lines) != len(features):
        expected = f"{len(features)} lines, one a row of {of.name}"
        raise InputError(f"{path}: expected {expected}, found {len(lines)}")


def _check_range(path: pathlib.Path, labels: np.ndarray, low: int, train: Part | None) -> None:
    """Refuses labels below `low`, or above those of the training part."""
    high = train.labels.max() if train else _arrays.MAX_CLASSES - 1
    if (cell := _arrays.first((labels < low) | (labels > high))) is not None:
        row, column = cell
        expected = f"labels from {low} to {high}" + (", as in training" if train else "")
        found = f"{labels[cell]} in column {column + 1}"
        raise InputError(f"{path}, line {row + 1}: expected {expected}, found {found}")

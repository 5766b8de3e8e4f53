"""Names of items, workers and labels: strings, or integers that are kept so to save memory."""

import itertools
import re
from collections.abc import Iterable, Sequence
from typing import overload

import numpy as np

INTEGER = re.compile("-?[1-9][0-9]{0,17}|0")  # as it is printed, and within `Numbers`


class Numbers(Sequence[str]):
    """Decimal strings of up to 18 digits, kept as an int64 array."""

    def __init__(self, array: np.ndarray):
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, index: int) -> str: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[str]: ...

    def __getitem__(self, index: int | slice) -> str | Sequence[str]:
        if isinstance(index, slice):
            return Numbers(self.array[index])
        return str(self.array[index])


def ordered(values: Iterable[str]) -> Sequence[str]:
    """Sorts distinct strings, by value if all are decimal integers, else as strings."""
    if isinstance(values, Numbers):
        return Numbers(np.sort(values.array))
    values = set(values)
    integer = re.compile("-?[0-9]{1,18}")
    if all(map(integer.fullmatch, values)):
        return tuple(sorted(values, key=lambda value: (int(value), value)))  # "7" after "007"
    return tuple(sorted(values))


def merged(one: Sequence[str], other: Sequence[str]) -> Sequence[str]:
    """All names of both, ordered."""
    if isinstance(one, Numbers) and isinstance(other, Numbers):
        return Numbers(np.union1d(one.array, other.array))
    return ordered(itertools.chain(one, other))


def positions(names: Sequence[str], values: Sequence[str]) -> np.ndarray:
    """Where each value is among ordered names, -1 where it is not: int32 `[value]`."""
    if not isinstance(names, Numbers):
        index = dict(zip(names, itertools.count(), strict=False))
        return np.array([index.get(value, -1) for value in values], np.int32)
    if isinstance(values, Numbers):
        numbers, there = values.array, np.ones(len(values), bool)
    else:
        there = np.array([bool(INTEGER.fullmatch(value)) for value in values], bool)
        numbers = [int(value) if has else 0 for value, has in zip(values, there, strict=True)]
        numbers = np.array(numbers, np.int64)
    where = np.minimum(np.searchsorted(names.array, numbers), len(names) - 1).astype(np.int32)
    return np.where(there & (names.array[where] == numbers), where, -1).astype(np.int32)

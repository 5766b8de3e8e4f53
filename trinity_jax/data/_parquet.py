"""Columns of Parquet files, read in parts: integers, or any strings."""

import os
import pathlib
from collections.abc import Sequence

import numpy as np

from trinity_jax.data import _files
from trinity_jax.data._names import Numbers
from trinity_jax.data._tables import Column
from trinity_jax.types import InputError

ROWS = 1 << 20  # read at a time


def read(path: pathlib.Path, header: Sequence[str]) -> list[Column]:
    """Reads some columns of a table.

    Args:
      path: The file.
      header: Names of the columns.

    Returns:
      A column for each name, all of one length, not zero.

    Raises:
      InputError: The file cannot be read, or a column is not there, or is neither integers nor
        strings, or lacks a value.
    """
    import pyarrow
    from pyarrow import parquet

    with _files.opened(path, pyarrow.ArrowException, OverflowError, UnicodeError) as opened:
        file = parquet.ParquetFile(opened)
        there = file.schema_arrow.names
        for name in header:
            if there.count(name) != 1:
                found = ", ".join(map(_files.excerpt, there[:10]))
                raise InputError(f"{path}: expected one column {name}, found columns {found}")
        # Very many rows or very long strings; of single columns forged files must not be asked.
        held = file.metadata
        groups = (held.row_group(number) for number in range(held.num_row_groups))
        unpacked = max(sum(of.total_byte_size for of in groups), 12 * held.num_rows)
        _files.check_packed(path, unpacked, os.fstat(opened.fileno()).st_size)
        codes = [_Codes(path, name, file.schema_arrow.field(name).type) for name in header]
        for batch in file.iter_batches(ROWS, columns=list(header)):
            for column, name in zip(codes, header, strict=True):
                column.add(batch.column(name))
        if not codes[0].rows:
            raise InputError(f"{path}: expected rows, found none")
        return [column.done() for column in codes]


class _Codes:
    """Makes one column of its pieces."""

    def __init__(self, path, name, type_):
        from pyarrow import types

        self.where, self.name = path, name
        self.pieces, self.rows, self.index = [], 0, {}
        self.numbers = types.is_integer(type_)
        inner = type_.value_type if types.is_dictionary(type_) else type_
        kinds = types.is_string, types.is_large_string, types.is_string_view
        if not (self.numbers or any(is_kind(inner) for is_kind in kinds)):
            expected = f"{path}: expected integers or strings in column {name}"
            raise InputError(f"{expected}, found {_files.excerpt(str(type_))}")

    def add(self, array):
        """One piece more."""
        import pyarrow

        array.validate(full=True)  # strings are UTF-8, and indices of a dictionary are in it
        if array.null_count:
            row = self.rows + int(np.argmax(array.is_null().to_numpy(zero_copy_only=False)))
            expected = f"{self.where}, row {row + 1}: expected a value in column {self.name}"
            raise InputError(f"{expected}, found none")
        self.rows += len(array)
        if self.numbers:
            piece = array.cast(pyarrow.int64()).to_numpy(zero_copy_only=False)
            small = len(piece) and piece.min() >= -(2**31) and piece.max() < 2**31
            self.pieces.append(piece.astype(np.int32) if small else piece)
            return
        # A file's own dictionary may hold strings that are in no row.
        array = array.cast(pyarrow.large_string()).dictionary_encode()
        names = array.dictionary.to_pylist()
        for row, name in enumerate(names):
            if not name:
                expected = f"{self.where}: expected a value in every row of column {self.name}"
                raise InputError(f"{expected}, found an empty one")
            names[row] = self.index.setdefault(name, len(self.index))
        codes = array.indices.to_numpy(zero_copy_only=False)
        self.pieces.append(np.array(names, np.int32)[codes])

    def done(self) -> Column:
        """The column."""
        values = np.concatenate(self.pieces)
        self.pieces.clear()
        if not self.numbers:
            return Column(values, tuple(self.index))
        low, high = int(values.min()), int(values.max())
        if high - low > 4 * len(values) + 1000:
            distinct, codes = np.unique(values, return_inverse=True)
        else:
            there = np.zeros(high - low + 1, bool)
            there[values - low] = True
            codes = (np.cumsum(there, dtype=np.int32) - 1)[values - low]
            distinct = np.flatnonzero(there) + low
        names = Numbers(distinct.astype(np.int64))
        longest = max(high, -low) >= 10**18  # sorted as strings, as they are in CSV
        return Column(codes.astype(np.int32, copy=False), tuple(names) if longest else names)

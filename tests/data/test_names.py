"""Names as integers: in all they are the strings, in less memory."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from trinity_jax.data import _crowds, _names, _parquet, _tables
from trinity_jax.data._names import Numbers
from trinity_jax.types import InputError

NUMBERS = st.integers(1 - 10**18, 10**18 - 1) | st.integers(-9, 9)
NUMBERS = st.lists(NUMBERS, min_size=1, max_size=9, unique=True)
ODD = ("007", "-0", "", "x", "+1", " 1", "1" * 19, "9" * 5000, "٣")


def numbers(values):
    return Numbers(np.array(values, np.int64))


@hypothesis.given(NUMBERS, NUMBERS)
def test_numbers_are_strings_in_less_memory(one, other):
    kinds = [(tuple(map(str, values)), numbers(values)) for values in (one, other)]
    for before, names in zip(kinds[0], map(_names.ordered, kinds[0]), strict=True):
        assert type(names) is type(before)
        assert list(names) == list(map(str, sorted(one)))
        assert list(names[1:]) == list(names)[1:]
        for values in kinds[1]:
            all_names = _names.merged(before, values)
            assert list(all_names) == list(map(str, sorted({*one, *other})))
            where = [sorted(one).index(value) if value in one else -1 for value in other]
            found = _names.positions(names, values)
            assert found.dtype == np.int32
            np.testing.assert_array_equal(found, where)
        np.testing.assert_array_equal(_names.positions(names, ODD), -1)
    assert isinstance(_names.merged(kinds[0][1], kinds[1][1]), Numbers)


@pytest.mark.parametrize(
    "values",
    [[5], [3, -4, 3, 0], [-2000, 7, 7], [2**31 - 1, -(2**31)], [2**31, 0], [10**17, 10**17 + 2]],
)
@pytest.mark.parametrize("rows", [1, 3, 10])
def test_integers_stay_integers_near_and_far(tmp_path, monkeypatch, values, rows):
    monkeypatch.setattr(_parquet, "ROWS", rows)
    parquet.write_table(pyarrow.table({"i": values}), tmp_path / "a.parquet")
    [column] = _parquet.read(tmp_path / "a.parquet", "i")
    assert isinstance(column.values, Numbers)
    assert column.values.array.dtype == np.int64
    assert column.codes.dtype == np.int32
    assert [column.name(row) for row in range(len(values))] == list(map(str, values))
    assert sorted(column.values.array) == sorted(set(values))


@pytest.mark.parametrize("values", [[-(2**63), 5], [10**18, 10**18 + 1], [2**63 - 1, -(2**63)]])
def test_integers_of_more_digits_are_strings(tmp_path, values):
    """They are sorted as strings in CSV."""
    parquet.write_table(pyarrow.table({"i": values}), tmp_path / "a.parquet")
    [column] = _parquet.read(tmp_path / "a.parquet", "i")
    assert column.values == tuple(map(str, sorted(values)))
    assert [column.name(row) for row in range(len(values))] == list(map(str, values))


def column(number):
    return _tables.Column(np.zeros(1, np.int32), Numbers(np.arange(number)))


def cubed(values):
    """Very many names, in no memory."""
    return Numbers(np.broadcast_to(np.int64(0), len(list(values)) ** 3))


def test_too_many_classes_for_so_many_workers(monkeypatch):
    expected = "x.csv: expected items x workers x labels below 2^63, and the last two below 2^31"
    for sizes in (1, 2**16, 2**15), (3, 2**21, 2**10):
        with pytest.raises(InputError) as caught:
            _crowds.table([column(size) for size in sizes], where="x.csv")
        assert str(caught.value) == f"{expected}, found {' x '.join(map(str, sizes))}"
    _crowds.table([column(size) for size in (1, 2**21, 2**10 - 1)])
    monkeypatch.setattr(_names, "ordered", cubed)
    with pytest.raises(InputError) as caught:  # 2^15 workers and classes each
        _crowds.table([column(size) for size in (2**11, 2**5, 2**5)], where="x.csv")
    assert str(caught.value) == f"{expected}, found {2**33} x {2**15} x {2**15}"

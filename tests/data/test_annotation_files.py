"""Labels in files of any columns: CSV and Parquet say the same, or are refused in a sentence."""

import csv
import io
import pathlib
import re
import tempfile
from unittest import mock

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pyarrow
import pytest
from broken_files import Bad, check_mutations, check_refused, write
from pyarrow import parquet

from trinity_jax.data import _parquet, sources
from trinity_jax.types import InputError

HEADER = ("item", "worker", "label")
ROWS = [("a", "u", "0"), ("b", "u", "1")]
CATEGORY = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
TEXTS = [pyarrow.string(), pyarrow.large_string(), pyarrow.string_view(), CATEGORY]
INTEGERS = {
    pyarrow.int64(): (-(2**63), 2**63 - 1),
    pyarrow.int32(): (-(2**31), 2**31 - 1),
    pyarrow.uint8(): (0, 255),
    pyarrow.uint64(): (0, 2**63 - 1),
}


def as_parquet(columns, header=HEADER, **options):
    """What to `write` to a path; columns that are not Arrow's get the types that it guesses."""
    table = pyarrow.Table.from_arrays([pyarrow.array(column) for column in columns], list(header))
    return lambda path: parquet.write_table(table, path, **options)


def files(name, rows, header=HEADER, types=TEXTS[:1] * 9, end="\n"):
    """A table, as Parquet if it is called so, else as CSV; as `write` takes it."""
    if pathlib.Path(name).suffix in (".parquet", ".PQ"):
        columns = [
            pyarrow.array(column, kind) if kind in INTEGERS else pyarrow.array(column).cast(kind)
            for column, kind in zip(zip(*rows, strict=True), types, strict=False)
        ]
        return {name: as_parquet(columns, header, row_group_size=4)}
    text = io.StringIO()
    csv.writer(text, lineterminator=end).writerows([header, *rows])
    return {name: text.getvalue().encode()}


def read(folder, written, *arguments, **others):
    """Reads all files as one table but those that `others` name."""
    write(folder, written)
    paths = [f"{folder}/{name}" for name in written if name not in others.values()]
    others = {name: f"{folder}/{file}" for name, file in others.items()}
    crowd, unseen = sources.annotations(paths, *arguments, **others)
    assert crowd.name == ", ".join(paths)
    assert {array.dtype for array in crowd[1:5]} == {np.dtype(np.int32)}
    assert (np.diff(crowd.item) >= 0).all()
    names = [tuple(names) for names in crowd[5:8]]  # whether or not they are kept as integers
    return sources.Crowd("", *crowd[1:5], *names, crowd.duplicates), unseen


def check_same(one, other):
    for found, expected in zip(one, other, strict=True):
        np.testing.assert_array_equal(found, expected)


def triples(crowd):
    indices = zip(crowd.item, crowd.worker, crowd.label, strict=True)
    return [(crowd.items[i], crowd.workers[w], crowd.labels[k]) for i, w, k in indices]


# Any text that UTF-8 can hold, less what ends a line of CSV.
IDS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), min_size=1, max_size=5)
TITLES = st.text(st.characters(codec="utf-8", categories="LNPS"), min_size=1, max_size=3)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(st.data(), st.lists(st.tuples(IDS, IDS, IDS), min_size=1, max_size=20))
def test_any_table_is_the_same_in_any_files(data, rows):
    titles = data.draw(st.lists(TITLES, min_size=5, max_size=5, unique=True))
    order = data.draw(st.permutations(range(5)))
    header = [titles[place] for place in order]
    table = [row + data.draw(st.tuples(*2 * [IDS | st.just("")])) for row in rows]
    table = [[row[place] for place in order] for row in table]
    shuffled = data.draw(st.permutations(table))
    cut = data.draw(st.integers(0, len(rows)))
    parts = [part for part in (shuffled[:cut], shuffled[cut:]) if part]
    types = data.draw(st.lists(st.sampled_from(TEXTS), min_size=5, max_size=5))
    end = data.draw(st.sampled_from(["\n", "\r\n", "\r"]))
    several = {}
    for i, part in enumerate(parts):
        name = f"{i}{data.draw(st.sampled_from(['', '.csv', '.parquet', '.PQ']))}"
        several |= files(name, part, header, end=end)
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(_parquet, "ROWS", 3):
        whole, _ = read(folder, files("all.csv", table, header, end=end), tuple(titles[:3]))
        assert len(triples(whole)) == len(set(rows)) == len(rows) - whole.duplicates
        assert set(triples(whole)) == set(rows)
        for written in files("all.parquet", shuffled, header, types), several:
            check_same(read(folder, written, tuple(titles[:3]))[0], whole)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(st.data(), st.lists(st.sampled_from(list(INTEGERS)), min_size=3, max_size=3))
def test_integers_are_what_their_digits_are(data, types):
    """Near and far from each other, in files of integers, of strings, and of both."""
    row = st.tuples(*(st.integers(*INTEGERS[kind]) | st.integers(0, 9) for kind in types))
    rows = data.draw(st.lists(row, min_size=1, max_size=20))
    texts = [tuple(map(str, row)) for row in rows]
    with tempfile.TemporaryDirectory() as folder:
        whole, _ = read(folder, files("a.csv", texts))
        assert set(triples(whole)) == set(texts)
        for size in (3, 1 << 20):
            with mock.patch.object(_parquet, "ROWS", size):
                numbers = files("a.parquet", rows, types=types)
                check_same(read(folder, numbers)[0], whole)
                twice, _ = read(folder, numbers | files("a.csv", texts))
                half, _ = read(folder, numbers | files("b.parquet", rows[:1], types=types))
        check_same(twice._replace(duplicates=twice.duplicates - len(rows)), whole)
        check_same(half._replace(duplicates=half.duplicates - 1), whole)


@pytest.mark.parametrize("end", [".csv", ".parquet"])
@pytest.mark.parametrize("gold_end", [".csv", ".parquet"])
@pytest.mark.parametrize("far", [3, 10**17, 1 << 62])  # the last sorted as strings
def test_gold_of_some_and_of_unknown_items(tmp_path, end, gold_end, far):
    labels = files(f"a{end}", [(2, 1, 1), (far, 1, 2)], types=list(INTEGERS))
    known = [(far, 7), (50, 1), (60, 2), (50, 2), (far, 7)]
    known = files(f"g{gold_end}", known, ("item", "label"), list(INTEGERS))
    crowd, unseen = read(tmp_path, labels | known, gold=f"g{gold_end}")
    assert unseen == 2
    assert crowd.labels == ("1", "2", "7")
    assert dict(zip(crowd.items, crowd.truth, strict=True)) == {"2": -1, str(far): 2}


@pytest.mark.parametrize("name", ["g.csv", "g.parquet"])
def test_gold_has_columns_of_its_own(tmp_path, name):
    write(tmp_path, files("a.csv", ROWS) | files(name, [("5", "b"), ("6", "z")], ("item", "x")))
    paths = f"{tmp_path}/a.csv", f"{tmp_path}/{name}"
    crowd, unseen = sources.annotations(paths[:1], gold=paths[1], gold_columns=("x", "item"))
    assert (unseen, list(crowd.truth), crowd.labels) == (1, [-1, 2], ("0", "1", "5", "6"))


@pytest.mark.parametrize("name", ["g.csv", "g.parquet"])
def test_gold_that_contradicts_itself(tmp_path, name):
    known = files(name, [("b", "0"), ("a", "1"), ("c", "0"), ("c", "1"), ("a", "0")], HEADER[::2])
    with pytest.raises(InputError) as caught:
        read(tmp_path, files("a.csv", ROWS) | known, gold=name)
    place = f"{tmp_path}/{name}, {'line 6' if name == 'g.csv' else 'row 5'}"
    assert str(caught.value) == f"{place}: expected one truth for item 'a', found two"


@pytest.mark.parametrize("name", ["e.csv", "e.parquet"])
def test_earlier_annotations_have_columns_of_their_own(tmp_path, name):
    earlier = [("c", "u", "2"), ("a", "u", "0")]
    whole, _ = read(tmp_path, files("whole.csv", ROWS + earlier))
    new = files("new.csv", ROWS, ("task", "who", "what"))
    found, _ = read(tmp_path, new | files(name, earlier), ("task", "who", "what"), earlier=name)
    check_same(found, whole)
    assert found.duplicates == 1


UNUSED = pyarrow.DictionaryArray.from_arrays(pyarrow.array([1, 0]), ["b", "a", "c", ""])
LINES = b"a,u,0\nb,u,1\n"
READ = {
    "mark.csv": b"\xef\xbb\xbfitem,worker,label\n" + LINES,
    "ends.csv": b"item,worker,label\r\na,u,0\r\nb,u,1\r\n\r\n",
    "no suffix": b"item,worker,label\n" + LINES,
    "empty others.csv": b"item,,worker,label,note\na,,u,0,\nb,,u,1,\n",
    "quoted header.csv": b'"no\xc3\xa9, \x7f","label","item","worker"\n1,0,a,u\n"",1,b,u\n',
    "others twice.csv": b"x,label,x,item,worker\n,0,,a,u\n,1,,b,u\n",
    "plain.pq": as_parquet(zip(*ROWS, strict=True)),
    "unused strings.parquet": as_parquet([UNUSED, ["u", "u"], ["0", "1"]]),
    "nulls.PARQUET": as_parquet([["a", "b"], ["u"] * 2, [0, 1], [None] * 2], [*HEADER, "x"]),
    "dots.parquet": as_parquet([["a", "b"], ["u"] * 2, [0, 1], [[1.5]] * 2], [*HEADER, "item.x"]),
    "no schema.parquet": as_parquet([UNUSED, ["u", "u"], ["0", "1"]], store_schema=False),
}


@pytest.mark.parametrize("name", READ)
def test_what_is_odd_is_read(tmp_path, name):
    crowd, unseen = read(tmp_path, {name: READ[name]})
    assert (triples(crowd), crowd[5:8]) == (ROWS, (("a", "b"), ("u",), ("0", "1")))
    assert (crowd.duplicates, unseen, list(crowd.truth)) == (0, 0, [-1, -1])


def test_strings_of_parquet_may_be_what_csv_cannot_hold(tmp_path):
    rows = [("\n", "\0", '"'), ("\r\n", "\0", "猫" * 1000)]
    crowd, _ = read(tmp_path, {"a.parquet": as_parquet(zip(*rows, strict=True))})
    assert triples(crowd) == rows


def bad(name, content, sentence):
    """A file, and what is said after its path: all of it, or its start if `...` follows."""
    file = name.replace(" ", "_") + (".parquet" if callable(content) else ".csv")
    pattern = f"/{file}{re.escape(sentence.removesuffix('...'))}{'$' * (sentence[-3:] != '...')}"
    return Bad(name, {file: content}, pattern, "{}/" + file)


def changed(index, column):
    """A Parquet file with another column in a place."""
    columns = [["a", "b"], ["u", "u"], [0, 1]]
    columns[index] = column
    return as_parquet(columns)


def but(change):
    """A Parquet file with its bytes changed."""
    return lambda path: (GOOD(path), path.write_bytes(change(path.read_bytes())))


def csv_of(text, header="item,x,worker,label"):
    return f"{header}\n{text}".encode()


GOOD = as_parquet(zip(*ROWS, strict=True))
NO_UTF8 = pyarrow.array([b"a", b"\xff"]).view(pyarrow.string())
NO_TEXT = pyarrow.array(["a", ""]).dictionary_encode()
OUTSIDE = pyarrow.array([2**63, 0], pyarrow.uint64())
LATE = [["a"] * 9, ["u"] * 7 + [None, "u"], [0] * 9]
HEADED = "item,worker,label,\t"
DOUBLED = "item,item,worker,label"
LONG = "item,worker,label," + "x" * 200
EVERY = ": expected a value in every row of column "
SECOND = ", line 2: expected "
CUT = ": cannot be read ('Parquet magic bytes not found in footer..."
KIND = ": expected integers or strings in column "
ONE = ": expected one column label, found columns 'item', 'worker', "
VALUE = ": expected a value in "
WANTED = ", line 1: expected a header with item, worker and label, each once, found "
FIRST = ", line 1: expected a header"
LINE = ", line 2: expected item,x,worker,label"
NO_ROWS = ": expected the header item,worker,label and rows, found no rows"
FOLDER = ": expected a file, found a folder or a device"
BAD = [
    bad("cut", but(lambda data: data[:-20]), CUT),
    bad("CSV as Parquet", but(lambda _: csv_of(LINES)), CUT),
    bad("no bytes", pathlib.Path.touch, ": cannot be read ('Parquet file size is 0 bytes')"),
    bad("folder", pathlib.Path.mkdir, FOLDER),
    bad("no rows", as_parquet([NO_UTF8[:0]] * 3), ": expected rows, found none"),
    bad("no columns", as_parquet([], []), ": expected one column item, found columns "),
    bad("no label", as_parquet([["a"]] * 3, [*HEADER[:2], "a\nb"]), ONE + r"'a\nb'"),
    bad("label twice", as_parquet([["a"]] * 4, [*HEADER, "label"]), ONE + "'label', 'label'"),
    bad("floats", changed(0, [1.0, 2.0]), KIND + "item, found 'double'"),
    bad("bytes", changed(1, [b"a", b"b"]), KIND + "worker, found 'binary'"),
    bad("lists", changed(1, [["a"], ["b"]]), KIND + "worker, found 'list<element: string>'"),
    bad("structs", changed(0, [{"\n": 1}] * 2), KIND + r"item, found 'struct<\n: int64>'"),
    bad("only nulls", changed(0, [None, None]), KIND + "item, found 'null'"),
    bad("null", changed(0, ["a", None]), f", row 2{VALUE}column item, found none"),
    bad("no number", changed(2, [None, 3]), f", row 1{VALUE}column label, found none"),
    bad("late null", as_parquet(LATE, row_group_size=2), f", row 8{VALUE}column worker, ..."),
    bad("no text", changed(1, ["", "u"]), EVERY + "worker, found an empty one"),
    bad("no category", changed(0, NO_TEXT), EVERY + "item, found an empty one"),
    bad("not UTF-8", changed(0, NO_UTF8), ": cannot be read ('Invalid UTF8..."),
    bad("over 63 bits", changed(0, OUTSIDE), ": cannot be read ('Integer value..."),
    bad("none", b"", NO_ROWS),
    bad("header only", csv_of(""), NO_ROWS),
    bad("no worker", csv_of("a,0,1,0", "item,x,y,label"), WANTED + "'item,x,y,label'"),
    bad("twice", csv_of("a,a,u,0", DOUBLED), f"{WANTED}'{DOUBLED}'"),
    bad("open header", csv_of("a,u,0", 'item,"worker,label'), WANTED + "'item,\"worker,label'"),
    bad("blank first", b"\n" + csv_of("a,0,u,0"), WANTED + "''"),
    bad("two marks", b"\xef\xbb\xbf" * 2 + csv_of("a,0,u,0"), WANTED + r"'\ufeffitem,x,..."),
    bad("NUL first", b"\0" + csv_of("a,0,u,0"), FIRST + ", found a NUL byte at byte offset 0..."),
    bad("Latin-1 first", b"\xe9,item", FIRST + " in UTF-8, found byte 0xe9 at byte offset 0..."),
    bad("narrow", csv_of("b,u,0\na,,u,0"), LINE + ", found 3 fields in 'b,u,0'"),
    bad("wide", csv_of("b,1,u,0,1\n"), LINE + ", found 5 fields in 'b,1,u,0,1'"),
    bad("no id", csv_of(",,u,0\na,,u,0\n"), LINE + ", found an empty item in ',,u,0'"),
    bad("NUL", csv_of("a,\0,u,0"), LINE + ", found a NUL byte at byte offset 2 of the line"),
    bad("Latin-1", csv_of("") + b"a,\xe9,u,0", LINE + " in UTF-8, found byte 0xe9 at byte..."),
    bad("open quote", csv_of('a,"b,u,0\n'), LINE + " with quotes closed on the same line..."),
    bad("odd header", csv_of(",u,0,", HEADED), SECOND + r"item,worker,label,\t, found..."),
    bad("long header", csv_of(",u,0,", LONG), f"{SECOND}{LONG[:60]}..., found..."),
    bad("called Parquet", b"PAR1\x15\0", FIRST + "..."),
]


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_what_is_wrong_is_said_in_a_sentence(tmp_path, case):
    check_refused(lambda path: sources.annotations([path]), tmp_path, case)


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_names_of_columns_that_are_refused(tmp_path, name):
    for wrong, which in (
        ("item", "different names, found item, item"),
        ("\n", r"printable .*'item, \\n"),
    ):
        expected = rf"^{tmp_path}/{name}: expected columns of {which}, label'?$"
        with pytest.raises(InputError, match=expected):
            read(tmp_path, files(name, ROWS), ("item", wrong, "label"))


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
@pytest.mark.parametrize("kind", [pyarrow.string(), CATEGORY, pyarrow.int64()])
def test_broken_files_end_in_sentences_only(tmp_path, name, kind):
    ids = range(9) if kind in INTEGERS else "abcé,\t猫 0"
    rows = list(zip(ids, ids, ids[::-1], strict=True))
    write(tmp_path, files(name, rows, types=[kind] * 3))
    content = {name: (tmp_path / name).read_bytes()}
    check_mutations(lambda: sources.annotations([f"{tmp_path}/{name}"]), tmp_path, content, name)

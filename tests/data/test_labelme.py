"""Features with labels by people, LabelMe's files: what is refused and what is odd and yet read."""

import io
import struct
import tracemalloc

import numpy as np
import pytest
from broken_files import Bad, check_mutations, check_refused, write

from trinity_jax.data import sources
from trinity_jax.types import InputError

X = np.arange(12, dtype=np.float32).reshape(4, 3)
TRAIN_X, VALID_X, TEST_X = (f"LabelMe_VGG_avg_{part}.npy" for part in ("train", "valid", "test"))
TRAIN_Z, VALID_Z, TEST_Z = (f"LabelMe_Z_{part}.txt" for part in ("train", "valid", "test"))
HOLES = np.where([[0, 0, 1], [0, 0, 0], [0, 0, 0], [1, 0, 0]], np.float32(np.nan), X)
ANSWERS = b"2 -1\n-1 -1\n0 1\n-1 0\n"


def npy(array):
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def promising(shape, descr="<f4", size=None):
    """An array in format 2.0 of 48 bytes, whatever its header says."""
    head = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\2\0" + struct.pack("<I", size or len(head)) + head + X.tobytes()


def cell(value, row=0, column=0):
    changed = X.copy()
    changed[row, column] = value
    return npy(changed)


FILES = {
    TRAIN_X: npy(X),
    VALID_X: npy(X[:2] + 1),
    TEST_X: npy(X[:3] + 2),
    TRAIN_Z: b"2\n0\n1\n0\n",
    VALID_Z: b"1\n2\n",
    TEST_Z: b"0\n0\n2\n",
    "answers.txt": ANSWERS,
}


def bad(name, file, content, pattern):
    files = {**FILES, file: content}
    if content == "missing":
        del files[file]
    return Bad(name, files, f"/{file}{pattern}", "labelme:{}")


def train(name, content, pattern):
    return bad(name, TRAIN_X, content, pattern)


def truth(name, content, pattern):
    return bad(name, TRAIN_Z, content, pattern)


def answers(name, content, pattern):
    return bad(name, "answers.txt", content, pattern)


BAD = [
    *(bad(f"no {file}", file, "missing", ": cannot be read .'No such file") for file in FILES),
    *(bad(f"{file} a folder", file, None, ": expected a file, found a folder") for file in FILES),
    *(bad(f"{file} empty", file, b"", ": (cannot be read|.*found none$)") for file in FILES),
    train("text", b"1.5 2.5 3.5\n", ': cannot be read ."the magic string is not correct'),
    train("a pickle", b"\x80\x04N.", ": cannot be read"),
    train("objects", npy(X.astype(object)), ": expected float32, at least one, found object"),
    train("a pickle inside", promising((4, 3), "|O"), ": expected float32, .*found object"),
    train("doubles", npy(X.astype(float)), r": expected float32, .*found float64 \(4, 3\)"),
    train("halves", npy(X.astype("f2")), ": expected float32, .*found float16"),
    train("integers", npy(X.astype("i4")), ": expected float32, .*found int32"),
    train("no items", npy(X[:0]), r": expected float32, at least one, found float32 \(0, 3\)"),
    train("no features", npy(X[:, :0]), r": expected float32, at least one, .*\(4, 0\)"),
    train("one row", npy(X[0]), r": expected float32 \[item, feature\], found \(3,\)"),
    train("maps", npy(X[:, :, None]), r": expected float32 \[item, feature\], .*\(4, 3, 1\)"),
    train("one number", npy(X[0, 0]), r": expected float32 \[item, feature\], found \(\)"),
    train("cut", npy(X)[:-1], ": expected the 48 bytes its header promises, found 47"),
    train("cut early", npy(X)[:50], ": cannot be read"),
    train("too long", npy(X) + b"\n", ": expected the 48 bytes .*found more"),
    train("two arrays", npy(X) * 2, ": expected the 48 bytes .*found more"),
    train("4 TiB", promising((2**20, 2**20)), ": expected the 4398046511104 bytes .*found 48"),
    train("overflow", promising((2**40, 2**40)), r": expected the 4835\d+ bytes .*found 48"),
    train("negative sizes", promising((-4, -3)), ": cannot be read"),
    train("header of 4 GiB", promising((4, 3), size=2**32 - 1), ": cannot be read"),
    train("future version", npy(X).replace(b"Y\1\0", b"Y\3\0"), ": expected .npy format 1.0 or"),
    train("not a number", cell(np.nan), ", row 1, column 1 .* a finite number, found nan"),
    train("infinity", cell(np.inf, 2, 1), ", row 3, column 2 .counted from 1.: .*found inf"),
    train("infinity last", cell(-np.inf, 3, 2), ", row 4, column 3 .*found -inf"),
    train("in Fortran order", npy(np.asfortranarray(HOLES)), ", row 1, column 3 .*found nan"),
    bad("NaN in validation", VALID_X, cell(np.nan, 1, 2), ", row 2, column 3 .*found nan"),
    bad("narrow validation", VALID_X, npy(X[:2, :2]), ": expected 3 features, as in tr.*found 2"),
    bad("wide test", TEST_X, npy(np.hstack([X, X])), ": expected 3 features, .*found 6"),
    truth("few labels", b"0\n0\n0\n", ": expected 4 lines, one a row of .*train.npy, found 3"),
    truth("many labels", b"0\n" * 5, ": expected 4 lines, .*found 5"),
    truth("blank lines only", b"\n\n", ": expected lines of integers, found none"),
    truth("byte-order mark only", b"\xef\xbb\xbf", ": expected lines of integers, found none"),
    truth("blank between", b"0\n\n0\n0\n", ", line 2: expected 1 integer, found 0 in ''"),
    truth("blank first", b"\n0\n0\n0\n", ", line 1: expected 1 integer, found 0 in ''"),
    truth("spaces at the end", FILES[TRAIN_Z] + b"  \n", ", line 5: .*found 0 in '  '"),
    truth("on one line", b"2 0 1 0\n", ", line 1: expected 1 integer, found 4 in '2 0 1 0'"),
    truth("commas", b"2,\n0,\n1,\n0,\n", ", line 1: expected 1 integer, found '2,' in column 1"),
    truth("words", b"coast\n", ", line 1: expected 1 integer, found 'coast' in column 1"),
    truth("fraction", b"2\n0.0\n1\n0\n", ", line 2: expected 1 integer, found '0.0' in column 1"),
    truth("by savetxt", b"2.000000000000000000e+00\n", ", line 1: .*found '2.0000.*e.00' in col"),
    truth("plus", b"2\n+1\n1\n0\n", ", line 2: .*found '.1'"),
    truth("underscore", b"2\n1_0\n1\n0\n", ", line 2: .*found '1_0'"),
    truth("lone minus", b"2\n-\n1\n0\n", ", line 2: .*found '-'"),
    truth("other digits", "2\n٣\n1\n0\n".encode(), ", line 2: .*found '٣' in column 1"),
    truth("no-break space", "2\n0\u00a01\n".encode(), r", line 2: .*found '0\\xa01' in column 1"),
    truth("ten digits", b"2\n4294967296\n1\n0\n", ", line 2: .*found '4294967296'"),
    truth("5000 digits", b"9" * 5000, ", line 1: expected 1 integer, found '9{60}...' in column 1"),
    truth("no truth", b"2\n-1\n1\n0\n", ", line 2: expected labels from 0 to 65535, found -1 in"),
    truth("huge label", b"2\n0\n65536\n0\n", ", line 3: expected labels from 0 to 65535, .*65536"),
    bad("unheard of", VALID_Z, b"1\n3\n", ", line 2: .*from 0 to 2, as in training, found 3 in"),
    bad("few test labels", TEST_Z, b"0\n0\n", ": expected 3 lines, one a .*test.npy, found 2"),
    answers("few lines", ANSWERS[:-5], ": expected 4 lines, one a row of .*train.npy, found 3"),
    answers("many lines", ANSWERS + b"0 0\n", ": expected 4 lines, .*found 5"),
    answers("narrow", b"2 -1\n-1\n0 1\n", ", line 2: .* 2 integers, as on line 1, found 1 in"),
    answers("wide", b"2 -1\n0 1 1\n", ", line 2: expected 2 integers, .*found 3 in '0 1 1'"),
    answers("blank first", b"\n" + ANSWERS, ", line 1: expected integers, found 0 in ''"),
    answers("blank between", b"2 -1\n\n0 1\n", ", line 2: .*, as on line 1, found 0 in ''"),
    answers("returns doubled", ANSWERS.replace(b"\n", b"\r\r\n"), ", line 2: .*found 0 in ''"),
    answers("word", b"2 -1\n-1 NA\n", ", line 2: expected 2 integers, .*found 'NA' in column 2"),
    answers("word first", b"a b\n", ", line 1: expected 2 integers, found 'a' in column 1"),
    answers("commas", ANSWERS.replace(b" ", b","), ", line 1: expected 1 integer, found '2,-1'"),
    answers("below -1", ANSWERS.replace(b"0 1", b"0 -2"), ", line 3: .*-1 to 2.*-2 in column 2"),
    answers("above", ANSWERS.replace(b"0 1", b"3 1"), ", line 3: .*, as in tr.*3 in column 1"),
    answers("nobody", b"-1 -1\n" * 4, ": expected at least one answer, found -1 only"),
    answers("NUL", b"2 -1\n0 \0\n", ", line 2: .*found a NUL byte at byte offset 2 of the line"),
    answers("Latin-1", b"2 -1\n0 \xe9\n", ", line 2: .*in UTF-8, found byte 0xe9 at byte offset 2"),
    answers("UTF-16", ANSWERS.decode().encode("utf-16"), ", line 1: .*(NUL|0xff)"),
    answers("10 MB on a line", b"2 -1\n" + b"1 " * 5_000_000, ", line 2: .*longer than 1 MB"),
    answers("long first line", b"1 " * 600_000, ", line 1: .*longer than 1 MB"),
    answers("many, then narrow", b"0 1\n" * 100_000 + b"0\n", ", line 100001: .*found 1 in '0'"),
    answers("blanks after many", b"0 1\n" * 9 + b"\n" * 200_000 + b"0", ", line 10: .*found 0 in"),
    Bad("no folder", {}, "/gone: expected a folder, found nothing", "labelme:{}/gone"),
    Bad("folder not named", {}, "^expected labelme:DIR, found 'labelme:'$", "labelme:"),
    Bad("not printable", {}, "expected a source in printable", "labelme:{}\n"),
    Bad("misspelt source", {}, "unknown source 'lableme': did you mean 'labelme'", "lableme:{}"),
    Bad("a table as features", {}, "unknown source 'csv' .known: labelme", "csv:{}"),
]


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_what_is_wrong_is_said_in_a_sentence(tmp_path, case):
    check_refused(sources.crowd_features, tmp_path, case)


READ = "002 200 211 310"  # item, worker, label
ODD = {
    "plain": ({}, READ),
    "no end of line": ({"answers.txt": ANSWERS[:-1], TRAIN_Z: b"2\n0\n1\n0"}, READ),
    "blank lines at the end": ({"answers.txt": ANSWERS + b"\n\r\n", TEST_Z: b"0\n0\n2\n\n"}, READ),
    "CRLF": ({name: FILES[name].replace(b"\n", b"\r\n") for name in ("answers.txt", TEST_Z)}, READ),
    "CR": ({name: FILES[name].replace(b"\n", b"\r") for name in ("answers.txt", TEST_Z)}, READ),
    "byte-order mark": ({"answers.txt": b"\xef\xbb\xbf" + ANSWERS}, READ),
    "tabs and spaces": ({"answers.txt": b"2\t-1\n -1  -1 \n0 \t1\n-1 0\n"}, READ),
    "zeros": ({"answers.txt": b"002 -01\n-1 -1\n-0 1\n-1 000000000\n", TEST_Z: b"0\n-0\n02"}, READ),
    "silent workers": ({"answers.txt": b"-1 0 -1\n" * 4}, "010 110 210 310"),
    "one worker": ({"answers.txt": b"0\n-1\n-1\n1\n"}, "000 301"),
    "one answer": ({"answers.txt": b"-1\n-1\n-1\n2\n"}, "302"),
    "big endian": ({TRAIN_X: npy(X.astype(">f4"))}, READ),
    "Fortran order": ({TRAIN_X: npy(np.asfortranarray(X))}, READ),
    "format 2.0": ({TRAIN_X: promising((4, 3))}, READ),
    "more files": ({"README": b"", "x.npy": b""}, READ),
}


@pytest.mark.parametrize(("files", "rows"), ODD.values(), ids=ODD)
def test_what_is_odd_is_read(tmp_path, files, rows):
    write(tmp_path, FILES | files)
    read = sources.crowd_features(f"labelme:{tmp_path}")
    assert read.name == f"labelme:{tmp_path}"
    assert read.labels == ("0", "1", "2")
    assert read.num_workers == len((FILES | files)["answers.txt"].splitlines()[0].split())
    triples = np.stack([read.item, read.worker, read.label], axis=1)
    np.testing.assert_array_equal(triples, [[int(digit) for digit in row] for row in rows.split()])
    expected = (X, [2, 0, 1, 0]), (X[:2] + 1, [1, 2]), (X[:3] + 2, [0, 0, 2])
    for (features, labels), i in zip(expected, (5, 7, 9), strict=True):
        np.testing.assert_array_equal(read[i], features)
        np.testing.assert_array_equal(read[i + 1], labels)
        assert (read[i].dtype, read[i + 1].dtype) == (np.float32, np.int32)
    assert {array.dtype for array in read[1:4]} == {np.dtype(np.int32)}


@pytest.mark.parametrize("broken", [TRAIN_X, TEST_Z, "answers.txt"])
def test_broken_files_end_in_sentences_only(tmp_path, broken):
    check_mutations(lambda: sources.crowd_features(f"labelme:{tmp_path}"), tmp_path, FILES, broken)


PROMISES = {
    "many numbers": {TRAIN_X: promising((2**15, 2**15))},
    "long header": {TRAIN_X: promising((4, 3), size=2**30)},
    "long line": {TRAIN_Z: b"1 " * 10_000_000},
}


@pytest.mark.parametrize("files", PROMISES.values(), ids=PROMISES)
def test_promises_take_little_memory(tmp_path, files):
    write(tmp_path, FILES | files)
    tracemalloc.start()
    with pytest.raises(InputError, match="|".join(files)):
        sources.crowd_features(f"labelme:{tmp_path}")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


def test_features_take_the_memory_of_their_file(tmp_path):
    many = npy(np.ones((4, 1_000_000), np.float32))
    write(tmp_path, FILES | {TRAIN_X: many})
    tracemalloc.start()
    with pytest.raises(InputError, match=r"valid\.npy: expected 1000000 features"):
        sources.crowd_features(f"labelme:{tmp_path}")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.6 * len(many)  # and a truth value for each number


def test_real_labelme(real_data):
    read = sources.crowd_features(f"labelme:{real_data('crowd', 'labelme')}")
    assert read.train_features.shape == (1000, 512)
    assert read.valid_features.shape == (500, 512)
    assert read.test_features.shape == (1188, 512)
    assert (len(read.item), read.num_workers, read.labels) == (2547, 59, tuple("01234567"))
    np.testing.assert_array_equal(np.unique(read.item), np.arange(1000))  # each has an answer
    np.testing.assert_array_equal(np.unique(read.worker), np.arange(59))
    np.testing.assert_array_equal(np.bincount(read.label), [177, 335, 341, 294, 359, 360, 439, 242])
    assert (np.diff(read.item) >= 0).all()
    right = read.label == read.train_labels[read.item]
    assert 0.6 < right.mean() < 0.8

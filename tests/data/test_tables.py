"""Tables of labels by people: what is refused and in which words, what is odd and yet read."""

import csv
import io
import os
import pathlib
import tempfile
import tracemalloc
from typing import NamedTuple

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from broken_files import Bad, check_mutations, check_refused, write

from trinity_jax.data import _files, sources
from trinity_jax.types import InputError

HEADER = b"item,worker,label\n"
LABEL = HEADER + b"a,u,0\nb,u,1\n"
MANY = HEADER + b"item,worker,0\n" * 100_000  # more than is read at once


def label(name, content, pattern):
    return Bad(name, {"label.csv": content}, r"/label\.csv" + pattern, "csv:{}")


def truth(name, content, pattern):
    files = {"label.csv": LABEL, "truth.csv": content}
    return Bad(name, files, r"/truth\.csv" + pattern, "csv:{}")


def link(target):
    return lambda path: path.symlink_to(target)


BAD = [
    label("empty", b"", ": expected the header item,worker,label and rows, found no rows"),
    label("byte-order mark only", b"\xef\xbb\xbf", ": .*found no rows"),
    label("header only", HEADER, ": .*found no rows"),
    label("header without an end", HEADER[:-1], ": .*found no rows"),
    label("line end only", b"\n", ": .*found no rows"),
    label("other order", b"worker,item,label\nu,a,0\n", ", line 1: expected the header item,wor"),
    label("other names", b"task,worker,label\na,u,0\n", ", line 1: .*found 'task,worker,label'"),
    label("capitals", b"Item,Worker,Label\na,u,0\n", ", line 1: .*found 'Item,Worker,Label'"),
    label("spaced header", b"item, worker, label\na,u,0\n", ", line 1: .*'item, worker, label'"),
    label("no header", b"a,u,0\nb,u,1\n", ", line 1: expected the header .*found 'a,u,0'"),
    label("semicolons", b"item;worker;label\na;u;0\n", ", line 1: .*found 1 field in 'item;"),
    label("tabs", b"item\tworker\tlabel\na\tu\t0\n", r", line 1: .*found 1 field in 'item\\t"),
    label("fourth column", b"item,worker,label,time\na,u,0,9\n", ", line 1: .*found 4 fields"),
    label("blank first", b"\n" + LABEL, ", line 1: expected item,worker,label, found 0 fields"),
    label("narrow row", LABEL + b"c,u\nd,u,1\n", ", line 4: .*found 2 fields in 'c,u'"),
    label("wide row", LABEL + b"c,u,1,\n", ", line 4: .*found 4 fields in 'c,u,1,'"),
    label("narrow, then wide", LABEL + b"c,u\nd,u,1,1\n", ", line 4: .*found 2 fields in 'c,u'"),
    label("blank between", LABEL + b"\nc,u,1\n", ", line 4: .*found 0 fields in ''"),
    label("returns doubled", LABEL.replace(b"\n", b"\r\r\n"), ", line 2: .*found 0 fields in ''"),
    label("spaces only", LABEL + b"  \n", ", line 4: .*found 1 field in '  '"),
    label("empty item", LABEL + b",u,1\n", ", line 4: .*found an empty item in ',u,1'"),
    label("empty worker", LABEL + b"c,,1\n", ", line 4: .*found an empty worker in 'c,,1'"),
    label("empty label", LABEL + b"c,u,\n", ", line 4: .*found an empty label in 'c,u,'"),
    label("quoted nothing", LABEL + b'c,"",1\n', ", line 4: .*found an empty worker"),
    label("NUL", LABEL + b"c,u\0,1\n", ", line 4: .*found a NUL byte at byte offset 3 of the line"),
    label("NUL in the header", b"\0" + LABEL, ", line 1: .*NUL byte at byte offset 0"),
    label("Latin-1", LABEL + b"caf\xe9,u,1\n", ", line 4: .*in UTF-8, .*0xe9 at byte offset 3"),
    label("cut UTF-8", LABEL + b"c,u,\xc3", ", line 4: .*found byte 0xc3 at byte offset 4"),
    label("surrogate", LABEL + b"\xed\xa0\x80,u,1", ", line 4: .*byte 0xed at byte offset 0"),
    label("UTF-16", LABEL.decode().encode("utf-16"), ", line 1: .*(NUL|0xff)"),
    label("open quote", LABEL + b'"c,u,1\nd,u,1\n', ", line 4: .*quotes closed on the same line"),
    label("open quote last", LABEL + b'c,u,"1', ", line 4: .*quotes closed on the same line"),
    label("open quote first", b'"' + LABEL, ", line 1: .*quotes closed on the same line"),
    label("line feed in an id", LABEL + b'"c\nd",u,1\n', ", line 4: .*quotes closed"),
    label("return in an id", LABEL + b'"c\rd",u,1\n', ", line 4: .*quotes closed"),
    label("blank line in an id", LABEL + b'"c\n\nd",u,1\n', ", line 4: .*quotes closed"),
    label("text after a quote", LABEL + b'"c"d,u,1\n', ', line 4: .*found ."c"d,u,1'),
    label("long line", LABEL + b"c" * 1_000_000 + b",u,1\n", ", line 4: .*longer than 1 MB"),
    label("10 MB on a line", HEADER + b"c" * 10_000_000, ", line 2: .*longer than 1 MB"),
    label("10 MB header", b"c" * 10_000_000, ", line 1: .*longer than 1 MB"),
    label("long after many", MANY + b"c" * 3_000_000, ", line 100002: .*longer than 1 MB"),
    label("narrow after many", MANY + b"c,u\n", ", line 100002: .*found 2 fields"),
    label("blanks after many", MANY + b"\n" * 2_000_000 + b"c", ", line 100002: .*found 0 fields"),
    label("a folder", None, ": expected a file, found a folder"),
    label("a pipe", os.mkfifo, ": expected a file, found a folder or a device"),
    label("link to nothing", link("gone"), ": cannot be read .'No such file"),
    label("link to itself", link("label.csv"), ": cannot be read"),
    label("link to a folder", link("."), ": expected a file, found a folder"),
    truth("empty truth", b"", ": expected the header item,truth and rows, found no rows"),
    truth("truth header only", b"item,truth\n", ": .*found no rows"),
    truth("truth as label", b"item,label\na,0\n", ", line 1: expected the header item,truth, fou"),
    truth("truth first", b"truth,item\n0,a\n", ", line 1: .*found 'truth,item'"),
    truth("truth by workers", LABEL, ", line 1: expected item,truth, found 3 fields"),
    truth("unknown item", b"item,truth\na,0\nc,1\n", ", line 3: expected an item .*found 'c'"),
    truth("spaced item", b"item,truth\n a,0\n", ", line 2: expected an item .*found ' a'"),
    truth("two truths", b"item,truth\na,0\nb,1\na,1\n", ", line 4: expected truth '0' .*'a'.*'1'"),
    truth("no truth", b"item,truth\na,\n", ", line 2: .*found an empty truth"),
    truth("wide truth", b"item,truth\na,0,0\n", ", line 2: .*found 3 fields"),
    truth("blank in truth", b"item,truth\na,0\n\nb,1\n", ", line 3: .*found 0 fields"),
    truth("truth not UTF-8", b"item,truth\na,\xff\n", ", line 2: .*byte 0xff at byte offset 2"),
    truth("truth a folder", None, ": expected a file"),
    truth("truth linked to nothing", link("gone"), ": cannot be read"),
    Bad("misspelt file", {"labels.csv": LABEL}, r"/label\.csv: cannot be read .'No such", "csv:{}"),
    Bad("no folder", {}, "/gone: expected a folder, found nothing", "csv:{}/gone"),
    Bad("file, not folder", {"f": b""}, "/f: expected a folder, found a file", "csv:{}/f"),
    Bad("long folder", {}, "expected a folder, found nothing", "csv:{}/" + "x" * 5000),
    Bad("folder not named", {}, "^expected csv:DIR, found 'csv:'$", "csv:"),
    Bad("not printable", {}, "expected a source in printable", "csv:{}\n/x"),
    Bad("NUL in a path", {}, "expected a source in printable", "csv:\0"),
    Bad("misspelt source", {}, "unknown source 'cvs': did you mean 'csv'", "cvs:{}"),
    Bad("images as a crowd", {}, "unknown source 'digits'", "digits"),
    Bad("nothing", {}, "unknown source ''", ""),
]


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_what_is_wrong_is_said_in_a_sentence(tmp_path, case):
    check_refused(sources.crowd, tmp_path, case)


class Odd(NamedTuple):
    """A table that is read; items, workers and labels separated by spaces, rows by digits."""

    name: str
    label: bytes
    items: str
    workers: str
    labels: str
    rows: str
    truth: bytes | None = None
    truths: list[int] | None = None
    duplicates: int = 0


def odd(name, rows, *expected):
    return Odd(name, HEADER + rows, *expected)


TWO = b"a,u,0\nb,u,1\n"
READ = "a b", "u", "0 1", "000 101"
LONG = "x" * 999_000
ODD = [
    odd("plain", TWO, *READ),
    odd("one row", b"a,u,0\n", "a", "u", "0", "000"),
    odd("no end of line", TWO[:-1], *READ),
    odd("one line end more", TWO + b"\n", *READ),
    odd("blank lines at the end", TWO + b"\n\r\n\n", *READ),
    odd("blank megabytes at the end", TWO + b"\n" * 2_500_000, *READ),
    Odd("CRLF", LABEL.replace(b"\n", b"\r\n"), *READ),
    Odd("CR", LABEL.replace(b"\n", b"\r"), *READ),
    odd("mixed line ends", b"a,u,0\r\nb,u,1\rc,u,0\n", "a b c", "u", "0 1", "000 101 200"),
    Odd("byte-order mark", b"\xef\xbb\xbf" + LABEL, *READ),
    Odd("mark and CRLF", b"\xef\xbb\xbf" + LABEL.replace(b"\n", b"\r\n"), *READ),
    odd("mark within", "\ufeffa,u,0\n".encode(), "\ufeffa", "u", "0", "000"),
    Odd("quoted header", b'"item","worker","label"\n' + TWO, *READ),
    odd("all quoted", b'"a","u","0"\n"b","u","1"\n', *READ),
    odd("comma in quotes", b'"a,b",u,0\n', "a,b", "u", "0", "000"),
    odd("doubled quote", b'"a""b",u,0\n', 'a"b', "u", "0", "000"),
    odd("quote within", b'5" disk,u,0\n', '5"_disk', "u", "0", "000"),
    odd("apostrophes", b"'a',u,0\n", "'a'", "u", "0", "000"),
    odd("backslashes", b"\\N,u,a\\\n", "\\N", "u", "a\\", "000"),
    odd("hash", b"#a,u,0\n", "#a", "u", "0", "000"),
    odd("formula", b"=1+1,@u,-x\n", "=1+1", "@u", "-x", "000"),
    odd("markup", b"<b>,&amp;,0\n", "<b>", "&amp;", "0", "000"),
    odd("Chinese", "猫,工,是\n狗,工,否\n".encode(), "狗 猫", "工", "否 是", "000 101"),
    odd("emoji", "🐈,u,👍\n".encode(), "🐈", "u", "👍", "000"),
    odd("two kinds of é", "é,u,0\ne\u0301,u,0\n".encode(), "e\u0301 é", "u", "0", "000 100"),
    odd("digits of other scripts", "٣,u,0\n10,u,0\n".encode(), "10 ٣", "u", "0", "000 100"),
    odd("other separators", "a\u2028,u\x0b,0\x85\n".encode(), "a\u2028", "u\x0b", "0\x85", "000"),
    odd("control characters", b"a\x01\t,u,\x7f\n", "a\x01\t", "u", "\x7f", "000"),
    odd("spaces kept", b" a,u ,0\na,u,0\n", "_a a", "u u_", "0", "010 100"),
    odd("a space is an id", b" , , \n", "_", "_", "_", "000"),
    odd("long id", LONG.encode() + b",u,0\n", LONG, "u", "0", "000"),
    odd("long quoted id", b'"' + LONG.encode() + b'",u,0\n', LONG, "u", "0", "000"),
    odd("order by value", b"10,u,0\n9,u,0\n", "9 10", "u", "0", "000 100"),
    odd("order as strings", b"10,u,0\n9,u,0\nx,u,0\n", "10 9 x", "u", "0", "000 100 200"),
    odd("leading zeros", b"7,u,0\n007,u,1\n07,u,0\n", "007 07 7", "u", "0 1", "001 100 200"),
    odd("below zero", b"-1,u,0\n-10,u,1\n0,u,-1\n", "-10 -1 0", "u", "-1 0 1", "002 101 200"),
    odd("minus zero", b"0,u,0\n-0,u,0\n", "-0 0", "u", "0", "000 100"),
    odd("19 digits", b"%d,u,0\n2,u,0\n" % 10**18, f"{10**18} 2", "u", "0", "000 100"),
    odd("5000 digits", b"9" * 5000 + b",u,0\n", "9" * 5000, "u", "0", "000"),
    odd("fractions", b"1.5,u,1e3\n1.25,u,nan\n", "1.25 1.5", "u", "1e3 nan", "001 100"),
    odd("numbers, text", b"a,u,1 star\na,v,10 stars\n", "a", "u v", "1_star 10_stars", "000 011"),
    odd("labels with a gap", b"a,u,5\nb,u,1\n", "a b", "u", "1 5", "001 100"),
    odd("words for nothing", b"NA,None,null\n", "NA", "None", "null", "000"),
    odd("header again", b"item,worker,label\n", "item", "worker", "label", "000"),
    odd("workers named as items", b"a,a,b\nb,a,a\n", "a b", "a", "a b", "001 100"),
    odd("one class", b"a,u,0\nb,v,0\n", "a b", "u v", "0", "000 110"),
    odd("one item", b"a,v,0\na,u,1\n", "a", "u v", "0 1", "001 010"),
    odd("any order", b"b,v,0\na,v,1\nb,u,0\na,u,0\n", "a b", "u v", "0 1", "000 011 100 110"),
    odd("repeats", TWO + b"a,u,0\na,u,0\n", *READ, None, None, 2),
    odd("repeats in quotes", TWO + b'"a",u,0\n', *READ, None, None, 1),
    odd("second thoughts", b"a,u,1\na,u,0\n", "a", "u", "0 1", "000 001"),
    odd("truth", TWO, *READ, b"b,0\na,1\n", [1, 0]),
    odd("truth of some", TWO, *READ, b"b,0", [-1, 0]),
    odd("truth twice", TWO, *READ, b"b,0\nb,0\n", [-1, 0]),
    odd("truth unheard of", TWO, "a b", "u", "0 1 2", "000 101", b"a,2\n", [2, -1]),
    odd("truth moves labels", TWO, "a b", "u", "-1 0 1", "001 102", b"a,-1\n", [0, -1]),
    odd("truth in CRLF", TWO, *READ, b"a,0\r\nb,1\r\n\r\n", [0, 1]),
    odd("truth in quotes", b'"a,b",u,0\n', "a,b", "u", "0", "000", b'"a,b",0\n', [0]),
]


@pytest.mark.parametrize("case", ODD, ids=lambda case: case.name)
def test_what_is_odd_is_read(tmp_path, case):
    write(tmp_path, {"label.csv": case.label})
    if case.truth is not None:
        write(tmp_path, {"truth.csv": b"item,truth\n" + case.truth})
    crowd = sources.crowd(f"csv:{tmp_path}")
    assert crowd.name == f"csv:{tmp_path}"
    for names, expected in zip(crowd[5:8], (case.items, case.workers, case.labels), strict=True):
        assert names == tuple(name.replace("_", " ") for name in expected.split(" "))
    rows = np.array([[int(digit) for digit in row] for row in case.rows.split()])
    np.testing.assert_array_equal(np.stack(crowd[1:4], axis=1), rows)
    np.testing.assert_array_equal(crowd.truth, case.truths or [-1] * len(crowd.items))
    assert crowd.duplicates == case.duplicates
    assert {array.dtype for array in crowd[1:5]} == {np.dtype(np.int32)}


def test_a_refused_line_takes_little_memory(tmp_path):
    write(tmp_path, {"label.csv": HEADER + b"c" * 50_000_000})
    tracemalloc.start()
    with pytest.raises(InputError, match=r"line 2: .*longer than 1 MB"):
        sources.crowd(f"csv:{tmp_path}")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 10_000_000


def test_csv_limits_of_the_process_are_left_alone(tmp_path):
    before = csv.field_size_limit()
    write(tmp_path, {"label.csv": LABEL})
    sources.crowd(f"csv:{tmp_path}")
    write(tmp_path, {"label.csv": b""})
    with pytest.raises(InputError):
        sources.crowd(f"csv:{tmp_path}")
    assert csv.field_size_limit() == before


def test_files_and_folders_that_may_not_be_read(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    write(tmp_path, {"label.csv": LABEL})
    with monkeypatch.context() as patched:
        patched.setattr(_files, "open", refuse, raising=False)
        with pytest.raises(InputError, match=r"label\.csv: cannot be read \('Permission denied'\)"):
            sources.crowd(f"csv:{tmp_path}")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(InputError, match=f"{tmp_path}: .* found one that may not be read"):
        sources.crowd(f"csv:{tmp_path}")


# Any text that UTF-8 can hold, less what ends a line.
IDS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), min_size=1, max_size=5)
ROWS = st.lists(st.tuples(IDS, IDS, IDS), min_size=1, max_size=30)


def read_rows(rows, truths, end):
    with tempfile.TemporaryDirectory() as folder:
        for name, table in (("label", rows), ("truth", truths)):
            text = io.StringIO()
            header = ("item", "worker", "label") if name == "label" else ("item", "truth")
            csv.writer(text, lineterminator=end).writerows([header, *table])
            pathlib.Path(folder, f"{name}.csv").write_bytes(text.getvalue().encode())
        return sources.crowd(f"csv:{folder}")._replace(name="")


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(ROWS, st.sampled_from(["\n", "\r\n", "\r"]), st.randoms())
def test_any_table_comes_back_in_any_order(rows, end, random):
    truths = list({row[0]: row[2] for row in rows}.items())
    crowd = read_rows(rows, truths, end)
    triples = zip(crowd.item, crowd.worker, crowd.label, strict=True)
    names = [(crowd.items[i], crowd.workers[w], crowd.labels[k]) for i, w, k in triples]
    assert set(names) == set(rows)
    assert len(names) == len(set(rows)) == len(rows) - crowd.duplicates
    known = {crowd.items[i]: crowd.labels[k] for i, k in enumerate(crowd.truth)}
    assert known == dict(truths)
    assert (np.diff(crowd.item) >= 0).all()
    random.shuffle(rows)
    random.shuffle(truths)
    for one, other in zip(crowd, read_rows(rows, truths, end), strict=True):
        np.testing.assert_array_equal(one, other)


def test_many_rows_in_many_blocks(tmp_path):
    """Lines are whole wherever a reading happens to end."""
    rng = np.random.default_rng(0)
    table = np.unique(rng.integers(0, (50_000, 300, 7), (100_000, 3)), axis=0)
    lines = [f"{i},worker number {w},猫{k}" for i, w, k in rng.permutation(table)]
    for end in ("\n", "\r\n", "\r"):
        write(tmp_path, {"label.csv": end.join(["item,worker,label", *lines]).encode()})
        crowd = sources.crowd(f"csv:{tmp_path}")
        items = np.array(crowd.items, int)[crowd.item]
        workers = np.array([int(name.split()[-1]) for name in crowd.workers])[crowd.worker]
        again = np.unique(np.stack([items, workers, crowd.label], axis=1), axis=0)
        np.testing.assert_array_equal(again, table)
        assert crowd.duplicates == 0


@pytest.mark.parametrize("broken", ["label.csv", "truth.csv"])
def test_broken_files_end_in_sentences_only(tmp_path, broken):
    files = {"label.csv": LABEL + b'"c,d",u,0\r\n', "truth.csv": b'item,truth\na,0\n"b",1\n'}
    check_mutations(lambda: sources.crowd(f"csv:{tmp_path}"), tmp_path, files, broken)


# Items, workers, classes, labels, true labels.
SIZES = {
    "bluebird": (108, 39, 2, 4212, 108),
    "rte": (800, 164, 2, 8000, 800),
    "cf": (300, 461, 5, 1720, 300),
    "music_genre": (700, 44, 10, 2945, 700),
    "sentiment_polarity": (4999, 203, 2, 27746, 4999),
    "d_product": (8315, 176, 2, 24945, 8315),
}


@pytest.mark.parametrize("name", SIZES)
def test_real_crowds(real_data, name):
    crowd = sources.crowd(f"csv:{real_data('crowd', name)}")
    sizes = len(crowd.items), len(crowd.workers), len(crowd.labels), len(crowd.item)
    assert (*sizes, (crowd.truth >= 0).sum()) == SIZES[name]
    assert crowd.duplicates == 0

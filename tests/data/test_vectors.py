"""Word vectors: text with and without a header, gzipped or not, and rows with a table of words."""

import collections
import gzip
import os
import tempfile
import tracemalloc
from typing import Any

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from broken_files import Bad, check_mutations, check_refused, write

from trinity_jax.data import sources
from trinity_jax.types import InputError

GLOVE = "the 0.5 -1 2e-1\nRome 1 2 3\nwest 0 0 .25\n"
TABLE = np.array([[0.5, -1, 0.2], [1, 2, 3], [0, 0, 0.25]], np.float32)
WORDS = {"the": 0, "Rome": 1, "west": 2}


def npy(values):
    return lambda path: np.save(path, values)


def text(name, content, pattern):
    content = content.encode() if isinstance(content, str) else content
    return Bad(name, {"v.txt": content}, r"/v\.txt" + pattern, "{}/v.txt")


def pair(name, pattern, **files):
    usual = {"v.npy": npy(TABLE), "v.tsv": b"the\t0\n"}
    return Bad(name, usual | {f"v.{end}": files[end] for end in files}, pattern, "{}")


def binary(rows=TABLE, words=("the", "Rome", "west"), between=b"\n", count=3):
    """word2vec's bytes; some programs end a row with a new line, others do not."""
    pairs = zip(words, np.asarray(rows, "<f4"), strict=True)
    body = b"".join(word.encode() + b" " + row.tobytes() + between for word, row in pairs)
    return f"{count} {len(rows[0])}\n".encode() + body


BAD = [
    text("empty", "", ": expected lines of a word and numbers, found none"),
    text("header only", "0 3\n", ": expected lines of a word and numbers, found none"),
    text("no numbers", "the\n", ", line 1: expected a word and some numbers, found 1 fields"),
    text("narrow", GLOVE + "a 1 2\n", ", line 4: expected a word and 3 numbers, found 3 fields"),
    text("wide", GLOVE + "a 1 2 3 4\n", ", line 4: expected a word and 3 numbers, found 5 fields"),
    text("blank between", GLOVE + "\na 1 2 3\n", ", line 4: .*3 numbers, found 1 fields"),
    text("no word", GLOVE + " 1 2 3\n", ", line 4: expected a word and 3 numbers"),
    text("a word for a number", GLOVE + "a 1 x 3\n", ", line 4: .*not numbers, in 'a 1 x 3'"),
    text("two spaces", GLOVE + "a 1  2 3\n", ", line 4: expected a word and 3 numbers"),
    text("tabs", "a\t1\t2\n", ", line 1: expected a word and some numbers"),
    text("commas", "a 1,2,3\n", ", line 1: .*or not numbers"),
    text("NaN", GLOVE + "a 1 nan 3\n", ", line 4: expected finite numbers, found nan"),
    text("infinite", GLOVE + "a 1 2 -inf\n", ", line 4: expected finite numbers, found -inf"),
    text("above float32", GLOVE + "a 1 2 1e39\n", ", line 4: expected finite numbers, found inf"),
    text("not UTF-8", GLOVE.encode() + b"\xe9 1 2 3\n", ", line 4: .*in UTF-8, found byte 0xe9"),
    text("NUL", GLOVE + "a\0b 1 2 3\n", ", line 4: .*NUL byte"),
    text("10 MB on a line", "a 1 2\n" + "b" * 10_000_000, ", line 2: .*longer than 1 MB"),
    text("promised more", "4 3\n" + GLOVE, ": expected the 4 words that line 1 promises, found 3"),
    text("promised less", "2 3\n" + GLOVE, ": expected the 2 words that line 1 promises, found 3"),
    text("other width", "3 4\n" + GLOVE, ", line 2: expected a word and 4 numbers, found 4 fields"),
    text("no width", "3 0\n" + GLOVE, ", line 2: expected a word and 1 numbers"),
    text("bytes cut", binary()[:-3], ", word 3 of 3: expected a word and 3 float32.*end of"),
    text("bytes promise more", binary(count=4), ", word 4 of 4: .*found the end of the file"),
    text("bytes promise less", binary(count=2), ": expected the 2 words that line 1 promises"),
    text("bytes without a word", binary(words=["a", "", "b"]), ", word 2 of 3: .*found no word"),
    text(
        "bytes not finite",
        binary(TABLE + np.array([0, -np.inf, 0])),
        ", word 1 of 3: .*finite.*found -inf",
    ),
    text("bytes not UTF-8", binary().replace(b"Rome", b"\xe9"), ", word 2 of 3: .*in UTF-8"),
    text("not gzip", b"\x1f\x8b", r", line 1: .*0x8b"),
    Bad("gzip in name only", {"v.gz": b"the 1 2\n"}, r"/v\.gz: cannot be read", "{}/v.gz"),
    Bad("gzip cut", {"v.gz": gzip.compress(b"the 1\n")[:-9]}, r"/v\.gz: cannot be", "{}/v.gz"),
    Bad("nothing", {}, "/gone: cannot be read .'No such file", "{}/gone"),
    Bad("long name", {}, "cannot be read", "{}/" + "x" * 5000),
    Bad("a pipe", {"v": os.mkfifo}, "/v: expected a file", "{}/v"),
    Bad("not printable", {}, "expected a source in printable", "{}/\n"),
    Bad("empty folder", {}, r"expected one file \*\.npy, found 'none'", "{}"),
    pair("no rows", r"v\.tsv, line 2: expected WORD<TAB>ROW, found 'a'", tsv=b"the\t0\na\n"),
    pair("no word", r"v\.tsv, line 1: expected WORD<TAB>ROW", tsv=b"\t0\n"),
    pair("row below 0", r"v\.tsv, line 1: expected WORD<TAB>ROW", tsv=b"a\t-1\n"),
    pair("row out of range", r"line 1: expected a row from 0 to 2, found 3", tsv=b"a\t3\n"),
    pair("row as text", r"line 1: expected WORD<TAB>ROW", tsv="a\t٣\n".encode()),
    pair("not UTF-8", r"line 1: expected WORD<TAB>ROW in UTF-8, found byte", tsv=b"\xff\t0\n"),
    pair("no words", r"v\.tsv: expected lines WORD<TAB>ROW, found none", tsv=b""),
    pair("two tables", r"one file \*\.tsv or \*\.tsv\.gz, found", **{"tsv.gz": b""}),
    pair("not finite", r"v\.npy, row 1, column 2", npy=npy(np.array([[0, np.nan]], np.float16))),
    pair("integers", r"v\.npy: expected float16 or float32", npy=npy(np.eye(3, dtype=int))),
    pair("one axis", r"v\.npy: expected float16 or float32 \[", npy=npy(TABLE[0])),
    pair("objects", r"v\.npy: expected float16", npy=npy(np.array([[None]], object))),
]


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_what_is_wrong_is_said_in_a_sentence(tmp_path, case):
    check_refused(sources.vectors, tmp_path, case)


def check(vectors, words=WORDS, table: Any = TABLE):
    assert dict(vectors.words) == words
    assert vectors.table.dtype == np.float32
    np.testing.assert_array_equal(vectors.table, table)


ODD = {
    "GloVe": GLOVE,
    "word2vec": "3 3\n" + GLOVE,
    "spaces at the ends": "3 3 \n" + GLOVE.replace("\n", " \n"),
    "CRLF": GLOVE.replace("\n", "\r\n"),
    "byte-order mark": "\ufeff" + GLOVE,
    "no end": GLOVE.rstrip(),
    "a word again": GLOVE + "the 7 7 7\n",
}


@pytest.mark.parametrize("name", ODD)
@pytest.mark.parametrize("file", ["v.txt", "v.txt.gz"])
def test_text(tmp_path, name, file):
    content = ODD[name].encode()
    write(tmp_path, {file: gzip.compress(content) if file.endswith("gz") else content})
    check(sources.vectors(f"{tmp_path}/{file}"))
    check(sources.vectors(f"{tmp_path}/{file}", only=["The", "ROME", "West", "x"]))
    few = sources.vectors(f"{tmp_path}/{file}", only={"rome", "Rome", "WEST"})
    check(few, {"Rome": 0, "west": 1}, TABLE[1:])
    check(sources.vectors(f"{tmp_path}/{file}", only=()), {}, TABLE[:0])


@pytest.mark.parametrize("between", [b"\n", b""])
@pytest.mark.parametrize("file", ["v.bin", "v.bin.gz"])
def test_bytes(tmp_path, file, between):
    content = binary(between=between)
    write(tmp_path, {file: gzip.compress(content) if file.endswith("gz") else content})
    check(sources.vectors(f"{tmp_path}/{file}"))
    check(
        sources.vectors(f"{tmp_path}/{file}", only={"rome", "WEST"}),
        {"Rome": 0, "west": 1},
        TABLE[1:],
    )


def test_bytes_of_many_words(tmp_path):
    table = np.random.default_rng(0).normal(size=(40_000, 50)).astype(np.float32)
    words = [f"词{row}" for row in range(len(table))]
    write(tmp_path, {"v": binary(table, words, b"", len(table))})
    read = sources.vectors(str(tmp_path / "v"), only=words[::7])
    check(read, {word: row for row, word in enumerate(words[::7])}, table[::7])


def test_words_of_glove(tmp_path):
    words = ["the", ". .", "at x@y.z", "猫", "1", "\u00a0"]
    text = "".join(f"{word} {row} {row + 1}\n" for row, word in enumerate(words))
    write(tmp_path, {"v": text.encode()})
    table = np.arange(6)[:, None] + [0, 1]
    check(sources.vectors(str(tmp_path / "v")), {w: i for i, w in enumerate(words)}, table)
    check(sources.vectors(str(tmp_path / "v"), only=["at x@y.z"]), {"at x@y.z": 0}, table[2:3])


def test_one_number_a_word(tmp_path):
    write(tmp_path, {"v": b"a 1\nb 2\n"})
    check(sources.vectors(str(tmp_path / "v")), {"a": 0, "b": 1}, [[1], [2]])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, ">f4"])
@pytest.mark.parametrize("zipped", [False, True])
def test_rows_with_a_table_of_words(tmp_path, dtype, zipped):
    words = b"the\t2\r\nRome\t0\r\nrome\t0\r\nthe\t1\n# x\t1"
    table = {"w.tsv.gz": gzip.compress(words)} if zipped else {"w.tsv": words}
    write(tmp_path, {"v.npy": npy(np.array([[1, 2], [3, 4], [5, 6]], dtype)), **table})
    read = sources.vectors(str(tmp_path))
    check(read, {"the": 2, "Rome": 0, "rome": 0, "# x": 1}, [[1, 2], [3, 4], [5, 6]])
    assert dict(sources.vectors(str(tmp_path), only=["THE"]).words) == {"the": 2}


def test_words_are_looked_up_as_they_are_then_lower_then_capitalised():
    words = {"us": 0, "US": 1, "Rome": 2, "élan": 3}
    vectors = sources.Vectors(words, np.arange(1, 9, dtype=np.float32).reshape(4, 2))
    asked = ["US", "us", "Us", "ROME", "rome", "ÉLAN", "", "x", "us"]
    found, known = sources.rows(vectors, asked)
    assert known.tolist() == [True] * 6 + [False, False, True]
    assert found.dtype == np.float32
    assert found[:, 0].tolist() == [3, 1, 1, 5, 5, 7, 0, 0, 1]
    found, known = sources.rows(vectors, [])
    assert found.shape == (0, 2)
    assert known.shape == (0,)


def test_memory_grows_with_what_is_kept(tmp_path):
    line = b" ".join([b"0.25"] * 1000)
    content = b"".join(b"w%d %s\n" % (i, line) for i in range(500))
    write(tmp_path, {"v.gz": gzip.compress(content, 1), "h.txt": b"999999999 999999\na 1\n"})
    tracemalloc.start()
    read = sources.vectors(f"{tmp_path}/v.gz", only=["W3"])
    with pytest.raises(InputError, match="line 2: expected a word and 999999 numbers"):
        sources.vectors(f"{tmp_path}/h.txt")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert dict(read.words) == {"w3": 0}
    assert peak < 1_500_000  # all of it were 2 MB


NUMBERS = st.floats(width=32, allow_nan=False, allow_infinity=False)
WORD = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0 "), min_size=1, max_size=5)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(
    st.integers(2, 4).flatmap(
        lambda dim: st.dictionaries(
            WORD, st.lists(NUMBERS, min_size=dim, max_size=dim), min_size=1, max_size=8
        )
    ),
    st.booleans(),
)
def test_any_table_comes_back(table, header):
    dim = len(next(iter(table.values())))
    lines = [" ".join([word, *map(repr, row)]) for word, row in table.items()]
    lines = [f"{len(table)} {dim}", *lines] if header else lines
    with tempfile.TemporaryDirectory() as folder:
        write(folder, {"v": "\n".join(lines).encode()})
        read = sources.vectors(f"{folder}/v")
    assert list(read.words) == list(table)
    np.testing.assert_array_equal(read.table, np.array(list(table.values()), np.float32))


@pytest.mark.parametrize("broken", ["v.txt", "v.txt.gz"])
def test_broken_text_ends_in_sentences_only(tmp_path, broken):
    content = ("3 3\n" + GLOVE).encode()
    content = gzip.compress(content, mtime=0) if broken.endswith("gz") else content
    check_mutations(
        lambda: sources.vectors(f"{tmp_path}/{broken}"), tmp_path, {broken: content}, broken
    )


@pytest.mark.parametrize("broken", ["v.npy", "v.tsv"])
def test_broken_pairs_end_in_sentences_only(tmp_path, broken):
    write(tmp_path, {"v.npy": npy(TABLE), "v.tsv": b"a\t1\nb\t1\nc\t2\nd\t0\n"})
    files = {name: (tmp_path / name).read_bytes() for name in ("v.npy", "v.tsv")}
    check_mutations(lambda: sources.vectors(str(tmp_path)), tmp_path, files, broken)


def test_real_vectors(real_data):
    vectors = sources.vectors(str(real_data("ner", "vectors_en")))
    assert (len(vectors.words), vectors.table.shape) == (62_639, (20_000, 96))
    assert abs(np.square(vectors.table).mean() ** 0.5 - 0.25) < 0.01
    lines = real_data("ner", "uner_en_ewt", "train.iob2").read_text("utf-8").split("\n")
    counts = collections.Counter(line.split("\t")[0] for line in lines if line)
    found, known = sources.rows(vectors, list(counts))
    assert abs(known @ list(counts.values()) / counts.total() - 0.987) < 5e-4
    assert not found[~known].any()
    london, glasgow, eat = sources.rows(vectors, ["London", "Glasgow", "eat"])[0]
    cosine = lambda a, b: a @ b / np.sqrt((a @ a) * (b @ b))
    assert cosine(london, glasgow) > cosine(london, eat) + 0.3

"""Files made by hand to promise more than they hold, to hold more than they are, or to be slow."""

import functools
import gzip
import io
import json
import os
import pathlib
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow
from pyarrow import parquet
from test_arrays import npy
from whole_files import CROWD, TREE, WNIDS, WORKERS, jpeg, whole_files

MANY = 50_000


def zeros(count: int) -> bytes:
    return bytes(count)


def packed(method: int, size: int = 1 << 27, shape: Any = None) -> bytes:
    """Images of 128 MB in an archive of few bytes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("images.npy", npy(shape or (size, 1, 1, 1), data=zeros(size)))
        archive.writestr("labels.npy", npy((1,), data=b"\0"))
    return buffer.getvalue()


def member(name: str, content: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


def many_members() -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(10_000):
            archive.writestr(f"{number}.npy", b"")
    return buffer.getvalue()


def idx(count: int, held: int) -> bytes:
    return b"\0\0\x08\3" + struct.pack(">3I", count, 1, 1) + zeros(held)


def table(**options: Any) -> Callable[..., bytes]:
    def made(**columns: Any) -> bytes:
        buffer = io.BytesIO()
        parquet.write_table(pyarrow.table(columns), buffer, **options)
        return buffer.getvalue()

    return made


def equal(rows: int) -> pyarrow.DictionaryArray:
    return pyarrow.DictionaryArray.from_arrays(np.zeros(rows, np.int32), ["a"])


def names(count: int = MANY, start: str = "n") -> list[str]:
    return [f"{start}{number}" for number in range(count)]


def tree(**parts: Any) -> Callable[[], bytes]:
    return lambda: json.dumps(TREE | parts).encode()


def twice() -> bytes:
    """Very many names, of which the last is the first again."""
    inside = ",".join(f'"{name}":[]' for name in [*names(), "n0"])
    return f'{{"labels":["a"],"parents":{{{inside}}}}}'.encode()


def edges(pairs: Any) -> bytes:
    return b"parent,child\n" + "".join(f"{a},{b}\n" for a, b in pairs).encode()


def changed(reader: str, old: bytes, new: bytes) -> Callable[[], bytes]:
    """The one file of a reader that has these bytes, with others there."""

    def make():
        [data] = [data for data in whole_files()[reader].files.values() if old in data]
        return data.replace(old, new, 1)

    return make


def confusions(**parts: Any) -> Callable[[], bytes]:
    """Of an earlier run, with other parts."""
    held = {"labels": ["0", "1"], "prior": [0.4, 0.6], "workers": WORKERS}
    return lambda: json.dumps(held | parts).encode()


def photograph(size: tuple[int, int]) -> bytes:
    """A small JPEG whose header promises another size."""
    data = jpeg(1)
    start = data.index(b"\xff\xc0") + 5
    return data[:start] + struct.pack(">2H", *size) + data[start + 4 :]


def loop(path: pathlib.Path) -> None:
    """A folder with itself inside, again and again, and no file."""
    path.parent.joinpath("again").symlink_to(path.parent)
    os.mkfifo(path)


def curve_rows() -> bytes:
    rows = "".join(f"{name},0,1,1\n" for name in names())
    return f"strategy,seed,words,score\n{rows}".encode()


of = functools.partial
TRAIN, ONE = "train-images-idx3-ubyte", "train/{0}/images/{0}_0.JPEG".format(WNIDS[0])
GOOD = {"worker": ["u"], "label": ["0"]}
dense = table(compression="zstd", use_dictionary=False)
# What `broken_files.write` takes, by reader and file among its files.
FORGED: dict[tuple[str, str], dict[str, Callable[[], Any]]] = {
    ("npz", "x_train.npz"): {
        "zeros deflated": of(packed, zipfile.ZIP_DEFLATED),
        "zeros in bzip2": of(packed, zipfile.ZIP_BZIP2),
        "zeros in LZMA": of(packed, zipfile.ZIP_LZMA),
        "exabytes": of(packed, 0, 8, (2**20, 2**20, 2**20, 1)),
        "above 64 bits": of(packed, 0, 8, (2**62, 2**62, 4, 1)),
        "60 axes": of(packed, 0, 1, (1,) * 60),
        "a size that is true": of(packed, 0, 2, (True, 2, 1, 1)),
        "sizes with fractions": of(packed, 0, 2, (2.0, 1, 1, 1)),
        "a path out": of(member, "../images.npy", b""),
        "an absolute path": of(member, "/tmp/images.npy", b""),
        "10,000 members": many_members,
        "a header that calls": of(member, "images.npy", npy("exit()")),
        "an archive within": of(member, "images.npy", member("x", b"")),
    },
    ("idx.gz", f"{TRAIN}.gz"): {
        "128 MB of zeros": lambda: gzip.compress(idx(1 << 27, 1 << 27), 1),
        "4 GB promised": lambda: gzip.compress(idx(2**32 - 1, 10)),
        "gzip within": lambda: gzip.compress(gzip.compress(idx(4, 4))),
    },
    ("idx", TRAIN): {"4 GB promised": of(idx, 2**32 - 1, 10)},
    ("parquet", "a.parquet"): {
        "a string of 80 MB": lambda: dense(item=["a" * 80_000_000], **GOOD),
        "10 million equal rows": lambda: table()(item=(a := equal(10**7)), worker=a, label=a),
        "lists": lambda: table()(item=[["a"]], **GOOD),
        "times": lambda: table()(item=np.array(["2000"], "M8[s]"), **GOOD),
        "1,000 others": lambda: table()(**{name: [1] for name in names(1000)}),
        "no rows": lambda: table()(item=equal(0), worker=equal(0), label=equal(0)),
    },
    ("integers", "i.parquet"): {
        "above 63 bits": lambda: table()(item=np.array([2**64 - 1], "u8"), **GOOD),
        "fractions": lambda: table()(item=[1.5], **GOOD),
    },
    ("annotations", "a.csv"): {
        "a column twice": lambda: b"item,item,worker,label\na,b,u,0\n",
        "50,000 columns": lambda: ",".join(names()).encode() + b"\n1\n",
        "a column spaced": lambda: CROWD.replace(b"item", b" item"),
        "a column in capitals": lambda: CROWD.replace(b"item", b"ITEM"),
        "semicolons": lambda: CROWD.replace(b",", b";"),
        "wide": lambda: CROWD.replace(b",0", b",0,,"),
        "only quotes": lambda: b'item,worker,label\n"","",""\n',
        "quotes never closed": lambda: CROWD + b'"a,u,0\n' * MANY,
    },
    ("json", "h.json"): {
        "a name twice among many": twice,
        "50,000 digits": lambda: b'{"labels":' + b"9" * MANY + b"}",
        "not a number": lambda: b'{"labels": NaN, "parents": {}}',
        "a string of labels": tree(labels="cat"),
        "an object of labels": tree(labels={"cat": 1}),
        "nothing for parents": tree(parents=None),
        "lists in lists": tree(parents={"cat": [["pet"]]}),
        "an escaped surrogate": lambda: b'{"labels":["\\ud800"],"parents":{}}',
        "an escaped NUL": lambda: b'{"labels":["a\\u0000"],"parents":{}}',
        "50,000 labels": tree(labels=names()),
    },
    ("csv tree", "h.csv"): {
        "a star": lambda: edges((name, "a") for name in names()),
        "a star of leaves": lambda: edges(("a", name) for name in names()),
        "a chain": lambda: edges(zip(names(), names()[1:], strict=False)),
        "a ring": lambda: edges([("a", "b"), ("b", "a")]),
    },
    ("wordnet", "data.noun"): {"255 words": changed("wordnet", b" n 02 dog", b" n ff dog")},
    ("wordnet", "index.noun"): {
        "an offset too far": changed("wordnet", b"bus n 1 1 @ 1 0 0", b"bus n 1 1 @ 1 0 9"),
        "10^10 senses": changed("wordnet", b"bus n 1", b"bus n 9999999999"),
    },
    ("wordnet", "noun.exc"): {"a form alone": lambda: b"beasties\n"},
    ("vectors t.bin", "t.bin"): {
        "10^12 words": lambda: b"999999999999 999999\na " + bytes(100),
        "a word without end": lambda: b"1 2\n" + b"\xe9" * 3_000_000,
    },
    ("vectors t.txt", "t.txt"): {
        "999,999 numbers promised": lambda: b"1 999999\na 1\n",
        "hexadecimal": lambda: b"a 0x10 1\nb 1 2\n",
    },
    ("vectors t.gz", "t.gz"): {
        "a long line": lambda: gzip.compress(b"a" * 10_000_000),
        "underscores": lambda: gzip.compress(b"a 1_0 1\n"),
    },
    ("vectors", "v.tsv"): {"a row of 50,000 digits": lambda: b"the\t" + b"9" * MANY},
    ("curves", "c.csv"): {
        "50,000 strategies": curve_rows,
        "50,000 digits": changed("curves", b"0.5", b"x" + b"1" * MANY),
    },
    ("ontonotes", "train/again_gold_conll"): {"folders in a ring": lambda: loop},
    ("conll", "eng.train"): {
        "no blank line": lambda: b"a X O\n" * MANY,
        "6,000 types": lambda: b"".join(b"a X B-%d\n\n" % i for i in range(6000)),
    },
    ("previous", "confusions.json"): {
        "above 1": confusions(prior=[0.5, 7]),
        "below 0": confusions(prior=[1.5, -0.5]),
        "not a number": confusions(prior=[float("nan"), 1]),
        "three classes": confusions(labels=["0", "1", "2"]),
        "numbers for names": confusions(labels=[0, 1]),
        "lists for names": confusions(labels=[["0"], ["1"]]),
        "ragged": confusions(workers={"u": [[1], [0, 1]]}),
        "no workers": confusions(workers={}),
        "a list of workers": confusions(workers=[]),
        "words": confusions(workers={"u": [["a", "b"]] * 2}),
    },
    ("tinyimagenet", ONE): {
        f"{high} x {wide}": of(photograph, (high, wide))
        for high, wide in ((65535, 65535), (4097, 1), (4096, 4096), (0, 8))
    },
    ("tinyimagenet", "val/val_annotations.txt"): {
        "a path out": lambda: b"../../wnids.txt\tn01443537\n",
        "an absolute path": lambda: b"/etc/passwd.jpg\tn01443537\n",
    },
    ("tinyimagenet", "wnids.txt"): {"a path out": lambda: b"../val\n"},
}

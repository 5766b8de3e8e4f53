"""Ways to break a file, whatever it holds: what is at its place, and what becomes of its bytes."""

import functools
import gzip
import io
import os
import pathlib
import pickle
import re
import socket
import struct
import zipfile
from collections.abc import Callable
from typing import Any

import numpy as np

LONG, DEEP, MANY = 10_000_000, 1_000_000, 1_000_000
MARK = pathlib.Path("/tmp/unpickled by the tests of trinity_jax")


class Runs:
    """Makes a folder where it is unpickled."""

    def __reduce__(self):
        return os.mkdir, (str(MARK),)


def two_links(path: pathlib.Path) -> None:
    other = path.with_name("other link")
    path.symlink_to(other)
    other.symlink_to(path)


def listening(path: pathlib.Path) -> None:
    """A socket, whose name may not be long."""
    here = os.getcwd()
    os.chdir(path.parent)
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(path.name)
    finally:
        os.chdir(here)


def sparse(path: pathlib.Path) -> None:
    """A file of 100 GB of zeros that takes no room."""
    path.touch()
    os.truncate(path, 100 << 30)


def unreadable(path: pathlib.Path) -> None:
    path.touch()
    path.chmod(0)


PLACES: dict[str, Callable[[pathlib.Path], Any]] = {
    "nothing": lambda path: None,
    "a folder": pathlib.Path.mkdir,
    "a pipe": os.mkfifo,
    "a socket": listening,
    "a link to itself": lambda path: path.symlink_to(path.name),
    "two links in a ring": two_links,
    "a link to nothing": lambda path: path.symlink_to("nowhere"),
    "a link to endless zeros": lambda path: path.symlink_to("/dev/zero"),
    "a link to a folder": lambda path: path.symlink_to(path.parent),
    "a link to the process's memory": lambda path: path.symlink_to("/proc/self/mem"),
    "100 GB of zeros": sparse,
    "a file that may not be read": unreadable,
}


def within(data: bytes, inserted: bytes) -> bytes:
    """In the middle of the file."""
    half = len(data) // 2
    return data[:half] + inserted + data[half:]


def numbers(text: bytes) -> Callable[[bytes], bytes]:
    """Each number is another one."""
    return lambda data: re.sub(rb"[0-9]+", text, data)


def always(make: Callable[[], bytes]) -> Callable[[bytes], bytes]:
    """The same whatever is replaced, and made once."""
    once = functools.cache(make)
    return lambda data: once()


def bomb() -> bytes:
    """A GiB of zeros."""
    return gzip.compress(bytes(1 << 20), 9) * 1024


def zip_bomb() -> bytes:
    """Arrays that are a few thousand bytes, and would be 128 MB."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("images.npy", "labels.npy"):
            archive.writestr(name, bytes(1 << 26))
    return buffer.getvalue()


def pickled_array() -> bytes:
    """What numpy.save makes of an object."""
    buffer = io.BytesIO()
    np.save(buffer, np.array([Runs()], object), allow_pickle=True)
    return buffer.getvalue()


def as_text(encoding: str) -> Callable[[bytes], bytes]:
    return lambda data: data.decode("latin-1").encode(encoding)


PNG = b"\x89PNG\r\n\x1a\n" + struct.pack(">I4s2I", 13, b"IHDR", 2**31, 2**31)
HTML = b"<!DOCTYPE html>\n<html><head><title>404 Not Found</title></head></html>\n"
BYTES: dict[str, Callable[[bytes], bytes]] = {
    "empty": always(bytes),
    "a line end": always(lambda: b"\n"),
    "returns only": always(lambda: b"\r" * 1000),
    "zeros": always(lambda: bytes(1 << 20)),
    "half": lambda data: data[: len(data) // 2],
    "less the last byte": lambda data: data[:-1],
    "less the first line": lambda data: data.partition(b"\n")[2],
    "twice": lambda data: data + data,
    "backwards": lambda data: data[::-1],
    "random bytes": always(lambda: np.random.default_rng(0).bytes(1000)),
    "a NUL first": lambda data: b"\0" + data,
    "a NUL within": lambda data: within(data, b"\0"),
    "a NUL last": lambda data: data + b"\0",
    "Latin-1": lambda data: within(data, b"\xe9"),
    "a lone surrogate": lambda data: within(data, b"\xed\xa0\x80"),
    "an overlong slash": lambda data: within(data, b"\xc0\xaf"),
    "UTF-8 cut off": lambda data: data + b"\xe7\x8c",
    "UTF-16": as_text("utf-16"),
    "UTF-16 without a mark": as_text("utf-16-be"),
    "UTF-32": as_text("utf-32"),
    "two marks": lambda data: b"\xef\xbb\xbf" * 2 + data,
    "returns for line ends": lambda data: data.replace(b"\n", b"\r"),
    "returns doubled": lambda data: data.replace(b"\n", b"\r\r\n"),
    "line ends of other scripts": lambda data: data.replace(b"\n", "\u2028".encode()),
    "a long line first": lambda data: b"a" * LONG + b"\n" + data,
    "a long line last": lambda data: data + b"a" * LONG,
    "long blanks": lambda data: data + b" " * LONG + b"1",
    "many fields": lambda data: data + b"\t1 1,1" * MANY,
    "many lines": always(lambda: b"".join(b"n%08d\n" % i for i in range(MANY))),
    "5000 digits": numbers(b"9" * 5000),
    "30 digits": numbers(b"9" * 30),
    "below zero": numbers(b"-7"),
    "not numbers": numbers(b"nan"),
    "above all numbers": numbers(b"1e999"),
    "Arabic digits": numbers("٣".encode()),
    "underscores": numbers(b"1_0"),
    "deep lists": always(lambda: b"[" * DEEP),
    "deep objects": always(lambda: b'{"a":' * DEEP),
    "a quote opened": lambda data: within(data, b'"'),
    "a pickle": always(lambda: pickle.dumps(Runs())),
    "a pickled array": always(pickled_array),
    "YAML": always(lambda: f"!!python/object/apply:os.mkdir ['{MARK}']\n".encode()),
    "a page of the web": always(lambda: HTML),
    "a gzip bomb": always(bomb),
    "a zip bomb": always(zip_bomb),
    "gzip": gzip.compress,
    "an idx of terabytes": always(lambda: b"\0\0\x08\3" + struct.pack(">3I", *[2**31] * 3)),
    "a PNG": always(lambda: PNG),
}

"""Files with bytes changed at random, and those that a fuzzer found: taken, or refused in words.

`fuzz_readers.py` is the fuzzer, which looks for more.
"""

import contextlib
import gzip
import json
import pathlib
import tempfile

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from whole_files import assert_taken_or_refused, lay, whole_files

WHOLE = whole_files()
FUZZED = pathlib.Path(__file__).parents[1] / "fixtures" / "fuzzed.json"
FILES = [(reader, file) for reader, whole in WHOLE.items() for file in whole.broken]
every_file = pytest.mark.parametrize(
    ("reader", "file"), FILES, ids=[f"{reader}-{pathlib.Path(file).name}" for reader, file in FILES]
)
TELLING = (
    *(b"", b"\0", b"\n", b"\r", b'"', b",", b"\t", b" ", b"-", b"(", b"*", b")", b"[", b"{", b"_"),
    *(b"\xff", b"\xff\xff\xff\x7f", b"\x80", b"9999999999", b"1e999", b"nan", "猫".encode()),
)
EDITS = st.lists(
    st.tuples(
        st.floats(0, 1), st.integers(0, 12), st.sampled_from(TELLING) | st.binary(max_size=8)
    ),
    min_size=1,
    max_size=4,
)


def edited(data, edits):
    """Some bytes cut out and others put in, at parts of the way through the file."""
    for place, cut, put in edits:
        start = int(place * len(data))
        data = data[:start] + put + data[start + cut :]
    return data


@contextlib.contextmanager
def laid(reader):
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        lay(folder, WHOLE[reader].files)
        yield folder


def read_as(folder, reader, file, content):
    (folder / file).write_bytes(content)
    return assert_taken_or_refused(WHOLE[reader].read, folder)


def check_edits(reader, file, examples):
    """A file that is packed is edited on the inside too."""
    packed = file.endswith(".gz")
    whole = WHOLE[reader].files[file]
    inside = gzip.decompress(whole) if packed else b""
    refused = []

    @settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(HealthCheck),
    )
    @given(EDITS, st.booleans())
    def check(edits, within):
        if packed and within:
            content = gzip.compress(edited(inside, edits), 1, mtime=0)
        else:
            content = edited(whole, edits)
        refused.append(read_as(folder, reader, file, content))

    with laid(reader) as folder:
        check()
    assert any(refused)
    assert len(refused) >= examples


@every_file
def test_edited_files_are_taken_or_refused(reader, file):
    check_edits(reader, file, 60)


@pytest.mark.slow
@every_file
def test_very_many_edited_files_are_taken_or_refused(reader, file):
    check_edits(reader, file, 3000)


@every_file
def test_what_a_fuzzer_found_is_taken_or_refused(reader, file):
    contents = json.loads(FUZZED.read_text())[reader].get(file, [])
    with laid(reader) as folder:
        for content in contents:
            read_as(folder, reader, file, content.encode("latin-1"))

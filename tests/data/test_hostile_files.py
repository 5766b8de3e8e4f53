"""Files of every reader, broken in every way: each is refused in one sentence that names it.

That takes little time and memory, runs nothing that a file holds, and never ends in a traceback.
"""

import contextlib
import importlib
import os
import pathlib
import resource
import shutil
import signal
import tempfile
from collections.abc import Iterator

import pytest
from forged import FORGED
from hostile import BYTES, MARK, PLACES, unreadable
from whole_files import WNIDS, assert_taken_or_refused, lay, whole_files

WHOLE = whole_files()
FILES = [(reader, file) for reader, whole in WHOLE.items() for file in whole.broken]
FILES += [place for place in FORGED if place not in FILES]
SECONDS, MEGABYTES = 5, 160  # for one file
NAMES = ("label.csv", "truth.csv", "a.csv", "gold.csv")  # tables, where digits are names too
PHOTOGRAPH = f"{WNIDS[0]}_0.JPEG"  # decoders of JPEG see what they can
ONE_A_LINE = "train.genre", "noun.exc"  # names, or words
# What is odd, and yet as it should be, by what was done to which files.
TAKEN = {
    "nothing": ("truth.csv", "train.genre", PHOTOGRAPH),  # which need not be there
    "empty": ("noun.exc",),
    "a line end": ("noun.exc",),
    "returns only": ("noun.exc",),
    "half": ("val_annotations.txt",),  # a line of two
    **dict.fromkeys(("30 digits", "5000 digits", "not numbers"), (*NAMES, PHOTOGRAPH)),
    **dict.fromkeys(("above all numbers", "underscores"), (*NAMES, PHOTOGRAPH)),
    **dict.fromkeys(("below zero", "Arabic digits"), NAMES),
    "less the last byte": (
        *(*NAMES, "train.iob2", "eng.train", "cctv_0000.v4_gold_conll", "LabelMe_Z_train.txt"),
        *("answers.txt", "h.csv", "data.noun", "index.noun", "noun.exc", "t.txt", "v.tsv"),
        *("c.csv", "val_annotations.txt"),
    ),
    "less the first line": (  # a licence, a header that need not be, one of several lines
        *("index.noun", "noun.exc", "eng.train", "cctv_0000.v4_gold_conll", "t.txt", "v.tsv"),
        "val_annotations.txt",
    ),
    "twice": (  # repeats, and what has its table of contents at the end
        *("label.csv", "a.csv", "gold.csv", "a.parquet", "i.parquet", "annotations.parquet"),
        *("x_train.npz", "eng.train", "data.noun", "index.noun", "noun.exc", "t.gz", "v.tsv"),
        *("val_annotations.txt", PHOTOGRAPH),
    ),
    "returns for line ends": (
        *(*NAMES, "train.iob2", "train.genre", "eng.train", "cctv_0000.v4_gold_conll"),
        *("LabelMe_VGG_avg_train.npy", "LabelMe_Z_train.txt", "answers.txt", "h.csv", "c.csv"),
        *("data.noun", "index.noun", "noun.exc", "t.txt", "v.npy", "v.tsv", "wnids.txt"),
        *("val_annotations.txt", PHOTOGRAPH),
    ),
    "returns doubled": ("eng.train", "index.noun", "noun.exc", "t.bin", "wnids.txt", PHOTOGRAPH),
    "line ends of other scripts": ("noun.exc", "val_annotations.txt"),
    "two marks": ("train.iob2", "train.genre", "eng.train", "x_train.npz", "noun.exc", "v.tsv"),
    **dict.fromkeys(("backwards", "a page of the web"), ONE_A_LINE),
    "YAML": ("noun.exc",),
    "a quote opened": (
        *(*ONE_A_LINE, "cctv_0000.v4_gold_conll", "h.csv", "t.txt", "t.bin", "v.tsv", PHOTOGRAPH),
    ),
    # What stands before an archive, after the end of what has one, or among numbers of four bytes.
    "a NUL first": ("x_train.npz",),
    "a long line first": ("x_train.npz",),
    "a NUL last": (
        "x_train.npz",
        "train-images-idx3-ubyte.gz",
        "train-labels-idx1-ubyte.gz",
        "data.noun",
        "t.gz",
        PHOTOGRAPH,
    ),
    "UTF-8 cut off": ("x_train.npz", "data.noun", PHOTOGRAPH),
    **dict.fromkeys(("a long line last", "long blanks", "many fields"), ("data.noun", PHOTOGRAPH)),
    **dict.fromkeys(("a NUL within", "Latin-1"), ("t.bin", PHOTOGRAPH)),
    **dict.fromkeys(("a lone surrogate", "an overlong slash"), (PHOTOGRAPH,)),
}


def attacks(reader: str, file: str) -> dict:
    """What to write in place of a file, by name."""
    whole = WHOLE[reader].files.get(file)
    if whole is None:
        return dict(FORGED[reader, file])
    made = {name: lambda of=of: of(whole) for name, of in BYTES.items() if of(whole) != whole}
    return (
        made
        | {name: lambda of=of: of for name, of in PLACES.items()}
        | FORGED.get((reader, file), {})
    )


@contextlib.contextmanager
def limits() -> Iterator[None]:
    """Fails where something takes long or takes much memory, before that harms the machine."""

    def hangs(*_):
        raise AssertionError(f"takes more than {SECONDS} s")

    before, (soft, hard) = (
        signal.signal(signal.SIGALRM, hangs),
        resource.getrlimit(resource.RLIMIT_AS),
    )
    resource.setrlimit(resource.RLIMIT_AS, ((status("VmSize") << 10) + (4 << 30), hard))
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    held = status("VmHWM")
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
    assert status("VmHWM") - held < MEGABYTES << 10, f"takes {(status('VmHWM') - held) >> 10} MB"


def status(field: str) -> int:
    """A number of kilobytes that Linux counts."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """As a user who may read no more than others may."""
    root = os.geteuid() == 0
    if root:
        os.seteuid(65534)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)


def sentence(reader: str, file: str, content) -> str:
    """What refuses the file, "" if nothing does."""
    folder = pathlib.Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o755)
        lay(folder, {**WHOLE[reader].files, file: content})
        with nobody() if content is unreadable else limits():
            return assert_taken_or_refused(WHOLE[reader].read, folder)
    finally:
        shutil.rmtree(folder)


@pytest.mark.parametrize(("reader", "file"), FILES, ids=lambda of: pathlib.Path(of).name)
def test_what_is_broken_is_refused_in_a_sentence(reader, file):
    for name, make in attacks(reader, file).items():
        try:
            refused = sentence(reader, file, make())
        except Exception as error:
            raise AssertionError(f"{file}, {name}: {type(error).__name__} {error}") from error
        taken = pathlib.Path(file).name in TAKEN.get(name, ())
        assert bool(refused) != taken, f"{file}, {name}: {refused or 'taken'}"
    assert not MARK.exists()


def test_there_are_many():
    """Made by hand, here and in the tests of readers, and by what is done to all files."""
    names = [(*place, name) for place in FILES for name in attacks(*place)]
    assert len(set(names)) == len(names)
    assert len(names) > 1500
    assert sum(map(len, FORGED.values())) > 70
    readers = "annotation_files arrays curve_tables hierarchies labelme ontonotes sentences tables"
    modules = [importlib.import_module(f"test_{name}") for name in f"{readers} vectors".split()]
    assert sum(len(module.BAD) for module in modules) >= 300

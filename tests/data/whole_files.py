"""Small files of every reader that are as they should be, for tests to break one at a time."""

import contextlib
import gzip
import io
import json
import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pyarrow
from broken_files import write
from pyarrow import parquet
from test_arrays import GZ, MNIST, npz
from test_hierarchies import wordnet
from test_labelme import FILES as LABELME
from test_ontonotes import FILES as ONTONOTES

from trinity_jax.aggregate import start
from trinity_jax.data import sources
from trinity_jax.types import InputError

CROWD = b"item,worker,label\na,u,0\nb,u,1\nb,v,1\n"
IOB2 = b"Ann\tB-PER\nLee\tI-PER\nsaw\tO\n\nYes\tO\n"
CONLL = b"-DOCSTART- -X- O\n\nAnn NNP I-PER\nsaw VBD O\n\nYes UH O\n"
GLOVE = b"the 0.5 -1\nRome 1 2\nwest 0 .25\n"
TABLE = np.array([[0.5, -1], [1, 2], [0, 0.25]], "<f4")
TREE = {"labels": ["cat", "dog", "car"], "parents": {"cat": ["pet"], "dog": ["pet"], "car": []}}
NAMES = TREE["labels"]
WNIDS = "n01443537", "n01629819"
LENGTH = 1000  # of a sentence at most
WORKERS = {"u": [[0.9, 0.1], [0.2, 0.8]], "v": [[0.5, 0.5], [0.5, 0.5]]}


class Whole(NamedTuple):
    """Files that are read together.

    Attributes:
      read: reads them from their folder.
      files: their bytes by name.
      broken: those of them that tests break, one at a time; by default all.
    """

    read: Callable[[pathlib.Path], Any]
    files: dict[str, bytes]
    broken: tuple[str, ...] = ()


def lay(folder: pathlib.Path, files: dict[str, Any]) -> None:
    """Writes files, and the folders they are in."""
    for name in files:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
    write(folder, files)


def assert_taken_or_refused(read: Callable[[pathlib.Path], Any], folder: pathlib.Path) -> str:
    """Reads a folder; what refuses it is a sentence that names it. Returns that, "" if taken."""
    try:
        read(folder)
    except InputError as error:
        sentence = str(error)
        assert sentence.isprintable(), sentence[:1000]  # nor is there a line break
        assert len(sentence) < LENGTH, sentence[:1000]
        assert str(folder) in sentence, sentence
        assert "expected" in sentence or "cannot be read" in sentence, sentence
        assert "emory" not in sentence, sentence  # it was taken before it was refused
        return sentence
    return ""


def saved(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def columns(**named: list) -> bytes:
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.table(named), buffer)
    return buffer.getvalue()


def jpeg(grey: int) -> bytes:
    from PIL import Image

    buffer = io.BytesIO()
    Image.new("L", (8, 8), grey).save(buffer, "JPEG")
    return buffer.getvalue()


def tiny_image_net() -> dict[str, bytes]:
    notes = "".join(f"v{i}.JPEG\t{wnid}\t0\n" for i, wnid in enumerate(WNIDS))
    files = {"wnids.txt": "\n".join(WNIDS).encode(), "val/val_annotations.txt": notes.encode()}
    for i, wnid in enumerate(WNIDS):
        files |= {f"train/{wnid}/images/{wnid}_0.JPEG": jpeg(i), f"val/images/v{i}.JPEG": jpeg(i)}
    return files


def of(read: Callable[[str], Any], source: str) -> Callable[[pathlib.Path], Any]:
    return lambda folder: read(source.replace("{}", str(folder)))


def whole_files() -> dict[str, Whole]:
    """All readers, by name."""
    tree = lambda source, labels=NAMES: of(lambda s: sources.hierarchy(s, labels), source)
    rows = dict(zip(("item", "worker", "label"), (["a", "b"], ["u", "v"], ["0", "1"]), strict=True))
    gold = lambda folder: sources.annotations([f"{folder}/a.csv"], gold=f"{folder}/gold.csv")
    held = {"labels": ["0", "1"], "prior": [0.4, 0.6], "workers": WORKERS}
    previous = {start.CONFUSIONS: json.dumps(held).encode(), start.TABLE: columns(**rows)}
    vectors = {"t.txt": b"3 2\n" + GLOVE, "t.gz": gzip.compress(GLOVE, mtime=0)}
    words = zip(("the", "Rome", "west"), TABLE, strict=True)
    vectors["t.bin"] = b"3 2\n" + b"".join(w.encode() + b" " + r.tobytes() for w, r in words)
    pair = {"v.npy": saved(TABLE), "v.tsv": b"the\t0\nRome\t1\nwest\t2\n"}
    sets = {
        "crowd": Whole(
            of(sources.crowd, "csv:{}"),
            {"label.csv": CROWD, "truth.csv": b"item,truth\na,0\nb,1\n"},
        ),
        "annotations": Whole(of(lambda s: sources.annotations([s]), "{}/a.csv"), {"a.csv": CROWD}),
        "parquet": Whole(
            of(lambda s: sources.annotations([s]), "{}/a.parquet"), {"a.parquet": columns(**rows)}
        ),
        "integers": Whole(
            of(lambda s: sources.annotations([s]), "{}/i.parquet"),
            {"i.parquet": columns(item=[1, 2, 900], worker=[5, 5, 6], label=[0, 1, 1])},
        ),
        "gold": Whole(
            gold, {"a.csv": CROWD, "gold.csv": b"item,label\na,0\nb,1\n"}, ("gold.csv",)
        ),
        "previous": Whole(lambda folder: _previous(folder), previous),
        "iob2": Whole(
            of(sources.sentences, "iob2:{}"),
            {f"{part}.iob2": IOB2 for part in ("dev", "test", "train")} | {"train.genre": b"a\nb"},
            ("train.iob2", "train.genre"),
        ),
        "conll": Whole(
            of(sources.sentences, "conll:{}"),
            {f"eng.{part}": CONLL for part in ("train", "testa", "testb")},
            ("eng.train",),
        ),
        "ontonotes": Whole(
            of(sources.sentences, "ontonotes:{}"), ONTONOTES, (next(iter(ONTONOTES)),)
        ),
        "npz": Whole(
            of(sources.images, "npz:{}"), {"x_train.npz": npz(), "x_test.npz": npz()},
            ("x_train.npz",),
        ),
        "idx": Whole(of(sources.images, "idx:{}"), MNIST, tuple(MNIST)[:2]),
        "idx.gz": Whole(of(sources.images, "idx:{}"), GZ, tuple(GZ)[:2]),
        "labelme": Whole(
            of(sources.crowd_features, "labelme:{}"), LABELME,
            ("LabelMe_VGG_avg_train.npy", "LabelMe_Z_train.txt", "answers.txt"),
        ),
        "json": Whole(tree("{}/h.json"), {"h.json": json.dumps(TREE).encode()}),
        "csv tree": Whole(
            tree("{}/h.csv"), {"h.csv": b"parent,child\npet,cat\npet,dog\nall,pet\nall,car\n"}
        ),
        "wordnet": Whole(tree("wordnet:{}", ["dog", "cat", "bus"]), wordnet()[0]),
        **{
            f"vectors {name}": Whole(of(sources.vectors, f"{{}}/{name}"), {name: content})
            for name, content in vectors.items()
        },
        "vectors": Whole(of(sources.vectors, "{}"), pair),
        "curves": Whole(
            of(sources.curves, "{}/c.csv"),
            {"c.csv": b"strategy,seed,words,score\nr,0,100,0.5\nr,0,200,0.6\n"},
        ),
    }  # fmt: skip
    with contextlib.suppress(ImportError):  # no Pillow, no photographs
        files = tiny_image_net()
        broken = (
            "wnids.txt",
            "val/val_annotations.txt",
            f"train/{WNIDS[0]}/images/{WNIDS[0]}_0.JPEG",
        )
        sets["tinyimagenet"] = Whole(of(sources.images, "tinyimagenet:{}"), files, broken)
    return {
        name: whole._replace(broken=whole.broken or tuple(whole.files))
        for name, whole in sets.items()
    }


def _previous(folder: pathlib.Path) -> Any:
    """An earlier run of trinity-aggregate, its labels, and what it knew of these workers."""
    path, known = start.read(str(folder))
    crowd, _ = sources.annotations([path])
    return known.parameters(crowd)

"""Sets of our own: what is made of a source equals it, is whole or not there, and is TFDS's."""

import errno
import os
import pathlib

import numpy as np
import pytest
from broken_files import write
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trinity_jax.data import _tfds, _tfds_builders, preparing, sources
from trinity_jax.types import InputError

tfds = pytest.importorskip("tensorflow_datasets", reason="needs tensorflow-datasets installed")

CORPUS = {
    "train.iob2": "Ann\tB-PER\nLee\tI-PER\n\xa0\tO\n\nin\tO\nR\u00edo\u2028\tB-LOC\n".encode(),
    "train.genre": b"news, 1999\nweb\n",
    "dev.iob2": b"Bo\tB-PER\n",
    "test.iob2": b"Bo\tB-a-b c\n\n\n",
}
CROWD = {
    "label.csv": "item,worker,label\n7,b,yes\n007,a,no\n7,a,yes\n7,b,yes\n10,é,no\n".encode(),
    "truth.csv": b"item,truth\n10,perhaps\n7,yes\n",
}


@pytest.fixture
def root(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "sets"))
    return tmp_path / "sets"


@pytest.fixture
def folder(tmp_path):
    """A function that writes files into a folder and returns that."""

    def make(files, name="files"):
        (tmp_path / name).mkdir()
        write(tmp_path / name, files)
        return tmp_path / name

    return make


def npz(**arrays):
    return lambda path: np.savez_compressed(path, **arrays)


def image_files(channels=3):
    rng = np.random.default_rng(0)
    part = lambda n: {
        "images": rng.integers(0, 256, (n, 4, 5, channels), np.uint8),
        "fine": rng.integers(0, 6, n),
        "coarse": rng.integers(0, 3, n).astype(np.uint8),
    }
    train = part(9)
    train["fine"][0], train["coarse"][0] = 5, 2
    return {"x_train.npz": npz(**train), "x_test.npz": npz(**part(4))}


def same(one, other):
    """Whether all is equal but how the source was called."""
    pairs = list(zip(one, other, strict=True))[1:]
    assert all(type(x) is type(y) for x, y in pairs)
    assert all(x.dtype == y.dtype for x, y in pairs if isinstance(x, np.ndarray))
    return all(np.array_equal(x, y) for x, y in pairs)


def test_sentences_equal_their_files(root, folder):
    source = f"iob2:{folder(CORPUS)}"
    made = preparing.prepare(source, "my_corpus")
    assert made == (root / "my_corpus/1.0.0", {"train": 2, "dev": 1, "test": 1})
    corpus = sources.sentences("tfds:my_corpus")
    assert corpus == sources.sentences(source)
    assert corpus.train[1] == (("in", "Río\u2028"), ("O", "B-LOC"), "web")
    assert corpus.types == ("LOC", "PER", "a-b c")


def test_what_a_report_has_to_say_is_kept(root, folder):
    assert preparing.prepare("grammar:zh", "my_grammar").counts["dev"] == 400
    corpus = sources.sentences("tfds:my_grammar")
    assert corpus == sources.sentences("grammar:zh")
    assert corpus.synthetic
    lines = b"-DOCSTART- O\n\nAnn I-PER\n"
    files = folder({"train.txt": lines, "valid.txt": lines, "test.txt": lines})
    preparing.prepare(f"conll:{files}", "my_conll")
    assert sources.sentences("tfds:my_conll") == sources.sentences(f"conll:{files}")
    assert sources.sentences("tfds:my_conll").note == "tags read as IOB1, IOB1, IOB1"


def test_labels_by_people_equal_their_files(root, folder):
    source = f"csv:{folder(CROWD)}"
    assert preparing.prepare(source, "my_crowd").counts == {"train": 3}
    table = sources.crowd("tfds:my_crowd")
    assert same(table, sources.crowd(source))
    assert (table.items, table.labels, table.duplicates) == (
        ("007", "7", "10"),
        ("no", "perhaps", "yes"),
        1,
    )
    assert table.truth.tolist() == [-1, 2, 1]
    assert (sources.kind("tfds:my_crowd"), sources.kind(source)) == ("crowd", "csv")


ID = st.text(st.characters(exclude_characters='\r\n\0"', exclude_categories=["Cs"]), min_size=1)
ROWS = st.lists(st.tuples(ID, ID, st.sampled_from(["a", "b", "10", "9", "é è"])), min_size=1)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(rows=ROWS, known=st.lists(st.sampled_from(["a", "c", "9"])))
def test_any_labels_by_people(root, tmp_path, rows, known):
    line = lambda row: ",".join(f'"{field}"' for field in row)
    items = sorted({row[0] for row in rows})
    truth = [("item", "truth"), *zip(items, known, strict=False)]
    tables = {"label.csv": [("item", "worker", "label"), *rows], "truth.csv": truth}
    files = {name: "\n".join(map(line, table)).encode() for name, table in tables.items()}
    if len(truth) == 1:
        del files["truth.csv"]
    (tmp_path / "truth.csv").unlink(missing_ok=True)
    write(tmp_path, files)
    source = f"csv:{tmp_path}"
    preparing.prepare(source, "any", overwrite=True)
    assert same(sources.crowd("tfds:any"), sources.crowd(source))


@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_images_equal_their_files(root, folder, channels):
    source = f"npz:{folder(image_files(channels))}"
    assert preparing.prepare(source, "my_images").counts == {"train": 9, "test": 4}
    for target in ("fine", "coarse"):
        read = sources.images("tfds:my_images", target=target)
        assert same(read, sources.images(source, target=target))
    with pytest.raises(InputError, match="classes other_label, found features coarse_label, image"):
        sources.images("tfds:my_images", target="other")


def test_real_files(root, real_data, folder):
    posts = real_data("ner", "wnut17", "dev.iob2").read_bytes()
    posts = folder({f"{part}.iob2": posts for part in ("train", "dev", "test")})
    names = posts, real_data("crowd", "rte"), real_data("images")
    readers = sources.sentences, sources.crowd, sources.images
    for read, kind, path in zip(readers, ("iob2", "csv", "npz"), names, strict=True):
        how = {"prefix": "cifar10"} if kind == "npz" else {}
        preparing.prepare(f"{kind}:{path}", f"real_{kind}", **how)
        one, other = read(f"tfds:real_{kind}"), read(f"{kind}:{path}", **how)
        assert one == other if kind == "iob2" else same(one, other)


def test_other_programs_read_them_as_any_set(root, folder):
    preparing.prepare(f"npz:{folder(image_files())}", "my_images")
    read = tfds.data_source("my_images", split="train", data_dir=root)
    info = tfds.builder("my_images", data_dir=root).info
    first = sources.images("tfds:my_images")
    np.testing.assert_array_equal(read[3]["image"], first.train_images[3])
    assert info.features["label"].int2str(5) == "5"
    assert info.splits["test"].num_examples == 4


@pytest.mark.parametrize(
    ("source", "options", "sentence"),
    [
        ("digits", {"name": "My-Set"}, "^--name expects lower-case .*, found 'My-Set'$"),
        ("digits", {"name": "../x"}, "^--name expects lower-case"),
        ("digts", {}, "unknown source 'digts': did you mean 'digits'"),
        ("labelme:x", {}, "unknown source 'labelme'"),
        ("tfds:x", {}, "^tfds:x: expected another source, it is a set of TFDS already$"),
        ("iob2:/no", {}, "^/no: expected a folder, found nothing$"),
        ("digits", {"language": "en"}, "^digits: expected a language with sentences only$"),
        ("grammar:en", {"prefix": "a"}, "^grammar:en: expected a prefix or a size with images"),
        ("digits", {"root": "/proc/x"}, r"^/proc/x: expected a folder that may be written to \("),
    ],
)
def test_what_cannot_be_made_is_said_in_a_sentence(root, source, options, sentence):
    with pytest.raises(InputError, match=sentence):
        preparing.prepare(source, **{"name": "x", **options})
    assert not list(root.glob("*/*"))


def test_names_of_classes_that_tfds_would_change(root, folder):
    files = {"label.csv": b"item,worker,label\n1,a, yes\n"}
    with pytest.raises(InputError, match=r"^csv:.*classes without white space.*, found ' yes'$"):
        preparing.prepare(f"csv:{folder(files)}", "x")


def test_a_set_is_replaced_only_if_asked(root, folder):
    preparing.prepare(f"csv:{folder(CROWD)}", "mine")
    other = f"iob2:{folder(CORPUS, 'others')}"
    with pytest.raises(InputError, match=r"mine/1.0.0: expected no set, found one; --overwrite"):
        preparing.prepare(other, "mine")
    assert len(sources.crowd("tfds:mine").items) == 3
    preparing.prepare(other, "mine", overwrite=True)
    assert len(sources.sentences("tfds:mine").train) == 2
    assert [path.name for path in root.iterdir()] == ["mine"]


def test_what_fails_leaves_what_was_there(root, folder, monkeypatch):
    source = f"csv:{folder(CROWD)}"
    preparing.prepare(source, "mine")
    whole = _tfds_builders.write

    def full(contents, *rest):
        made = whole(contents, *rest)
        path = next(pathlib.Path(made).glob("*.array_record-*"))
        path.write_bytes(path.read_bytes()[:-1000])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(_tfds_builders, "write", full)
    with pytest.raises(OSError, match="No space left"):
        preparing.prepare("digits", "mine", overwrite=True)
    # Fewer than were to be written, as TFDS's writer of Parquet would do.
    fewer = lambda contents, *rest: whole(
        contents._replace(parts={"train": lambda: list(contents.parts["train"]())[:-1]}), *rest
    )
    monkeypatch.setattr(_tfds_builders, "write", fewer)
    with pytest.raises(OSError, match="what is read again is not what was written"):
        preparing.prepare(source, "mine", overwrite=True)
    monkeypatch.undo()
    monkeypatch.setenv("TFDS_DATA_DIR", str(root))
    assert same(sources.crowd("tfds:mine"), sources.crowd(source))
    assert [path.name for path in root.iterdir()] == ["mine"]


@pytest.mark.parametrize("stop", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()])
def test_a_set_that_cannot_be_replaced_comes_back(root, folder, monkeypatch, stop):
    source, rename = f"csv:{folder(CROWD)}", os.rename
    preparing.prepare(source, "mine")

    def stopped(old, new):
        if pathlib.Path(new) == root / "mine/1.0.0" and pathlib.Path(old).name != "replaced":
            raise stop
        rename(old, new)

    monkeypatch.setattr(os, "rename", stopped)
    with pytest.raises(type(stop)):
        preparing.prepare(f"iob2:{folder(CORPUS, 'others')}", "mine", overwrite=True)
    assert same(sources.crowd("tfds:mine"), sources.crowd(source))
    assert [path.name for path in root.iterdir()] == ["mine"]


def made(root, features, rows):
    parts = dict.fromkeys(("train", "dev", "test"), lambda: rows)
    contents = _tfds_builders.Contents(features, parts, {"note": 3, "duplicates": "many"})
    _tfds_builders.write(contents, "made", "", root)
    return "tfds:made", "made"


TAGS = ["O", "B-PER", "I-PER"]
WRONG = {
    "a token too many": ("tags", ["a", "b"], [0], "token 1: expected at most .*, found 2 and 1$"),
    "an empty token": ("tags", ["a", ""], [0, 0], "token 2: expected a token, found an empty"),
    "an unknown tag": ("ner", ["a"], [-1], r"token 1: expected tags from 0 to 2, found \[-1\]"),
    "a tag out of place": ("ner_tags", ["a", "b"], [1, 0, 2][::2], None),
}


@pytest.mark.parametrize("name", WRONG)
def test_sentences_of_others(root, name):
    key, tokens, tags, sentence = WRONG[name]
    make = tfds.features
    features = {
        "tokens": make.Sequence(make.Text()),
        key: make.Sequence(make.ClassLabel(names=TAGS)),
    }
    rows = [{"tokens": tokens, key: tags}]
    source, argument = made(root, features, rows)
    if sentence:
        with pytest.raises(InputError, match=f"^tfds:made, train, {sentence}"):
            _tfds.sentences(source, argument)
    else:
        assert _tfds.sentences(source, argument).train[0].tags == ("B-PER", "I-PER")


PEOPLE = {
    "two of an item": (["a", "a"], 0, ["x"], [0], "2 .*: expected another item, found 'a'"),
    "no item": ([""], 0, ["x"], [0], "expected another item, found ''"),
    "no labels": (["a"], 0, [], [], "expected workers and as many labels, found 0 and 0"),
    "a worker less": (["a"], 0, ["x"], [0, 1], "as many labels, found 1 and 2"),
    "an unknown label": (["a"], -1, ["x"], [-1], "expected labels below 2, found .-1. and"),
}


@pytest.mark.parametrize("name", PEOPLE)
def test_labels_by_people_of_others(root, name):
    items, truth, workers, labels, sentence = PEOPLE[name]
    make = tfds.features
    classes = make.ClassLabel(names=["b", "a"])
    features = {"item": make.Text(), "truth": classes}
    features |= {"workers": make.Sequence(make.Text()), "labels": make.Sequence(classes)}
    rest = {"truth": truth, "workers": workers, "labels": labels}
    source, argument = made(root, features, [{"item": item, **rest} for item in items])
    with pytest.raises(InputError, match=f"^tfds:made, train, item .*{sentence}"):
        _tfds.crowd(source, argument)

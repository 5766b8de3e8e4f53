"""Sets of TensorFlow Datasets where they lie prepared: the public catalogue's, and damaged ones."""

import shutil
import subprocess
import sys

import catalogue
import numpy as np
import pytest

from trinity_jax.data import _tfds, _tfds_builders, _tfds_files, sources
from trinity_jax.types import InputError

pytest.importorskip("tensorflow_datasets", reason="needs tensorflow-datasets installed")

PIXELS = np.random.default_rng(0).integers(0, 256, (7, 32, 32, 3), np.uint8)
GREY = PIXELS[:, :28, :28, :1]
FINE, COARSE = [f"fine {k}" for k in range(100)], [f"coarse {k}" for k in range(20)]
SENTENCE = {
    "tokens": ["U.N.", "official", "Ekéus"],
    "pos": ["NNP", "NN", "NNP"],
    "chunks": ["B-NP", "I-NP", "I-NP"],
    "ner": ["B-ORG", "O", "B-PER"],
}
EMPTY = {key: [] for key in SENTENCE}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A root with sets of the public catalogue's layout, to be read and not to be written."""
    root = tmp_path_factory.mktemp("tensorflow_datasets")
    grey = [{"image": catalogue.png(x), "label": k} for k, x in enumerate(GREY)]
    catalogue.prepare(root, "mnist", {"train": grey, "test": grey[:2]}, shards=2)
    colour = [
        {"id": str(k), "image": catalogue.png(x), "label": 10 * k, "coarse_label": 2 * k}
        for k, x in enumerate(PIXELS)
    ]
    names = {"label": FINE, "coarse_label": COARSE}
    catalogue.prepare(root, "cifar100", {"train": colour, "test": colour[:2]}, names)
    parts = {"train": [SENTENCE, SENTENCE, EMPTY], "dev": [SENTENCE, EMPTY], "test": [SENTENCE]}
    catalogue.prepare(root, "conll2003", parts)
    row = {"tokens": ["Ann"], "tags": ["B-PER"], "langs": ["en"], "spans": ["PER: Ann"]}
    for language in ("en", "zh"):
        wikiann = {"train": [row], "validation": [row], "test": [row]}
        catalogue.prepare(root, "wikiann", wikiann, config=language)
    small = [{"image": catalogue.png(x), "label": k} for k, x in enumerate(PIXELS)]
    parts = {"train": small, "validation": small[:3]}
    catalogue.prepare(root, "imagenet_resized", parts, config="32x32")
    return root


@pytest.fixture
def root(prepared, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
    return prepared


@pytest.fixture
def own(prepared, tmp_path, monkeypatch):
    """A root of one's own, and a function that copies a set into it and returns its folder."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))

    def copy(name):
        shutil.copytree(prepared / name, tmp_path / name)
        [info] = (tmp_path / name).rglob("dataset_info.json")
        return info.parent

    return copy


def in_any_order(images, labels):
    return sorted((label, image.tobytes()) for image, label in zip(images, labels, strict=True))


def test_images_of_the_public_catalogue(root):
    read = sources.images("tfds:mnist")  # its records are shuffled, for good
    assert in_any_order(read.train_images, read.train_labels) == in_any_order(GREY, range(7))
    assert read.train_images.shape == (7, 28, 28, 1)
    assert (read.train_labels.dtype, read.test_images.shape) == (np.int32, (2, 28, 28, 1))
    assert read.labels == tuple("0123456789")
    fine, coarse = (sources.images("tfds:cifar100", target=of) for of in ("fine", "coarse"))
    labels = 10 * np.arange(7)
    assert in_any_order(fine.train_images, fine.train_labels) == in_any_order(PIXELS, labels)
    np.testing.assert_array_equal(fine.train_labels, 5 * coarse.train_labels)
    assert (fine.labels, coarse.labels) == (tuple(FINE), tuple(COARSE))
    resized = sources.images("tfds:imagenet_resized")  # it has one configuration, and no test part
    assert resized.test_images.shape == (3, 32, 32, 3)
    assert resized.labels[0] == "n02119789"


def test_sentences_of_the_public_catalogue(root):
    corpus = sources.sentences("tfds:conll2003")
    tags = ("B-ORG", "O", "B-PER")
    assert corpus.train == 2 * (sources.Sentence(("U.N.", "official", "Ekéus"), tags, ""),)
    assert len(corpus.dev) == len(corpus.test) == 1
    assert (corpus.types, corpus.synthetic) == (("ORG", "PER"), False)
    assert corpus.note == "2 empty sentences left out"
    chinese = sources.sentences("tfds:wikiann/zh:1.0.0")
    assert chinese.dev == (sources.Sentence(("Ann",), ("B-PER",), ""),)
    with pytest.raises(InputError, match=r"^tfds:wikiann: .* configurations .*: 'en, zh'$"):
        sources.sentences("tfds:wikiann")


def test_the_newest_version_is_read_unless_one_is_named(own):
    folder = own("mnist")
    for version, label in (("3.0.10", 5), ("3.0.9", 6)):
        rows = [{"image": catalogue.png(GREY[0]), "label": label}]
        newer = catalogue.prepare(folder.parent / "other", "mnist", {"train": rows, "test": rows})
        shutil.copytree(newer, folder.parent / version)
        shutil.rmtree(folder.parent / "other")
    assert sources.images("tfds:mnist").train_labels.tolist() == [5]
    assert sources.images("tfds:mnist:3.0.9").train_labels.tolist() == [6]
    assert len(sources.images("tfds:mnist:3.0.1").train_labels) == 7
    with pytest.raises(InputError, match=r"that version in .*/mnist, found 3.0.1, 3.0.9, 3.0.10$"):
        sources.images("tfds:mnist:4.0.0")


def test_array_record_may_be_one_format_of_several(own):
    also = '"fileFormat": "tfrecord", "alternativeFileFormats": ["array_record"]'
    change(own("mnist") / "dataset_info.json", '"fileFormat": "array_record"', also)
    assert len(sources.images("tfds:mnist").train_labels) == 7


WITHOUT_TENSORFLOW = """
import sys

class Without:
    # A finder of modules where TensorFlow is not installed.
    def __init__(self, finder):
        self.finder = finder
    def find_spec(self, name, *rest):
        hidden = name.partition(".")[0] == "tensorflow"
        return None if hidden else self.finder.find_spec(name, *rest)
    def __getattr__(self, name):
        return getattr(self.finder, name)

sys.meta_path[:] = map(Without, sys.meta_path)
from trinity_jax.data import preparing, sources, streaming
assert "tensorflow_datasets" not in sys.modules
root, corpus = sys.argv[1:]
print(preparing.prepare("digits", "my_digits", root).counts)
print(preparing.prepare(corpus, "my_corpus", root).counts)
assert sources.sentences("tfds:my_corpus") == sources.sentences(corpus)
read, again = sources.images("digits"), sources.images("tfds:my_digits")
assert all((one == other).all() for one, other in zip(read[1:5], again[1:5]))
print(len(sources.images("tfds:mnist").train_labels))
print(len(sources.sentences("tfds:conll2003").train))
stream = streaming.stream("tfds:mnist")
print(sorted(next(streaming.once(stream, 7)).labels.tolist()))
assert not any(name.partition(".")[0] == "tensorflow" for name in sys.modules)
"""


def test_importing_making_and_reading_need_no_tensorflow(own, tmp_path, monkeypatch):
    own("mnist")
    own("conll2003")
    for part in ("train", "dev", "test"):
        (tmp_path / f"{part}.iob2").write_text("Ann\tB-PER\n")
    command = [sys.executable, "-c", WITHOUT_TENSORFLOW, str(tmp_path), f"iob2:{tmp_path}"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.splitlines() == [
        "{'train': 1437, 'test': 360}",
        "{'train': 1, 'dev': 1, 'test': 1}",
        "7",
        "2",
        "[0, 1, 2, 3, 4, 5, 6]",
    ]
    assert ran.stderr == ""


def change(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def record(folder):
    return next(folder.glob("*-train.array_record-00000-*"))


def flip(folder):
    path = record(folder)
    data = bytearray(path.read_bytes())
    data[1000] ^= 1
    path.write_bytes(data)


def swap(folder):
    [test] = folder.glob("*-test.array_record-00000-*")
    shutil.copyfile(test, record(folder))


def trap(folder):
    """A module that would be imported, were the name of a class believed."""
    (folder / "trap.py").write_text("raise SystemExit('sprung')")
    old = "tensorflow_datasets.core.features.image_feature.Image"
    change(folder / "features.json", old, "trap.Image")


DAMAGE = {  # what is done to a folder, and the sentence
    "no features": (lambda f: (f / "features.json").unlink(), "features.json: cannot be read"),
    "features cut off": (
        lambda f: (f / "features.json").write_text('{"featuresDict": '),
        "features.json: cannot be read",
    ),
    "features in a list": (
        lambda f: (f / "features.json").write_text("[1]"),
        "features.json: expected a JSON object, found",
    ),
    "features of no class": (
        lambda f: (f / "features.json").write_text("{}"),
        "cannot be read",
    ),
    "a class of another's": (trap, "expected features of TFDS itself, found 'trap.Image'"),
    "no info": (
        lambda f: (f / "dataset_info.json").unlink(),
        "dataset_info.json: cannot be read",
    ),
    "another format": (
        lambda f: change(f / "dataset_info.json", '"array_record"', '"tfrecord"'),
        "expected files in array_record, found 'tfrecord': prepare it anew",
    ),
    "no format": (
        lambda f: change(f / "dataset_info.json", '"fileFormat": "array_record",', ""),
        "expected files in array_record, found 'tfrecord'",
    ),
    "a count that is wrong": (
        lambda f: change(f / "dataset_info.json", '"4"', '"5"'),
        "00000-of-00002: expected 5 records, as dataset_info.json says, found 4",
    ),
    "no such part": (
        lambda f: change(f / "dataset_info.json", '"train"', '"training"'),
        "expected a part 'train', found parts (test, training|training, test) in /",
    ),
    "an empty part": (
        lambda f: change(f / "dataset_info.json", '"shardLengths"', '"notShardLengths"'),
        "expected examples in .*, found none|cannot be read",
    ),
    "a file is missing": (lambda f: record(f).unlink(), "00000-of-00002: cannot be read"),
    "a file is empty": (lambda f: record(f).write_bytes(b""), "00000-of-00002: cannot be read"),
    "a file is cut off": (
        lambda f: record(f).write_bytes(record(f).read_bytes()[:-100]),
        "00000-of-00002: cannot be read",
    ),
    "a bit is flipped": (flip, r"00000-of-00002, record \d \(counted from 1\): cannot be read"),
    "a file of another part": (swap, "00000-of-00002: expected 4 records.* found 1"),
    "other features": (
        lambda f: change(f / "features.json", '"label"', '"digit"'),
        "expected an image and classes label, found features digit, image in /|image, digit",
    ),
    "fewer classes": (
        lambda f: change(f / "features.json", '"10"', '"3"'),
        "expected labels from 0 to 2, found 6",
    ),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_what_is_damaged_is_said_in_a_sentence(own, name, monkeypatch):
    folder = own("mnist")
    monkeypatch.syspath_prepend(folder)
    damage, sentence = DAMAGE[name]
    damage(folder)
    with pytest.raises(InputError, match=sentence) as caught:
        sources.images("tfds:mnist")
    assert str(caught.value).isprintable()


def test_every_bit_of_a_record_counts(own):
    """Whatever bit is flipped, the arrays are the same or the file is refused."""
    folder = own("mnist")
    whole = sources.images("tfds:mnist")
    path = record(folder)
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    used = np.flatnonzero(np.frombuffer(content, np.uint8))  # between them it is padded
    refused = 0
    for place in rng.choice(used, 60):
        data = bytearray(content)
        data[place] ^= 1 << rng.integers(8)
        path.write_bytes(data)
        try:
            read = sources.images("tfds:mnist")
        except InputError as error:
            refused += str(path) in str(error)
        else:
            np.testing.assert_array_equal(read.train_images, whole.train_images)
            np.testing.assert_array_equal(read.train_labels, whole.train_labels)
    assert refused > 20


def test_sets_that_are_not_there(root, monkeypatch):
    for name in ("", "a:b:c", "..", "mnist/..", "/etc", "a b", "mnist:1"):
        with pytest.raises(InputError, match="expected tfds:NAME, tfds:NAME/CONFIG or"):
            sources.images(f"tfds:{name}")
    sentence = (
        f"^tfds:no_such_set: .* in {root} .* found neither; what lies there: 'cifar100, conll"
    )
    with pytest.raises(InputError, match=sentence):
        sources.images("tfds:no_such_set")
    sentence = (
        r"found none: tfds.builder\('kmnist', .*\).download_and_prepare\(\), where TensorFlow"
    )
    with pytest.raises(InputError, match=sentence):
        sources.images("tfds:kmnist")
    with pytest.raises(InputError, match=r"'conll2002', .* where TensorFlow"):
        sources.sentences("tfds:conll2002")
    with pytest.raises(InputError, match=r"^tfds:cifar100: .* classes other_label, found features"):
        sources.images("tfds:cifar100", target="other")
    with pytest.raises(InputError, match=r"^tfds:mnist: expected tokens and classes ner or tags"):
        sources.sentences("tfds:mnist")
    with pytest.raises(InputError, match=r"^tfds:mnist: expected item, truth, workers, labels"):
        sources.crowd("tfds:mnist")
    assert sources.kind("tfds:mnist") == sources.kind("tfds:no_such_set") == "tfds"


def test_where_tensorflow_is_installed_the_catalogue_is_prepared(own, tmp_path, monkeypatch):
    import tensorflow_datasets as tfds

    monkeypatch.setattr(_tfds_files, "_has_tensorflow", lambda: True)
    asked = []

    def offline(self, **how):
        asked.append((self.name, how["file_format"]))
        raise ConnectionError("Failed to resolve\nthe host")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", offline)
    with pytest.raises(InputError, match=r"^tfds:mnist: .* failed \('Failed to resolve'\)$"):
        sources.images("tfds:mnist")
    rows = [{"image": catalogue.png(GREY[0]), "label": 5}]
    monkeypatch.undo()
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setattr(_tfds_files, "_has_tensorflow", lambda: True)

    def download(self, **_):
        shutil.copytree(catalogue_copy, self.data_dir)

    catalogue_copy = catalogue.prepare(tmp_path / "web", "mnist", {"train": rows, "test": rows})
    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", download)
    assert sources.images("tfds:mnist").train_labels.tolist() == [5]
    assert asked == [("mnist", "array_record")]


def test_images_that_do_not_fit_are_refused_before_they_are_read(root, monkeypatch):
    monkeypatch.setattr(_tfds, "_memory", lambda: 9 * 28 * 28)
    sentence = (
        r"^tfds:mnist: expected .* experiments.neural_rendering .* trinity_jax.data.streaming"
    )
    with pytest.raises(InputError, match=sentence):
        sources.images("tfds:mnist")


def test_images_of_many_sizes(own, tmp_path):
    import tensorflow_datasets as tfds

    features = {
        "image": tfds.features.Image(shape=(None, None, 3)),
        "label": tfds.features.ClassLabel(num_classes=2),
    }
    rows = [{"image": catalogue.png(x), "label": 0} for x in (PIXELS[0], PIXELS[0, :9])]
    parts = {"train": lambda: rows, "test": lambda: rows}
    _tfds_builders.write(_tfds_builders.Contents(features, parts, {}), "sizes", "", tmp_path)
    sentence = r"^tfds:sizes, train, image 2 \(counted .*\): expected 32x32x3, .* found 9x32x3$"
    with pytest.raises(InputError, match=sentence):
        sources.images("tfds:sizes")

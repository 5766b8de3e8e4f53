"""Where data come from: names of sources, embedded digits, TensorFlow Datasets."""

import importlib
import pathlib
import re
import sys

import numpy as np
import pytest
from broken_files import Bad, check_refused, write

from trinity_jax.data import sources
from trinity_jax.types import InputError

BAD = [
    Bad("misspelt", {}, "unknown source 'digts': did you mean 'digits'", "digts"),
    Bad("a crowd as images", {}, "unknown source 'csv'", "csv:{}"),
    Bad("nothing", {}, "unknown source ''", ""),
    Bad("digits with more", {}, "^digits:x: expected 'digits' alone, found 'x'", "digits:x"),
    Bad("a prefix", {}, "^digits: .* npz:DIR only, found 'x'", "digits", {"prefix": "x"}),
    Bad("a target", {}, "^digits: expected no target.*'coarse'", "digits", {"target": "coarse"}),
    Bad("an idx target", {}, "expected no target.*'coarse'", "idx:{}", {"target": "coarse"}),
    Bad("not printable", {}, "expected a source in printable", "npz:{}\t"),
]


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_what_is_wrong_is_said_in_a_sentence(tmp_path, case):
    check_refused(sources.images, tmp_path, case)


def test_digits_are_split_for_good():
    read = sources.images("digits")
    assert read.train_images.shape == (1437, 8, 8, 1)
    assert read.test_images.shape == (360, 8, 8, 1)
    assert read.train_images.dtype == np.uint8
    assert (read.train_images.min(), read.train_images.max()) == (0, 255)
    assert read.labels == tuple("0123456789")
    counts = np.bincount(read.test_labels)
    assert (counts.min(), counts.max()) == (35, 37)
    weight = np.arange(360)  # the same images in the same order, whatever the versions
    assert weight @ read.test_labels == 282004
    assert weight @ read.test_images.sum((1, 2, 3), dtype=int) == 321571851


@pytest.mark.parametrize(
    ("source", "package"), [("digits", "sklearn"), ("tfds:mnist", "tensorflow_datasets")]
)
def test_packages_that_are_not_installed(monkeypatch, source, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        InputError, match=rf"^{source}: .*pip install 'trinity_jax\[experiments\]'$"
    ):
        sources.images(source)


BUILDER = """
import io, numpy, PIL.Image, tensorflow_datasets as tfds

class TinyPets(tfds.core.GeneratorBasedBuilder):
    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(5, 6, 3)),
            "label": tfds.features.ClassLabel(names=["cat", "dog"]),
            "coarse_label": tfds.features.ClassLabel(names=["pet"]),
        }
        features = tfds.features.FeaturesDict(features)
        return tfds.core.DatasetInfo(builder=self, disable_shuffling=True, features=features)

    def _split_generators(self, manager):
        return {"train": self._generate_examples(3), "test": self._generate_examples(2)}

    def _generate_examples(self, number):
        for i in range(number):
            png = io.BytesIO()
            PIL.Image.fromarray(numpy.full((5, 6, 3), 10 * i, numpy.uint8)).save(png, "png")
            yield i, {"image": png.getvalue(), "label": i % 2, "coarse_label": 0}
"""


@pytest.fixture
def tfds(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    return pytest.importorskip("tensorflow_datasets", reason="needs tensorflow-datasets installed")


def test_tfds_prepares_once_and_reads_without_tensorflow(tfds, tmp_path, monkeypatch):
    package = tmp_path / "tiny_pets_code"
    write(tmp_path, {package.name: None, f"{package.name}/__init__.py": b""})
    write(package, {"tiny_pets.py": BUILDER.encode()})
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module(f"{package.name}.tiny_pets")
    for _ in range(2):
        read = sources.images("tfds:tiny_pets")
        np.testing.assert_array_equal(read.train_images[:, 0, 0, 0], [0, 10, 20])
        np.testing.assert_array_equal(read.train_labels, [0, 1, 0])
        assert read.test_images.shape == (2, 5, 6, 3)
        assert read.labels == ("cat", "dog")
        monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", None)
    assert sources.images("tfds:tiny_pets", target="coarse").labels == ("pet",)
    assert "tensorflow" not in sys.modules
    with pytest.raises(
        InputError, match=r"^tfds:tiny_pets: .*with image, fnie_label, .*'fnie_label'"
    ):
        sources.images("tfds:tiny_pets", target="fnie")
    [record] = tmp_path.glob("tiny_pets/*/*-test.array_record-*")
    record.write_bytes(record.read_bytes()[:50])
    with pytest.raises(InputError, match=r"^tfds:tiny_pets: expected a data set"):
        sources.images("tfds:tiny_pets")


def test_tfds_by_its_own_pretence(tfds):
    with tfds.testing.mock_data(num_examples=5):
        read = sources.images("tfds:cifar10")
    assert read.train_images.shape == read.test_images.shape == (5, 32, 32, 3)
    assert read.labels == tuple("0123456789")  # it knows how many there are, no names


def test_tfds_that_is_not_there(tfds, tmp_path, monkeypatch):
    for name in ("no_such_set", "", "mnist/no_config", "a:b:c"):
        with pytest.raises(InputError, match=f"^tfds:{name}: .* in {tmp_path} ") as caught:
            sources.images(f"tfds:{name}")
        assert str(caught.value).isprintable()

    def offline(self, **_):
        raise ConnectionError("Failed to resolve\nthe host")

    monkeypatch.setattr(tfds.core.DatasetBuilder, "download_and_prepare", offline)
    expected = (
        rf"in {tmp_path} .*found 'Failed to resolve'; prepare it with tfds.builder\('mnist', "
    )
    with pytest.raises(InputError, match=expected):
        sources.images("tfds:mnist")


def test_nothing_is_unpickled():
    root = pathlib.Path(sources.__file__).parents[2]
    code = [path for part in ("trinity_jax", "experiments") for path in (root / part).rglob("*.py")]
    unpickling = re.compile(r"allow_pickle\s*=\s*True")
    assert len(code) > 5
    assert not [path for path in code if unpickling.search(path.read_text(encoding="utf-8"))]

"""Where data come from: names of sources, embedded digits."""

import pathlib
import re
import sys

import numpy as np
import pytest
from broken_files import Bad, check_refused

from trinity_jax.data import _files, sources
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
    with pytest.raises(InputError, match=rf"^{source}: .*pip install '\.\[experiments\]'$"):
        sources.images(source)


@pytest.mark.parametrize("mistake", [AssertionError, MemoryError])
def test_what_is_no_file_s_fault_is_not_said_of_it(mistake):
    path = pathlib.Path(__file__)
    refused = pytest.raises(InputError, match=r"test_sources\.py: cannot be read")
    with refused, _files.opened(path, Exception):
        raise KeyError("x")
    with pytest.raises(mistake), _files.opened(path, Exception):
        raise mistake


def test_nothing_is_unpickled():
    root = pathlib.Path(sources.__file__).parents[2]
    code = [path for part in ("trinity_jax", "experiments") for path in (root / part).rglob("*.py")]
    unpickling = re.compile(r"allow_pickle\s*=\s*True")
    assert len(code) > 5
    assert not [path for path in code if unpickling.search(path.read_text(encoding="utf-8"))]

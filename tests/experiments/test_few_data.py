"""What the rendering model learns from: in memory, or chunk by chunk of what does not fit."""

import collections
import contextlib
import json
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import few_data, few_labels, neural_rendering
from trinity_jax.compute import mesh, program
from trinity_jax.data import _tfds, preparing, sources, streaming
from trinity_jax.types import InputError

pytest.importorskip("sklearn", reason="needs scikit-learn installed")
pytestmark = pytest.mark.usefixtures("small_layers")

EXPERIMENT = neural_rendering
TINY = (
    "smoke --steps 4 --exact-steps 3 --rounds 3 --seeds 2 --labelled 10 --arms joint "
    "--batch-labelled 20 --batch-unlabelled 20 --data tfds:many --out"
)


def rows(out):
    return [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]


class Watched:
    """What reading images needs of a run."""

    def __init__(self):
        self.mesh = mesh.make()

    def once(self, _, measure):
        return measure()

    def phase(self, *_):
        return contextlib.nullcontext()

    def say(self, sentence):
        self.said = sentence


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """A root with a set of TFDS that holds the digits: 1,437 to learn from, 64 bytes each."""
    pytest.importorskip("tensorflow_datasets", reason="needs tensorflow-datasets installed")
    pytest.importorskip("grain", reason="needs grain installed")
    root = tmp_path_factory.mktemp("sets")
    preparing.prepare("digits", "many", str(root))
    return root


@pytest.fixture
def fits(prepared, monkeypatch):
    """`fits(n)`: the set is there, and memory for its test part, 20 labelled and n other images, on
    each device and twice more.
    """
    monkeypatch.setenv("TFDS_DATA_DIR", str(prepared))
    each = 80 * (jax.local_device_count() + 2)
    return lambda n: monkeypatch.setattr(_tfds, "_memory", lambda: each * (360 + 20 + n))


def test_images_that_do_not_fit_are_read_in_chunks(fits, told, cut_short, tmp_path):
    """The run says so, and goes on where it was cut to the same records, wherever that is."""
    fits(60)
    words = TINY.split()
    status, said, _ = told([*words, str(tmp_path / "whole")])
    assert status == 0
    assert "1437 training images: 60 at a time, others in each round; 13% of them are seen" in said
    assert "1437 images to learn from, 360 to test on (test)" in said
    parts = [*words, str(tmp_path / "parts")]
    cut_short(parts, 0)
    fits(90)
    assert told(parts)[0] == 0
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")
    assert len(rows(tmp_path / "whole")) == 6


def read(more=""):
    words = ["smoke", "--labelled", "10", "--data", "tfds:many", *more.split()]
    config = program.parse(neural_rendering.PRESETS, words, "", "")[1]
    return few_data.read(config, Watched())


def test_a_chunk_is_that_of_its_round(fits):
    fits(60)
    images, of_round = read()
    every = {t: of_round(t) for t in (0, 2, 1)}
    for t, (known, named, pool, *tests) in every.items():
        expected = next(streaming.batches(streaming.stream("tfds:many"), 60, seed=0, step=t))
        np.testing.assert_array_equal(pool, expected.images)
        np.testing.assert_array_equal(read()[1](t)[2], pool)
        same = [known, named, *tests]
        assert all(a is b for a, b in zip(same, every[0][:2] + every[0][3:], strict=True))
    np.testing.assert_array_equal(images.train_images, every[0][2])


def test_the_same_are_labelled_whatever_is_read_at_a_time(fits, monkeypatch):
    fits(60)
    monkeypatch.setattr(streaming, "PIECE", 16)
    in_chunks = read()[1](1)
    fits(1437)
    (images, whole), (_, at_once) = read(), read("--chunk 5000")
    assert at_once(0)[2].shape == at_once(1)[2].shape == whole[2].shape
    assert in_chunks[2].shape == (60, 8, 8, 1)
    for found in (in_chunks, at_once(1)):
        for i in (0, 1, 3, 4):
            np.testing.assert_array_equal(found[i], whole[i])
    for seed in range(2):
        order = few_labels.draw_order(seed, jnp.asarray(images.train_labels), 10)[:10]
        np.testing.assert_array_equal(whole[0][seed], images.train_images[order])
        np.testing.assert_array_equal(whole[1][seed], images.train_labels[order])


@pytest.mark.parametrize(
    ("room", "more", "sentence"),
    [
        (60, "--evaluate validation", "--evaluate validation expects --chunk 0 and a set that f"),
        (9999, "--chunk 5 --prefix x", "--prefix x expects --chunk 0 and a set that fits, found"),
        (0, "", "tfds:many: expected what fits into 0.0 GiB, found 0.0 GiB of test and labelled"),
        (60, "--chunk 61", "tfds:many: expected what fits into 0.0 GiB, found 0.0 GiB of test"),
        (60, "--labelled 15", "--labelled is 15; expected a multiple of 10 classes, up to 139"),
        (
            9999,
            "--chunk 5 --labelled 1500",
            "--labelled is 1500; expected a multiple of 10 classes, up to",
        ),
        (60, "--target coarse", "tfds:many: expected an image and classes coarse_label, found"),
    ],
)
def test_what_cannot_be_read_in_chunks_is_said(fits, room, more, sentence):
    fits(room)
    with pytest.raises(InputError) as failed:
        read(more)
    assert str(failed.value).startswith(sentence)
    assert "\n" not in str(failed.value)


def test_settings_are_chosen_without_the_test_part():
    """Training images alone, each of them once, a fifth apart; always the same fifth."""
    given = {"data": "digits", "prefix": "", "target": "fine", "labelled": (20,)}
    read = lambda evaluate: few_labels.read(
        types.SimpleNamespace(**given, evaluate=evaluate), Watched()
    )
    official, found, again = read("test"), read("validation"), read("validation")
    np.testing.assert_array_equal(official.test_images, sources.images("digits").test_images)
    bag = lambda images, labels: collections.Counter(
        (x.tobytes(), y) for x, y in zip(images, labels.tolist(), strict=True)
    )
    train, test, _ = [bag(*found[1:3]), bag(*found[3:5]), bag(*official[3:5])]
    assert train + test == bag(*official[1:3])
    assert test.total() == official.train_labels.size // 5
    np.testing.assert_array_equal(found.test_images, again.test_images)
    assert found.labels == official.labels

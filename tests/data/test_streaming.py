"""Batches read as they are needed: which items are in them, and what cannot be read."""

import itertools
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from catalogue import png

from trinity_jax.algorithms import networks, training
from trinity_jax.data import _tfds, _tfds_builders, preparing, sources, streaming
from trinity_jax.types import InputError

tfds = pytest.importorskip("tensorflow_datasets", reason="needs tensorflow-datasets installed")
pytest.importorskip("grain", reason="needs grain installed")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A root with a set of 23 and 5 images, to be read and not to be written."""
    root = tmp_path_factory.mktemp("sets")
    rng = np.random.default_rng(0)
    for part, count in (("train", 23), ("test", 5)):
        images = rng.integers(0, 256, (count, 4, 5, 3), np.uint8)
        labels = {"fine": np.arange(count) % 7, "coarse": np.arange(count) % 3}
        np.savez(root / f"x_{part}.npz", images=images, **labels)
    preparing.prepare(f"npz:{root}", "small", str(root))
    return root


@pytest.fixture
def stream(root, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(root))
    return streaming.stream("tfds:small")


def items(batches):
    return np.concatenate([batch.item for batch in batches])


def test_a_pass_has_every_item_once_and_in_order(stream):
    whole = sources.images("tfds:small")
    batches = list(streaming.once(stream, 5))
    assert [batch.images.shape for batch in batches] == [(5, 4, 5, 3)] * 5
    assert items(batches).tolist() == [*range(23), -1, -1]
    images = np.concatenate([batch.images for batch in batches])
    labels = np.concatenate([batch.labels for batch in batches])
    np.testing.assert_array_equal(images[:23], whole.train_images)
    np.testing.assert_array_equal(labels[:23], whole.train_labels)
    assert (images.dtype, labels.dtype, batches[0].item.dtype) == (np.uint8, np.int32, np.int64)
    assert (stream.labels, len(stream.examples)) == (whole.labels, 23)
    test = streaming.stream("tfds:small", "test", target="coarse")
    [batch] = streaming.once(test, 8)
    assert batch.labels[:5].tolist() == [0, 1, 2, 0, 1]
    assert batch.item.tolist() == [0, 1, 2, 3, 4, -1, -1, -1]


def test_some_items_in_the_order_that_is_asked(stream):
    batches = list(streaming.once(stream, 2, np.array([9, 3, 20])))
    assert items(batches).tolist() == [9, 3, 20, -1]
    assert np.concatenate([batch.labels for batch in batches]).tolist() == [2, 3, 6, 6]


def test_batches_are_a_function_of_seed_and_step(stream):
    def draw(count, **how):
        return list(itertools.islice(streaming.batches(stream, 4, **how), count))

    all_at_once = items(draw(23, seed=3)).reshape(4, 23)
    for epoch in all_at_once:  # batches go on over the end of a pass
        assert sorted(epoch) == list(range(23))
    assert len({tuple(epoch) for epoch in all_at_once}) == 4
    for step in (0, 1, 7, 19):
        np.testing.assert_array_equal(
            items(draw(4, seed=3, step=step)), all_at_once.ravel()[4 * step : 4 * step + 16]
        )
    assert (items(draw(5, seed=4)) != items(draw(5, seed=3))).any()
    some = items(draw(30, seed=3, items=np.array([5, 8, 13])))
    assert np.bincount(some).tolist() == [40 if k in (5, 8, 13) else 0 for k in range(14)]


@pytest.mark.parametrize(("size", "piece"), [(6, 256), (6, 2), (7, 3), (30, 256)])
def test_a_chunk_is_a_batch_that_is_read_in_pieces(stream, monkeypatch, size, piece):
    """A function of its number, whatever was read before; one may be more than a pass."""
    monkeypatch.setattr(streaming, "PIECE", piece)
    for number in (0, 3, 1):
        expected = next(streaming.batches(stream, size, seed=3, step=number))
        found = streaming.chunk(stream, size, number, seed=3)
        for mine, values in zip(found, expected, strict=True):
            np.testing.assert_array_equal(mine, values)
            assert mine.dtype == values.dtype


def test_parts_are_those_that_would_be_read_whole(stream, monkeypatch):
    whole, parts = sources.images("tfds:small"), streaming.parts("tfds:small")
    monkeypatch.setattr(streaming, "PIECE", 4)
    for part, expected in zip(parts, (whole[1:3], whole[3:5]), strict=True):
        read = streaming.read(part)
        np.testing.assert_array_equal(read.images, expected[0])
        np.testing.assert_array_equal(read.labels, expected[1])
    assert streaming.read(parts[0], np.array([9, 3, 20, 3, 9])).item.tolist() == [9, 3, 20, 3, 9]
    needed, there = streaming.room(*parts)
    assert needed == whole.train_images.nbytes + whole.test_images.nbytes < there
    monkeypatch.setattr(_tfds, "_memory", lambda: 1000)
    assert streaming.room(parts[1]) == (whole.test_images.nbytes, 800)


def test_parts_with_images_of_other_sizes(tmp_path, monkeypatch):
    features = {
        "image": tfds.features.Image(shape=(None, None, 3)),
        "label": tfds.features.ClassLabel(num_classes=2),
    }
    of = lambda height: [{"image": png(np.zeros((height, 4, 3), np.uint8)), "label": 0}]
    parts = {"train": lambda: of(4), "test": lambda: of(5)}
    _tfds_builders.write(_tfds_builders.Contents(features, parts, {}), "odd", "", tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    sentence = "^tfds:odd, test: expected images of 4x4x3, as in training, found 5x4x3$"
    with pytest.raises(InputError, match=sentence):
        streaming.parts("tfds:odd")


def test_the_state_is_the_step(stream):
    iterator = streaming.batches(stream, 4, seed=0)
    for _ in range(5):
        next(iterator)
    state = iterator.get_state()
    assert state == {"next_index": 5}
    then = [next(iterator).item for _ in range(3)]
    other = streaming.batches(stream, 4, seed=0)
    other.set_state(state)
    np.testing.assert_array_equal([next(other).item for _ in range(3)], then)
    again = streaming.batches(stream, 4, seed=0, step=5)
    np.testing.assert_array_equal([next(again).item for _ in range(3)], then)


def test_scores_of_a_pool_are_those_of_the_pool_in_memory(stream):
    """As a strategy would ask for them: one compiled function, one batch at a time."""
    recipe = training.adam(networks.network("softmax", 7), 0.1, 4, "constant")
    whole = sources.images("tfds:small")
    pool = jnp.asarray(whole.train_images)
    state = training.begin(jax.random.key(0), recipe, pool)
    predict = jax.jit(lambda images: training.predict(recipe, state, images))
    margin = np.full(23, np.nan)
    for batch in streaming.once(stream, 8):
        real = batch.item >= 0
        best = np.sort(predict(jnp.asarray(batch.images)), axis=1)
        margin[batch.item[real]] = (best[:, -1] - best[:, -2])[real]
    expected = np.sort(predict(pool), axis=1)
    np.testing.assert_allclose(margin, expected[:, -1] - expected[:, -2], rtol=1e-5)


def test_what_cannot_be_streamed_is_said_in_a_sentence(stream, root, tmp_path, monkeypatch):
    for source in ("digits", "npz:x", ""):
        with pytest.raises(InputError, match=r"^expected tfds:NAME, .* \(trinity-prepare"):
            streaming.stream(source)
    with pytest.raises(InputError, match=r"^tfds:small: expected a part 'trian', found parts t"):
        streaming.stream("tfds:small", "trian")
    with pytest.raises(InputError, match=r"^tfds:small: expected an image and classes other_label"):
        streaming.stream("tfds:small", target="other")
    folder = root / "small/1.0.0"
    copy = tmp_path / "small/1.0.0"
    copy.mkdir(parents=True)
    for path in folder.iterdir():
        data = bytearray(path.read_bytes())
        if "train.array" in path.name:
            data[1000] ^= 1
        (copy / path.name).write_bytes(data)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    damaged = streaming.stream("tfds:small")
    sentence = (
        r"^/.*train.array_record-00000-of-00001, record \d \(counted from 1\): cannot be read"
    )
    with pytest.raises(InputError, match=sentence):
        list(streaming.once(damaged, 5))


@pytest.mark.parametrize(
    ("second", "found"), [((4, -1), "uint8 (4, 4, 3) and -1"), ((5, 1), "uint8 (5, 4, 3) and 1")]
)
def test_labels_and_sizes_are_checked_as_they_are_read(tmp_path, monkeypatch, second, found):
    features = {
        "image": tfds.features.Image(shape=(None, None, 3)),
        "label": tfds.features.ClassLabel(num_classes=2),
    }
    rows = [
        {"image": png(np.zeros((height, 4, 3), np.uint8)), "label": label}
        for height, label in ((4, 0), second)
    ]
    contents = _tfds_builders.Contents(features, {"train": lambda: rows}, {})
    _tfds_builders.write(contents, "odd", "", tmp_path)
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(InputError) as caught:
        list(streaming.once(streaming.stream("tfds:odd"), 2))
    expected = "expected uint8 (4, 4, 3) and a label below 2"
    where = "tfds:odd, train, image 2 (counted from 1)"
    assert str(caught.value) == f"{where}: {expected}, found {found}"


def test_grain_that_is_not_installed(stream, monkeypatch):
    monkeypatch.setitem(sys.modules, "grain", None)
    with pytest.raises(InputError, match="expected grain to be installed"):
        streaming.once(stream, 4)

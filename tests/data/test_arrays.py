"""Labelled images in npz and idx files: what is refused and in which words, what is read."""

import gzip
import io
import struct
import zipfile

import numpy as np
import pytest
from broken_files import Bad, check_mutations, check_refused, write

from trinity_jax.data import sources

PIXELS = np.arange(4 * 5 * 6 * 3, dtype=np.uint8).reshape(4, 5, 6, 3)
CLASSES = np.array([0, 1, 1, 0])
RAW = PIXELS.tobytes()
TRAIN, TEST = "x_train.npz", "x_test.npz"


def npz(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **{"images": PIXELS, "labels": CLASSES, **arrays})
    return buffer.getvalue()


def npy(shape, descr="|u1", data=RAW, version=1):
    head = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}".encode().ljust(117)
    return (
        b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H", len(head) + 1) + head + b"\n" + data
    )


def zipped(compression=zipfile.ZIP_STORED, **members):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def promising(*arguments, **more):
    return zipped(images=npy(*arguments, **more), labels=npy((4,), data=bytes(4)))


def idx(array):
    array = np.asarray(array, np.uint8)
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.tobytes()


GREY = PIXELS[..., 0]
MNIST = {
    "train-images-idx3-ubyte": idx(GREY),
    "train-labels-idx1-ubyte": idx(CLASSES),
    "t10k-images-idx3-ubyte": idx(GREY[:2]),
    "t10k-labels-idx1-ubyte": idx(CLASSES[:2]),
}
GZ = {f"{name}.gz": gzip.compress(content) for name, content in MNIST.items()}
LAST = GZ["t10k-labels-idx1-ubyte.gz"]


def folder(name, files, pattern, **arguments):
    return Bad(name, files, pattern, "npz:{}", arguments)


def train(name, content, pattern, **arguments):
    return folder(name, {TRAIN: content, TEST: npz()}, r"/x_train\.npz" + pattern, **arguments)


def mnist(name, file, content, pattern):
    [file] = [known for known in MNIST if known.startswith(file)]
    return Bad(name, MNIST | {file: content}, f"/{file}{pattern}", "idx:{}")


def gz(name, content):
    files = GZ | {"t10k-labels-idx1-ubyte.gz": content}
    return Bad(name, files, r"/t10k-labels-idx1-ubyte\.gz: (cannot|.*found nothing)", "idx:{}")


PAIR = {TRAIN: npz(), TEST: npz()}
FORGED = promising((2**30, 1, 1, 1)).replace(*(struct.pack("<I", 128 + n) for n in (360, 2**30)))
BAD = [
    folder("no npz", {"x.csv": b""}, r": expected one file '_train\*.npz', found none"),
    folder("no test part", {TRAIN: npz()}, r": expected one file 'x_test\*.npz', found none"),
    folder("no train part", {TEST: npz()}, r": expected one file 'x_train\*.npz', found none"),
    folder("several sets", PAIR | {"y_train.npz": b""}, ": .* a prefix, found several: x, y$"),
    folder("several parts", PAIR | {"x_train2.npz": b""}, ": .*found x_train.npz, x_train2.npz$"),
    folder("other prefix", PAIR, r"'z_train\*.npz', found none .*there: x\)$", prefix="z"),
    folder("odd prefix", PAIR, r"'z\\n_train\*.npz', found none", prefix="z\n"),
    folder("odd name", {"\n_train.npz": b"", TEST: npz()}, r"'x_train\*.npz', found none"),
    train("a folder", None, ": expected a file, found a folder"),
    train("empty", b"", ": cannot be read"),
    train("not a zip", b"item,worker,label\n", ": cannot be read .'File is not a zip file"),
    train("a lone array", npy((4, 5, 6, 3)), ": cannot be read .'File is not a zip file"),
    train("a lone pickle", b"\x80\x04N.", ": cannot be read .'File is not a zip file"),
    train("cut at the end", npz()[:-30], ": cannot be read"),
    train("cut at the start", npz()[30:], ": cannot be read"),
    train("no arrays", zipped(), ": expected an array 'images', found ''"),
    train("no images", zipped(labels=b""), ": expected an array 'images', found 'labels'"),
    train("no labels", zipped(images=npy((4, 5, 6, 3))), ": .*array 'labels', found 'images'"),
    train("no coarse", npz(), ": .*array 'coarse', found 'images, labels'", target="coarse"),
    train("images as labels", npz(), r": expected labels \[4\]", target="images"),
    train("bad CRC", npz().replace(RAW, bytes(360)), ": cannot be read .*CRC"),
    train("objects", npz(labels=CLASSES.astype(object)), ", array 'labels': .*int.*found object"),
    train("text", npz(labels=np.array(["a"] * 4)), ", array 'labels': .*integers.*found <U1"),
    train("fractions", npz(labels=CLASSES / 2), ", array 'labels': .*integers.*found float64"),
    train("truth values", npz(labels=CLASSES > 0), ", array 'labels': .*integers.*found bool"),
    train("label column", npz(labels=CLASSES[:, None]), r": expected labels \[4\].*\(4, 1\)"),
    train("one label", npz(labels=np.int32(0)), r": expected labels \[4\].*found \(\)"),
    train("few labels", npz(labels=CLASSES[:3]), r": expected labels \[4\].*found \(3,\)"),
    train("label below 0", npz(labels=CLASSES - 1), ": expected labels .*65535, found -1 to 0"),
    train("huge label", npz(labels=CLASSES + 2**40), ": expected labels .*65535, found 1099"),
    train("more", npz(labels=np.uint64(2**63) + CLASSES.astype("u8")), ": expected labels .*92"),
    train("floats", npz(images=PIXELS / 255), ", array 'images': .*integers.*found float64"),
    train("ints", npz(images=PIXELS.astype(int)), ": expected images uint8 .*found int64"),
    train("signed", npz(images=PIXELS.view("i1")), ": expected images uint8 .*found int8"),
    train("grey", npz(images=GREY), r": expected images uint8 .*\(4, 5, 6\)"),
    train("no items", npz(images=PIXELS[:0]), ", array 'images': .*at least one"),
    train("no pixels", npz(images=PIXELS[:, :0]), ", array 'images': .*at least one"),
    train("7 TiB", promising((7, 2**20, 2**20, 1)), ", .*: expected the 76965.* bytes.*found 360"),
    train("overflow", promising((2**40, 2**40)), r", .*: expected the 12089\d+ bytes .*found 360"),
    train("zip of a GiB", FORGED, ": cannot be read|expected the 1073741824 bytes"),
    train("negative sizes", promising((-4, -90)), ": cannot be read"),
    train("more promised", promising((4, 5, 7, 3)), ", .*: expected the 420 bytes .*found 360"),
    train("less promised", promising((4, 5, 5, 3)), ", .*: expected the 300 bytes .*found more"),
    train("structures", promising((4,), [("a", "u1")]), ", array 'images': .*integers"),
    train("a pickle inside", promising((4, 5, 6, 3), "|O"), ", array 'images': .*found object"),
    train(
        "future version",
        promising((4, 5, 6, 3), version=9),
        ", .*: expected .npy format 1.0 or 2.0, found .9, 0.",
    ),
    train("no header", zipped(images=b""), ": cannot be read"),
    train("code as header", promising("__import__('os')"), ": cannot be read"),
    train("deep header", promising("(" * 9000), ": cannot be read"),
    train("many signs", promising("-" * 9000 + "1"), ", array 'images': .*header.*too deep"),
    folder(
        "sizes differ",
        {TRAIN: npz(), TEST: npz(images=PIXELS[:, :4])},
        r"/x_test\.npz: expected images of 5x6x3, as in training, found 4x6x3",
    ),
    folder(
        "class not trained",
        {TRAIN: npz(), TEST: npz(labels=CLASSES + 1)},
        r"/x_test\.npz: expected labels from 0 to 1, as in training, found 2",
    ),
    Bad("no idx files", {}, "/train-images-idx3-ubyte: cannot be read .'No such file", "idx:{}"),
    mnist("idx a folder", "train-i", None, ": expected a file"),
    mnist("idx empty", "train-i", b"", ": .*00000803.*found nothing"),
    mnist("idx of labels", "train-i", idx(CLASSES), ": .*00000803.*found 00000801"),
    mnist("idx of images", "t10k-l", idx(GREY), ": .*00000801.*found 00000803"),
    mnist("idx of floats", "train-i", b"\0\0\x0d\3" + bytes(12), ": .*found 00000d03"),
    mnist("idx cut early", "train-i", idx(GREY)[:6], ": .*3 sizes, found 000008030000$"),
    mnist("idx cut", "train-i", idx(GREY)[:-1], ": .*the 120 bytes.*found 119"),
    mnist("idx too long", "train-i", idx(GREY) + b"0", ": .*the 120 bytes.*more"),
    mnist("idx of terabytes", "train-i", b"\0\0\x08\3" + b"\xff" * 12, ": .*bytes.*found 0"),
    mnist("idx without items", "train-i", idx(GREY[:0]), ": .*at least one item"),
    mnist("idx more items", "train-i", idx(np.repeat(GREY, 2, 0)), r": .*labels \[8\].*\(4,\)"),
    mnist("idx sizes differ", "t10k-i", idx(GREY[:2, :4]), ": .*5x6x1.*4x6x1"),
    gz("gz empty", b""),
    gz("gz cut", LAST[:-9]),
    gz("gz cut early", LAST[:5]),
    gz("gz with a bad CRC", LAST[:-8] + bytes(8)),
    gz("not gz", idx(CLASSES[:2])),
    Bad("no folder", {}, "/gone: expected a folder, found nothing", "npz:{}/gone"),
    Bad("no idx folder", {}, "/gone: expected a folder, found nothing", "idx:{}/gone"),
    Bad("npz not named", {}, "^expected npz:DIR, found 'npz:'$", "npz:"),
    Bad("idx not named", {}, "^expected idx:DIR, found 'idx'$", "idx"),
]


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_what_is_wrong_is_said_in_a_sentence(tmp_path, case):
    check_refused(sources.images, tmp_path, case)


MEMBERS = {
    "images": npy((4, 5, 6, 3)),
    "labels": npy((4,), data=CLASSES.astype("u1").tobytes()),
}
ARCHIVES = {
    "plain": npz(),
    "deflate": zipped(zipfile.ZIP_DEFLATED, **MEMBERS),
    "bzip2": zipped(zipfile.ZIP_BZIP2, **MEMBERS),
    "lzma": zipped(zipfile.ZIP_LZMA, **MEMBERS),
}


@pytest.mark.parametrize("kind", ARCHIVES)
def test_broken_npz_end_in_sentences_only(tmp_path, kind):
    files = {TRAIN: ARCHIVES[kind], TEST: npz()}
    check_mutations(lambda: sources.images(f"npz:{tmp_path}"), tmp_path, files, TRAIN)


@pytest.mark.parametrize("files", [MNIST, GZ], ids=["plain", "gz"])
def test_broken_idx_end_in_sentences_only(tmp_path, files):
    broken = next(iter(files))
    check_mutations(lambda: sources.images(f"idx:{tmp_path}"), tmp_path, files, broken)


LAYOUTS = {
    "bytes": npz(labels=CLASSES.astype("u1")),
    "big endian": npz(labels=CLASSES.astype(">i8")),
    "Fortran order": npz(images=np.asfortranarray(PIXELS)),
    "version 2": zipped(
        **MEMBERS | {"images": npy((4, 5, 6, 3)).replace(b"Y\1\0v\0", b"Y\2\0v\0\0\0")}
    ),
    "more arrays": npz(names=np.array(["a"]), objects=np.array([None])),
    "fine and coarse": npz(fine=CLASSES, labels=CLASSES[:2], coarse=1 - CLASSES),
}


@pytest.mark.parametrize("content", (ARCHIVES | LAYOUTS).values(), ids=ARCHIVES | LAYOUTS)
def test_npz_of_any_layout(tmp_path, content):
    write(tmp_path, {TRAIN: content, TEST: npz()})
    read = sources.images(f"npz:{tmp_path}")
    np.testing.assert_array_equal(read.train_images, PIXELS)
    np.testing.assert_array_equal(read.train_labels, CLASSES)
    assert read.train_images.dtype == read.test_images.dtype == np.uint8
    assert read.train_labels.dtype == read.test_labels.dtype == np.int32
    assert read.labels == ("0", "1")
    assert read.name == f"npz:{tmp_path}"


def test_npz_with_prefix_and_target(tmp_path):
    two = npz(fine=CLASSES, coarse=1 - CLASSES)
    files = {TRAIN: two, TEST: two, "xy_train_part.npz": npz(labels=CLASSES * 3)}
    files |= {"xy_test_part.npz": npz(), "._x_train.npz": b"", "x_train.csv": b""}
    write(tmp_path, files)
    for prefix, target, labels in (
        ("x", "fine", CLASSES),
        ("x", "coarse", 1 - CLASSES),
        ("xy", "fine", CLASSES * 3),
    ):
        read = sources.images(f"npz:{tmp_path}", prefix=prefix, target=target)
        np.testing.assert_array_equal(read.train_labels, labels)
        assert read.labels == tuple(map(str, range(max(labels) + 1)))


@pytest.mark.parametrize("zipped", [0, 1, 4], ids=["plain", "mixed", "gz"])
def test_idx(tmp_path, zipped):
    write(tmp_path, dict([*GZ.items()][:zipped] + [*MNIST.items()][zipped:]))
    read = sources.images(f"idx:{tmp_path}")
    np.testing.assert_array_equal(read.train_images, PIXELS[..., :1])
    np.testing.assert_array_equal(read.test_images, PIXELS[:2, ..., :1])
    np.testing.assert_array_equal(read.train_labels, CLASSES)
    np.testing.assert_array_equal(read.test_labels, CLASSES[:2])
    assert read.labels == ("0", "1")


def test_real_images(real_data):
    folder = real_data("images", "cifar10_train_subset.npz").parent
    read = sources.images(f"npz:{folder}", prefix="cifar10")
    assert read.train_images.shape == (2500, 32, 32, 3)
    assert read.test_images.shape == (500, 32, 32, 3)
    np.testing.assert_array_equal(np.bincount(read.train_labels), [250] * 10)
    several = Bad("", {}, "found several: cifar10, cifar100$", f"npz:{folder}")
    check_refused(sources.images, folder, several)

"""Tiny ImageNet in folders: a small one, reduced images, and what may be wrong with it."""

import io

import numpy as np
import pytest
from broken_files import Bad, check_refused, write

from trinity_jax.data import sources

Image = pytest.importorskip("PIL.Image", reason="needs Pillow installed")

WNIDS = ("n01443537", "n01629819")


def jpeg(colour, size=(64, 64), mode="RGB"):
    held = io.BytesIO()
    Image.new(mode, size, colour).save(held, "JPEG", quality=95)
    return held.getvalue()


def folder(**more):
    """Two images of each class, one to validate; the second image of all is grey."""
    files = {"wnids.txt": "".join(f"{wnid}\n" for wnid in WNIDS).encode()}
    notes = ""
    for label, wnid in enumerate(WNIDS):
        colour = (200, 40, 40) if label else (40, 40, 200)
        files[f"train/{wnid}/images/{wnid}_0.JPEG"] = jpeg(colour)
        files[f"train/{wnid}/images/{wnid}_10.JPEG"] = jpeg(colour)
        files[f"train/{wnid}/images/{wnid}_2.JPEG"] = jpeg(120, mode="L")
        files[f"val/images/val_{label}.JPEG"] = jpeg(colour)
        notes += f"val_{label}.JPEG\t{wnid}\t0\t0\t62\t62\n"
    return files | {"val/val_annotations.txt": notes.encode()} | more


def made(path, files):
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        if content is not None:
            write(path, {name: content})
    return f"tinyimagenet:{path}"


def test_images_and_wnids(tmp_path):
    found = sources.images(made(tmp_path, folder()))
    assert found.labels == WNIDS
    assert found.train_images.shape == (6, 64, 64, 3)
    assert found.train_labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert found.test_labels.tolist() == [0, 1]
    assert np.ptp(found.train_images[1].astype(int), axis=-1).max() <= 2  # grey: 2 is before 10
    assert found.train_images[0, 0, 0, 2] > 150 > found.train_images[3, 0, 0, 2]
    small = sources.images(f"tinyimagenet:{tmp_path}", size=32)
    assert small.test_images.shape == (2, 32, 32, 3)


def bad(name, pattern, **files):
    names = {key.replace("__", "/").replace("_dot_", "."): of for key, of in files.items()}
    whole = folder() | names
    return Bad(name, {"x": lambda path: made(path.parent, whole)}, pattern, "tinyimagenet:{}")


ONE = f"train__{WNIDS[0]}__images__{WNIDS[0]}_0_dot_JPEG"
BAD = [
    bad("no wnids", r"wnids\.txt: expected wnids, found none", wnids_dot_txt=b"\n"),
    bad("twice", r"wnids\.txt, line 2: expected another wnid", wnids_dot_txt=b"n01443537\n" * 2),
    bad("no wnid", r"wnids\.txt, line 1: expected another wnid", wnids_dot_txt=b"fish\n"),
    bad("no folder", r"n09999999/images: expected a folder", wnids_dot_txt=b"n09999999\n"),
    bad("not JPEG", r"_0\.JPEG: cannot be read", **{ONE: b"x"}),
    bad("cut", r"_0\.JPEG: cannot be read", **{ONE: jpeg((1, 2, 3))[:300]}),
    bad(
        "other size",
        r"expected 64x64x3.*found 32x32x3",
        **{ONE.replace("_0_", "_9_"): jpeg(1, (32, 32), "L")},
    ),
    bad("too large", r"at most 4096 pixels", **{ONE: jpeg(1, (5000, 8), "L")}),
    bad("notes", r"txt, line 1: expected FILE<TAB>WNID", val__val_annotations_dot_txt=b"a\n"),
    bad(
        "path",
        r"txt, line 1: expected FILE",
        val__val_annotations_dot_txt=b"../a.JPEG\tn01443537\n",
    ),
    Bad("nothing", {}, r"wnids\.txt: cannot be read", "tinyimagenet:{}"),
    Bad(
        "a size for others", {}, "expected a size with tinyimagenet:DIR only", "digits", {"size": 8}
    ),
]


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_what_is_wrong_is_said_in_a_sentence(tmp_path, case):
    check_refused(sources.images, tmp_path, case)

"""`trinity-prepare`, as a person calls it."""

import os
import subprocess
import sys
import time

import pytest

from trinity_jax import prepare
from trinity_jax.data import _tfds_builders, sources

pytest.importorskip("tensorflow_datasets", reason="needs tensorflow-datasets installed")
IOB2 = b"Ann\tB-PER\nLee\tI-PER\n\nin\tO\n"


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    for part in ("train", "dev", "test"):
        (folder / f"{part}.iob2").write_bytes(IOB2)
    return folder


def call(capsys, *words):
    with pytest.raises(SystemExit) as ended:
        prepare.main([str(word) for word in words])
    said = capsys.readouterr()
    return ended.value.code, said.out, said.err


def test_a_corpus_is_made_and_read(files, tmp_path, capsys, monkeypatch):
    root = tmp_path / "my sets"
    status, out, err = call(capsys, f"iob2:{files}", "--name", "mine", "--to", root)
    assert (status, err) == (0, "")
    assert out.splitlines()[1:] == [
        f"{root}/mine/1.0.0: records 2 in train, 2 in dev, 2 in test",
        f"read it by TFDS_DATA_DIR='{root}' and --data tfds:mine",
    ]
    monkeypatch.setenv("TFDS_DATA_DIR", str(root))
    assert sources.sentences("tfds:mine") == sources.sentences(f"iob2:{files}")
    status, _, err = call(capsys, f"iob2:{files}", "--name", "mine")
    assert (status, err.count("\n")) == (2, 1)
    assert "expected no set, found one; --overwrite replaces it" in err
    assert call(capsys, f"iob2:{files}", "--name", "mine", "--overwrite")[0] == 0


def test_help_teaches(capsys):
    status, out, err = call(capsys, "--help")
    assert (status, err) == (0, "")
    for word in (
        "SOURCE",
        "--name NAME",
        "--to DIR",
        "iob2:DIR",
        "csv:DIR",
        "--data tfds:my_corpus",
        ".NAME-",
    ):
        assert word in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "SOURCE"),
        (["iob2:/no", "--name", "x"], "trinity-prepare: /no: expected a folder, found nothing\n"),
        (["iob3:/no", "--name", "x"], "unknown source 'iob3': did you mean 'iob2'?"),
        (["digits", "--name", "A B"], "--name expects lower-case letters, digits and _"),
        (["digits"], "--name NAME"),
        (["digits", "--name", "x", "--too", "y"], "--to"),
        (["grammar:en", "--name", "x", "--size", "many"], "--size"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_status_2(words, sentence, capsys, tmp_path):
    status, _, err = call(capsys, *words, *(["--to", tmp_path / "sets"] if words else []))
    assert (status, err.count("\n")) == (2, 1)
    assert sentence in err
    assert not (tmp_path / "sets").exists() or not list((tmp_path / "sets").iterdir())


def test_an_interrupted_command_leaves_nothing(files, tmp_path, capsys, monkeypatch):
    whole = _tfds_builders.write

    def interrupted(*arguments):
        whole(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(_tfds_builders, "write", interrupted)
    status, _, err = call(capsys, f"iob2:{files}", "--name", "mine", "--to", tmp_path / "sets")
    assert (status, err) == (130, "interrupted\n")
    assert not list((tmp_path / "sets").iterdir())


def test_a_killed_command_leaves_no_set_and_can_be_given_again(files, tmp_path):
    root = tmp_path / "sets"
    command = [sys.executable, "-m", "trinity_jax.prepare", f"iob2:{files}", "--name", "mine"]
    how = {"env": os.environ | {"TFDS_DATA_DIR": str(root)}, "stderr": subprocess.PIPE}
    process = subprocess.Popen(command, **how)
    deadline = time.monotonic() + 60
    while not list(root.glob(".mine-*")) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    assert process.communicate(timeout=60)[1] == b""
    assert len(list(root.glob(".mine-*"))) == 1  # as the help says
    assert not (root / "mine").exists()
    assert subprocess.run(command, check=False, **how).returncode == 0
    assert (root / "mine/1.0.0/features.json").exists()

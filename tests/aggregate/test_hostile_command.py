"""trinity-aggregate given what it cannot use: status 2, one sentence, and nothing is lost."""

import os
import pathlib
import re
import shlex
import signal
import subprocess
import sys

import jax
import pytest

from trinity_jax.aggregate import command

LABELS = b"item,worker,label\na,u,0\nb,u,1\nb,v,1\n"
FILES = {"labels.csv": LABELS, "gold.csv": b"item,label\na,0\n", "text": b"x", "empty.csv": b""}
DIGITS = "9" * 5000
WRONG = {  # words after labels.csv, and what the sentence has
    "--method ''": "unknown method ''",
    "--method all,": "unknown method 'all,'",
    "--gold nowhere": "nowhere: cannot be read",
    "--gold .": r".: expected a file",
    "--gold text": "text, line 1: expected a header with item and label",
    "--gold labels.csv --gold-columns x y": "labels.csv, line 1: expected a header with x and y",
    "--columns": "--columns",
    "--columns item worker": "--columns",
    "--columns item item label": "labels.csv: expected columns of different names",
    "--gold gold.csv --gold-columns x x": "gold.csv: expected columns of different names",
    "--columns '' worker label": "labels.csv, line 1: expected a header with , worker and label",
    "--columns 'a\nb' worker label": r"printable names, found 'a.nb, worker",
    "--rounds 3 --method glad": "--rounds expects --method .*-skene or .*-map, found glad",
    "--tolerance 0 --method all": "--tolerance expects --method .*-skene or .*-map, found all",
    "--previous . --method mace": "--previous expects --method .*-skene or .*-map, found mace",
    "--seed -1": "--seed is -1; expected a number from 0 to 2147483647",
    "--seed 2147483648": "--seed is 2147483648; expected",
    "--seed 1.5": "--seed",
    f"--seed {DIGITS}": "--seed",
    "--rounds 0": "--rounds is 0",
    "--rounds 1e3": "--rounds",
    "--rounds nan": "--rounds",
    f"--rounds {DIGITS}": "--rounds",
    "--tolerance nan": "--tolerance is nan",
    "--tolerance -1": "--tolerance is -1.0",
    "--tolerance 1e999": "--tolerance is inf",
    "--tolerance 0x1": "--tolerance",
    "--resamples -1": "--resamples is -1",
    "--resamples 1_000_000_000": "--resamples is 1000000000",
    "--gold-weight 0": "--gold-weight is 0.0",
    "--gold-weight inf": "--gold-weight is inf",
    "--gold-weight maybe": "--gold-weight",
    "--previous text": "--previous text: expected a finished run",
    "--previous .": r"--previous .: expected a finished run",
    "--out text": "cannot write there .File exists",
    "--out text/x": "cannot write there .Not a directory",
    "--out ''": "--out expects a directory",
    f"--out {'x' * 300}": "cannot write there .File name too long",
    "--out /dev/null/x": "cannot write there",
    "--out .": "--out . would overwrite labels.csv",
    "--out . --restart": "--out . would overwrite labels.csv",
    "--restart maybe": "maybe",
    "--nope": "--nope",
    "nowhere.csv": "nowhere.csv: cannot be read",
    "empty.csv": "empty.csv: expected the header item,worker,label and rows, found no rows",
    ".": r".: expected a file",
    "''": r".: expected a file",
    "-": "-: cannot be read",
    "text": "text, line 1: expected a header",
    "labels.parquet": "labels.parquet: cannot be read",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name, content in FILES.items():
        (tmp_path / name).write_bytes(content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir)
    before = signal.getsignal(signal.SIGTERM)
    yield tmp_path
    signal.signal(signal.SIGTERM, before)


def contents(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


@pytest.mark.parametrize("words", WRONG, ids=lambda words: words[:40])
def test_what_is_wrong_is_said_in_a_sentence(words, folder, capsys):
    with pytest.raises(SystemExit) as stop:
        command.main(["labels.csv", *shlex.split(words)])
    said = capsys.readouterr().err
    assert stop.value.code == 2
    assert said.count("\n") == 1
    assert said[:-1].isprintable()
    assert re.search(WRONG[words], said), said
    assert contents(folder) == FILES


def test_an_earlier_run_is_not_deleted_to_go_on_from_it(folder, capsys):
    (folder / "before").mkdir()
    table = folder / "before" / "annotations.parquet"
    table.write_bytes(b"kept")
    with pytest.raises(SystemExit) as stop:
        command.main(["labels.csv", "--previous", "before", "--out", "./before/", "--restart"])
    assert stop.value.code == 2
    assert "would overwrite before/annotations.parquet" in capsys.readouterr().err
    assert table.read_bytes() == b"kept"


SHELL = {  # programs as they are called, on files in a folder of theirs; each takes 3 s to start
    "no text": (
        "trinity_jax.aggregate",
        [b"\xff.csv"],
        "expected arguments in UTF-8, found '.udcff",
    ),
    "no table": ("trinity_jax.aggregate", [b"long.csv"], "long.csv, line 1: .*longer than 1 MB"),
    "deep": (
        "experiments.partial_feedback",
        [b"smoke", b"--hierarchy", b"h.json"],
        "expected JSON",
    ),
    "a pipe": (
        "experiments.curves",
        [b"pipe"],
        "pipe: expected a file, found a folder or a device",
    ),
}


@pytest.mark.parametrize(
    "case",
    [pytest.param(of, marks=[pytest.mark.slow] * (of in ("no table", "a pipe"))) for of in SHELL],
)
def test_programs_end_with_status_2_and_a_sentence(case, folder):
    module, words, sentence = SHELL[case]
    (folder / "long.csv").write_bytes(b"a" * 10_000_000)
    (folder / "h.json").write_bytes(b"[" * 1_000_000)
    os.mkfifo(folder / "pipe")
    pathlib.Path(os.fsdecode(b"\xff.csv")).write_bytes(LABELS)
    root = str(pathlib.Path(__file__).parents[2])
    command = [sys.executable, "-m", module, *words]
    how = {"env": os.environ | {"PYTHONPATH": root}, "text": True, "timeout": 60}
    ran = subprocess.run(command, capture_output=True, **how)
    assert ran.returncode == 2, ran.stderr
    assert re.search(sentence, ran.stderr), ran.stderr
    assert ran.stderr.count("\n") == 1

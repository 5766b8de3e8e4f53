"""The command on tables of curves: what it prints, what it writes, what it refuses."""

import json
import pathlib
import subprocess
import sys

import numpy as np
import pytest

from experiments import curves
from trinity_jax.algorithms.curves import Curve
from trinity_jax.compute import program
from trinity_jax.data import sources


def table(path, slopes, num_seeds=5):
    rows = ["strategy,seed,words,score"]
    for name, slope in slopes.items():
        for seed in range(num_seeds):
            rows += [
                f"{name},{seed},{words + 3 * seed},{slope * words / 1000 + seed / 100}"
                for words in range(100, 1100, 100)
            ]
    path.write_text("\n".join(rows))
    return str(path)


def run(out, files, **config):
    curves.work(curves.Config(tuple(files), str(out), **config))
    return json.loads((out / "summary.json").read_text())


def test_two_corpora_become_a_report(tmp_path, capsys):
    slopes = {"random": 0.5, "mnlp": 0.8, "longest": 0.4}
    files = [table(tmp_path / "a.csv", slopes), table(tmp_path / "b.csv", {**slopes, "lc": 0.7})]
    found = run(tmp_path / "out", files, full=(0.8, 0.8))
    for name in ("figure.png", "figure.svg"):
        assert (tmp_path / "out" / name).stat().st_size > 5000
    assert found["config"]["reference"] == "random"
    gains = found["headline"]["gains"]
    assert [*gains] == ["mnlp", "longest", "lc"]
    assert gains["mnlp"]["student"]["n"] == 10
    assert gains["mnlp"]["student"]["mean"] == pytest.approx(0.3 * 0.55, abs=0.002)
    assert gains["mnlp"]["p"] == pytest.approx(2 / 2**10)
    assert gains["mnlp"]["p_holm"] == pytest.approx(3 * 2 / 2**10)
    corpus = found["headline"]["corpora"][files[0]]
    words = corpus["strategies"]["mnlp"]["words_to"]["95%"]["mean_curve"]
    assert words == pytest.approx((0.76 - 0.02) / 0.8 * 1000 + 6, abs=1)
    assert corpus["wins"]["mnlp"]["random"] == 1
    printed = capsys.readouterr().out.splitlines()
    row = next(line for line in printed if line.startswith("mnlp"))
    assert f"{words:,.5g} / -" in row
    assert row.endswith("0.00")
    assert sum(line.startswith("strategy") for line in printed) == 3


def test_one_seed_and_no_full_score(tmp_path, capsys):
    found = run(tmp_path, [table(tmp_path / "a.csv", {"random": 1, "mnlp": 2}, num_seeds=1)])
    assert found["headline"]["gains"]["mnlp"]["p"] == 1
    assert found["headline"]["gains"]["mnlp"]["bootstrap"]["interval"] is None
    assert "95%" not in capsys.readouterr().out


def test_the_reference_alone(tmp_path):
    found = run(tmp_path, [table(tmp_path / "a.csv", {"mine": 1})], reference="mine")
    assert found["headline"]["gains"] == {}
    saved = found["headline"]["corpora"][str(tmp_path / "a.csv")]["strategies"]["mine"]["savings"]
    assert np.isclose(saved["reference"]["mean_curve"], 1)


def test_files_of_one_name_are_told_apart_by_their_folders(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    paths = lambda *names: [*map(pathlib.Path, names)]
    assert curves.titles_of(paths("a/one.csv", "a/two.csv")) == ["one", "two"]
    here = tmp_path.name
    assert curves.titles_of(paths("a/one.csv", "../b/one.csv", "one.csv")) == ["a", "b", here]
    for name in "ab":
        (tmp_path / name).mkdir()
    files = [table(tmp_path / f"{name}/curves.csv", {"random": 1}) for name in "ab"]
    run(tmp_path / "out", files)
    said = (tmp_path / "out/figure.svg").read_text()
    assert ">a</text>" in said
    assert ">curves</text>" not in said


def test_what_is_written_is_read_back(tmp_path):
    """Costs may be no whole numbers."""
    curve = Curve(np.array([3.0, 4.5, 7.3 + 1.1]), np.array([0.25, 0.5, 0.75]))
    curves.write({"uniform": {"0": curve}}, tmp_path / "curves.csv")
    assert "uniform,0,3,0.250000\n" in (tmp_path / "curves.csv").read_text()
    found, _ = sources.curves(str(tmp_path / "curves.csv"))
    np.testing.assert_array_equal(found["uniform"]["0"], curve)


def command(*words):
    words = [sys.executable, "-m", "experiments.curves", *map(str, words)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def test_it_is_called_with_files_and_options(tmp_path):
    files = [table(tmp_path / name, {"random": 1, "mnlp": 2}) for name in ("a.csv", "b.csv")]
    ran = command(*files, "--full", 1, 2, "--out", tmp_path / "out")
    assert ran.returncode == 0, ran.stderr
    assert json.loads((tmp_path / "out/summary.json").read_text())["config"]["full"] == [1, 2]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ([], "expected CSV files of curves first"),
        (["{}", "{}"], "each once"),
        (["{}", "--full", "1", "2"], "--full gives 2 scores for 1 files"),
        (["{}", "--full", "nan"], "--full expects finite scores"),
        (["{}", "--reference", "rand"], "a.csv: unknown strategy 'rand': did you mean 'random'?"),
        (["{}", "--strategy", "x"], "--strategy"),
        (["{}.gone"], "a.csv.gone: cannot be read"),
    ],
)
def test_bad_arguments_are_refused_in_a_sentence(tmp_path, capsys, options, sentence):
    path = table(tmp_path / "a.csv", {"random": 1, "mnlp": 2})
    words = [word.format(path) for word in options]
    with pytest.raises(SystemExit) as stop:
        program.script("curves", curves.Config, curves.work, "", words)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1

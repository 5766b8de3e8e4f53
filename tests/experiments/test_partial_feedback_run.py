"""Partial feedback from outside: its files, its log, a run cut short, a person who answers."""

import json
import shlex
import shutil

import numpy as np
import pytest

from experiments import partial_data, partial_feedback, partial_report
from trinity_jax.data import sources
from trinity_jax.data.collection import hierarchy

pytest.importorskip("sklearn", reason="needs scikit-learn installed")

EXPERIMENT = partial_feedback
TINY = shlex.split(
    "smoke --network softmax --epochs 2 --rounds 3 --round-share 0.2 --train-size 60 "
    "--methods uniform aq_erc alpf_erc"
)
KEYS = {
    *("uniform_cost", "accuracy_at_30pct", "relative_gain_at_30pct", "questions_to_full"),
    "final_accuracy",
}


@pytest.fixture(scope="module")
def done(call, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    assert call([*TINY, "--out", str(out)]) == 0
    return out


def rows(out):
    return [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]


def test_files(done):
    summary = json.loads((done / "summary.json").read_text())
    assert set(summary["headline"]) >= KEYS
    asked = hierarchy.questions(*sources.hierarchy("digits", list(map(str, range(10)))))
    assert summary["headline"]["uniform_cost"] == 6 * hierarchy.balanced_cost(asked.covers).sum()
    assert set(summary["headline"]["relative_gain_at_30pct"]) == {"aq_erc", "alpf_erc"}
    assert (done / "figure.png").stat().st_size > 10_000
    assert "paper's ALPF (Tiny ImageNet)" in (done / "figure.svg").read_text()
    assert (done / "curves.csv").read_text().startswith("strategy,seed,words,score\n")


def test_the_log_is_a_game_of_questions(done):
    """Every answer is that of the true label, and shrinks the set that the ones before left."""
    found = partial_data.balanced(sources.images("digits"), 60)
    covers = hierarchy.questions(*sources.hierarchy("digits", found.labels)).covers
    for method in ("uniform", "aq_erc", "alpf_erc"):
        left = {}
        mine = [row for row in rows(done) if row["method"] == method and row["seed"] == 0]
        assert [row["questions"] > 0 for row in mine] == [False, True, True, True]
        for row in mine:
            assert row["questions"] == len(row["asked"]) == row["cost"]
            for item, question, yes, before, after in row["asked"]:
                known = left.get(item, np.ones(10, bool))
                assert known.sum() == before
                left[item] = known & (covers[question] == yes)
                assert left[item].sum() == after < before
                assert left[item][found.train_labels[item]]
        remaining = [10 - known.sum() for known in left.values()]
        exact = round(0.05 * 60)  # given beforehand
        expected = 10 - (sum(remaining) + 9 * exact) / 60
        assert abs(mine[-1]["remaining"] - expected) < 1e-4


def test_a_run_cut_short_goes_on(done, call, cut_short, tmp_path):
    words = [*TINY, "--out", str(tmp_path)]
    cut_short(words, 1)
    assert len(rows(tmp_path)) == 12
    assert call(words) == 0
    assert rows(tmp_path) == rows(done)


def test_a_person_answers(call, tmp_path, monkeypatch, capsys):
    """Quits in the middle, skips one, goes on; then the oracle says the same."""
    words = [*TINY[:-4], "--methods", "alpf_erc", "--seeds", "1", "--rounds", "1"]
    words = [*words, "--round-share", "0.03", "--oracle", "ask", "--out", str(tmp_path)]
    said = iter(["y", "what?", "s", "n", "q"])
    monkeypatch.setattr("builtins.input", lambda _: next(said))
    assert call(words) == 0
    assert "2 answers are kept" in capsys.readouterr().out
    kept = (tmp_path / "answers.jsonl").read_text()
    assert [json.loads(line)["yes"] for line in kept.splitlines()] == [True, False]
    assert (tmp_path / "question.png").stat().st_size > 50
    said = iter("y" * 100)
    assert call(words) == 0
    log = (tmp_path / "answers.jsonl").read_text()
    assert log.startswith(kept)
    asked = rows(tmp_path)[-1]["asked"]
    answers = [json.loads(line) for line in log.splitlines()]
    given = sorted((a["item"], a["question"], int(a["yes"])) for a in answers)
    assert sorted(tuple(one[:3]) for one in asked) == given
    assert (tmp_path / "summary.json").exists()


def test_costs_are_printed(capsys):
    partial_data.costs()
    told = capsys.readouterr().out
    for line in (
        "cifar10: 26 questions, 3.400 an image, 170,000",
        "cifar100: 261 questions, 6.730 an image, 336,500",
        "tinyimagenet: 304 questions, 8.265 an image, 826,500",
    ):
        assert line in told


@pytest.mark.parametrize(
    "more",
    [
        "--hierarchy learned --loss proden --error-no 0.1 --error-yes 0.1 --prelabelled 0",
        "--leaf-cost 2 --methods alpf_edc alpf_eig --pseudo 0.9 --warm --cap 1 --calibrate 0.3",
    ],
)
def test_options(call, tmp_path, more):
    assert call([*TINY, "--rounds", "2", *more.split(), "--out", str(tmp_path)]) == 0
    last = rows(tmp_path)[-1]
    assert 0 <= last["exact"] <= 1
    assert last["questions"] > 0
    shutil.rmtree(tmp_path / "checkpoints")


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ("--methods alpf_er", "did you mean 'alpf_erc'"),
        ("--train-size 55", "--train-size is 55; expected a multiple of 10 classes"),
        ("--hierarchy cifar100", "expected a hierarchy of 10 labels, as the data has, found 100"),
        ("--oracle ask", "expected one method, --seeds 1"),
        ("--oracle ask --methods aq_erc --seeds 1 --calibrate 0.1", "costs or calibration"),
        ("--leaf-cost 2", "where costs differ, found"),
        ("--calibrate 0.1 --error-no 0.1", "--calibrate: expected answers without errors"),
        ("--error-no 0.7", "--error-no is 0.7; expected a number from 0 to 0.49"),
    ],
)
def test_what_is_wrong_is_said(call, tmp_path, capsys, more, sentence):
    assert call([*TINY, *more.split(), "--out", str(tmp_path)]) == 2
    assert sentence in capsys.readouterr().err


def test_between_rounds_a_curve_is_a_line():
    curve = {"share": np.array([0, 0.2, 0.4]), "accuracy": np.array([0.2, 0.4, 0.8])}
    curve["exact"] = np.array([0, 0.5, 0.9])
    assert partial_report.at(curve, 0.3) == pytest.approx(0.6)
    assert partial_report.at(curve, 0.5) is None
    assert partial_report.to_full(curve) is None
    curve["exact"][-1] = 1
    assert partial_report.at(curve, 0.5) == 0.8
    assert partial_report.to_full(curve) == 0.4

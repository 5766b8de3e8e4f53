"""Classifiers from people's labels: every method on a small made set, and the budget's limits."""

import json

import numpy as np
import pytest

from experiments import crowdsourcing, crowdsourcing_report, labelme

EXPERIMENT = crowdsourcing


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three clusters of 60 items to train on; eight workers, two of whom guess."""
    draw, out = np.random.default_rng(0), tmp_path_factory.mktemp("people")
    means = 3 * draw.normal(size=(3, 5))
    for part, size in (("train", 60), ("valid", 30), ("test", 90)):
        truth = np.arange(size) % 3
        x = means[truth] + draw.normal(size=(size, 5))
        np.save(out / f"LabelMe_VGG_avg_{part}.npy", x.astype(np.float32))
        np.savetxt(out / f"LabelMe_Z_{part}.txt", truth, "%d")
    truth = np.arange(60) % 3
    answers = np.full((60, 8), -1)
    for item in range(60):
        for worker in draw.permutation(8)[: 1 + item % 3]:
            right = worker > 1 or draw.random() < 1 / 3
            answers[item, worker] = truth[item] if right else draw.integers(3)
    np.savetxt(out / "answers.txt", answers, "%d")
    return out


def test_every_method_learns_and_is_reported(folder, told, tmp_path, monkeypatch):
    monkeypatch.setattr(labelme, "L2", (0.01, 10.0))  # the second leaves nothing to learn
    monkeypatch.setattr(labelme, "LEARNING_RATE", 0.1)  # fewer items, fewer steps
    words = ["smoke", "--data", f"labelme:{folder}", "--seeds", "2"]
    status, said, err = told([*words, "--out", str(tmp_path)])
    assert (status, err) == (0, "")
    assert "MBEM is about 5 % better than majority vote: undecided (over the hard vote" in said
    headline = json.loads((tmp_path / "summary.json").read_text())["headline"]
    assert set(headline) == {"labelme", "labelme_budget", "labelme_gain"}
    assert set(headline["labelme"]) == set(headline["labelme_budget"]) == set(labelme.METHODS)
    for method, form in headline["labelme"].items():
        assert form["mean"] > 0.8, method
        assert form["n"] == 2
    for vote, gain in headline["labelme_gain"].items():
        means = [headline["labelme"][method]["mean"] for method in ("mbem", vote)]
        assert gain["mean"] == pytest.approx(means[0] - means[1])
    assert set(headline["labelme_gain"]) == {"hard_vote", "soft_vote"}
    for budget in headline["labelme_budget"].values():
        assert set(budget) == {"once", "twice", "paired"}
        once, twice, paired = (budget[name]["mean"] for name in ("once", "twice", "paired"))
        assert paired == pytest.approx(once - twice)
    rows = [json.loads(line) for line in (tmp_path / "records.jsonl").read_text().splitlines()]
    assert len(rows) == 2 * 3 * len(labelme.METHODS) * 2
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_the_coefficient_is_chosen_on_validation_alone():
    draws = [(0.1, 0.7, 0.5), (0.1, 0.9, 0.3), (0.2, 0.6, 0.9), (0.2, 0.8, 0.9)]
    rows = [
        {"panel": "all", "method": "vote", "l2": l2, "valid_accuracy": v, "test_accuracy": t}
        for l2, v, t in draws
    ]
    assert labelme.selected(rows) == {("all", "vote"): [0.5, 0.3]}


def test_gains_are_paired_by_seed():
    accuracies = {"mbem": [0.5, 0.7, 0.9], "hard_vote": [0.4, 0.6, 0.8], "clean": [1, 1, 1]}
    gains = crowdsourcing_report.gains_over_votes(accuracies)
    assert list(gains) == ["hard_vote"]
    assert gains["hard_vote"]["interval"] == pytest.approx([0.1, 0.1])
    del accuracies["mbem"]
    assert crowdsourcing_report.gains_over_votes(accuracies) == {}


def test_a_budget_that_cannot_be_spent_twice_is_refused(folder, told, tmp_path):
    words = ["--data", f"labelme:{folder}", "--budget", "61", "--out", str(tmp_path)]
    status, _, err = told(words)
    assert status == 2
    assert "--budget is 61; 60 labels can be bought once and twice an item" in err


def test_a_typo_is_answered_with_the_nearest_method(folder, told, tmp_path):
    words = ["--data", f"labelme:{folder}", "--methods", "raycar", "--out", str(tmp_path)]
    status, _, err = told(words)
    assert status == 2
    assert "did you mean 'raykar'?" in err


def test_claims_of_people():
    """MBEM's gain over votes, and one label against two; what was not run claims nothing."""
    form = lambda mean, low, high: {"mean": mean, "interval": [low, high], "n": 10}
    gains = {"hard_vote": form(0.06, 0.04, 0.08)}
    budget = {"mbem": {"paired": form(0.01, 0.0, 0.02)}, "clean": {"paired": form(0.1, 0.1, 0.1)}}
    budget["hard_vote"] = {"paired": form(0.02, 0.01, 0.03)}
    found = {"headline": {"labelme": {}, "labelme_budget": budget, "labelme_gain": gains}}
    once, gain = crowdsourcing_report.claims(found)
    assert {one.setting: one.verdict for one in once.measures} == {
        "mbem, labels by people": "undecided",
        "hard vote, labels by people": "shown",
    }
    assert once.verdict == "partly"
    (one,) = gain.measures
    assert "hard vote" in one.setting
    assert one.here == "6.0 [4.0, 8.0] points"
    assert gain.verdict == "shown"

"""trinity-aggregate from outside: files in, files out, sentences where something is wrong."""

import csv
import json

import jax
import numpy as np
import pytest

from trinity_jax.aggregate import command, fitting
from trinity_jax.data import sources
from trinity_jax.data.aggregation import aggregators

LABELS = ("cat", "dog", '=cow, "the" <b>')


@pytest.fixture(scope="module")
def crowd(tmp_path_factory):
    """A folder with labels.csv of 120 items by 9 workers, gold.csv of 15; and the truth by item."""
    folder, rng = tmp_path_factory.mktemp("crowd"), np.random.default_rng(0)
    truth = rng.integers(0, 3, 120)
    rows = []
    for item in range(120):
        for worker in rng.permutation(9)[:4]:
            label = truth[item] if rng.random() < 0.55 + 0.05 * worker else rng.integers(0, 3)
            rows.append((f"item {item}", f"w{worker}", LABELS[label]))
    write(folder / "labels.csv", ("item", "worker", "label"), rows)
    gold = [(f"item {item}", LABELS[truth[item]]) for item in range(15)]
    write(folder / "gold.csv", ("item", "label"), gold)
    return folder, {f"item {item}": LABELS[label] for item, label in enumerate(truth)}


def write(path, header, rows):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])


def read(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def call(capsys, *words):
    """Status, what was written on stdout, and on stderr."""
    with pytest.raises(SystemExit) as stop:
        command.main([str(word) for word in words])
    said = capsys.readouterr()
    return stop.value.code, said.out, said.err


def done(capsys, *words):
    status, out, error = call(capsys, *words)
    assert status == 0, error
    return out


def labels(folder):
    return {row["item"]: row["label"] for row in read(folder / "labels.csv")}


def test_everything_is_written(crowd, capsys, tmp_path):
    folder, truth = crowd
    out = tmp_path / "out"
    files = folder / "labels.csv", "--gold", folder / "gold.csv"
    done(capsys, *files, "--method", "dawid-skene", "--out", out, "--resamples", 10)
    rows = read(out / "labels.csv")
    shares = [f"P({name})" for name in sorted(LABELS)]
    assert list(rows[0]) == ["item", "label", "confidence", "entropy", *shares, "stability"]
    for row in rows:
        shares = {name: float(row[f"P({name})"]) for name in LABELS}
        assert sum(shares.values()) == pytest.approx(1, abs=1e-5)
        entropy = -sum(share * np.log(share) for share in shares.values() if share)
        assert float(row["entropy"]) == pytest.approx(entropy, abs=1e-4)
        assert shares[row["label"]] == float(row["confidence"]) == max(shares.values())
    assert np.mean([truth[row["item"]] == row["label"] for row in rows]) > 0.8
    assert all(labels(out)[f"item {item}"] == truth[f"item {item}"] for item in range(15))
    workers = read(out / "workers.csv")
    assert [row["worker"] for row in workers] == [f"w{number}" for number in range(9)]
    assert sum(int(row["labels"]) for row in workers) == 480
    held = json.loads((out / "confusions.json").read_text())
    assert held["labels"] == sorted(LABELS)
    confusion = np.array(list(held["workers"].values()))
    np.testing.assert_allclose(confusion.sum(2), 1, atol=1e-5)
    summary = json.loads((out / "summary.json").read_text())
    assert summary["headline"]["annotations"] == 480
    assert 0 < summary["headline"]["consistency"] < 1
    assert set(summary["headline"]["share_interval"]) == {"items", "workers"}
    judged = summary["headline"]["accuracy_on_gold"]
    assert judged["interval"][0] < judged["mean"] < 1 or judged["mean"] == 1
    assert {"majority", "dawid-skene, without gold"} < set(summary["headline"]["others_on_gold"])
    for row in workers:
        assert float(row["accuracy_low"]) <= float(row["accuracy_high"])
        assert float(row["skill_low"]) <= float(row["skill_high"])
    assert all(0 <= float(row["stability"]) <= 1 for row in rows)
    page = (out / "report.html").read_text()
    assert "<b>the" not in page
    assert "&lt;b&gt;" in page


def test_labels_are_those_of_the_aggregator(crowd, capsys, tmp_path):
    folder, _ = crowd
    read, _ = sources.annotations([str(folder / "labels.csv")])
    table, dims = fitting.table(read), fitting.sizes(read)
    for method in ("dawid-skene-map", "one-coin"):
        out = tmp_path / method
        done(capsys, folder / "labels.csv", "--method", method, "--out", out, "--resamples", 0)
        name = method.replace("-", "_")
        answer = aggregators.aggregate(name, jax.random.key(0), table, dims).argmax(1)
        expected = {item: read.labels[int(k)] for item, k in zip(read.items, answer, strict=True)}
        assert labels(out) == expected


def test_yesterdays_state_and_todays_file_are_the_whole(crowd, capsys, tmp_path):
    folder, _ = crowd
    rows = [tuple(row.values()) for row in read(folder / "labels.csv")]
    header = "item", "worker", "label"
    write(tmp_path / "monday.csv", header, rows[:300])
    write(
        tmp_path / "tuesday.csv",
        ("annotator", "task", "answer"),
        [(worker, item, label) for item, worker, label in rows[300:]],
    )
    exactly = "--tolerance", 0, "--resamples", 0
    whole, first, second = (tmp_path / name for name in ("whole", "first", "second"))
    done(capsys, folder / "labels.csv", *exactly, "--out", whole)
    done(capsys, tmp_path / "monday.csv", *exactly, "--out", first)
    columns = "--columns", "task", "annotator", "answer"
    tuesday = tmp_path / "tuesday.csv"
    done(capsys, tuesday, *columns, "--previous", first, *exactly, "--out", second)
    found, expected = (read(of / "labels.csv") for of in (second, whole))
    for one, other in zip(found, expected, strict=True):
        assert (one["item"], one["label"]) == (other["item"], other["label"])
        assert float(one["confidence"]) == pytest.approx(float(other["confidence"]), abs=0.01)
    rounds = [
        json.loads((of / "summary.json").read_text())["headline"]["rounds"]
        for of in (second, whole)
    ]
    assert rounds[0] <= rounds[1]


def test_a_long_run_is_taken_up_where_it_stopped(crowd, capsys, tmp_path, monkeypatch):
    folder, _ = crowd
    monkeypatch.setattr(fitting, "LONG", 0)
    how = folder / "labels.csv", "--rounds", 6, "--tolerance", 0, "--resamples", 0
    done(capsys, *how, "--out", tmp_path / "whole")
    commit = fitting.Run.commit

    def stop(self, t, state, rows):
        commit(self, t, state, rows)
        if t == 2:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fitting.Run, "commit", stop)
        status, _, error = call(capsys, *how, "--out", tmp_path / "cut")
    assert status == 130
    assert "trinity-aggregate" in error
    assert "3 rounds are done" in done(capsys, *how, "--out", tmp_path / "cut")
    for name in ("labels.csv", "workers.csv", "confusions.json", "records.jsonl"):
        assert (tmp_path / "cut" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_file_that_has_changed_is_not_taken_for_the_one_before(crowd, capsys, tmp_path):
    folder, _ = crowd
    file, out = tmp_path / "labels.csv", tmp_path / "out"
    file.write_bytes((folder / "labels.csv").read_bytes())
    how = file, "--resamples", 0, "--out", out
    done(capsys, *how)
    before = labels(out)
    text = file.read_text()
    file.write_text(text.replace(",cat", ",x").replace(",dog", ",cat").replace(",x", ",dog"))
    status, _, error = call(capsys, *how)
    assert status == 2
    assert "contents is" in error
    assert labels(out) == before
    done(capsys, *how, "--restart")
    assert labels(out) != before


def test_all_methods_are_compared(crowd, capsys, tmp_path, monkeypatch):
    folder, _ = crowd
    few = {name: command.METHODS[name] for name in ("majority", "dawid-skene", "dawid-skene-map")}
    monkeypatch.setattr(command, "METHODS", few)
    done(capsys, folder / "labels.csv", "--method", "all", "--out", tmp_path, "--resamples", 0)
    summary = json.loads((tmp_path / "summary.json").read_text())
    share = summary["headline"]["disagreement"]
    assert set(share) == set(few)
    assert share["majority"]["majority"] == 0
    assert share["majority"]["dawid-skene"] == share["dawid-skene"]["majority"]
    assert "majority" in (tmp_path / "report.html").read_text()


WRONG = {
    "no file": ((), "expected a file of labels, found none"),
    "no such file": (("nowhere.csv",), "nowhere.csv: cannot be read"),
    "unknown option": (("x.csv", "--methud", "y"), "Unrecognized options"),
    "a typo": (("x.csv", "--method", "glat"), "unknown method 'glat': did you mean 'glad'?"),
    "an alias": (("x.csv", "--method", "vote"), "did you mean 'majority'?"),
    "no rounds": (("x.csv", "--rounds", "0"), "--rounds is 0; expected a number from 1"),
    "a weight of 0": (("x.csv", "--gold-weight", "0"), "--gold-weight is 0.0; expected"),
    "no earlier run": (("x.csv", "--previous", "nowhere"), "--previous nowhere: expected a fin"),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_is_said_in_a_sentence(case, capsys, tmp_path):
    words, sentence = WRONG[case]
    status, _, error = call(capsys, *words, "--out", tmp_path)
    assert status == 2
    assert sentence in error
    assert "Traceback" not in error


def test_gold_has_to_be_of_the_items(crowd, capsys, tmp_path):
    folder, _ = crowd
    write(tmp_path / "gold.csv", ("item", "label"), [("another", "cat")])
    words = folder / "labels.csv", "--gold", tmp_path / "gold.csv", "--out", tmp_path / "out"
    status, _, error = call(capsys, *words)
    assert status == 2
    assert "expected items that are labelled, found none" in error
    write(tmp_path / "gold.csv", ("item", "label"), [("item 1", "cat"), ("item 1", "dog")])
    status, _, error = call(capsys, *words)
    assert status == 2
    assert "expected one truth for item 'item 1', found two" in error


def test_help_teaches(capsys):
    status, out, _ = call(capsys, "--help")
    assert status == 0
    assert "--previous DIR" in out
    assert "how far to trust it" in out

"""trinity-aggregate from outside: files in, files out, sentences where something is wrong."""

import csv
import json
import pathlib

import jax
import numpy as np
import pytest
from pyarrow import parquet

from trinity_jax.aggregate import checks, command, files, fitting
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


def headline(folder):
    return json.loads((folder / "summary.json").read_text())["headline"]


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
    assert "gold.csv, line 3: expected one truth for item 'item 1', found two" in error


def test_gold_weighs_in_the_fit_and_not_in_what_is_said_of_workers(
    crowd, capsys, tmp_path, monkeypatch
):
    folder, _ = crowd
    few = {name: command.METHODS[name] for name in ("dawid-skene", "dawid-skene-map")}
    monkeypatch.setattr(command, "METHODS", few)
    monkeypatch.setattr(fitting, "ROWS", 100)
    words = folder / "labels.csv", "--gold", folder / "gold.csv"
    alone, beside = tmp_path / "alone", tmp_path / "beside"
    done(capsys, *words, "--out", alone, "--method", "dawid-skene-map", "--resamples", 40)
    done(capsys, *words, "--out", beside, "--method", "all", "--resamples", 0)
    one, other = (read(out / "workers.csv") for out in (alone, beside))
    for row, same in zip(one, other, strict=True):
        assert float(row["skill"]) == pytest.approx(float(same["skill"]), abs=0.01)
        assert float(row["skill_low"]) <= float(row["skill"]) <= float(row["skill_high"])
    one, other = (json.loads((out / "confusions.json").read_text()) for out in (alone, beside))
    for worker, rows in one["workers"].items():
        np.testing.assert_allclose(rows, other["workers"][worker], atol=0.02)


def test_rounds_that_are_fixed_do_not_stop_early(crowd, capsys, tmp_path):
    words = crowd[0] / "labels.csv", "--out", tmp_path, "--restart", "--resamples", 0
    for method, rounds, said in (("majority", 0, ""), ("wawa", 1, ", converged after 1 round")):
        assert "had not converged" not in done(capsys, *words, "--method", method)
        assert (headline(tmp_path)["rounds"], headline(tmp_path)["converged"]) == (rounds, True)
        assert f"aggregated by {method}{said}." in (tmp_path / "report.html").read_text()
    assert "had not converged after 1 round." in done(capsys, *words, "--rounds", 1)


def test_gold_that_does_not_judge_is_said(crowd, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "DETAILED", 400)
    said = "is not judged by them: there are more than 400 labels."
    words = crowd[0] / "labels.csv", "--resamples", 0, "--out", tmp_path
    assert said not in done(capsys, *words)
    assert said in done(capsys, *words, "--gold", crowd[0] / "gold.csv", "--restart")
    assert said in (tmp_path / "report.html").read_text()
    assert "accuracy_on_gold" not in headline(tmp_path)


def test_another_earlier_run_is_another_run(crowd, capsys, tmp_path):
    first, out = tmp_path / "first", tmp_path / "out"
    words = crowd[0] / "labels.csv", "--resamples", 0
    done(capsys, *words, "--out", first)
    done(capsys, *words, "--previous", first, "--out", out)
    path = first / "confusions.json"
    path.write_text(path.read_text().replace("w0", "another"))
    status, _, error = call(capsys, *words, "--previous", first, "--out", out)
    assert (status, "contents is" in error) == (2, True)


def test_what_is_done_is_not_compiled_again(crowd, capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(fitting, "LONG", 0)
    words = crowd[0] / "labels.csv", "--resamples", 0, "--out", tmp_path
    assert "compiling" in done(capsys, *words)
    assert "compiling" not in done(capsys, *words)


def test_confusions_that_do_not_fit_are_refused(capsys, tmp_path):
    rows = [(label, label % 2, label) for label in range(6000)]
    write(tmp_path / "many.csv", ("item", "worker", "label"), rows)
    status, _, error = call(capsys, tmp_path / "many.csv", "--out", tmp_path / "out")
    assert status == 2
    assert "into 8 GiB, found 2 workers with 6000 x 6000 labels; these methods have" in error
    assert "majority, soft-vote" in error
    assert "class-wise-coin" in error


@pytest.mark.parametrize("method", ["majority", "class-wise-coin"])
def test_methods_without_confusions_do_not_need_them(crowd, method, capsys, tmp_path, monkeypatch):
    words = crowd[0] / "labels.csv", "--gold", crowd[0] / "gold.csv", "--method", method
    done(capsys, *words, "--resamples", 5, "--out", tmp_path / "with")
    monkeypatch.setattr(fitting, "ROOM", 1)
    said = done(capsys, *words, "--resamples", 5, "--out", tmp_path / "without")
    assert "workers are not compared with each other: 3 classes are too many" in said
    for name in ("labels.csv", "workers.csv"):
        one, other = (tmp_path / out / name for out in ("with", "without"))
        assert one.read_bytes() == other.read_bytes()
    assert not (tmp_path / "without" / "confusions.json").exists()
    assert "no confusion matrices" in (tmp_path / "without" / "report.html").read_text()
    assert "naive Bayes, of gold alone" in headline(tmp_path / "with")["others_on_gold"]
    assert "naive Bayes, of gold alone" not in headline(tmp_path / "without")["others_on_gold"]


@pytest.mark.parametrize("name", ["confusions.json", "annotations.parquet", "report.html"])
def test_what_cannot_be_written_leaves_what_was_there(name, crowd, capsys, tmp_path, monkeypatch):
    words = [str(crowd[0] / "labels.csv"), "--resamples", "0", "--out", str(tmp_path)]
    done(capsys, *words)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    written, rows = pathlib.Path.write_text, parquet.ParquetWriter.write_table
    broken = lambda path, text, **how: written(path, text[: len(text) // 2], **how) and 1 / 0

    def full(path, text, **how):
        return (broken if path.name.startswith(name) else written)(path, text, **how)

    def second(writer, piece):
        return 1 / 0 if written_rows.append(rows(writer, piece)) or written_rows[1:] else None

    written_rows = []
    monkeypatch.setattr(files, "ROWS", 200)
    monkeypatch.setattr(pathlib.Path, "write_text", full)
    if name.endswith("parquet"):
        monkeypatch.setattr(parquet.ParquetWriter, "write_table", second)
    with pytest.raises(ZeroDivisionError):
        command.main(words)
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    assert after.keys() == before.keys()
    assert after[name] == before[name]


def test_help_teaches(capsys):
    status, out, _ = call(capsys, "--help")
    assert status == 0
    assert "--previous DIR" in out
    assert "how far to trust it" in out

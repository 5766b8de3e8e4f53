"""Runs beside each other: what is compared with what, over which range, and what is refused."""

import json
import math

import numpy as np
import pytest
import scipy.stats

from experiments import compare, recorded
from trinity_jax.compute import program


def write(directory, experiment, config, rows, finished=True):
    directory.mkdir(parents=True)
    asked = {"experiment": experiment, "config": config}
    (directory / "config.json").write_text(json.dumps(asked))
    (directory / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    if finished:
        (directory / "summary.json").write_text("{}")
    return str(directory)


def asking(seeds=range(3), methods=("uniform", "alpf_erc"), rounds=4, gain=0.0):
    """Records of partial feedback: accuracy rises by each round's 100 questions."""
    return [
        {"round": t, "seed": seed, "method": method, "questions": 100 * (t > 0)}
        | {"cost": 100.0 * (t > 0), "accuracy": 0.5 + (0.1 + gain) * t + seed**2 * (0.02 + gain)}
        | {"loss": 1.0 / (1 + t), "asked": []}
        for t in range(rounds)
        for seed in seeds
        for method in methods
    ]


def run(out, *directories, **config):
    compare.work(compare.Config(tuple(directories), out=str(out), **config))
    return json.loads((out / "compare.json").read_text())


@pytest.fixture
def two(tmp_path):
    a = write(tmp_path / "a", "partial_feedback", {"epochs": 2, "cap": 0}, asking(range(4)))
    rows = asking(range(1, 6), rounds=3, gain=0.05)
    return a, write(tmp_path / "b", "partial_feedback", {"epochs": 4, "cap": 0}, rows, False)


def test_an_unfinished_run_is_compared_over_what_both_have(tmp_path, two, capsys):
    found = run(tmp_path / "out", *two)
    panel = found["panels"][""]
    assert panel["over"] == [0, 200]  # b has asked no more
    assert [(row["run"], row["arm"]) for row in panel["lines"]] == [
        (name, arm) for name in "ab" for arm in ("uniform", "alpf_erc")
    ]
    assert panel["lines"][0]["height"]["mean"] == pytest.approx(0.6 + 0.02 * np.mean([0, 1, 4, 9]))
    row = panel["lines"][2]
    assert row["less"] == ["a", "uniform"]
    pairs = [0.05 + 0.05 * seed**2 for seed in (1, 2, 3)]  # of seeds that both have
    assert row["difference"]["mean"] == pytest.approx(np.mean(pairs))
    assert row["difference"]["n"] == 3
    p = scipy.stats.ttest_1samp(pairs, 0).pvalue
    assert row["p"] == pytest.approx(p)
    assert row["p_holm"] == pytest.approx(2 * p)  # both methods differ alike
    assert found["differ"] == {"epochs": {"a": "2", "b": "4"}}
    assert [found["runs"][name]["finished"] for name in "ab"] == [True, False]
    said = capsys.readouterr().out
    assert "accuracy, mean from 0 to 200 (questions asked)" in said
    assert "3 rounds so far" in said
    assert "cap" not in said
    for name in ("figure.png", "figure.svg"):
        assert (tmp_path / "out" / name).stat().st_size > 5000


def test_the_figure_names_arms_and_runs(tmp_path, two):
    run(tmp_path / "out", *two)
    text = (tmp_path / "out/figure.svg").read_text()
    for word in ("uniform", "alpf_erc", ">a<", ">b<", "questions asked", "accuracy"):
        assert word in text
    run(tmp_path / "again", *two)
    assert (tmp_path / "again/figure.svg").read_text() == text


def test_another_metric_and_some_arms(tmp_path, two):
    found = run(tmp_path / "out", *two, metric="loss", only=("alpf_erc",))
    rows = found["panels"][""]["lines"]
    assert [row["arm"] for row in rows] == ["alpf_erc"] * 2
    mean = ((1 + 1 / 2) / 2 + (1 / 2 + 1 / 3) / 2) / 2
    assert rows[1]["height"]["mean"] == pytest.approx(mean)
    assert rows[1]["p"] == 1  # no difference
    assert "alpf_erc" in (tmp_path / "out/figure.svg").read_text()


def test_an_arm_of_its_own_is_compared_with_the_baseline(tmp_path):
    a = write(tmp_path / "a", "partial_feedback", {}, asking(methods=("al_me", "uniform")))
    b = write(tmp_path / "b", "partial_feedback", {}, asking(methods=("aq_erc",), gain=0.1))
    rows = run(tmp_path / "out", a, b)["panels"][""]["lines"]
    assert ["less" in row for row in rows] == [False, False, True]
    assert rows[2]["less"] == ["a", "uniform"]


def test_seeds_that_are_not_shared_are_not_paired(tmp_path, capsys):
    a = write(tmp_path / "a", "partial_feedback", {}, asking(range(2)))
    b = write(tmp_path / "b", "partial_feedback", {}, asking(range(2, 4)))
    row = run(tmp_path / "out", a, b)["panels"][""]["lines"][2]
    assert (row["difference"], row["p"], row["p_holm"]) == (None, None, None)
    said = capsys.readouterr().out
    assert "no seeds shared" in said
    assert "the runs have the same configuration" in said


def test_curves_apart_are_drawn_and_not_compared(tmp_path, capsys):
    later = [row | {"cost": 1000.0 + row["cost"]} for row in asking()]
    a = write(tmp_path / "a", "partial_feedback", {}, asking())
    b = write(tmp_path / "b", "partial_feedback", {}, later)
    assert run(tmp_path / "out", a, b)["panels"][""] == {"over": None, "lines": []}
    assert "no questions asked in common" in capsys.readouterr().out


FEW = {"seed": 0, "arm": "joint", "labelled": 50, "error": 0.25}
CROWD = {"seed": 0, "workers": "class_wise", "quality": 0.2, "budget_match": "steps"}
CROWD |= {"method": "mbem", "label_accuracy": 0.5, "loss": 1.0}
PEOPLE = {"valid_accuracy": 0.5, "test_accuracy": 0.6}
EXAMPLES = {  # config, records, the panel's title, where on the axis and how high
    "ner_active_learning": (
        {},
        [
            {"round": t, "seed": 0, "strategy": "mnlp", "asked_words": 7, "f1": 0.8}
            for t in range(2)
        ],
        *("", [7, 14], [0.8, 0.8]),
    ),
    "partial_feedback": ({}, asking([0], ["uniform"], 2), "", [0, 100], [0.5, 0.6]),
    "neural_rendering": (
        {"steps": 60, "rounds": 2},
        [{"round": t, **FEW} for t in range(2)],
        *("labelled 50", [30, 60], [0.25, 0.25]),
    ),
    "generative_augmentation": (
        {"steps": 300, "rounds": 6},
        [{"round": 5, "seed": 0, "arm": "gan", "budget": "time", "error": 0.1}],
        *("time", [300], [0.1]),
    ),
    "crowdsourcing": (
        {},
        [
            {"round": t, **CROWD, "redundancy": r, "test_error": r / 10 + t}
            for t in range(2)
            for r in (1, 3)
        ],
        *("class wise, quality 0.2, steps", [1, 3], [1.1, 1.3]),
    ),
    "crowdsourcing csv": (
        {},
        [
            {"round": 0, "redundancy": r, "method": "wawa", "label_accuracy": r / 10}
            for r in (1, 2, 5)
        ],
        *("", [1, 2, 5], [0.1, 0.2, 0.5]),
    ),
    "crowdsourcing labelme": (
        {},
        [{"round": 0, "panel": "once", "method": "mbem", "l2": l, **PEOPLE} for l in (0.01, 1)],
        *("once", [math.log10(0.01), 0], [0.6, 0.6]),
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_records_of_every_experiment_are_understood(tmp_path, name):
    config, rows, title, x, y = EXAMPLES[name]
    experiment = name.split()[0]
    paths = [write(tmp_path / of, experiment, config, rows) for of in "ab"]
    runs, kind = compare.read_all(tuple(paths))
    ((lines),) = compare.panels_of(runs, kind, kind.metric, ()).values()
    for seeds in lines.values():
        (curve,) = seeds.values()
        np.testing.assert_allclose(curve, [x, y])
    found = run(tmp_path / "out", *paths)
    assert [*found["panels"]] == [title]
    assert (tmp_path / "out/figure.png").stat().st_size > 5000


def test_every_experiment_of_the_talk_is_known():
    talk = pytest.importorskip("experiments.talk")
    assert recorded.KINDS.keys() == talk.EXPERIMENTS.keys()


def test_what_is_annotated_at_once_is_compared_with_its_like(tmp_path):
    rows = EXAMPLES["ner_active_learning"][1]
    whole = {"round": 0, "seed": 0, "strategy": "all", "asked_words": 100, "f1": 0.8}
    paths = [write(tmp_path / of, "ner_active_learning", {}, [whole, *rows]) for of in "ab"]
    panel = run(tmp_path / "out", *paths)["panels"][""]
    assert panel["over"] == [7, 14]
    assert [row.get("less") for row in panel["lines"][2:]] == [["a", "all"], ["a", "mnlp"]]


def test_lines_by_another_field(tmp_path):
    rows = [{"round": 0, **FEW, "labelled": n, "arm": arm} for n in (20, 50) for arm in ("x", "y")]
    paths = [
        write(tmp_path / of, "neural_rendering", {"steps": 9, "rounds": 1}, rows) for of in "ab"
    ]
    found = run(tmp_path / "out", *paths, by="labelled", only=("20",))
    assert [*found["panels"]] == ["x", "y"]
    assert [row["arm"] for row in found["panels"]["x"]["lines"]] == ["20", "20"]


def test_runs_of_one_name_go_by_their_paths(tmp_path):
    paths = [write(tmp_path / of / "run", "partial_feedback", {}, asking()) for of in "ab"]
    told = run(tmp_path / "out", *paths)["runs"]
    assert [*told] == ["a/run", "b/run"]
    assert [of["directory"] for of in told.values()] == paths


def test_long_names_leave_room_for_curves(tmp_path):
    paths = [write(tmp_path / (of * 80), "partial_feedback", {}, asking()) for of in "ab"]
    assert len(run(tmp_path / "out", *paths)["runs"]) == 2


def test_the_line_that_a_running_run_is_writing_is_left_out(tmp_path, two):
    records = tmp_path / "b/records.jsonl"
    before = run(tmp_path / "out", *two)
    with open(records, "a") as file:
        file.write('{"round": 3, "se')
    assert run(tmp_path / "again", *two) == before


BAD = {
    "expected the directories of two or more runs": ["{a}"],
    "each once": ["{a}", "{a}/."],
    "nowhere: expected a run's directory, found no config.json in it": ["{a}", "{tmp}/nowhere"],
    "config.json is not a run's configuration": ["{a}", "{tmp}/list"],
    "empty: expected a run that has measured, found no records in it": ["{a}", "{tmp}/empty"],
    "records.jsonl, line 2: expected a record": ["{a}", "{tmp}/damaged"],
    "other holds a run of neural_rendering; expected one of partial_feedback, as": [
        *("{a}", "{tmp}/other"),
    ],
    "holds a run of crowdsourcing of another kind of data": ["{tmp}/images", "{tmp}/people"],
    "unknown experiment 'aggregate'": ["{tmp}/tool", "{a}"],
    "strange: expected records of neural_rendering, found others": ["{tmp}/strange", "{a}"],
    "unknown metric of a 'acuracy': did you mean 'accuracy'?": [
        "{a}",
        "{b}",
        "--metric",
        "acuracy",
    ],
    "unknown field of --by 'seed'": ["{a}", "{b}", "--by", "seed"],
    "unknown method 'unifrom': did you mean 'uniform'?": ["{a}", "{b}", "--only", "unifrom"],
    "--metrics": ["{a}", "{b}", "--metrics", "loss"],
}


@pytest.mark.parametrize("sentence", BAD)
def test_bad_arguments_are_refused_in_a_sentence(tmp_path, two, capsys, sentence):
    def made(name, experiment, example):
        return write(tmp_path / name, experiment, *EXAMPLES[example][:2])

    made("other", "neural_rendering", "neural_rendering")
    made("images", "crowdsourcing", "crowdsourcing")
    made("people", "crowdsourcing", "crowdsourcing csv")
    made("tool", "aggregate", "partial_feedback")
    made("strange", "neural_rendering", "partial_feedback")
    for name, file, text in (
        ("list", "config.json", "[]"),
        ("empty", "records.jsonl", ""),
        ("damaged", "records.jsonl", '{"round": 0}\n{"rou\n'),
    ):
        made(name, "partial_feedback", "partial_feedback")
        (tmp_path / name / file).write_text(text)
    a, b = two
    words = [word.format(a=a, b=b, tmp=tmp_path) for word in BAD[sentence]]
    with pytest.raises(SystemExit) as stop:
        program.script("compare", compare.Config, compare.work, "", words)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not (tmp_path / "runs").exists()

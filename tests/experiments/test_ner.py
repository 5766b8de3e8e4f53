"""Active learning from outside: its files, its log, runs that are cut short, what it reports.

Sentences are those of grammar:en, few of them, and the network is small: nothing here is to learn.
"""

import dataclasses
import json
import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import ner_active_learning as ner
from experiments import ner_claims, ner_report, talk_report
from trinity_jax.algorithms import spans
from trinity_jax.compute import program
from trinity_jax.compute.checkpoint import Checkpoints
from trinity_jax.compute.run import Run
from trinity_jax.data import _grammar, sources
from trinity_jax.data._sentences import Corpus, Sentence
from trinity_jax.data.collection.selectors import SELECTORS

pytest.importorskip("faker", reason="needs Faker installed")
pytest.importorskip("pycrfsuite", reason="needs python-crfsuite installed")

ROOT = pathlib.Path(ner.__file__).parent.parent
EXPERIMENT = ner
STRATEGIES = ("random", "least_confidence", "mnlp", "bald", "k_center", "all")
SHARES = (0.1, 0.3, 0.6)
TINY = shlex.split(
    "smoke --seeds 2 --epochs 1 --min-steps 2 --num-widths 1 --batch-size 8 --passes 2 "
    f"--fractions {' '.join(map(str, SHARES))} --strategies {' '.join(STRATEGIES)}"
)
SIZES = {"train": 48, "dev": 8, "test": 16}


@pytest.fixture(scope="module")
def call(call):
    """`call(words) -> status`, in this process, with few sentences and a small network."""
    small = {"char_embedding": 4, "char_filters": 4, "word_dim": 6, "word_filters": 8, "hidden": 6}
    small = ner.SIZES["laptop"]._replace(**small, tag_embedding=3, layers=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_grammar, "SIZES", SIZES)
        patch.setitem(ner.SIZES, "laptop", small)
        yield call


@pytest.fixture(scope="module")
def corpus(call):
    del call  # which makes the grammar write few sentences
    return sources.sentences("grammar:en")


@pytest.fixture(scope="module")
def finished(call, tmp_path_factory):
    """A run that nothing happens to; not to be changed."""
    out = tmp_path_factory.mktemp("finished")
    assert call([*TINY, "--out", str(out)]) == 0
    return out


def records(out):
    return [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]


def summary(out):
    return json.loads((out / "summary.json").read_text())


def assert_same_run(out, other):
    """To the bit: what was measured, and all arrays of the last checkpoint."""
    last = f"checkpoints/{len(SHARES) - 1}/digests/metadata"
    for name in ("records.jsonl", last, "once.jsonl", "figure.svg"):
        assert (out / name).read_bytes() == (other / name).read_bytes(), name
    assert summary(out)["headline"] == summary(other)["headline"]


def test_what_a_run_leaves(finished):
    assert {path.name for path in finished.iterdir()} == {
        *("config.json", "records.jsonl", "timings.jsonl", "summary.json", "run.lock"),
        *("figure.png", "figure.svg", "checkpoints", "once.jsonl", "curves.csv"),
    }
    keys = {"round", "seed", "strategy", "asked", "asked_words", "scores", "refused", "loss"}
    assert all(keys | {"dev", "test"} <= row.keys() for row in records(finished))
    kinds = [(row["round"], row["seed"], row["strategy"]) for row in records(finished)]
    every = [(t, seed, name) for t in range(3) for seed in range(2) for name in STRATEGIES]
    assert kinds == [kind for kind in every if kind[0] == 0 or kind[2] != "all"]


def test_the_log_says_what_was_asked(finished, corpus):
    """Only of the pool, nothing twice, whole sentences, past the budget by less than the last."""
    length = np.array([len(sentence.tokens) for sentence in corpus.train])
    asked = {}
    for row in records(finished):
        assert row["asked_words"] == length[row["asked"]].sum()
        assert len(row["scores"]) == len(row["asked"])
        assert np.isfinite(row["scores"]).all()
        assert row["refused"] == 0
        assert row["overshoot"] == row["asked_words"] - row["budget"]
        before = asked.setdefault((row["strategy"], row["seed"]), [])
        assert not set(before) & set(row["asked"])
        before += row["asked"]
        share = 1 if row["strategy"] == "all" else SHARES[row["round"]]
        wanted = round(length.sum() * share)
        assert wanted <= length[before].sum() < wanted + length.max()
    for of_seed in (0, 1):
        assert sorted(asked["all", of_seed]) == list(range(SIZES["train"]))


def test_all_strategies_begin_alike_and_seeds_do_not(finished):
    first = [row for row in records(finished) if row["round"] == 0 and row["strategy"] != "all"]
    starts = {(row["seed"], tuple(row["asked"]), tuple(row["scores"])) for row in first}
    assert len(starts) == len({asked for _, asked, _ in starts}) == 2
    assert len({(row["seed"], row["loss"], str(row["test"])) for row in first}) == 2
    later = [row for row in records(finished) if row["round"] == 1 and row["seed"] == 0]
    assert len({tuple(row["asked"]) for row in later}) > 2


def test_counts_are_those_of_the_parts(finished, corpus):
    for part in ("dev", "test"):
        found = [spans.strict_spans(sentence.tags) for sentence in getattr(corpus, part)]
        kinds = [kind for some in found for kind, _, _ in some]
        expected = [kinds.count(kind) for kind in corpus.types]
        assert all(row[part][2] == expected for row in records(finished))


class Cut(BaseException):
    """The machine is gone."""


@pytest.mark.parametrize("after_records", [pytest.param(False, marks=pytest.mark.slow), True])
def test_a_run_cut_short_ends_as_if_it_had_not_been(
    call, finished, tmp_path, monkeypatch, after_records
):
    """Before a round is written down, and between its records and its checkpoint."""
    owner, name = (Checkpoints, "save") if after_records else (Run, "commit")
    whole = getattr(owner, name)

    def cut(self, t, *rest):
        if t == 1:
            raise Cut
        return whole(self, t, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, cut)
        with pytest.raises(Cut):
            call([*TINY, "--out", str(tmp_path)])
    assert call([*TINY, "--out", str(tmp_path)]) == 0
    assert_same_run(tmp_path, finished)


def test_a_finished_run_is_only_drawn_again(call, finished, tmp_path, capsys):
    out = tmp_path / "copy"
    shutil.copytree(finished, out)
    for name in ("figure.png", "figure.svg", "summary.json"):
        (out / name).unlink()
    assert call([*TINY, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "3 rounds are done" in said
    assert not re.search("compiling|round 1/|shallow tagger on", said)
    assert_same_run(out, finished)


def test_half_a_line_of_the_shallow_tagger_is_measured_again(call, finished, tmp_path):
    out = tmp_path / "copy"
    shutil.copytree(finished, out)
    path = out / "once.jsonl"
    path.write_bytes(path.read_bytes()[:-9])
    assert call([*TINY, "--out", str(out)]) == 0
    assert_same_run(out, finished)


def test_restart_keeps_nothing_of_another_run(tmp_path):
    (tmp_path / "once.jsonl").write_text("{}\n")
    with Run(tmp_path, "ner_active_learning", "smoke", ner.Config(), restart=True):
        assert {path.name for path in tmp_path.iterdir()} <= {
            "config.json",
            "run.lock",
            "checkpoints",
        }


def test_a_run_starts_from_vectors_and_from_a_network_of_the_seed(call, tmp_path):
    """Vectors say how wide the embedding is; the rest of an incremental run's start is drawn.

    Nothing is learnt at rate 1e-9: what is found is what the network began with.
    """
    (tmp_path / "vectors.txt").write_text("the 1 2\nof 3 4\n")
    words = "smoke --seeds 2 --epochs 1 --min-steps 0 --batch-size 8 --strategies random --num-w"
    words += "idths 1 --fractions 0.1 0.3 --incremental --optimiser sgd --learning-rate 1e-9"
    words = [*shlex.split(words), "--vectors", str(tmp_path / "vectors.txt")]
    words += ["--shallow-seeds", "0"]
    assert call([*words, "--out", str(tmp_path)]) == 0
    first = [row for row in records(tmp_path) if row["round"] == 0]
    assert first[0]["test"] != first[1]["test"]


# The summary


def test_the_headline_follows_from_the_records(finished, corpus):
    found, total = summary(finished), sum(len(s.tokens) for s in corpus.train)
    keys = {"f1_full", "f1_shallow_full", "words_to_99pct", "words_to_beat_shallow"}
    assert keys | {"aubc", "aubc_minus_random"} == found["headline"].keys()
    assert (found["data"], found["words"]) == ("grammar:en", total)
    full = [ner_report.f1(r["test"]) for r in records(finished) if r["strategy"] == "all"]
    assert found["headline"]["f1_full"]["mean"] == pytest.approx(np.mean(full))
    names = set(STRATEGIES) - {"all"}
    assert found["headline"]["aubc"].keys() == names
    assert found["headline"]["aubc_minus_random"].keys() == names - {"random"}
    assert found["by_type"].keys() == set(STRATEGIES)
    assert found["by_type"]["mnlp"].keys() == set(corpus.types)


def test_the_shallow_tagger_learns_at_every_point(finished):
    known = summary(finished)["shallow"]
    assert known.keys() == {"random", "mnlp", "all"}
    words = {name: [point[0] for point in of_seed["0"]] for name, of_seed in known.items()}
    assert len(words["mnlp"]) == len(SHARES)
    assert words["random"] == sorted({*words["random"]})
    assert words["random"][-1] < words["all"][0]


def test_it_says_that_sentences_are_synthetic(call, finished, tmp_path, capsys):
    out = tmp_path / "copy"
    shutil.copytree(finished, out)
    assert call([*TINY, "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "synthetic" in said
    assert "English: its curve is above that of random choice: undecided" in said
    assert summary(out)["synthetic"]
    assert "synthetic" in summary(out)["note"]
    assert "synthetic" in (out / "figure.svg").read_text()
    page = talk_report.page([talk_report.outcome("ner_active_learning", out)])
    assert "synthetic" in page
    assert not {claim.verdict for claim in ner_claims.claims(summary(out))} - {
        *("partly", "not shown", "undecided")  # shown is for real sentences
    }


# Reports of made measurements, without any training


TEXT = Sentence(("Ann", "saw", "Rome"), ("B-PER", "O", "B-LOC"), "")
MADE = Corpus((TEXT,) * 10, (TEXT,), (TEXT,), ("LOC", "PER"), False, "made")
RIGHT = {"random": (0, 1, 2), "mnlp": (0, 3, 4), "all": (4,)}  # of 4 true and 4 found


def made_run(out, names, right=RIGHT, **fields):
    """A run in which 3, then 4, then 5 of ten sentences were asked."""
    fields = {"seeds": 2, "fractions": (0.3, 0.4, 0.5), "strategies": tuple(names), **fields}
    config = dataclasses.replace(ner.Config(), **fields)
    with Run(out, "ner_active_learning", "smoke", config) as run:
        run.resume(lambda: jnp.zeros(()))
        for t in range(3):
            rows = []
            for seed, name in ((seed, name) for seed in range(2) for name in names):
                if t >= len(right[name]):
                    continue
                asked = list(range(10)) if name == "all" else [[0, 1, 2], [3], [4]][t]
                counts = [[right[name][t], 0], [4, 0], [4, 0]]
                rows.append(
                    {"seed": seed, "strategy": name, "asked": asked, "asked_words": 3 * len(asked)}
                    | {"budget": 3.0 * len(asked), "overshoot": 0.0}
                    | {"scores": [0.0] * len(asked), "refused": 0, "loss": 1.0}
                    | {"dev": counts, "test": counts}
                )
            run.commit(t, jnp.zeros(()), rows)
        ner_report.report(config, MADE, run)
    return summary(out)


def test_headline_by_hand(tmp_path):
    found = made_run(tmp_path, RIGHT)["headline"]
    assert found["f1_full"] == {"mean": 1.0, "interval": [1.0, 1.0], "n": 2}
    assert found["words_to_99pct"]["random"] is None
    assert found["words_to_99pct"]["mnlp"] == pytest.approx(0.4 + 0.1 * (0.99 - 0.75) / 0.25)
    assert found["aubc"]["random"]["mean"] == pytest.approx(0.25)
    assert found["aubc_minus_random"]["mnlp"]["mean"] == pytest.approx(0.625 - 0.25)


def test_without_all_nothing_is_said_of_the_best(tmp_path):
    found = made_run(tmp_path, ("random", "mnlp"))
    assert found["headline"]["f1_full"] is None
    assert found["headline"]["words_to_99pct"] == {"random": None, "mnlp": None}
    assert ner_claims.claims(found)[0].verdict == "undecided"


def test_a_full_model_that_finds_nothing_is_no_goal(tmp_path):
    found = made_run(tmp_path, RIGHT, RIGHT | {"all": (0,)})
    assert found["headline"]["words_to_99pct"] == {"random": None, "mnlp": None}
    assert ner_claims.claims(found)[0].verdict == "undecided"


@pytest.mark.parametrize("names", [("random",), ("mnlp", "all"), ("all",)])
def test_strategies_that_were_not_run_are_undecided(tmp_path, names):
    found = made_run(tmp_path, names)
    assert found["headline"]["aubc_minus_random"] == {}
    if "mnlp" not in names:
        assert {claim.verdict for claim in ner_claims.claims(found)} == {"undecided"}


def test_more_strategies_than_colours(tmp_path):
    names = tuple(name for name in ner.STRATEGIES if name != "all")
    assert len(names) > 10
    made_run(tmp_path, names, dict.fromkeys(names, (0, 1, 2)))


# What is asked of the command


def test_every_selector_is_in_reach():
    used = {strategy.selector for strategy in ner.STRATEGIES.values()}
    rules = {"until", "under", "fit"}
    assert used >= SELECTORS.keys() - rules


BAD = {
    "--seeds 0": "--seeds is 0",
    "--strategies mnpl": "did you mean 'mnlp'",
    "--strategies mnlp mnlp": "names mnlp twice",
    "--fractions 0.3 0.1": "must be several and ascend",
    "--fractions 0.1": "--fractions",
    "--fractions 1.5": "--fractions is 1.5",
    "--rule untill": "did you mean 'until'",
    "--rule under --strategies k_center": "--rule",
    "--decoder lstn": "did you mean 'lstm'",
    "--dropout 1": "--dropout is 1.0",
    "--data iob2:/nope": "/nope: expected a folder, found nothing",
    "--data grammar:fr": "grammar:en or grammar:zh",
    "--language english": "a language with ontonotes:DIR only",
    "--vectors /nope": "/nope",
}


@pytest.mark.parametrize("line", BAD)
def test_bad_arguments_are_one_sentence_and_status_2(call, tmp_path, capsys, line):
    words = line.split()
    assert call([*TINY, *words, "--out", str(tmp_path / "out")]) == 2
    err = capsys.readouterr().err
    assert err.startswith("python -m experiments.ner_active_learning: ")
    assert err.count("\n") == 1
    assert re.search(BAD[line], err)


def test_the_papers_settings_take_other_corpora():
    """Which language OntoNotes is read in concerns nobody else."""
    config = program.parse(ner.PRESETS, ["paper", "--data", "grammar:en"], "ner", "")[1]
    assert sources.sentences(config.data, language=config.language).synthetic


@pytest.mark.slow
def test_a_process_that_is_killed_goes_on(tmp_path):
    """The real smoke preset, from outside."""
    cache = jax.config.jax_compilation_cache_dir
    env = os.environ | {"JAX_NUM_CPU_DEVICES": "1", "JAX_COMPILATION_CACHE_DIR": cache}
    command = [sys.executable, "-m", "experiments.ner_active_learning", "smoke", "--out"]
    start = {"cwd": ROOT, "env": env, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([*command, str(tmp_path / "killed")], **start) as process:
        for line in process.stdout:
            if line.startswith("round 1/"):
                break
        process.kill()
    for name in ("killed", "whole"):
        subprocess.run([*command, str(tmp_path / name)], cwd=ROOT, env=env, check=True)
    one, other = ((tmp_path / name / "records.jsonl").read_bytes() for name in ("killed", "whole"))
    assert one == other

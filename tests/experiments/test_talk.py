"""All experiments in turn: what is run, what becomes of failures, and how a talk is taken up again.

In place of Python, experiments are started with a script that leaves a made run, or does not.
"""

import dataclasses
import io
import json
import os
import pathlib
import re
import signal
import stat
import subprocess
import sys

import pytest
from made_runs import MADE, write
from rich.console import Console

from experiments import talk, talk_tasks
from experiments.talk_tasks import DONE, FAILED, RUNNING, WAITING, Task
from trinity_jax.compute import program
from trinity_jax.types import InputError

# $2 is experiments.NAME, then come the preset and the options. What it does is in files by name.
SCRIPT = """#!/bin/bash
name=${2#experiments.}; out=
words=("$@"); for i in "${!words[@]}"; do [ "${words[i]}" = --out ] && out=${words[i+1]}; done
echo "$@" >> STORE/commands
echo reading
echo "round 1/2, 0:40 to go"
if [ -e STORE/$name.sh ]; then . STORE/$name.sh; fi
[ -e "$out/summary.json" ] && echo "resumed: 2 rounds are done" || cp -r STORE/$name "$out"
echo "done in 0:01"
"""


@pytest.fixture
def store(tmp_path, monkeypatch):
    """Where made runs are; experiments are played by the script."""
    folder = tmp_path / "store"
    for name in MADE:
        write(folder / name, name, "smoke")
    script = folder / "python"
    script.write_text(SCRIPT.replace("STORE", str(folder)))
    script.chmod(script.stat().st_mode | stat.S_IEXEC)
    monkeypatch.setattr(sys, "executable", str(script))
    return folder


@pytest.fixture
def told(tmp_path, store, capsys):
    """`told(words) -> (status, out, err)`, of a talk in the directory `talk` unless told so."""

    def run(*words, out=("--out", str(tmp_path / "talk"))):
        handler = signal.getsignal(signal.SIGTERM)
        try:
            arguments = ["smoke", *words, *out]
            program.guard("talk", talk.PRESETS, talk.work, str(talk.__doc__), arguments)
        except SystemExit as stop:
            return stop.code, *capsys.readouterr()
        finally:
            signal.signal(signal.SIGTERM, handler)

    return run


def commands(store):
    path = store / "commands"
    return path.read_text().splitlines() if path.exists() else []


def report(tmp_path):
    text = (tmp_path / "talk" / "report.html").read_text()
    return " ".join(re.sub(r"<[^>]*>", " ", text).split())


def test_all_experiments_run_at_the_preset_and_a_report_is_written(told, store, tmp_path):
    status, out, err = told()
    assert (status, err) == (0, "")
    folder = tmp_path / "talk"
    assert commands(store) == [
        f"-m experiments.{name} smoke --out {folder / name}" for name in MADE
    ]
    lines = out.splitlines()
    assert lines[:4] == [
        "== ner_active_learning",
        "ner_active_learning: reading",
        "ner_active_learning: round 1/2, 0:40 to go",
        "ner_active_learning: done in 0:01",
    ]
    assert re.fullmatch(r"ner_active_learning: done after 0:0\d", lines[4])
    assert lines[-1] == f"report: {folder / 'report.html'}"
    assert "python -m experiments.crowdsourcing smoke" in report(tmp_path)
    assert (folder / "crowdsourcing.log").read_text().splitlines()[-1] == "done in 0:01"


def test_a_subset_and_what_an_earlier_talk_left(told, store, tmp_path):
    assert told("--experiments", "crowdsourcing", "partial_feedback")[0] == 0
    assert [line.split()[1] for line in commands(store)] == [
        "experiments.crowdsourcing",
        "experiments.partial_feedback",
    ]
    assert "--experiments neural_rendering runs it" in report(tmp_path)
    assert told("--experiments", "neural_rendering")[0] == 0
    assert len(commands(store)) == 3
    text = report(tmp_path)
    assert "--experiments neural_rendering runs it" not in text
    assert "python -m experiments.crowdsourcing smoke" in text


def test_further_data_have_a_directory_of_their_own(told, store, tmp_path):
    also = "crowdsourcing=labelme:a/b c"
    assert told("--experiments", "crowdsourcing", "--also", also)[0] == 0
    folder = tmp_path / "talk" / "crowdsourcing_labelme_a_b_c"
    assert commands(store)[1].endswith(f"--data labelme:a/b c --out {folder}")
    assert "experiments.crowdsourcing smoke --data &#x27;labelme:a/b c&#x27;" in report(tmp_path)


def test_data_in_place_of_the_preset_s(told, store, tmp_path):
    one, two = "ner_active_learning=conll:a/b c=d", "crowdsourcing=csv:x"
    words = ("--experiments", "crowdsourcing", "ner_active_learning", "--data", one, two)
    assert told(*words)[0] == 0
    names = "crowdsourcing_csv_x", "ner_active_learning_conll_a_b_c_d"
    crowd, names = (str(tmp_path / "talk" / name) for name in names)
    assert commands(store) == [
        f"-m experiments.crowdsourcing smoke --data csv:x --out {crowd}",
        f"-m experiments.ner_active_learning smoke --data conll:a/b c=d --out {names}",
    ]


def test_without_a_directory_presets_do_not_share_one(told, store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert told("--experiments", "crowdsourcing", out=())[0] == 0
    assert (tmp_path / "runs/talk_smoke/report.html").exists()
    config, options = talk.Config(("crowdsourcing",)), program.Options()
    talk.work("laptop", config, options)
    assert (tmp_path / "runs/talk/report.html").exists()


def test_a_failure_stops_no_other_and_is_in_the_report(told, store, tmp_path):
    sentence = "python -m experiments.crowdsourcing: --data x: no such file"
    (store / "crowdsourcing.sh").write_text(f"echo '{sentence}' >&2; exit 2\n")
    status, out, err = told()
    assert status == 1
    assert len(commands(store)) == 5
    assert re.search(rf"crowdsourcing: failed after 0:0\d \({re.escape(sentence)}\)", out)
    assert err == ("python -m experiments.talk: 1 of 5 failed (crowdsourcing); see the report\n")
    text = report(tmp_path)
    assert f"failed {sentence}" in text
    assert "python -m experiments.neural_rendering smoke" in text
    (store / "crowdsourcing.sh").unlink()
    assert told()[0] == 0
    assert f"failed {sentence}" not in report(tmp_path)


def test_a_failure_hides_the_result_of_before(told, store, tmp_path):
    assert told("--experiments", "crowdsourcing")[0] == 0
    (store / "crowdsourcing.sh").write_text("echo 'holds another configuration'; exit 2\n")
    assert told("--experiments", "crowdsourcing")[0] == 1
    assert "failed holds another configuration" in report(tmp_path)
    assert "6.8 points" not in report(tmp_path)


@pytest.mark.parametrize(
    ("end", "why"),
    [
        ("kill -KILL $$", "SIGKILL ended it after: round 1/2, 0:40 to go"),
        ("exit 3", "round 1/2, 0:40 to go"),
    ],
)
def test_other_ends(told, store, tmp_path, end, why):
    (store / "crowdsourcing.sh").write_text(end)
    assert told("--experiments", "crowdsourcing")[0] == 1
    assert f"failed {why}" in report(tmp_path)


@pytest.mark.parametrize(("name", "status"), [("INT", 130), ("TERM", 143)])
def test_an_interrupted_talk_passes_it_on_and_goes_on_later(told, store, tmp_path, name, status):
    """The child has the talk interrupted, and waits to be told: it ends after its round."""
    path = store / "crowdsourcing.sh"
    path.write_text(
        f"trap 'echo round 2/2 is kept; touch {store}/told; exit 1' {name}\n"
        f"kill -{name} $PPID; for i in $(seq 100); do sleep 0.05; done\n"
    )
    ended, out, err = told()
    assert ended == status
    assert (store / "told").exists()
    assert "crowdsourcing: round 2/2 is kept" in out
    out_words = f"smoke --out {tmp_path / 'talk'}"
    assert err.splitlines()[-1].strip() == f"python -m experiments.talk {out_words}"
    assert len(commands(store)) == 3
    assert "python -m experiments.partial_feedback smoke" in report(tmp_path)
    path.unlink()
    assert told()[0] == 0
    assert len(commands(store)) == 8
    log = (tmp_path / "talk" / "partial_feedback.log").read_text()
    assert log.count("resumed: 2 rounds are done") == 1
    assert "not run" not in report(tmp_path)


def test_results_of_another_version_are_not_believed(told, store, tmp_path):
    old = tmp_path / "talk" / "ner_active_learning"
    old.mkdir(parents=True)
    (old / "summary.json").write_text(json.dumps({"experiment": "ner_active_learning"}))
    assert told("--experiments", "crowdsourcing")[0] == 0
    assert "failed Its directory has a result that cannot be read" in report(tmp_path)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--experiments", "crowd"], "crowd"),
        (["--also", "crowdsourcing"], "--also expects EXPERIMENT=SOURCE, found crowdsourcing"),
        (["--also", "crowdsorcing=csv:x"], "did you mean 'crowdsourcing'?"),
        (["--data", "crowdsourcing"], "--data expects EXPERIMENT=SOURCE, found crowdsourcing"),
        (["--data", "crowdsorcing=csv:x"], "did you mean 'crowdsourcing'?"),
        (["--data", "crowdsourcing=a", "crowdsourcing=b"], "crowdsourcing is named twice"),
        (
            ["--experiments", "partial_feedback", "--data", "crowdsourcing=a"],
            "experiment of --data 'crowdsourcing'",
        ),
    ],
)
def test_wrong_words_are_answered_in_a_sentence(told, store, words, sentence):
    status, _, err = told(*words)
    assert status == 2
    assert sentence in err
    assert not commands(store)


def test_a_directory_that_cannot_be_made(tmp_path, told):
    (tmp_path / "talk").write_text("a file")
    status, _, err = told()
    assert status == 2
    assert "talk: cannot write there (File exists)" in err


@dataclasses.dataclass
class Options:
    out: str = "here"
    restart: bool = False
    sizes: str = ""


def test_flags_are_passed_on_and_what_is_for_one_experiment_is_refused():
    assert talk.flags_of(Options()) == []
    assert talk.flags_of(Options(restart=True)) == ["--restart"]
    with pytest.raises(InputError, match="--sizes is for an experiment alone"):
        talk.flags_of(Options(sizes="replica=2"))


def test_help_says_what_each_preset_costs(told, capsys):
    with pytest.raises(SystemExit) as stop:
        program.parse(talk.PRESETS, ["--help"], "python -m experiments.talk", str(talk.__doc__))
    assert stop.value.code == 0
    words = capsys.readouterr().out
    for part in ("laptop: up to three minutes each", "in three minutes", "OntoNotes 5"):
        assert part in words


TASKS = (
    Task("crowdsourcing", "", pathlib.Path(), DONE, "done in 0:24", seconds=84.0),
    Task("partial_feedback", "", pathlib.Path(), RUNNING, "round 3/10, [0:40] to go"),
    Task("neural_rendering", "", pathlib.Path(), FAILED, "x " * 100, seconds=5.0),
    Task("crowdsourcing", "labelme:DIR", pathlib.Path(), WAITING),
)


def test_the_table_has_a_line_an_experiment():
    console = Console(file=io.StringIO(), width=80)
    console.print(talk_tasks.table(TASKS))
    rows = console.file.getvalue().splitlines()
    assert len(rows) == 5
    assert re.fullmatch(r"crowdsourcing +done +done in 0:24 +1:24", rows[1].strip())
    assert re.search(r"partial_feedback +running +round 3/10, \[0:40\] to go", rows[2])
    assert re.search(r"neural_rendering +failed +x x .*\u2026 +0:05", rows[3])
    assert re.search(r"crowdsourcing labelme:DIR +waiting", rows[4])


def test_a_terminal_has_the_table_and_others_have_lines(monkeypatch, capsys):
    box = io.StringIO()
    live = lambda: Console(file=box, force_terminal=True, width=80)
    monkeypatch.setattr(talk_tasks, "Console", live)
    with talk_tasks.watched(TASKS) as tell:
        tell(TASKS[0])
    assert "done in 0:24" in box.getvalue()
    assert capsys.readouterr().out == ""
    monkeypatch.setattr(talk_tasks, "Console", lambda: Console(file=io.StringIO()))
    with talk_tasks.watched(TASKS) as tell:
        tell(TASKS[1])
    assert capsys.readouterr().out == "partial_feedback: round 3/10, [0:40] to go\n"


def test_the_talk_leaves_accelerators_to_its_experiments():
    """Whoever asks JAX for devices of a platform that it does not have gets an error."""
    environment = {**os.environ, "JAX_PLATFORMS": "nowhere"}
    subprocess.run([sys.executable, "-c", "import experiments.talk"], env=environment, check=True)


def test_what_interrupts_waits_until_a_child_is_held():
    came = []
    with talk.hold() as release:
        signal.raise_signal(signal.SIGINT)
        came.append("a child is started")
        with pytest.raises(KeyboardInterrupt):
            release()
    assert came
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

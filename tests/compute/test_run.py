"""A run loses nothing, mixes with nothing, and says what it is."""

import dataclasses
import io
import json
import math
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rich.console import Console

from trinity_jax import __version__
from trinity_jax.compute.run import Failure, Run
from trinity_jax.types import InputError


@dataclasses.dataclass(frozen=True)
class Config:
    """Of a run that adds `rate` a round."""

    data: str = "made"
    rate: float = 0.5
    sizes: tuple[int, ...] = (1, 2)


class Killed(BaseException):
    """Stands for SIGKILL: nothing handles it."""


def init():
    return {"total": jnp.zeros(3), "round": jnp.int32(-1)}


def go(directory, total=4, config=Config(), name="tiny", kill=None, restart=False):
    """The loop of every experiment; `kill` is called in each round, before it is committed."""
    with Run(directory, name, "laptop", config, restart=restart) as run:
        start, state = run.resume(init)
        for t in run.rounds(start, total):
            assert int(state["round"]) == t - 1
            state = {"total": state["total"] + config.rate, "round": jnp.int32(t)}
            if kill:
                kill(t, run)
            metrics = {"error": 1 / (1 + state["total"])}
            rows = [{"seed": seed, "method": "x"} for seed in range(3)]
            run.commit(t, state, run.measurements(rows, metrics))
        return start, run.finish({"rounds": total})


def text(directory, name="records.jsonl"):
    return (directory / name).read_text()


def rows(directory, name="records.jsonl"):
    return [json.loads(line) for line in text(directory, name).splitlines()]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of four rounds; to be copied before it is changed."""
    directory = tmp_path_factory.mktemp("finished")
    go(directory)
    return directory


@pytest.fixture
def copy(finished, tmp_path):
    shutil.copytree(finished, tmp_path / "copy")
    return tmp_path / "copy"


def test_what_a_run_leaves(finished):
    names = {"config.json", "records.jsonl", "timings.jsonl", "summary.json", "checkpoints"}
    assert {path.name for path in finished.iterdir()} == names | {"run.lock"}
    assert json.loads(text(finished, "config.json")) == {
        "experiment": "tiny",
        "config": {"data": "made", "rate": 0.5, "sizes": [1, 2]},
    }
    records = rows(finished)
    assert [(row["round"], row["seed"]) for row in records] == [
        (t, seed) for t in range(4) for seed in range(3)
    ]
    assert set(records[0]) == {"round", "seed", "method", "error"}  # no times
    assert records[-1]["error"] == pytest.approx(1 / 3)
    timings = rows(finished, "timings.jsonl")
    assert {row["phase"] for row in timings} == {"restore", "rounds", "checkpoint"}
    assert all(row["seconds"] >= 0 for row in timings)


def test_the_summary(finished):
    summary = json.loads(text(finished, "summary.json"))
    assert {name: summary[name] for name in ("experiment", "preset", "data", "headline")} == {
        "experiment": "tiny",
        "preset": "laptop",
        "data": "made",
        "headline": {"rounds": 4},
    }
    assert summary["config"] == json.loads(text(finished, "config.json"))["config"]
    assert summary["versions"]["trinity_jax"] == __version__
    assert summary["versions"]["jax"] == jax.__version__
    assert len(summary["devices"]) == jax.device_count()
    spent = sum(
        row["seconds"] for row in rows(finished, "timings.jsonl") if row["phase"] == "rounds"
    )
    assert summary["seconds"]["rounds"] == pytest.approx(spent, abs=1e-6)


def test_what_is_within_a_phase_is_counted_once(tmp_path):
    """What is measured once is of a phase that it names; a checkpoint is part of its round."""

    def kill(t, run):
        run.once("looked at", lambda: time.sleep(0.05))

    with Run(tmp_path, "tiny", "laptop", Config()) as run:
        for name in ("timed, first", "timed, second", "timed, second"):
            run.once(name, lambda: time.sleep(0.05), "timing")
    _, summary = go(tmp_path, kill=kill)
    timed = rows(tmp_path, "timings.jsonl")
    within = {row["phase"]: row.get("within") for row in timed}
    inner = {"looked at": "rounds", "checkpoint": "rounds"}
    assert within == {"timed": None, "restore": None, "rounds": None} | inner
    seconds = summary["seconds"]
    assert seconds["rounds"] > seconds["looked at"] + seconds["checkpoint"]
    assert seconds["timed"] >= 0.1
    assert [row["phase"] for row in timed].count("timed") == 2
    outer = sum(seconds[name] for name, of in within.items() if of is None)
    assert summary["seconds_in_all"] == pytest.approx(outer, abs=2e-3)


def test_what_was_measured_once_is_of_what_was_asked(tmp_path):
    """A run that got nowhere may be begun with other options, and then measures anew."""
    for rate, there, expected in [(0.5, "a", "a"), (0.5, "b", "a"), (0.7, "c", "c")]:
        with Run(tmp_path, "tiny", "laptop", Config(rate=rate)) as run:
            assert run.once("measured", lambda there=there: there) == expected


def test_a_finished_run_has_nothing_to_do(copy):
    before = text(copy)
    start, _ = go(copy)
    assert start == 4
    assert text(copy) == before


@pytest.mark.parametrize("when", [0, 1, 3])
def test_a_killed_run_ends_as_if_it_had_not_been(finished, tmp_path, when):
    """Killed where it hurts most: records are written, their checkpoint is not."""

    def kill(t, run):
        if t == when:
            run._checkpoints.save = lambda *_: (_ for _ in ()).throw(Killed)

    with pytest.raises(Killed):
        go(tmp_path, kill=kill)
    assert len(rows(tmp_path)) == 3 * (when + 1)
    start, _ = go(tmp_path)
    assert start == when
    assert text(tmp_path) == text(finished)


def test_lines_that_a_kill_cut_short_are_left_out(finished, tmp_path):
    go(tmp_path, total=2)
    for name in ("records.jsonl", "timings.jsonl"):
        with open(tmp_path / name, "a") as file:
            file.write('{"round": 2, "se')
    go(tmp_path)
    assert text(tmp_path) == text(finished)
    rows(tmp_path, "timings.jsonl")  # every line is JSON again


def test_a_damaged_record_is_named(copy):
    lines = text(copy).splitlines(keepends=True)
    (copy / "records.jsonl").write_text("".join([*lines[:4], "\0" + lines[4][1:], *lines[5:]]))
    with pytest.raises(InputError, match=r"records.jsonl, line 5 is damaged.*--restart"):
        go(copy)


def test_damaged_checkpoints_cost_rounds_not_records(copy, finished, capsys):
    (copy / "checkpoints/3/state/_METADATA").write_text("{}")
    assert go(copy)[0] == 3
    assert text(copy) == text(finished)
    assert "checkpoint 3 cannot be used" in capsys.readouterr().out


def test_where_no_checkpoint_can_be_used_nothing_is_lost(copy, finished):
    for damaged in (2, 3):
        (copy / f"checkpoints/{damaged}/state/_METADATA").write_text("{}")
    with pytest.raises(InputError, match=r"none of its checkpoints can be used.*--restart"):
        go(copy)
    assert text(copy) == text(finished)
    assert go(copy, restart=True)[0] == 0


def test_checkpoints_of_nobody_knows_what_are_refused(copy):
    """And --restart, as the sentence says, is what helps."""
    for path in copy.iterdir():
        if path.is_file():
            path.unlink()
    with pytest.raises(InputError, match=r"config.json: expected what.*--restart"):
        go(copy)
    assert go(copy, restart=True)[0] == 0


def test_restart_deletes_nothing_where_no_run_was(tmp_path):
    mine = tmp_path / "checkpoints/model.bin"
    mine.parent.mkdir()
    mine.write_text("mine")
    (tmp_path / "labels.csv").write_text("mine")
    assert go(tmp_path, restart=True)[0] == 0
    assert (tmp_path / "labels.csv").read_text() == mine.read_text() == "mine"


def test_another_configuration_is_refused_by_what_differs(copy):
    before = text(copy)
    with pytest.raises(InputError, match="another configuration") as refused:
        go(copy, config=Config(rate=0.25, sizes=(1,)))
    assert "rate is 0.25 but was 0.5" in str(refused.value)
    assert "sizes is [1] but was [1, 2]" in str(refused.value)
    assert "data" not in str(refused.value)
    assert text(copy) == before
    go(copy)  # the refusal did not keep the lock


def test_a_run_that_got_nowhere_may_be_put_right(tmp_path):
    """A wrong path is no reason to ask for --restart."""
    with Run(tmp_path, "tiny", "laptop", Config(data="wrong")):
        pass
    assert go(tmp_path)[1]["data"] == "made"
    assert json.loads(text(tmp_path, "config.json"))["config"]["data"] == "made"


def test_another_experiment_is_refused(copy):
    with pytest.raises(InputError, match="holds a run of tiny, not other"):
        go(copy, name="other")


@pytest.mark.parametrize("garbage", ["", "{", "[]", "null", '{"experiment": "tiny"}', "\0\0"])
def test_a_configuration_that_cannot_be_read_is_refused(copy, garbage):
    (copy / "config.json").write_text(garbage)
    with pytest.raises(InputError, match=r"config.json is not a run's configuration.*--restart"):
        go(copy)


def test_restart_deletes_what_is_ours(copy, finished):
    (copy / "notes.txt").write_text("mine")
    (copy / "figures").mkdir()
    start, summary = go(copy, config=Config(rate=0.25), restart=True)
    assert start == 0
    assert summary["config"]["rate"] == 0.25
    assert text(copy) != text(finished)
    assert text(copy, "notes.txt") == "mine"
    assert (copy / "figures").is_dir()
    assert len(rows(copy, "timings.jsonl")) == len(rows(finished, "timings.jsonl"))


SECOND = """
import dataclasses, sys
from trinity_jax.compute.run import Run
config = dataclasses.make_dataclass("Config", ["data"])("made")
Run(sys.argv[1], "tiny", "laptop", config, restart=True)
"""


def test_a_directory_has_one_run_at_a_time(copy):
    before = text(copy)
    owner = f"in use by process {os.getpid()} on "
    with Run(copy, "tiny", "laptop", Config()):
        with pytest.raises(InputError, match=owner):
            go(copy, restart=True)
        command = [sys.executable, "-c", SECOND, copy]
        other = subprocess.run(command, capture_output=True, text=True, check=False)
        assert other.returncode == 1
        assert owner in other.stderr.splitlines()[-1]
    assert text(copy) == before
    go(copy)


def test_a_file_is_no_directory(tmp_path):
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file/below"):
        with pytest.raises(InputError, match="cannot write there"):
            go(out)
    assert text(tmp_path, "file") == "mine"


@pytest.fixture
def without_privileges():
    """Root may write everywhere, so a test run by root is run by nobody."""
    if os.geteuid() == 0:
        os.seteuid(65534)
        yield
        os.seteuid(0)
    else:
        yield


def test_a_directory_that_may_not_be_written(without_privileges):
    with tempfile.TemporaryDirectory() as name:
        directory = pathlib.Path(name)
        directory.chmod(0o555)
        for out in (directory, directory / "below"):
            with pytest.raises(InputError, match=r"cannot write there \(Permission denied\)"):
                go(out)
        directory.chmod(0o755)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_metric_that_is_not_finite_stops_the_run(tmp_path, finished, value):
    def kill(t, run):
        if t == 2:
            run.commit(2, init(), [{"seed": 0, "loss": 1.0}, {"seed": 1, "loss": value}])

    with pytest.raises(Failure, match=rf"loss became {value} \(round 2, seed 1\)") as failed:
        go(tmp_path, kill=kill)
    assert "--debug-nans" in str(failed.value)
    assert len(rows(tmp_path)) == 3 * 2  # nothing of the round was written
    assert go(tmp_path)[0] == 2
    assert text(tmp_path) == text(finished)


def test_measurements_say_which_replica_they_are_of(tmp_path):
    with Run(tmp_path, "tiny", "laptop", Config()) as run:
        replicas = [{"seed": 0}, {"seed": 1}, {"seed": 2}]
        metrics = {"error": jnp.array([0.5, 0.25, 1.0]), "count": np.array([1, 2, 3])}
        found = list(run.measurements(replicas, metrics, [True, False, True]))
    assert found == [{"seed": 0, "error": 0.5, "count": 1}, {"seed": 2, "error": 1.0, "count": 3}]
    assert [type(value) for value in found[0].values()] == [int, float, int]


def test_compiling_is_timed_and_left_out_where_nothing_is_left(tmp_path, capsys):
    double = jax.jit(lambda x: 2 * x)
    with Run(tmp_path, "tiny", "laptop", Config()) as run:
        assert run.compile(double, 4, 4, jnp.ones(3)) is None
        assert "compiling" not in capsys.readouterr().out
        compiled = run.compile(double, 0, 4, jnp.ones(3))
        np.testing.assert_array_equal(compiled(jnp.ones(3)), [2, 2, 2])
        assert capsys.readouterr().out.startswith("compiling (")
    assert [row["phase"] for row in rows(tmp_path, "timings.jsonl")] == ["compile"]


def test_progress_in_plain_lines(tmp_path, capsys):
    go(tmp_path, total=2)
    first = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0] for line in first[:2]] == ["round 1/2", "round 2/2"]
    assert first[2].startswith("done in 0:0")
    go(tmp_path, total=3)
    second = capsys.readouterr().out.splitlines()
    assert second[0] == f"resumed in {tmp_path}: 2 rounds are done"
    assert second[1].startswith("round 3/3, 0:00 to go")


def test_progress_on_a_terminal(tmp_path):
    screen = io.StringIO()
    with Run(tmp_path, "tiny", "laptop", Config()) as run:
        run._console = Console(file=screen, force_terminal=True, width=80)
        for t in run.rounds(0, 3):
            run.commit(t, init(), [])
    assert "tiny" in screen.getvalue()
    assert "\x1b[?25h" in screen.getvalue()  # the cursor is shown again
    assert "round 1/3" not in screen.getvalue()

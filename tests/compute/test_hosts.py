"""Two processes that run as one: one result, one directory, one end."""

import dataclasses
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax import watch
from trinity_jax.compute import hosts, program, replicas
from trinity_jax.compute.sweep import Sweep
from trinity_jax.types import Failure, InputError

ROOT = pathlib.Path(__file__).parents[2]
ITEMS = np.arange(10.0, dtype=np.float32)


@dataclasses.dataclass(frozen=True)
class Config:
    """Of an experiment that adds up random numbers."""

    rounds: int = 4  # how often
    seeds: int = 3  # replicas
    wait: float = 0.0  # seconds that a round takes beside its work
    bad: int = -1  # round in which a number is none
    chunks: bool = False  # whether items are others in each round


def init(data, replica):
    return {"total": jnp.zeros(len(data)) + replica["seed"]}


def advance(each, bad=-1):
    """A round: every item is looked at, by the devices together, and noise is added."""

    def one_round(t, data, state, replica):
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), replica["seed"]), t)
        is_bad = (t == bad) & (replica["seed"] == 1)
        watch.tell(t + 6, noise=jnp.log(jnp.where(is_bad, -1.0, 1.0)))
        seen = each(lambda x: jnp.sin(x), data + state["total"], batch_size=3)
        total = state["total"] + seen + jax.random.normal(key, seen.shape)
        total += jnp.log(jnp.where(is_bad, -1.0, 1.0))
        return {"total": total}, {"mean": total.mean()}

    return one_round


def experiment(config, run):
    rows, replica = replicas.grid(seed=range(config.seeds))
    items = (lambda t: ITEMS + t) if config.chunks else ITEMS
    sweep = Sweep(run, config.rounds, init, advance(run.each, config.bad), items, replica)
    for t, metrics in sweep:
        time.sleep(config.wait)
        number = jax.process_index()  # of which only the first's is kept
        measured = run.once(f"round {t}", lambda t=t, number=number: 10 * t + number)
        assert measured == 10 * t
        run.commit(t, sweep.state, run.measurements(rows, metrics))
    run.finish({"rounds": config.rounds, "records": len(run.records())})


def main():
    program.main("tiny", {"laptop": Config()}, experiment, "Adds.", sys.argv[1:])


def start(words, count=1, devices=4):
    """The experiment in so many processes, which have so many devices together."""
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    env = os.environ | {"PYTHONPATH": str(ROOT), "JAX_NUM_CPU_DEVICES": str(devices // count)}
    code = "from tests.compute import test_hosts; test_hosts.main()"
    as_one = lambda n: ["--processes", f"{address},{count},{n}", "--heartbeat", "10"]
    return [
        subprocess.Popen(
            [sys.executable, "-c", code, *words, *(as_one(n) if count > 1 else ())],
            **{"cwd": ROOT, "env": env, "text": True},
            **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE},
        )
        for n in range(count)
    ]


def ends(processes):
    """[(status, out, err)]; gloo, which connects them, says so between the lines."""
    said = [process.communicate(timeout=120) for process in processes]
    ours = lambda line: line.strip() and "peer ranks" not in line
    plain = lambda text: "".join(filter(ours, text.splitlines(True)))
    return [
        (process.returncode, *map(plain, texts))
        for process, texts in zip(processes, said, strict=True)
    ]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """A run of one process."""
    out = tmp_path_factory.mktemp("alone")
    assert [status for status, *_ in ends(start(["--out", str(out)]))] == [0]
    return out


def records(out):
    return (out / "records.jsonl").read_bytes()


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    """A run of two processes, stopped by SIGTERM of the second, and taken up again by both."""
    out = tmp_path_factory.mktemp("together")
    words = ["--out", str(out), "--mesh", "replica=2,data=2"]
    both = start([*words, "--wait", "1"], 2)
    deadline = time.monotonic() + 100
    while not (out / "records.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    both[1].send_signal(signal.SIGTERM)
    return out, ends(both), words


def test_who_is_asked_to_stop_stops_all_after_the_round(together):
    out, said, _ = together
    assert [status for status, *_ in said] == [143, 143]
    assert all("go on with" in err.lower() for *_, err in said)
    done = {json.loads(line)["round"] for line in records(out).splitlines()}
    kept = {int(path.name) for path in (out / "checkpoints").iterdir() if path.name.isdigit()}
    assert max(kept) == max(done) < 3


def test_replicas_that_the_devices_divide_are_spread_over_processes(tmp_path):
    """Each process has some of them from the beginning; they cannot be constants of a program.
    What all read may be other data in each round.
    """
    words = ["--seeds", "4", "--rounds", "2", "--chunks"]
    assert [status for status, *_ in ends(start(["--out", f"{tmp_path}/one", *words]))] == [0]
    said = ends(start(["--out", f"{tmp_path}/two", *words], 2))
    assert [status for status, *_ in said] == [0, 0], said
    assert records(tmp_path / "one") == records(tmp_path / "two")


def test_two_processes_end_as_one_would(together, alone):
    out, _, words = together
    said = ends(start([*words, "--wait", "1"], 2))
    assert [status for status, *_ in said] == [0, 0], said
    assert records(out) == records(alone)
    assert said[1][1] == ""  # only the first speaks
    summary = json.loads((out / "summary.json").read_text())
    assert summary["headline"] == {"rounds": 4, "records": 12}
    assert len(summary["devices"]) == 4


def test_one_process_takes_up_what_two_began(together, alone, tmp_path):
    out, _, words = together
    del words
    done, [said] = out, ends(start(["--out", str(out), "--wait", "1"], 1, 1))
    assert said[0] == 0
    assert "4 rounds are done" in said[1]
    assert records(done) == records(alone)


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (["--bad", "1"], 1, "(round 1, seed 1): noise was nan in step 7 of the round; the check"),
        (["--bad", "1", "--mesh", "replica=2,data=2"], 1, "noise was nan in step 7 of the round"),
        (["--mesh", "replica=3"], 2, "--mesh is 'replica=3'"),
    ],
)
def test_what_is_wrong_ends_both(words, status, sentence, tmp_path):
    said = ends(start([*words, "--out", str(tmp_path / "run")], 2))
    assert [found for found, *_ in said] == [status, status], said
    assert all(err.count("\n") == 1 and sentence in err for *_, err in said)


def test_in_two_processes_too_it_is_shown_where_a_number_went_bad(tmp_path):
    said = ends(start(["--bad", "1", "--debug-nans", "--out", str(tmp_path)], 2))
    assert [status for status, *_ in said] == [1, 1], said
    for *_, err in said:
        assert "FloatingPointError" in err
        assert "watch.tell(t + 6, noise=jnp.log(" in err


def test_a_directory_in_use_ends_both(tmp_path):
    [one] = start(["--out", str(tmp_path), "--wait", "60"])
    deadline = time.monotonic() + 100
    while not (tmp_path / "config.json").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    said = ends(start(["--out", str(tmp_path)], 2))
    one.kill()
    one.communicate()
    assert [status for status, *_ in said] == [2, 2], said
    assert all("is in use by process" in err and err.count("\n") == 1 for *_, err in said)


def test_one_that_is_killed_ends_the_other_and_nothing_is_lost(alone, tmp_path):
    words = ["--out", str(tmp_path), "--wait", "0.5"]
    both = start(words, 2)
    deadline = time.monotonic() + 100
    while not (tmp_path / "records.jsonl").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    both[1].kill()
    assert ends(both)[0][0] != 0
    assert [status for status, *_ in ends(start(words))] == [0]
    assert records(tmp_path) == records(alone)


@pytest.mark.parametrize("processes", ["host", "host:1,2", "host:1,2,2", ":1,2,0", "host:0,2,1"])
def test_processes_are_an_address_a_count_and_a_number(processes):
    with pytest.raises(InputError, match="HOST:PORT,PROCESSES,NUMBER"):
        hosts.join(processes, 10)


def test_alone_all_agree():
    assert hosts.first()
    assert hosts.agree(lambda: [1, "a"]) == [1, "a"]
    assert [hosts.any_of(flag) for flag in (True, False)] == [True, False]
    with pytest.raises(Failure, match="no"):
        hosts.agree(fails)


def fails():
    raise Failure("no")

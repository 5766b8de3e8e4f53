"""Event files: TensorBoard reads back what the records say, each point once."""

import dataclasses
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from trinity_jax.compute import program, scalars
from trinity_jax.compute.run import Run
from trinity_jax.types import InputError


def record(**more):
    return {"round": 0, "seed": 0, **more}


def test_means_are_over_seeds():
    rows = [
        record(seed=seed, strategy=name, asked_words=7, asked=[1], f1=seed / 2 + bonus, loss=1.0)
        for seed in (0, 1)
        for name, bonus in (("random", 0.0), ("mnlp", 0.25))
    ]
    assert scalars.means(rows) == {
        "f1/random": 0.25,
        "f1/mnlp": 0.5,
        "loss/random": 1.0,
        "loss/mnlp": 1.0,
    }


def test_numbers_among_what_a_replica_is_are_no_measurements():
    """As in crowdsourcing: the quality is a floating-point number, and precedes the method."""
    rows = [
        record(seed=seed, workers="class_wise", quality=q, redundancy=1, method=m, error=q + seed)
        for seed in (0, 1)
        for q in (0.2, 0.6)
        for m in ("em", "mbem")
    ]
    found = scalars.means(rows)
    assert found["error/quality_0.2/mbem"] == pytest.approx(0.7)
    assert set(found) == {f"error/quality_{q}/{m}" for q in (0.2, 0.6) for m in ("em", "mbem")}


def test_numbers_after_the_last_word_that_tell_records_apart_are_what_a_replica_is():
    """As in neural rendering (labelled), and with people's labels (L2), where there is no seed."""
    rows = [record(arm="joint", labelled=n, error=n / 100) for n in (20, 50)]
    assert scalars.means(rows) == {"error/labelled_20": 0.2, "error/labelled_50": 0.5}
    rows = [
        {"round": 3, "panel": "once", "method": "em", "l2": l, "right": 0.5} for l in (0.1, 1.0)
    ]
    assert scalars.means(rows) == {"right/l2_0.1": 0.5, "right/l2_1.0": 0.5}


def test_a_single_arm_has_no_name():
    assert scalars.means([record(method="em", error=0.5)]) == {"error": 0.5}
    assert scalars.means([{"round": 0, "total": 1.5}]) == {"total": 1.5}
    assert scalars.means([]) == {}


def points(directory):
    """What TensorBoard shows of a directory: {tag: [(step, value)]}."""
    read = EventAccumulator(str(directory / scalars.FOLDER), purge_orphaned_data=False)
    read.Reload()
    tags = read.Tags()["scalars"]
    return {tag: [(event.step, event.value) for event in read.Scalars(tag)] for tag in tags}


def rounds(*numbers):
    return [
        record(round=t, seed=seed, method=name, error=(seed + height) / 2 / (t + 1))
        for t in numbers
        for seed in (0, 1)
        for name, height in (("vote", 0), ("em", 1))
    ]


EXPECTED = {
    "error/vote": [(0, 0.25), (1, 0.125)],
    "error/em": [(0, 0.75), (1, 0.375)],
}


def test_what_was_added_is_read_back_at_once(tmp_path):
    with scalars.Events(tmp_path) as events:
        events.add(rounds(0))
        assert points(tmp_path) == {tag: values[:1] for tag, values in EXPECTED.items()}
        events.add(rounds(1))
        assert points(tmp_path) == EXPECTED
    assert points(tmp_path) == EXPECTED


def test_several_rounds_at_once_are_as_one_after_the_other(tmp_path):
    with scalars.Events(tmp_path) as events:
        events.add(rounds(0, 1))
    assert points(tmp_path) == EXPECTED


def test_a_file_that_is_begun_anew_replaces_the_earlier_one(tmp_path):
    (tmp_path / "events.out.tfevents.1.mine").touch()  # outside of the folder: not ours
    for _ in range(2):
        with scalars.Events(tmp_path) as events:
            events.add(rounds(0, 1))
    assert points(tmp_path) == EXPECTED
    assert (tmp_path / "events.out.tfevents.1.mine").exists()


def test_without_the_package_it_is_said_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto", None)
    with pytest.raises(InputError, match=r"pip install '\.\[tensorboard\]'"):
        scalars.Events(tmp_path)
    assert not (tmp_path / scalars.FOLDER).exists()


WRITE = """
import pathlib, sys
from trinity_jax.compute import scalars
with scalars.Events(pathlib.Path(sys.argv[1])) as events:
    events.add([{"round": 0, "seed": 0, "error": 0.5}])
"""


def test_tensorflow_is_not_loaded_where_it_is_installed(tmp_path, monkeypatch):
    (tmp_path / "tensorflow.py").write_text("raise SystemExit('loaded')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    subprocess.run([sys.executable, "-c", WRITE, tmp_path], check=True)
    assert points(tmp_path) == {"error": [(0, 0.5)]}


@dataclasses.dataclass(frozen=True)
class Config:
    """Of a run whose two methods err less in each round."""

    data: str = "made"


def go(directory, total=3, stop=None, **how):
    """A run; `stop` is a round that is computed, and not committed."""
    with Run(directory, "tiny", "laptop", Config(), **how) as run:
        start, state = run.resume(lambda: jnp.zeros(()))
        for t in run.rounds(start, total):
            if t == stop:
                return
            rows = [{name: row[name] for name in row if name != "round"} for row in rounds(t)]
            run.commit(t, state + t, rows)
        run.finish({})


THREE = {tag: [*values, (2, values[0][1] / 3)] for tag, values in EXPECTED.items()}


def close(found, expected):
    """Event files hold single precision."""
    flat = lambda points: [pair for tag in expected for pair in points[tag]]
    return found.keys() == expected.keys() and np.allclose(flat(found), flat(expected))


@pytest.mark.parametrize("stop", [1, 2])
def test_a_run_that_is_taken_up_again_writes_no_point_twice(tmp_path, stop):
    go(tmp_path, stop=stop, tensorboard=True)
    assert close(points(tmp_path), {tag: values[:stop] for tag, values in THREE.items()})
    go(tmp_path, tensorboard=True)
    assert close(points(tmp_path), THREE)
    go(tmp_path, tensorboard=True)  # finished: nothing is left to do
    assert close(points(tmp_path), THREE)


def test_records_without_a_checkpoint_are_not_shown_twice(tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("trinity_jax.compute.checkpoint.Checkpoints.save", killed)
        with pytest.raises(KeyboardInterrupt):
            go(tmp_path, tensorboard=True)
    go(tmp_path, tensorboard=True)
    assert close(points(tmp_path), THREE)


def test_a_run_that_began_without_it_has_all_rounds(tmp_path, capsys):
    go(tmp_path, stop=2)
    assert not (tmp_path / scalars.FOLDER).exists()
    assert "tensorboard" not in capsys.readouterr().out
    go(tmp_path, tensorboard=True)
    assert close(points(tmp_path), THREE)
    assert f"tensorboard --logdir {tmp_path}" in capsys.readouterr().out


def test_beginning_anew_deletes_it(tmp_path):
    go(tmp_path, tensorboard=True)
    go(tmp_path, restart=True)
    assert not (tmp_path / scalars.FOLDER).exists()


def test_it_is_an_option(tmp_path, monkeypatch):
    handler = signal.getsignal(signal.SIGTERM)
    presets = {"laptop": Config()}
    words = ["--tensorboard", "--out", str(tmp_path)]
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir)

    def experiment(config, run):
        _, state = run.resume(lambda: jnp.zeros(()))
        run.commit(0, state, rounds(0))
        run.finish({})

    with pytest.raises(SystemExit) as stop:
        program.main("tiny", presets, experiment, "Tiny.", words)
    signal.signal(signal.SIGTERM, handler)
    assert not stop.value.code
    assert close(points(tmp_path), {tag: values[:1] for tag, values in EXPECTED.items()})

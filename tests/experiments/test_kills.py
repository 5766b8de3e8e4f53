"""Experiments that are killed at any moment, and go on, end as if nothing had been.

    pytest -m slow -n 0 tests/experiments/test_kills.py -s

Each is killed ten times by SIGKILL, every fifth time in the middle of writing a checkpoint.
"""

import json
import os
import pathlib
import random
import subprocess
import sys
import time

import jax
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn installed")
pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]
KILLS = 10
EXPERIMENTS = {
    "crowdsourcing": "smoke",
    "ner_active_learning": "smoke --seeds 1 --strategies random mnlp --shallow-seeds 1",
    "partial_feedback": "smoke",
    "neural_rendering": "smoke --steps 200 --rounds 10",
    "generative_augmentation": "smoke --rounds 6",
}


def start(name, out):
    cache = jax.config.jax_compilation_cache_dir
    env = os.environ | {"JAX_NUM_CPU_DEVICES": "2", "JAX_COMPILATION_CACHE_DIR": cache}
    env |= {"XLA_FLAGS": "", "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", f"experiments.{name}", *EXPERIMENTS[name].split()]
    how = {"cwd": ROOT, "env": env, "text": True, "stderr": subprocess.PIPE}
    return subprocess.Popen([*words, "--out", str(out)], stdout=subprocess.PIPE, **how)


def finished(process):
    _, err = process.communicate()
    assert process.returncode == 0, err
    return time.monotonic()


def ends(out):
    """Records, what was measured once, and the digests of the last checkpoint's arrays."""
    last = max(int(path.name) for path in (out / "checkpoints").iterdir() if path.name.isdigit())
    [digests] = (out / "checkpoints" / str(last) / "digests").glob("metadata")
    once = out / "once.jsonl"
    rows = once.read_text().splitlines() if once.exists() else []
    kept = [row for row in rows if json.loads(row)["name"] != "exact"]  # scores, not compared
    return (out / "records.jsonl").read_bytes(), kept, json.loads(digests.read_text())


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_killed_ten_times_it_ends_as_if_it_had_not_been(name, tmp_path):
    whole = tmp_path / "whole"
    finished(start(name, whole))  # compiles
    began = time.monotonic()
    once = whole / "once.jsonl"
    lines = once.read_text().splitlines(True) if once.exists() else []
    measured = [line for line in lines if json.loads(line)["name"] == "seconds_per_step"]
    prepare = lambda out: (out.mkdir(), (out / "once.jsonl").write_text("".join(measured)))
    again = tmp_path / "again"
    prepare(again)
    duration = finished(start(name, again)) - began
    assert ends(again) == ends(whole)
    draw, kills, lives, out = random.Random(name), 0, 0, tmp_path / "0"
    prepare(out)
    while kills < KILLS:
        process = start(name, out)
        deadline = time.monotonic() + draw.uniform(0, duration)
        writing = kills % 5 == 4
        while process.poll() is None and (writing or time.monotonic() < deadline):
            if writing and any(out.glob("checkpoints/*tmp*")):
                break
            time.sleep(0.001 if writing else 0.01)
        if process.poll() is None:
            process.kill()
            process.communicate()
            kills += 1
        else:
            assert finished(process)
            assert ends(out) == ends(whole)
            lives += 1
            out = tmp_path / str(lives)
            prepare(out)
    finished(start(name, out))
    assert ends(out) == ends(whole)
    sys.stderr.write(f"{name}: {kills} kills in {lives + 1} runs of {duration:.0f} s, all equal\n")

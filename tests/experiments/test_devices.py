"""Every experiment finds the same bits on one device, on four, and in two processes of two.

    pytest -m slow -n 0 tests/experiments/test_devices.py

With --deterministic on any host; without it on one that has as many cores as there are devices,
which XLA takes from NPROC: its thread pool, among whose threads it splits some sums, is then the
same. The last round is also done on other devices than those before, from the same checkpoint.
"""

import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys

import jax
import pytest

pytest.importorskip("sklearn", reason="needs scikit-learn installed")
pytestmark = pytest.mark.slow

ROOT = pathlib.Path(__file__).parents[2]
EXPERIMENTS = {
    "crowdsourcing": "smoke --rounds 2",
    "ner_active_learning": "smoke --seeds 1 --strategies random mnlp --shallow-seeds 1",
    "partial_feedback": "smoke",
    "neural_rendering": "smoke --steps 40 --rounds 2",
    "generative_augmentation": "smoke --steps 40 --rounds 2 --judge-steps 20",
}
SECONDS = {"name": "seconds_per_step", "value": {"supervised": 0.002, "gan": 0.004, "joint": 0.008}}
MESH = ["--mesh", "replica=2,data=2"]
HOSTS = {"any": (["--deterministic"], {}), "of four cores": ([], {"NPROC": "4"})}


def go(name, host, out, devices, processes=1):
    """Runs it, of what a stopwatch says the same each time, and returns what is to be equal."""
    out.mkdir(exist_ok=True)
    if name == "generative_augmentation" and not (out / "once.jsonl").exists():
        (out / "once.jsonl").write_text(json.dumps(SECONDS) + "\n")
    with socket.socket() as free:
        free.bind(("localhost", 0))
        address = f"localhost:{free.getsockname()[1]}"
    env = {"JAX_NUM_CPU_DEVICES": str(devices // processes), "PYTHONPATH": str(ROOT)}
    env |= {"XLA_FLAGS": "", "JAX_COMPILATION_CACHE_DIR": jax.config.jax_compilation_cache_dir}
    flags, size = HOSTS[host]
    env |= size
    words = [*EXPERIMENTS[name].split(), *flags, "--out", str(out)]
    words += MESH if devices > 1 else []
    started = []
    for number in range(processes):
        one = ["--processes", f"{address},{processes},{number}"] if processes > 1 else []
        command = [sys.executable, "-m", f"experiments.{name}", *words, *one]
        how = {"cwd": ROOT, "env": os.environ | env, "text": True, "stderr": subprocess.PIPE}
        started.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, **how))
    said = [process.communicate(timeout=900)[1] for process in started]
    assert [process.returncode for process in started] == [0] * processes, said
    last = max(int(path.name) for path in (out / "checkpoints").iterdir() if path.name.isdigit())
    [digests] = (out / "checkpoints" / str(last) / "digests").glob("metadata")
    return (out / "records.jsonl").read_text(), json.loads(digests.read_text())


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("name", EXPERIMENTS)
def test_bits_do_not_depend_on_devices(name, host, tmp_path):
    one = go(name, host, tmp_path / "one", 1)
    assert go(name, host, tmp_path / "four", 4) == one
    assert go(name, host, tmp_path / "two", 4, processes=2) == one
    moved = tmp_path / "moved"  # as if it had been interrupted after the round before the last
    shutil.copytree(tmp_path / "one", moved)
    last = json.loads(one[0].splitlines()[-1])["round"]
    shutil.rmtree(moved / f"checkpoints/{last}")
    assert go(name, host, moved, 4) == one

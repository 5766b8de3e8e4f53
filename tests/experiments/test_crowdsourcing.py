"""The crowdsourcing experiment from outside: its files, its refusals, and runs that are killed."""

import itertools
import json
import os
import pathlib
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest

from experiments import crowdsourcing, real_annotators
from trinity_jax.algorithms.em import fit_until
from trinity_jax.data.aggregation.annotations import annotations
from trinity_jax.data.aggregation.dawid_skene import dawid_skene

ROOT = pathlib.Path(crowdsourcing.__file__).parent.parent
TINY = shlex.split(
    "smoke --seeds 1 --redundancies 1 3 --epochs 8 --rounds 8 --updates 1 --network softmax "
    "--methods majority mbem --qualities 0.2 --workers hammer_spammer --budget-match steps"
)
EXPERIMENT = crowdsourcing
ROUNDS = 16  # the first training and, for MBEM, the second


@pytest.fixture(scope="module")
def start():
    """Starts the command in a process of its own; what is left of it at the end is killed.

    It finds what earlier ones compiled. Its programs are made by the emitters that users have, as
    by XLA's older ones the sums of one row are not those of four to the bit.
    """
    cache = jax.config.jax_compilation_cache_dir
    quickly = "--xla_backend_optimization_level=0"
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": cache, "XLA_FLAGS": quickly}
    processes = []

    def popen(words, out, devices=1):
        command = [sys.executable, "-m", "experiments.crowdsourcing", *words, "--out", str(out)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        env = environment | {"JAX_NUM_CPU_DEVICES": str(devices)}
        processes.append(subprocess.Popen(command, cwd=ROOT, env=env, **pipes))
        return processes[-1]

    yield popen
    for process in processes:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def finish(process):
    """Waits: `(status, out, err)`."""
    out, err = process.communicate()
    return process.returncode, out, err


def records(out):
    return (out / "records.jsonl").read_bytes()


def final_state(out):
    """The digests of all arrays of the last checkpoint, which a restore compares them with."""
    return (out / f"checkpoints/{ROUNDS - 1}/digests/metadata").read_bytes()


@pytest.fixture(scope="module")
def finished(start, tmp_path_factory):
    """A run that nothing happens to; not to be changed."""
    out = tmp_path_factory.mktemp("finished")
    status, _, err = finish(start(TINY, out))
    assert status == 0, err
    assert err == ""
    return out


def test_what_a_run_leaves(finished):
    assert {path.name for path in finished.iterdir()} == {
        *("config.json", "records.jsonl", "timings.jsonl", "summary.json", "run.lock"),
        *("figure.png", "figure.svg", "checkpoints"),
    }
    assert {path.name for path in (finished / "checkpoints").iterdir()} == {"14", "15"}
    assert (finished / "figure.png").read_bytes().startswith(b"\x89PNG")
    assert "</svg>" in (finished / "figure.svg").read_text()
    rows = [json.loads(line) for line in records(finished).splitlines()]
    axes = {"seed": 0, "workers": "hammer_spammer", "quality": 0.2, "budget_match": "steps"}
    for row in rows:
        assert row.items() >= axes.items()
        assert row.keys() == {"round", "redundancy", "method", *axes} | {
            *("test_error", "label_accuracy", "loss")
        }
        assert 0 <= row["test_error"] <= 1
        assert 0 <= row["label_accuracy"] <= 1
    kinds = [(row["round"], row["redundancy"], row["method"]) for row in rows]
    both = list(itertools.product(range(8), (1, 3), ("majority", "mbem")))
    assert kinds == both + list(itertools.product(range(8, 16), (1, 3), ("mbem",)))


def test_the_summary(finished):
    summary = json.loads((finished / "summary.json").read_text())
    keys = ("experiment", "preset", "data", "config", "versions", "devices", "seconds", "headline")
    assert set(keys) <= summary.keys()
    assert (summary["experiment"], summary["preset"]) == ("crowdsourcing", "smoke")
    assert summary["data"] == summary["config"]["data"] == "digits"
    assert summary["devices"] == ["cpu cpu"]
    headline = summary["headline"]
    last = {
        (row["method"], str(row["redundancy"])): row["test_error"]
        for row in map(json.loads, records(finished).splitlines())
    }
    errors = headline["error"]["hammer_spammer"]["0.2"]
    for (method, redundancy), error in last.items():
        form = {"mean": pytest.approx(error), "interval": None, "n": 1}
        assert errors[method][redundancy] == form
    best = min((1, 3), key=lambda r: last["mbem", str(r)])
    assert headline["best_redundancy"]["hammer_spammer"]["0.2"]["mbem"] == best
    once = headline["once_against_thrice"]["hammer_spammer"]["0.2"]
    assert once["mean"] == pytest.approx(last["mbem", "1"] - last["mbem", "3"])
    gain = headline["gain_over_majority_points"]["hammer_spammer"]["0.2"]
    majority = min(last["majority", "1"], last["majority", "3"])
    assert gain["mean"] == pytest.approx(100 * (majority - last["mbem", "1"]))


def test_it_learns(finished):
    """From labels of which one in five is not a guess, far better than a guess."""
    rows = [json.loads(line) for line in records(finished).splitlines()]
    assert min(row["test_error"] for row in rows) < 0.4
    mbem = [row["label_accuracy"] for row in rows if row["method"] == "mbem"]
    assert mbem[-1] > mbem[0] > 0.2  # the network knows who guesses


def test_four_devices_give_what_one_gives(finished, start, tmp_path):
    """Four rows on one device in turn, or one on each of four."""
    status, out, err = finish(start(TINY, tmp_path, devices=4))
    assert (status, err) == (0, "")
    assert records(tmp_path) == records(finished)
    assert final_state(tmp_path) == final_state(finished)
    lines = out.splitlines()
    assert lines[0] == "reading digits"
    assert lines[1].startswith("compiling")
    assert lines[2].startswith("round 1/16")
    assert lines[-3].startswith("done in")
    assert lines[-2].startswith("Under a fixed budget, labelling once is optimal")
    assert lines[-1].startswith("MBEM is about 5 % better than majority vote: undecided")


def test_the_same_command_on_a_finished_run_only_draws_again(finished, told, tmp_path):
    """Also on other devices than it was finished on."""
    out = tmp_path / "copy"
    shutil.copytree(finished, out)
    for name in ("figure.png", "figure.svg", "summary.json"):
        (out / name).unlink()
    status, said, _ = told([*TINY, "--out", str(out)])
    assert status == 0
    assert "16 rounds are done" in said
    assert not re.search("compiling|round 1/", said)
    assert records(out) == records(finished)
    before, after = (json.loads((d / "summary.json").read_text()) for d in (finished, out))
    assert after["headline"] == before["headline"]
    assert (out / "figure.svg").read_bytes() == (finished / "figure.svg").read_bytes()


def killed_again_and_again(start, finished, out, kills):
    """Starts the command, and kills it in the tenth of a second after some line, again and again.

    Lines are said before and after compiling, and after every round.
    """
    draw, newest = random.Random(0), -1
    for _ in range(kills):
        process = start(TINY, out)
        said = [process.stdout.readline() for _ in range(draw.randrange(6))]
        time.sleep(draw.uniform(0, 0.1))
        process.kill()
        process.wait()
        said.append(process.stdout.read())
        assert "passed over" not in "".join(said)
        assert process.stderr.read() == ""
        names = [path.name for path in out.glob("checkpoints/*")]
        steps = [int(name) for name in names if name.isdigit()]
        assert max(steps, default=-1) >= newest  # never behind what was committed
        newest = max(steps, default=-1)
    status, said, err = finish(start(TINY, out, devices=4))
    assert (status, err) == (0, "")
    assert "passed over" not in said
    assert records(out) == records(finished)
    assert final_state(out) == final_state(finished)


def test_a_run_killed_three_times_ends_as_if_it_had_not_been(start, finished, tmp_path):
    killed_again_and_again(start, finished, tmp_path, 3)


@pytest.mark.slow
def test_a_run_killed_25_times_ends_as_if_it_had_not_been(start, finished, tmp_path):
    killed_again_and_again(start, finished, tmp_path, 25)


def test_an_interrupted_run_says_how_to_go_on(start, finished, tmp_path):
    """Ctrl-C; the command it prints; SIGTERM to that; its command again."""
    words = TINY
    for number, status, word in (
        (signal.SIGINT, 130, "interrupted"),
        (signal.SIGTERM, 143, "terminated"),
    ):
        process = start(words, tmp_path)
        for line in process.stdout:
            if line.startswith("round "):
                break
        process.send_signal(number)
        found, _, err = finish(process)
        assert found == status
        sentence, command = err.splitlines()
        assert sentence.startswith(f"{word}; ")
        again = shlex.split(command)
        assert again[:3] == ["python", "-m", "experiments.crowdsourcing"]
        assert again[-2:] == ["--out", str(tmp_path)]
        words = again[3:-2]
        assert words == TINY
    status, out, _ = finish(start(words, tmp_path, devices=4))
    assert status == 0
    assert "resumed in" in out
    assert records(tmp_path) == records(finished)
    assert final_state(tmp_path) == final_state(finished)


BAD = {
    "--seeds -3": "--seeds is -3",
    "--seeds 1.5": "--seeds.*'1.5'",
    "--learning-rate nan": "--learning-rate is nan",
    "--learning-rate 0": "--learning-rate is 0.0",
    "--weight-decay -1": "--weight-decay is -1.0",
    "--strength inf": "--strength is inf",
    "--batch-size 0": "--batch-size is 0",
    "--rounds 11": "--rounds is 11; expected a number from 1 to 10",
    "--redundancies 0": "--redundancies is 0; expected a number from 1 to ",
    "--redundancies 200": "--redundancies is 200",
    "--redundancies 3 --num-workers 2": "--redundancies is 3; expected a number from 1 to 2",
    "--redundancies": "--redundancies expects at least one",
    "--redundancies 1 1": "--redundancies names 1 twice",
    "--qualities 1.5": "--qualities is 1.5",
    "--workers hamer_spammer": "did you mean 'hammer_spammer'",
    "--budget-match stepz": "did you mean 'steps'",
    "--schedule cosine": "'cosine': did you mean 'constant'. .known: constant, linear_",
    "--methods majorty": "did you mean 'majority'",
    "--methods clean clean": "clean is named twice",
    "--network resnet": "did you mean 'resnet20'",
    "--budget 10000000": "--budget is 10000000; expected 7 .* to 1437",
    "--budget 2": "--budget is 2; expected 7 ",
    "--budget -1": "--budget is -1",
    "--data digts": "did you mean 'digits'",
    "--data csv:/nope": "/nope: expected a folder, found nothing",
    "--data csv:/nope --redundancies 150": "/nope: expected a folder, found nothing",
    "--data csv:/nope --budget 9": "--budget is 9; expected nothing but --seeds, --redundancies",
    "smoke --data csv:/nope --epochs 10": "--epochs is 10; expected nothing but --seeds",
    "--data labelme:/nope --batch-size 9": "--batch-size is 9; expected nothing but --seeds",
    "--data labelme:/nope --redundancies 2": "--redundancies is .2,.; expected nothing but --seeds",
    "--data labelme:/nope --strength 3": "/nope: expected a folder, found nothing",
    "--data npz:": "npz:DIR",
    "--data idx:{}": "{}",
    "--data digits:3": "expected 'digits' alone",
    "--prefix cifar": "prefix",
    "--sedes 3": "--sedes",
    "pape": "unknown preset 'pape'",
    "--out {}/file": "cannot write there",
}


@pytest.mark.parametrize("line", BAD)
def test_bad_arguments_are_one_sentence_and_status_2(told, tmp_path, line):
    (tmp_path / "file").touch()
    words = line.replace("{}", str(tmp_path)).split()
    if "--out" not in words:
        words += ["--out", str(tmp_path / "out")]
    status, _, err = told(words)
    assert status == 2
    assert err.startswith("python -m experiments.crowdsourcing: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    assert re.search(BAD[line].replace("{}", str(tmp_path)), err)


def test_a_wrong_argument_is_corrected_without_restart(told, tmp_path):
    """Nothing was measured under it."""
    assert told(["--data", "idx:/nope", "--out", str(tmp_path)])[0] == 2
    status, _, err = told(["--budget", "2", "--out", str(tmp_path)])
    assert status == 2
    assert "--budget is 2" in err


def test_help_teaches(told):
    status, out, _ = told(["--help"])
    assert status == 0
    for words in ("Label once or label thrice?", "--redundancies", "labels an item", "csv:DIR"):
        assert words in " ".join(out.split())
    quick = out.partition("which are quick")[0].partition("but for csv")[2]
    assert all(name in quick for name in real_annotators.QUICK)


@pytest.fixture
def crowd(tmp_path):
    """Forty items, two classes, five workers who all label everything, rightly or not."""
    draw = np.random.default_rng(0)
    truth = draw.integers(0, 2, 40)
    skill = np.array([0.9, 0.8, 0.7, 0.6, 0.55])
    label = np.where(draw.random((40, 5)) < skill, truth[:, None], 1 - truth[:, None])
    folder = tmp_path / "csv"
    folder.mkdir()
    rows = [f"{i},w{w},{label[i, w]}\n" for i in range(40) for w in range(5)]
    (folder / "label.csv").write_text("item,worker,label\n" + "".join(rows))
    known = [f"{i},{truth[i]}\n" for i in range(40)]
    (folder / "truth.csv").write_text("item,truth\n" + "".join(known))
    return folder, label, truth


def test_real_annotators(told, crowd, tmp_path):
    """At full redundancy there is nothing to draw: the numbers can be had directly."""
    folder, label, truth = crowd
    out = tmp_path / "out"
    words = ["--data", f"csv:{folder}", "--seeds", "3", "--redundancies", "1", "5"]
    status, said, err = told([*words, "--out", str(out)])
    assert (status, err) == (0, "")
    assert "40 items, 5 workers, 2 labels, 200 annotations; 0 repeated rows dropped" in said
    found = json.loads((out / "summary.json").read_text())["headline"]["label_accuracy"]
    assert set(found) == set(real_annotators.QUICK)

    voted_right = ((label.mean(1) > 0.5) == truth).mean()
    form = {"mean": voted_right, "interval": [voted_right, voted_right], "n": 3}
    five = found["majority"]["5"]
    assert five == {name: pytest.approx(value) for name, value in form.items()}
    assert 0.5 < found["majority"]["1"]["mean"] < voted_right  # one of five workers, at random
    table, dims = annotations(np.repeat(range(40), 5), np.tile(range(5), 40), label.ravel())
    fitted = fit_until(dawid_skene(dims), jax.random.key(0), table, 1e-5, 500)
    direct = (fitted.state.log_posterior.argmax(1) == truth).mean()
    assert found["dawid_skene"]["5"]["mean"] == pytest.approx(float(direct))

    before = records(out)
    assert told([*words, "--out", str(out)])[0] == 0
    assert records(out) == before


def test_real_annotators_need_truth_and_methods_without_a_network(told, crowd, tmp_path):
    folder = crowd[0]
    words = ["--data", f"csv:{folder}", "--out", str(tmp_path / "out")]
    status, _, err = told([*words, "--methods", "mbem"])
    assert status == 2
    assert "unknown aggregator 'mbem'" in err
    (folder / "truth.csv").unlink()
    status, _, err = told(words)
    assert status == 2
    assert "truth.csv" in err

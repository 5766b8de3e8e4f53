"""A run: a directory, and a loop that loses nothing.

    config.json      what was asked; another configuration on the directory is refused
    records.jsonl    one measurement a line, without times: the same bytes however often the run
                     was interrupted
    timings.jsonl    seconds by phase
    once.jsonl       what is measured beside the rounds, and kept
    summary.json     the result
    checkpoints/     the newest two rounds
    run.lock         who is writing here

The loop of every experiment:

    start, state = run.resume(init)
    for t in run.rounds(start, num_rounds):
        state, metrics = advance(t, state)
        run.commit(t, state, rows)
    run.finish(headline)
"""

import contextlib
import dataclasses
import fcntl
import importlib.metadata
import json
import math
import os
import platform
import shutil
import socket
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from trinity_jax import __version__
from trinity_jax.compute.checkpoint import Checkpoints
from trinity_jax.types import InputError

OURS = (
    "config.json",
    "records.jsonl",
    "timings.jsonl",
    "once.jsonl",
    "answers.jsonl",
    "curves.csv",
    "summary.json",
    "figure.png",
    "figure.svg",
    "renderings.png",
    "samples.png",
    "labels.csv",
    "workers.csv",
    "confusions.json",
    "annotations.parquet",
    "report.html",
    "checkpoints",
)
PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


class Failure(RuntimeError):
    """The run cannot go on, through no fault of the input; the message is one sentence."""


class Run:
    """One run of an experiment in its directory. Use it in a `with` block."""

    def __init__(
        self, directory: Path, name: str, preset: str, config: Any, *, restart: bool = False
    ):
        """Opens the directory, alone.

        Args:
          directory: made if it is not there.
          name: of the experiment.
          preset: the configuration's origin, for the summary.
          config: a dataclass; runs of unequal configurations do not mix.
          restart: whether to delete an earlier run.

        Raises:
          InputError: the directory cannot be written, is in use, or holds another run.
        """
        self.directory = Path(directory).resolve()
        self.name, self.preset = name, preset
        self.config: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
        self._console = Console(highlight=False, soft_wrap=True)
        self._began = time.perf_counter()
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._lock = open(self.directory / "run.lock", "a+")  # noqa: SIM115
        except OSError as error:
            raise InputError(f"--out {directory}: cannot write there ({error.strerror})") from error
        try:
            self._claim(restart)
            self._checkpoints = Checkpoints(self.directory / "checkpoints", self.say)
        except BaseException:
            self._lock.close()
            raise

    def _claim(self, restart: bool) -> None:
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._lock.seek(0)
            owner = self._lock.read().strip() or "another process"
            raise InputError(f"--out {self.directory} is in use by {owner}") from error
        self._lock.truncate(0)
        self._lock.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        self._lock.flush()
        if restart:
            for name in OURS:
                path = self.directory / name
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        asked = {"experiment": self.name, "config": self.config}
        path = self.directory / "config.json"
        begun = [*self.directory.glob("records.jsonl"), *self.directory.glob("checkpoints/*")]
        if path.exists() and begun:  # a run that got nowhere may be put right
            self._compare(path, asked)
        else:
            _replace(path, json.dumps(asked, indent=1) + "\n")
        for name in ("records.jsonl", "timings.jsonl", "once.jsonl", "answers.jsonl"):
            path = self.directory / name
            if path.exists():  # so that nothing is appended to half a line
                _replace(path, "".join(line + "\n" for line in _whole_lines(path)))

    def _compare(self, path: Path, asked: Mapping[str, Any]) -> None:
        try:
            held = json.loads(path.read_text())
            experiment, config = held["experiment"], held["config"]
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path} is not a run's configuration; use --restart") from error
        if experiment != self.name:
            raise InputError(f"--out {self.directory} holds a run of {experiment}, not {self.name}")
        if config != asked["config"]:
            fields = sorted(config.keys() | self.config.keys())
            differ = ", ".join(
                f"{field} is {self.config.get(field)!r} but was {config.get(field)!r}"
                for field in fields
                if self.config.get(field) != config.get(field)
            )
            raise InputError(
                f"--out {self.directory} holds a run with another configuration ({differ}): "
                "choose another --out, or --restart to delete it"
            )

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *exception) -> None:
        self._checkpoints.__exit__(*exception)
        self._lock.close()

    def say(self, sentence: str) -> None:
        """Tells the person watching."""
        self._console.print(sentence, markup=False)
        sys.stdout.flush()

    @contextlib.contextmanager
    def phase(self, name: str, announce: str = "") -> Iterator[None]:
        """Times what happens in the block."""
        if announce:
            self.say(announce)
        began = time.perf_counter()
        yield
        seconds = round(time.perf_counter() - began, 3)
        _append(self.directory / "timings.jsonl", [{"phase": name, "seconds": seconds}])

    def compile(self, function: Any, start: int, total: int, *arguments: Any) -> Any:
        """Compiles a jitted function for these arguments, if rounds are left to be done.

        Compiling is apart from running, so that the times of the two are.
        """
        if start == total:
            return None
        announce = "compiling (up to a minute the first time; later runs find it in the cache), "
        announce += f"then round {start + 1} of {total}"
        with self.phase("compile", announce):
            return function.lower(*arguments).compile()

    def resume(self, init: Callable[[], Any]) -> tuple[int, Any]:
        """Where to begin, and with what.

        Args:
          init: makes the state before round 0; only its shapes are used where a checkpoint is.

        Returns:
          The next round's number and its state; records after the last checkpoint are cut off.
        """
        with self.phase("restore"):
            found = self._checkpoints.restore(jax.eval_shape(init))
            start, state = (0, jax.jit(init)()) if found is None else (found[0] + 1, found[1])
            path = self.directory / "records.jsonl"
            if path.exists():
                kept = [json.dumps(row) + "\n" for row in _rows(path) if row["round"] < start]
                _replace(path, "".join(kept))
        if start:
            self.say(f"resumed in {self.directory}: {start} rounds are done")
        return start, state

    def rounds(self, start: int, total: int) -> Iterator[int]:
        """Counts rounds, with a bar on a terminal and a line a round elsewhere."""
        if start == total:
            return
        with self._bar(start, total) as tick:
            began = time.perf_counter()
            for t in range(start, total):
                with self.phase("rounds"):
                    yield t
                done = t + 1 - start
                left = (time.perf_counter() - began) / done * (total - t - 1)
                tick(f"round {t + 1}/{total}, {_clock(left)} to go")

    @contextlib.contextmanager
    def _bar(self, start: int, total: int) -> Iterator[Callable[[str], None]]:
        if not self._console.is_terminal:
            yield self.say
            return
        columns = (TextColumn(self.name), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=self._console, transient=True) as progress:
            task = progress.add_task(self.name, total=total, completed=start)
            yield lambda _: progress.advance(task)

    def measurements(
        self,
        rows: Sequence[Mapping[str, Any]],
        metrics: Mapping[str, Any],
        wanted: Sequence[bool] = (),
    ) -> Iterator[dict[str, Any]]:
        """A record a replica (those `wanted`, or all): what it is, and its metrics, [replica]."""
        values = {name: np.asarray(array).tolist() for name, array in metrics.items()}
        for i, row in enumerate(rows):
            if not wanted or wanted[i]:
                yield {**row, **{name: column[i] for name, column in values.items()}}

    def commit(self, t: int, state: Any, rows: Iterable[Mapping[str, Any]]) -> None:
        """Makes round `t` permanent: its records, then its checkpoint.

        Raises:
          Failure: a record is not finite; the checkpoint before stays the newest.
        """
        rows = [{"round": t, **row} for row in rows]
        for row in rows:
            for field, value in row.items():
                if isinstance(value, float) and not math.isfinite(value):
                    where = ", ".join(f"{k} {v}" for k, v in row.items() if k != field)
                    raise Failure(
                        f"{field} became {value} ({where}); the checkpoint before round {t} is "
                        "kept: try a smaller learning rate, or --debug-nans to see where"
                    )
        _append(self.directory / "records.jsonl", rows)
        with self.phase("checkpoint"):
            self._checkpoints.save(t, state)

    def once(self, name: str, measure: Callable[[], Any]) -> Any:
        """What `measure` returns, as JSON keeps it; a run that is taken up again does not ask it.

        Args:
          name: of this measurement, another for each.
          measure: takes long, and returns the same every time.
        """
        path = self.directory / "once.jsonl"
        kept = {row["name"]: row["value"] for row in _rows(path)}
        if name not in kept:
            _append(path, [{"name": name, "value": measure()}])
            kept = {row["name"]: row["value"] for row in _rows(path)}
        return kept[name]

    def keep(self, answer: Mapping[str, Any]) -> None:
        """Writes down what a person answered; it is on the disk when this returns."""
        _append(self.directory / "answers.jsonl", [answer])

    def answers(self) -> list[dict[str, Any]]:
        """Every answer kept."""
        return _rows(self.directory / "answers.jsonl")

    def records(self) -> list[dict[str, Any]]:
        """Every measurement committed."""
        return _rows(self.directory / "records.jsonl")

    def finish(
        self, headline: Mapping[str, Any], picture: str = "figure.png", **more: Any
    ) -> dict[str, Any]:
        """Writes summary.json and returns what is in it.

        Args:
          headline: what the experiment claims.
          picture: the file to look at.
          more: further entries beside it.
        """
        seconds: dict[str, float] = {}
        for row in _rows(self.directory / "timings.jsonl"):
            seconds[row["phase"]] = round(seconds.get(row["phase"], 0) + row["seconds"], 3)
        summary = {
            "experiment": self.name,
            "preset": self.preset,
            "data": self.config.get("data"),
            "config": self.config,
            "versions": {"python": platform.python_version(), "trinity_jax": __version__}
            | {name: importlib.metadata.version(name) for name in PACKAGES},
            "devices": [f"{device.platform} {device.device_kind}" for device in jax.devices()],
            "seconds": seconds,
            "headline": headline,
            **more,
        }
        _replace(self.directory / "summary.json", json.dumps(summary, indent=1) + "\n")
        elapsed = _clock(time.perf_counter() - self._began)
        self.say(f"done in {elapsed}: {self.directory / picture} and summary.json beside it")
        return summary


def _clock(seconds: float) -> str:
    return f"{int(seconds) // 60}:{int(seconds) % 60:02d}"


def _replace(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    part = path.with_name(path.name + ".part")
    with open(part, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def _append(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    with open(path, "a") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows))
        file.flush()
        os.fsync(file.fileno())


def _whole_lines(path: Path) -> list[str]:
    """The lines of a file; one that a kill cut short, and so has no line end, is left out."""
    return path.read_text(errors="replace").split("\n")[:-1]


def _rows(path: Path) -> list[dict[str, Any]]:
    """What the lines of a file hold; none where there is no file.

    Raises:
      Failure: a line is not what was written.
    """
    rows = []
    for number, line in enumerate(_whole_lines(path) if path.exists() else (), 1):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            raise Failure(f"{path}, line {number} is damaged; begin anew with --restart") from error
    return rows

"""A run: a directory, and a loop that loses nothing.

    config.json      what was asked; another configuration on the directory is refused
    records.jsonl    one measurement a line, without times: the same bytes however often the run
                     was interrupted
    timings.jsonl    seconds by phase
    once.jsonl       what is measured beside the rounds, and kept
    summary.json     the result
    checkpoints/     the newest two rounds
    tensorboard/     means of the records, if asked for
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
import itertools
import json
import os
import platform
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

import jax
import numpy as np
from jax.sharding import Mesh
from rich.console import Console

from trinity_jax import __version__
from trinity_jax.compute import finite, hosts, logs, progress, replicas, scalars
from trinity_jax.compute import mesh as meshes
from trinity_jax.compute.checkpoint import Checkpoints
from trinity_jax.compute.signals import held_back
from trinity_jax.types import Failure, InputError

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
    "question.png",
    "labels.csv",
    "workers.csv",
    "confusions.json",
    "annotations.parquet",
    "report.html",
    "checkpoints",
    scalars.FOLDER,
)
TIMED = {"phase": str, "seconds": (int, float)}
LOGS = ("records.jsonl", "timings.jsonl", "once.jsonl", "answers.jsonl")  # a line is kept or not
KEPT = ("config.json", *LOGS)  # one of these is in the directory of every run
PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


class Run:
    """One run of an experiment in its directory. Use it in a `with` block.

    Attributes:
      directory: for files; where several processes run as one, only the first's is kept.
      mesh: the devices to compute on.
      cause: asked why numbers of a round went bad, for the sentence that says so.
    """

    def __init__(
        self,
        directory: Path,
        name: str,
        preset: str,
        config: Any,
        *,
        restart: bool = False,
        mesh: Mesh | None = None,
        in_turn: bool = False,
        tensorboard: bool = False,
    ):
        """Opens the directory, alone.

        Args:
          directory: made if it is not there.
          name: of the experiment.
          preset: the configuration's origin, for the summary.
          config: a dataclass; runs of unequal configurations do not mix.
          restart: whether to delete an earlier run.
          mesh: by default all devices along the axis of replicas.
          in_turn: see `replicas.over_replicas`.
          tensorboard: whether to write what TensorBoard shows, too.

        Raises:
          InputError: the directory cannot be written, is in use, or holds another run.
        """
        self.mesh, self._in_turn = mesh or meshes.make(), in_turn
        self.cause: Callable[[int], str] = lambda t: ""
        self._scratch = None if hosts.first() else tempfile.TemporaryDirectory()
        where = self._scratch.name if self._scratch else directory
        self.directory = Path(os.path.realpath(where))  # resolve() would raise in a ring of links
        self.name, self.preset = name, preset
        self.config: dict[str, Any] = json.loads(json.dumps(dataclasses.asdict(config)))
        self._console = Console(highlight=False, soft_wrap=True)
        self._began = time.perf_counter()
        nothing: Any = None  # in all processes but the first
        self._checkpoints = self._lock = self._events = nothing
        self._phase: str | None = None  # the innermost that is being timed
        for name, text in hosts.agree(lambda: self._open(restart, tensorboard)).items():
            if not hosts.first():  # so that all know what was measured before
                (self.directory / name).write_text(text)

    def _open(self, restart: bool, tensorboard: bool) -> dict[str, str]:
        """Makes the directory ours, and returns the logs in it."""
        try:
            self.directory.mkdir(parents=True, exist_ok=True)
            self._lock = lock = open(self.directory / "run.lock", "a+")  # noqa: SIM115
            try:
                self._claim(lock, restart)
                self._events = scalars.Events(self.directory) if tensorboard else None
                self._checkpoints = Checkpoints(self.directory / "checkpoints", self.say)
            except BaseException:
                lock.close()
                raise
        except OSError as error:
            why = f"cannot write there ({error.strerror or error})"
            raise InputError(f"--out {error.filename or self.directory}: {why}") from error
        paths = [self.directory / name for name in LOGS]
        return {path.name: logs.read(path) for path in paths if path.exists()}

    def _claim(self, lock: TextIO, restart: bool) -> None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            lock.seek(0)
            owner = lock.read().strip() or "another process"
            raise InputError(f"--out {self.directory} is in use by {owner}") from error
        lock.truncate(0)
        lock.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        lock.flush()
        steps = lambda: [p for p in self.directory.glob("checkpoints/*") if p.name.isdecimal()]
        if restart and (steps() or any((self.directory / n).exists() for n in KEPT)):
            for name in OURS:
                path = self.directory / name
                is_folder = path.is_dir() and not path.is_symlink()
                shutil.rmtree(path) if is_folder else path.unlink(missing_ok=True)
        asked = {"experiment": self.name, "config": self.config}
        path = self.directory / "config.json"
        begun = [*self.directory.glob("records.jsonl"), *steps()]
        if begun and not path.exists():
            raise InputError(f"{path}: expected what the run was asked; begin anew with --restart")
        if begun:
            self._compare(path, asked)
        else:  # a run that got nowhere may be put right; what it measured is of what it was asked
            text = json.dumps(asked, indent=1) + "\n"
            if path.exists() and path.read_bytes() != text.encode():
                (self.directory / "once.jsonl").unlink(missing_ok=True)
            logs.replace(path, text)
        for name in LOGS:
            logs.mend(self.directory / name)

    def _compare(self, path: Path, asked: Mapping[str, Any]) -> None:
        try:
            held = json.loads(logs.read(path))
            experiment, config = held["experiment"], dict(held["config"])
        except InputError:
            raise
        except (ValueError, KeyError, TypeError, RecursionError) as error:
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
        for held in (self._checkpoints, self._events, self._lock, self._scratch):
            if held is not None:
                held.__exit__(*exception)

    def over_replicas(self, function: Callable[..., Any], shared: int) -> Callable[..., Any]:
        """`replicas.over_replicas` on the run's devices."""
        return replicas.over_replicas(function, self.mesh, shared, self._in_turn)

    @property
    def each(self) -> Callable[..., Any]:
        """`replicas.each_of` the run's devices: `jax.lax.map` for passes over items."""
        return replicas.each_of(self.mesh)

    def say(self, sentence: str) -> None:
        """Tells the person watching."""
        if not hosts.first():
            return
        self._console.print(sentence, markup=False)
        sys.stdout.flush()

    @contextlib.contextmanager
    def phase(self, name: str, announce: str = "") -> Iterator[None]:
        """Times what happens in the block; what is within another is in that one's seconds too."""
        if announce:
            self.say(announce)
        began, within, self._phase = time.perf_counter(), self._phase, name
        try:
            yield
        finally:
            self._phase = within
        row = {"phase": name, "seconds": round(time.perf_counter() - began, 3), "within": within}
        logs.append(self.directory / "timings.jsonl", [row])

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

    def resume(self, init: Callable[..., Any], *given: Any) -> tuple[int, Any]:
        """Where to begin, and with what.

        Args:
          init: `(*given) -> state`, before round 0; of shapes only, where a checkpoint is.
          *given: arrays, which are not to be constants of the program.

        Returns:
          The next round's number and its state; records after the last checkpoint are cut off.
        """
        with self.phase("restore"):
            start, state = self.restore(init, *given)
            path = self.directory / "records.jsonl"
            if path.exists():
                kept = [json.dumps(row) + "\n" for row in self.records() if row["round"] < start]
                logs.replace(path, "".join(kept))
        if self._events:
            self._events.add(self.records())
            self.say(f"scalars: tensorboard --logdir {self.directory}")
        if start:
            self.say(f"resumed in {self.directory}: {start} rounds are done")
        return start, state

    def restore(self, init: Callable[..., Any], *given: Any) -> tuple[int, Any]:
        """The first round that is not committed, and its state; see `resume`."""
        like = jax.eval_shape(init, *given)
        found = []

        def look() -> int:
            found.extend(self._checkpoints.restore(like) or ())
            return found[0] + 1 if found else 0

        start = hosts.agree(look)
        if not start:
            return 0, jax.jit(init)(*given)
        nothing = lambda: jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), like)
        return start, hosts.hand_out(found[1] if found else nothing())

    def rounds(
        self, start: int, total: int, done: Callable[[], bool] = lambda: False
    ) -> Iterator[int]:
        """Counts rounds until all are, or `done`; with a bar on a terminal, else a line each.

        SIGTERM waits until a round is committed, in all processes the same one. Who wants the
        machine back gives half a minute or so: a longer round is lost, and none before it.
        """
        if start == total or done():
            return
        told = lambda: self.say("asked to stop: after this round")
        with progress.bar(self._console, self.say, self.name, start, total) as tick:
            for t in itertools.takewhile(lambda t: not done(), range(start, total)):
                with held_back(signal.SIGTERM, told=told) as came, self.phase("rounds"):
                    yield t
                    if hosts.any_of(bool(came)):
                        came.append(signal.SIGTERM)
                tick()

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
          Failure: a number is bad, see `finite.fault`; the checkpoint before stays the newest.
        """
        rows, whole = [{"round": t, **row} for row in rows], hosts.fetch(state)
        if fault := finite.fault(rows, whole):
            kept = f"the checkpoint before round {t} is kept" if t else "nothing is kept of round 0"
            try_next = "try a smaller learning rate, or --debug-nans to see where"
            raise Failure(f"{fault}{self.cause(t)}; {kept}: {try_next}")
        logs.append(self.directory / "records.jsonl", rows)
        with self.phase("checkpoint"):
            hosts.agree(lambda: self._checkpoints.save(t, whole))
        if self._events:
            self._events.add(rows)

    def once(self, name: str, measure: Callable[[], Any], announce: str = "") -> Any:
        """What `measure` returns, as JSON keeps it; a run that is taken up again does not ask it.

        Args:
          name: of this measurement, another for each; up to a comma, of its phase.
          measure: takes long, and returns the same every time. Where several processes run as
            one, all call it, and the first's is kept.
          announce: what to tell the person watching, if it is to be measured.
        """
        path = self.directory / "once.jsonl"
        kept = {row["name"]: row["value"] for row in logs.rows(path, name=str, value=object)}
        if name not in kept:
            with self.phase(name.partition(",")[0], announce):
                value = measure()
            logs.append(path, [{"name": name, "value": hosts.agree(lambda: value)}])
            kept = {row["name"]: row["value"] for row in logs.rows(path)}
        return kept[name]

    def keep(self, answer: Mapping[str, Any]) -> None:
        """Writes down what a person answered; it is on the disk when this returns."""
        logs.append(self.directory / "answers.jsonl", [answer])

    def answers(self, **kinds: type) -> list[dict[str, Any]]:
        """Every answer kept; `kinds` are types of the fields that it must have."""
        return logs.rows(self.directory / "answers.jsonl", **kinds)

    def records(self) -> list[dict[str, Any]]:
        """Every measurement committed."""
        return logs.rows(self.directory / "records.jsonl", round=int)

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
        timed = logs.rows(self.directory / "timings.jsonl", **TIMED)
        outer = [row["seconds"] for row in timed if not row.get("within")]
        for row in timed:
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
            "seconds_in_all": round(sum(outer), 3),
            "headline": headline,
            **more,
        }
        logs.replace(self.directory / "summary.json", json.dumps(summary, indent=1) + "\n")
        elapsed = progress.clock(time.perf_counter() - self._began)
        self.say(f"done in {elapsed}: {self.directory / picture} and summary.json beside it")
        return summary

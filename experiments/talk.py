"""Every experiment of the talk, one after the other, and one report of them all.

    python -m experiments.talk          laptop: up to three minutes each, ten on two cores
    python -m experiments.talk smoke    only shows that the path works, in three minutes
    python -m experiments.talk paper    the papers' scale: accelerators, days, and the papers' data
    python -m experiments.talk --experiments crowdsourcing --data crowdsourcing=npz:DIR
    python -m experiments.talk --also ner_active_learning=grammar:zh crowdsourcing=labelme:DIR

paper reads OntoNotes 5 and Tiny ImageNet in the working directory, or where --data says, and
CIFAR-10 and MNIST in TFDS_DATA_DIR: downloading these two needs TensorFlow.

Each experiment is a process of its own, and has a directory of its own under --out (runs/talk, or
runs/talk_PRESET), with what it said in a log beside it. report.html there lies beside the talk,
slide by slide: claim, figure, our number and the paper's, whether it was shown again, and why. It
is written anew after each experiment, of all that are finished. If one fails the others still run,
the report says why, and the exit status is 1. The same command goes on where it was interrupted.
"""

import contextlib
import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence

from experiments import talk_report
from experiments.talk_report import Outcome
from experiments.talk_slides import SLIDES
from experiments.talk_tasks import DONE, FAILED, RUNNING, Task, watched
from trinity_jax.compute import program
from trinity_jax.compute.run import Failure
from trinity_jax.types import InputError, choose, lookup

EXPERIMENTS = {slide.experiment: slide for slide in SLIDES if slide.experiment}
# Children write lines, each at once, even where the terminal is said to like colours.
PLAIN = {"PYTHONUNBUFFERED": "1", "FORCE_COLOR": "", "TTY_COMPATIBLE": "0"}
PLAIN |= {"JAX_TRACEBACK_FILTERING": "off"}  # so that the last line is the error


@dataclasses.dataclass(frozen=True)
class Config:
    """What to run; every experiment has a command of its own with more to vary."""

    experiments: tuple[str, ...] = ()
    """Those to run, by name (all of them)."""
    data: tuple[str, ...] = ()
    """Data for an experiment in place of the preset's, as EXPERIMENT=SOURCE."""
    also: tuple[str, ...] = ()
    """Further data for an experiment, as EXPERIMENT=SOURCE; it runs once more, on them."""

    def __post_init__(self):
        asked = choose(EXPERIMENTS, self.experiments, "experiment")
        for flag, pairs in {"--data": self.data, "--also": self.also}.items():
            for pair in pairs:
                if "=" not in pair:
                    raise InputError(f"{flag} expects EXPERIMENT=SOURCE, found {pair}")
                lookup(EXPERIMENTS, pair.split("=")[0], f"experiment of {flag}")
        choose(dict.fromkeys(asked), [p.split("=")[0] for p in self.data], "experiment of --data")


PRESETS = dict.fromkeys(("smoke", "laptop", "paper"), Config())  # what they are, experiments know


def work(preset: str, config: Config, options: program.Options) -> None:
    """Runs the experiments, and writes the report after each of them."""
    directory = program.place("talk", preset, options).resolve()
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"--out {directory}: cannot write there ({error.strerror})") from error
    tasks = tasks_of(config, directory)
    report = directory / "report.html"
    with watched(tasks) as tell:
        for task in tasks:
            run(task, preset, flags_of(options), tell)
            whole = report.with_suffix(".part")
            whole.write_text(talk_report.page(outcomes(tasks, preset, directory)))
            whole.replace(report)
    print(f"report: {report}")
    if failed := [task.title for task in tasks if task.state == FAILED]:
        raise Failure(f"{len(failed)} of {len(tasks)} failed ({', '.join(failed)}); see the report")


def tasks_of(config: Config, directory: pathlib.Path) -> list[Task]:
    """What was asked for; all, in the order of the slides, if nothing was."""
    asked = dict.fromkeys(choose(EXPERIMENTS, config.experiments, "experiment"), "")
    asked |= dict(pair.split("=", 1) for pair in config.data)
    pairs = [*asked.items(), *(pair.split("=", 1) for pair in config.also)]
    place = lambda name, source: name + re.sub(r"\W+", "_", f"={source}" if source else "")
    return [Task(name, source, directory / place(name, source)) for name, source in pairs]


def flags_of(options: program.Options) -> list[str]:
    """Flags that are passed on; what else there is to say is said to an experiment alone."""
    flags = []
    for field in dataclasses.fields(options):
        flag, value = "--" + field.name.replace("_", "-"), getattr(options, field.name)
        if value is True:
            flags.append(flag)
        elif field.name != "out" and value != field.default:
            raise InputError(f"{flag} is for an experiment alone: python -m experiments.NAME")
    return flags


def run(task: Task, preset: str, flags: Sequence[str], tell: Callable[[Task], None]) -> None:
    """Runs one experiment to its end, and passes on what would interrupt this process."""
    data = ["--data", task.source] if task.source else []
    words = [f"experiments.{task.name}", preset, *data, "--out", str(task.directory), *flags]
    streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    # Ctrl-C on a terminal is for all of a group: alone in its own, the child hears of it once.
    how = {"text": True, "errors": "replace", "process_group": 0, "env": {**os.environ, **PLAIN}}
    task.state, task.began = RUNNING, time.monotonic()
    tell(task)
    child_of = lambda: subprocess.Popen([sys.executable, "-m", *words], **streams, **how)
    with hold() as release, child_of() as child:
        try:
            release()
            listen(task, child, tell)
        except (KeyboardInterrupt, program.Terminated) as stop:
            asked = isinstance(stop, KeyboardInterrupt)
            child.send_signal(signal.SIGINT if asked else signal.SIGTERM)
            try:
                listen(task, child, tell)  # it may want to finish its round
            except BaseException:
                child.kill()
                raise
            raise
    task.seconds = time.monotonic() - task.began
    if child.returncode < 0:
        task.said = f"{signal.Signals(-child.returncode).name} ended it after: {task.said}"
    elif child.returncode and not task.said:
        task.said = f"It ended with status {child.returncode} and said nothing."
    task.state = FAILED if child.returncode else DONE
    tell(task)


@contextlib.contextmanager
def hold() -> Iterator[Callable[[], None]]:
    """Keeps what would interrupt until it is released: no child is started and then forgotten."""
    came: list[int] = []
    keep = lambda number, _: came.append(number)
    before = {n: signal.signal(n, keep) for n in (signal.SIGINT, signal.SIGTERM)}

    def release():
        while before:
            signal.signal(*before.popitem())
        while came:
            signal.raise_signal(came.pop())

    try:
        yield release
    finally:
        release()


def listen(task: Task, child: subprocess.Popen, tell: Callable[[Task], None]) -> None:
    """Keeps what the child says in its log until it ends."""
    with open(task.directory.with_name(f"{task.directory.name}.log"), "a") as log:
        for line in child.stdout or ():
            log.write(line)
            log.flush()
            if line.strip():
                task.said = line.strip()
                tell(task)


def outcomes(tasks: Sequence[Task], preset: str, directory: pathlib.Path) -> list[Outcome]:
    """What was asked for and has ended, and what earlier talks left in the directory."""
    asked = {task.directory.name for task in tasks}
    others = [Task(name, "", directory / name) for name in EXPERIMENTS if name not in asked]
    found = []
    for task in [*tasks, *others]:
        if task.state == FAILED:
            command = talk_report.command(task.name, preset, task.source)
            found.append(Outcome(task.name, task.directory, command, None, task.said))
        elif task.state == DONE:
            found.append(talk_report.outcome(task.name, task.directory, task.source))
        elif (task.directory / "summary.json").exists():
            found.append(earlier(task, preset))
    return found


def earlier(task: Task, preset: str) -> Outcome:
    """What another talk left; that of another version may not say what is asked of it now."""
    try:
        one = talk_report.outcome(task.name, task.directory, task.source)
        talk_report.page([one])
    except (KeyError, TypeError, ValueError):
        command = talk_report.command(task.name, preset, task.source)
        why = "Its directory has a result that cannot be read: run it again."
        return Outcome(task.name, task.directory, command, None, why)
    return one


if __name__ == "__main__":
    program.guard("talk", PRESETS, work, str(__doc__), sys.argv[1:])

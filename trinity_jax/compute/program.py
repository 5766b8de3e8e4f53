"""The command line of an experiment: presets, options, exit status.

    python -m experiments.NAME [smoke|laptop|paper] [--out DIR] [--every-config-field VALUE]

Exit status: 0 done; 2 bad input or argument (one sentence, no traceback); 1 a failure of the run;
130 interrupted by Ctrl-C and 143 by SIGTERM, with the command that takes the run up again.
"""

import contextlib
import dataclasses
import gc
import io
import itertools
import os
import pathlib
import re
import shlex
import shutil
import signal
import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

import jax

from trinity_jax.compute import hosts, mesh
from trinity_jax.compute.run import Run
from trinity_jax.types import Failure, InputError, lookup


@dataclasses.dataclass(frozen=True)
class Options:
    """Where and how the run goes; results differ in last digits, or by what a stopwatch says."""

    out: str = ""
    """Directory of the run (by default runs/NAME, and runs/NAME_PRESET but for laptop)."""
    restart: bool = False
    """Delete what an earlier run left in the directory, and begin anew."""
    debug_nans: bool = False
    """Stop at the operation that first makes a NaN, with a traceback (slow)."""
    tensorboard: bool = False
    """Write means of every round for TensorBoard (pip install '.[tensorboard]')."""
    mesh: str = ""
    """Devices for replicas and for the items of each, as replica=2,data=2 (all for replicas)."""
    deterministic: bool = False
    """The same bits on any number of devices and processes, more slowly (but for what a stopwatch
    decides)."""
    processes: str = ""
    """Run as one of several processes: auto on a cluster that JAX knows, else
    HOST:PORT,COUNT,NUMBER, where HOST:PORT is for the first to listen at."""
    heartbeat: int = 100
    """Seconds without a word from another process after which this one ends."""


FILES = """
A run's directory, --out, has config.json, records.jsonl (a line a measurement), summary.json (the
result), timings.jsonl, figure.png and figure.svg to look at, and checkpoints/; some have
curves.csv, renderings.png or samples.png. The same command goes on where it stopped.
"""
DEFAULT = "laptop"  # the preset of whoever names none
ROOM = 50  # for the program's name in a line of its usage, as tyro does not break it


class Terminated(BaseException):
    """SIGTERM came: someone wants the machine back."""


def parse(
    presets: Mapping[str, Any], arguments: Sequence[str], program: str, description: str
) -> tuple[str, Any, Options]:
    """Reads a command line.

    Args:
      presets: configurations (frozen dataclasses of one type) by name; `DEFAULT` is the default.
      arguments: words after the program's name; the first may name a preset.
      program: how the program is called, for the help.
      description: the first paragraph of the help.

    Returns:
      The preset's name, the configuration, the options.

    Raises:
      InputError: an argument is unknown, malformed or out of range.
      SystemExit: with status 0, after `--help`.
    """
    import tyro

    preset, rest = DEFAULT, list(arguments)
    if rest and not rest[0].startswith("-"):
        preset = rest.pop(0)
        if preset not in presets:
            known = ", ".join(presets)
            raise InputError(f"unknown preset '{preset}': expected one of {known}, then --options")

    config_type = type(presets[preset])
    command = dataclasses.make_dataclass(
        "command",
        [
            ("experiment", tyro.conf.OmitArgPrefixes[config_type]),
            ("run", tyro.conf.OmitArgPrefixes[Options]),
        ],
        frozen=True,
    )
    default = command(presets[preset], Options())
    found = read(command, rest, f"{program} [{'|'.join(presets)}]", description, default)
    return preset, found.experiment, found.run


def read(
    form: type, arguments: Sequence[str], program: str, description: str, default: Any = None
) -> Any:
    """Reads a command line into a dataclass.

    Args:
      form: the dataclass.
      arguments: words after the program's name.
      program: see `parse`.
      description: see `parse`.
      default: an instance with the values of options that are not given; by default the class's.

    Raises:
      InputError: see `parse`, as for `SystemExit`.
    """
    import tyro

    for word in arguments:
        if any("\ud800" <= char <= "\udfff" for char in word):  # of bytes that are not UTF-8
            raise InputError(f"expected arguments in UTF-8, found {word!r}")
    if {"-h", "--help"} & set(arguments):  # as it is written: tyro would join its lines
        print(_laid_out(description), file=sys.stdout)  # noqa: T201
    how = {"prog": _broken(program), "description": "", "args": arguments}
    how |= {} if default is None else {"default": default}
    box = io.StringIO()
    with contextlib.redirect_stderr(box):
        try:
            return tyro.cli(form, **how)
        except SystemExit as stop:
            if not stop.code:
                raise
    raise InputError(_complaint(box.getvalue()))


def _broken(program: str) -> str:
    """How a program is called, in lines that leave room for what tyro adds."""
    how = {"subsequent_indent": "    ", "break_long_words": False, "break_on_hyphens": False}
    lines = textwrap.fill(program, ROOM, **how)
    return lines + "\n   " * (len(lines.splitlines()[-1]) > ROOM / 2)


def _laid_out(text: str) -> str:
    """Paragraphs that fit the terminal; those that are indented are left alone."""
    width = shutil.get_terminal_size().columns
    fits = lambda block: block.startswith(" ") or max(map(len, block.splitlines())) <= width
    blocks = text.strip().split("\n\n")
    filled = (block if fits(block) else textwrap.fill(block, width) for block in blocks)
    return "\n\n".join(filled) + "\n"


def _complaint(box: str) -> str:
    """What tyro says of bad arguments, out of its box, as one sentence."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)  # colours, on a terminal
    lines = [line.strip("│ ") for line in plain.splitlines()[1:]]  # without the box's title
    is_rule = lambda line: not line.strip("─-")
    below = itertools.dropwhile(is_rule, lines)
    sentence = " ".join(itertools.takewhile(lambda line: not is_rule(line), below))
    return re.sub("^Error parsing [a-z]+: ", "", sentence).rstrip(".") + "; see --help"


def keep_compiled() -> None:
    """Keeps compiled programs in a folder of the user's own, so that only first runs compile."""
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        home = os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache"
        folder = pathlib.Path(home) / "trinity_jax" / "compiled"
        with contextlib.suppress(OSError):  # no cache is slower, and nothing else
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


def place(name: str, preset: str, options: Options) -> pathlib.Path:
    """The directory of a run; without --out, of its experiment and preset alone."""
    apart = "" if preset == DEFAULT else f"_{preset}"
    return pathlib.Path(options.out or f"runs/{name}{apart}")


def main(
    name: str,
    presets: Mapping[str, Any],
    experiment: Callable[[Any, Run], None],
    description: str,
    arguments: Sequence[str] | None = None,
) -> None:
    """Runs an experiment from the command line and exits.

    Args:
      name: of the experiment; `python -m experiments.NAME` is its command.
      presets: see `parse`.
      experiment: `(config, run) -> None`.
      description: for `--help`.
      arguments: by default those of the process.
    """

    def work(preset, config, options):
        mesh.use_cores(options.deterministic)
        keep_compiled()
        # What tracing makes lives on: to look for cycles there takes a seventh of some short runs.
        gc.set_threshold(200_000, 20, 50)
        jax.config.update("jax_debug_nans", options.debug_nans)
        if options.processes:
            hosts.join(options.processes, options.heartbeat)
        directory = place(name, preset, options)
        how = {"restart": options.restart, "in_turn": options.deterministic}
        how |= {"tensorboard": options.tensorboard}
        with Run(directory, name, preset, config, mesh=mesh.read(options.mesh), **how) as run:
            experiment(config, run)

    words = sys.argv[1:] if arguments is None else arguments
    guard(name, presets, work, f"{description}{FILES}", words)


def script(
    name: str,
    form: type,
    work: Callable[[Any], None],
    description: str,
    arguments: Sequence[str] | None = None,
) -> NoReturn:
    """Runs a program that has neither presets nor a run's directory, and exits.

    Args:
      name: see `main`, as are `description` and `arguments`.
      form: the dataclass of its command line.
      work: what it does.
      description: for `--help`.
      arguments: by default those of the process.
    """
    words = sys.argv[1:] if arguments is None else arguments
    program = f"python -m experiments.{name}"
    ends(program, lambda: work(read(form, words, program, description)), "")


def guard(
    name: str,
    presets: Mapping[str, Any],
    work: Callable[[str, Any, Options], None],
    description: str,
    arguments: Sequence[str],
) -> None:
    """Parses, works, and exits with a status and, where it is not 0, a sentence.

    Args:
      name: see `main`, as are `presets`, `description` and `arguments`.
      presets: configurations by name.
      work: `(preset, config, options) -> None`.
      description: for `--help`.
      arguments: words after the program's name.
    """
    program = f"python -m experiments.{name}"
    again = [word for word in arguments if word != "--restart"]
    told = lambda: work(*parse(presets, arguments, program, description))
    ends(program, told, f"python -m experiments.{shlex.join([name, *again])}")


def ends(program: str, work: Callable[[], None], again: str) -> NoReturn:
    """Works, and exits with a status and, where it is not 0, a sentence.

    Args:
      program: how the program is called.
      work: what it does.
      again: the command that goes on where it was interrupted; empty if there is none.
    """

    def terminate(*_):
        raise Terminated

    signal.signal(signal.SIGTERM, terminate)
    kept = f"; all rounds done are kept. Go on with:\n  {again}" if again else ""
    status = 0
    try:
        work()
    except InputError as error:
        status = _end(2, f"{program}: {error}")
    except Failure as error:
        status = _end(1, f"{program}: {error}")
    except OSError as error:
        where = error.filename or "while reading or writing"
        status = _end(1, f"{program}: {where}: {error.strerror or error}")
    except KeyboardInterrupt:
        status = _end(130, f"interrupted{kept}")
    except Terminated:
        status = _end(143, f"terminated{kept}")
    raise SystemExit(status)


def _end(status: int, sentence: str) -> int:
    """Says why the program ends."""
    sys.stdout.flush()
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201
    return status


def in_range(config: Any, **limits: tuple[int | float, int | float]) -> None:
    """Checks numbers of a configuration, for its `__post_init__`.

    Args:
      config: a dataclass.
      limits: least and greatest value by field; of a tuple every element is checked.

    Raises:
      InputError: a number is outside, or not a number, or a tuple is empty or repeats one.
    """
    for field, (low, high) in limits.items():
        flag, numbers = _elements(config, field, f"number from {low} to {high}")
        for number in numbers:
            if not low <= number <= high:
                raise InputError(f"{flag} is {number}; expected a number from {low} to {high}")


def known(config: Any, **tables: Mapping[str, Any]) -> None:
    """Checks names in a configuration, for its `__post_init__`.

    Args:
      config: a dataclass.
      tables: what may be named, by field; of a tuple every element is checked.

    Raises:
      InputError: a name is not in its table, or a tuple is empty or repeats one.
    """
    for field, table in tables.items():
        flag, names = _elements(config, field, f"of {', '.join(table)}")
        for name in names:
            lookup(table, name, f"value of {flag}")


def _elements(config: Any, field: str, expected: str) -> tuple[str, tuple]:
    """The option of a field, and its values, of which there are some and none twice."""
    value = getattr(config, field)
    values = value if isinstance(value, tuple) else (value,)
    flag = "--" + field.replace("_", "-")
    if not values:
        raise InputError(f"{flag} expects at least one {expected}")
    for one in values:
        if values.count(one) > 1:
            raise InputError(f"{flag} names {one} twice")
    return flag, values

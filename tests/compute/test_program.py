"""A command line: what it accepts, how it refuses, and with what status it ends."""

import dataclasses
import errno
import io
import json
import os
import pathlib
import shlex
import signal
import sys

import jax
import jax.numpy as jnp
import pytest

from trinity_jax.compute import program
from trinity_jax.compute.run import Failure
from trinity_jax.types import InputError, choose

METHODS = {"vote": 1, "dawid_skene": 2}


@dataclasses.dataclass(frozen=True)
class Config:
    """What the experiment varies."""

    rounds: int = 3  # how often it is measured
    rate: float = 0.5
    sizes: tuple[int, ...] = (1, 2)
    methods: tuple[str, ...] = ("vote",)
    data: str = "made"
    mirror: bool = False

    def __post_init__(self):
        program.in_range(self, rounds=(1, 100), rate=(1e-6, 10), sizes=(1, 9))
        program.known(self, methods=METHODS)


PRESETS = {"smoke": Config(rounds=1), "laptop": Config(), "paper": Config(rounds=50, rate=1.0)}


def parse(*arguments):
    return program.parse(PRESETS, arguments, "python -m tiny", "Counts to three.")


def test_no_word_is_the_laptop():
    assert parse() == ("laptop", Config(), program.Options())


@pytest.mark.parametrize("preset", PRESETS)
def test_the_first_word_is_a_preset(preset):
    assert parse(preset) == (preset, PRESETS[preset], program.Options())


def test_every_field_is_an_option():
    preset, config, options = parse(
        *("paper", "--rate", "0.25", "--sizes", "3", "4", "5", "--methods", "dawid_skene", "vote"),
        *("--data", "csv:a b", "--mirror", "--out", "there", "--restart", "--debug-nans"),
    )
    assert preset == "paper"
    assert config == Config(50, 0.25, (3, 4, 5), ("dawid_skene", "vote"), "csv:a b", True)
    assert options == program.Options(out="there", restart=True, debug_nans=True)


BAD = {
    "pape": "^unknown preset 'pape': expected one of smoke, laptop, paper, then --options$",
    "smoke laptop": "laptop",
    "--sedes 3": "--sedes",
    "-x": "-x",
    "--rounds": "--rounds",
    "--rounds x": "--rounds.*'x'",
    "--rounds 1.5": "--rounds.*'1.5'",
    "--rounds 1 2": "2",
    "--rounds 0": "^--rounds is 0; expected a number from 1 to 100",
    "--rounds -3": "^--rounds is -3; ",
    "--rounds 101": "^--rounds is 101; ",
    "--rate nan": "^--rate is nan; expected a number from 1e-06 to 10",
    "--rate inf": "^--rate is inf; ",
    "--rate -inf": "^--rate is -inf; ",
    "--rate 0": "^--rate is 0.0; ",
    "--rate 0.5x": "--rate.*'0.5x'",
    "--sizes": "^--sizes expects at least one number from 1 to 9",
    "--sizes 1 10 2": "^--sizes is 10; ",
    "--sizes 1 x": "--sizes.*'x'",
    "--sizes 2 2": "^--sizes names 2 twice",
    "--methods": "^--methods expects at least one of vote, dawid_skene",
    "--methods vote dawid_sken": "value of --methods 'dawid_sken': did you mean 'dawid_skene'",
    "--methods vote vote": "^--methods names vote twice",
    "--mirror maybe": "maybe",
    "--out": "--out",
}


class Screen(io.StringIO):
    """A terminal, or a file in some encoding."""

    def __init__(self, encoding, terminal):
        super().__init__()
        self._encoding, self._terminal = encoding, terminal

    encoding = property(lambda self: self._encoding)

    def isatty(self):
        return self._terminal


@pytest.mark.parametrize("line", BAD)
@pytest.mark.parametrize(
    ("encoding", "terminal"), [("utf-8", True), ("utf-8", False), ("ascii", False)]
)
def test_bad_arguments_are_one_sentence_wherever_it_is_read(line, encoding, terminal, monkeypatch):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setattr(sys, "stdout", Screen(encoding, terminal))
    with pytest.raises(InputError, match=BAD[line]) as refused:
        parse(*line.split())
    sentence = str(refused.value)
    assert sentence.isprintable()
    assert "  " not in sentence
    assert not set("│─") & set(sentence)
    assert sys.stdout.getvalue() == ""


def test_choosing_names():
    assert choose(METHODS, ("vote",), "method") == ["vote"]
    assert choose(METHODS, (), "method") == ["vote", "dawid_skene"]
    with pytest.raises(InputError, match="method 'vot': did you mean 'vote'"):
        choose(METHODS, ("vot",), "method")
    with pytest.raises(InputError, match="method vote is named twice"):
        choose(METHODS, ("vote", "vote"), "method")


def asked_for_help(capsys, *words, description="Counts to three."):
    with pytest.raises(SystemExit) as stop:
        program.parse(PRESETS, words, "python -m tiny", description)
    assert stop.value.code == 0
    return capsys.readouterr().out


def test_help_teaches(capsys):
    said = " ".join(asked_for_help(capsys, "paper", "--help").split())
    for words in (
        *("python -m tiny [smoke|laptop|paper]", "Counts to three.", "how often it is measured"),
        *("--rounds", "50", "--sizes", "--out", "--restart", "--debug-nans"),
        *("experiment options", "run options"),
    ):
        assert words in said


SHOWN = """It counts to three, which a description may say in so many words that it takes two
lines or more. 7 is a number.

    python -m tiny smoke     in a second, and as it is written, however narrow the terminal is
    python -m tiny           in three"""


@pytest.mark.parametrize("width", [100, 60])
def test_a_description_is_shown_as_it_is_written_if_it_fits(width, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    said = asked_for_help(capsys, "--help", description=f"\n{SHOWN}\n")
    paragraph, commands = SHOWN.split("\n\n")
    assert (SHOWN in said) == (width == 100)
    assert commands in said
    assert paragraph.replace("\n", " ") in " ".join(said.split())
    lines = [line for line in said.splitlines() if line not in commands]
    assert max(map(len, lines)) <= width


def test_many_presets_are_a_line_of_their_own(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    many = PRESETS | {f"paper_{number}": Config() for number in range(7)}
    with pytest.raises(SystemExit):
        program.parse(many, ["-h"], "python -m experiments.tiny", "Counts.")
    lines = capsys.readouterr().out.splitlines()
    assert "usage: python -m experiments.tiny" in [line.strip() for line in lines]
    assert max(map(len, lines)) <= 100


def count(config, run):
    """A tiny experiment."""
    start, state = run.resume(lambda: jnp.float32(0))
    for t in run.rounds(start, config.rounds):
        state = state + config.rate
        run.commit(t, state, [{"total": float(state)}])
    run.finish({"total": float(state)})


@pytest.fixture
def main(tmp_path, monkeypatch, capsys):
    """Runs an experiment by its command line: `main(experiment, *words) -> (status, out, err)`."""
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir)
    settings = ("jax_debug_nans", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in settings}
    handler = signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(tmp_path)

    def call(experiment, *words):
        with pytest.raises(SystemExit) as stop:
            program.main("tiny", PRESETS, experiment, "Counts to three.", words)
        return stop.value.code, *capsys.readouterr()

    yield call
    signal.signal(signal.SIGTERM, handler)
    for name, value in before.items():
        jax.config.update(name, value)


def test_a_run_that_ends_well(main):
    status, out, err = main(count)
    assert (status, err) == (0, "")
    summary = json.loads(pathlib.Path("runs/tiny/summary.json").read_text())
    assert summary["headline"] == {"total": 1.5}
    assert out.splitlines()[-1].startswith("done in ")


def test_each_preset_has_a_directory_of_its_own(main):
    for preset, place in {"laptop": "tiny", "smoke": "tiny_smoke", "paper": "tiny_paper"}.items():
        assert main(count, preset)[0] == 0
        summary = json.loads(pathlib.Path("runs", place, "summary.json").read_text())
        assert summary["preset"] == preset


def test_the_same_command_only_draws_a_finished_run_again(main):
    main(count, "smoke", "--out", "here")
    status, out, _ = main(count, "smoke", "--out", "here")
    assert status == 0
    assert "1 rounds are done" in out
    assert "round 1/1" not in out


def test_another_configuration_needs_another_place_or_restart(main):
    main(count)
    status, _, err = main(count, "--rate", "0.25")
    assert status == 2
    assert "(rate is 0.25 but was 0.5)" in err
    assert main(count, "--rate", "0.25", "--restart")[0] == 0
    assert main(count, "--rate", "0.5", "--out", "there")[0] == 0


def raises(error):
    def experiment(config, run):
        run.resume(lambda: jnp.float32(0))
        raise error

    return experiment


@pytest.mark.parametrize(
    ("error", "status", "sentence"),
    [
        (InputError("no such file"), 2, "no such file"),
        (Failure("loss became nan"), 1, "loss became nan"),
        (OSError(errno.ENOSPC, "No space left", "/disk"), 1, "/disk: No space left"),
        (OSError(errno.ENOSPC, "No space left"), 1, "while reading or writing: No space left"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_errors_end_with_a_status_and_a_sentence(main, error, status, sentence):
    found, _, err = main(raises(error))
    assert found == status
    assert err == f"python -m experiments.tiny: {sentence}\n"


def test_bad_arguments_are_status_2_and_leave_nothing(main):
    status, out, err = main(count, "--rounds", "0", "--out", "here")
    assert (status, out) == (2, "")
    assert err.startswith("python -m experiments.tiny: --rounds is 0; expected")
    assert err.count("\n") == 1
    assert not pathlib.Path("here").exists()


def test_a_bug_is_not_hidden(main):
    with pytest.raises(ZeroDivisionError):
        main(raises(ZeroDivisionError()))


def test_help_is_status_0(main):
    status, out, err = main(count, "--help")
    assert (status, err) == (0, "")
    assert "--rounds" in out


@dataclasses.dataclass(frozen=True)
class Form:
    """Of a program without presets."""

    count: int = 3  # how far to count


@pytest.fixture
def script(capsys):
    """`script(work, *words) -> (status, out, err)`."""
    handler = signal.getsignal(signal.SIGTERM)

    def call(work, *words):
        with pytest.raises(SystemExit) as stop:
            program.script("tiny", Form, work, "Counts to three.", words)
        return stop.value.code, *capsys.readouterr()

    yield call
    signal.signal(signal.SIGTERM, handler)


def test_a_script_has_options_and_no_presets(script):
    seen = []
    assert script(seen.append, "--count", "4") == (0, "", "")
    assert seen == [Form(4)]
    status, out, _ = script(seen.append, "--help")
    assert (status, len(seen)) == (0, 1)
    for words in ("Counts to three.", "usage: python -m experiments.tiny", "how far to count"):
        assert words in out
    status, out, err = script(seen.append, "smoke")
    assert (status, out, err.count("\n")) == (2, "", 1)


def test_a_script_that_is_interrupted_has_nothing_to_go_on_with(script):
    interrupted = lambda form: ctrl_c()
    assert script(interrupted) == (130, "", "interrupted\n")


def ctrl_c():
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("interrupt", "status", "word"),
    [
        (ctrl_c, 130, "interrupted"),
        (lambda: os.kill(os.getpid(), signal.SIGTERM), 143, "terminated"),
    ],
    ids=["Ctrl-C", "SIGTERM"],
)
def test_an_interrupted_run_says_how_to_go_on(main, interrupt, status, word):
    def interrupted(config, run):
        commit = run.commit

        def then_stop(t, state, rows):
            commit(t, state, rows)
            if t == 1:
                interrupt()

        run.commit = then_stop
        count(config, run)

    words = ["--out", "a place", "--restart", "--rate", "0.25"]
    found, _, err = main(interrupted, *words)
    assert found == status
    first, command = err.splitlines()
    assert first.startswith(f"{word}; ")
    assert shlex.split(command)[:3] == ["python", "-m", "experiments.tiny"]
    rest = shlex.split(command)[3:]
    assert rest == [word for word in words if word != "--restart"]
    status, out, _ = main(count, *rest)
    assert status == 0
    assert "2 rounds are done" in out
    records = pathlib.Path("a place/records.jsonl").read_text().splitlines()
    assert [json.loads(line)["total"] for line in records] == [0.25, 0.5, 0.75]


def test_debug_nans_is_passed_on_and_not_kept(main):
    seen = []
    look = lambda config, run: seen.append(jax.config.jax_debug_nans)
    main(look, "--debug-nans", "--out", "a")
    main(look, "--out", "b")
    assert seen == [True, False]


@pytest.fixture
def no_cache(monkeypatch):
    """JAX as it is before a program chooses where compiled programs are kept."""
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    yield
    for name, value in before.items():
        jax.config.update(name, value)


def test_compiled_programs_are_kept_in_a_folder_of_the_user_alone(no_cache, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    program.keep_compiled()
    folder = pathlib.Path(jax.config.jax_compilation_cache_dir)
    assert folder == tmp_path / "trinity_jax/compiled"
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_place_of_the_user_s_choice_is_kept(no_cache, tmp_path, monkeypatch):
    before = jax.config.jax_compilation_cache_dir
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))  # which JAX reads by itself
    program.keep_compiled()
    assert jax.config.jax_compilation_cache_dir == before


def test_where_nothing_can_be_kept_nothing_is(no_cache, tmp_path, monkeypatch):
    before = jax.config.jax_compilation_cache_dir
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    program.keep_compiled()
    assert jax.config.jax_compilation_cache_dir == before

"""`--help` of every program, as a newcomer reads it."""

import importlib
import os
import pathlib
import re
import runpy
import signal
import sys

import pytest

import experiments
from trinity_jax.aggregate import command
from trinity_jax.compute import mesh, program

FOLDER = pathlib.Path(experiments.__file__).parent
WITH_RUNS = (
    *("ner_active_learning", "partial_feedback", "crowdsourcing"),
    *("neural_rendering", "generative_augmentation"),
)
SCRIPTS = sorted(
    ".".join(path.relative_to(FOLDER).with_suffix("").parts)
    for path in FOLDER.rglob("*.py")
    if '__name__ == "__main__"' in path.read_text() and path.stem not in WITH_RUNS
)
TIME = r"\b(seconds?|s|minutes?|hours?|days?|weeks?|months?|years?)\b"
WIDTH = 100


@pytest.fixture
def said(monkeypatch, capsys):
    """`said(name) -> text` of `python -m experiments.NAME --help`, in this process."""
    monkeypatch.setenv("COLUMNS", str(WIDTH))
    monkeypatch.setattr(os, "environ", os.environ.copy())
    for of, name in ((mesh, "use_cores"), (program, "keep_compiled")):
        monkeypatch.setattr(of, name, None)  # nothing is set up before words are understood
    handler = signal.getsignal(signal.SIGTERM)

    def run(name):
        monkeypatch.setattr(sys, "argv", [name, "--help"])
        path = FOLDER / f"{name.replace('.', '/')}.py"
        main = lambda: runpy.run_path(str(path), run_name="__main__")
        with pytest.raises(SystemExit) as stop:
            command.main() if name == "aggregate" else main()
        assert stop.value.code == 0
        return capsys.readouterr().out

    yield run
    signal.signal(signal.SIGTERM, handler)


def options(text):
    """What is said of each option, without its default: {"--seeds": "..."}."""
    found, name = {}, None
    for line in text.partition("usage: ")[2].splitlines():
        line = re.sub("^│ |│$", "  ", line).rstrip()  # boxes are drawn where they can be
        if re.match("  -[-a-zA-Z]*[a-z]", line):
            name, *rest = re.split(r"\s{2,}", line.strip(), maxsplit=1)
            name = name.split()[0].rstrip(",")
            found[name] = " ".join(rest)
        elif line.startswith("    ") and name:
            found[name] += " " + line.strip()
        else:
            name = None
    return {name: re.sub(r"\(default: .*?\)", "", of).strip() for name, of in found.items()}


@pytest.mark.parametrize("wall", ["│", " "])
def test_what_is_said_of_options_is_found(wall):
    text = """usage: python -m tiny [-h] [OPTIONS]

| --seeds INT       how many (default: 3)   |
| --rate FLOAT      (default: 2.0)          |
| --sizes [INT [INT ...]]                   |
|                   of the network (default:|
|                   1 2)                    |
"""
    found = options(text.replace("|", wall))
    assert found == {"--seeds": "how many", "--rate": "", "--sizes": "of the network"}


@pytest.mark.parametrize("name", [*WITH_RUNS, *SCRIPTS, "aggregate"])
def test_every_option_is_explained_and_nothing_is_too_wide(said, name):
    text = said(name)
    assert max(map(len, text.splitlines())) <= WIDTH
    found = options(text)
    assert len(found) > 1
    assert {option for option, of in found.items() if len(of.split()) < 2} - {"--labels"} == set()
    assert "usage: " in text
    assert "options options" not in text


@pytest.mark.parametrize("name", WITH_RUNS)
def test_an_experiment_says_what_each_preset_costs_and_what_comes_out(said, name):
    text = said(name)
    module = importlib.import_module(f"experiments.{name}")
    for preset in module.PRESETS:
        lines = [line for line in text.splitlines() if re.search(rf"\b{preset}\b", line)]
        assert any(re.search(TIME, line) for line in lines), preset
    for file in ("config.json", "records.jsonl", "summary.json", "figure.png", "checkpoints/"):
        assert file in text
    fields = {"--" + field.replace("_", "-") for field in module.PRESETS["laptop"].__dict__}
    assert fields <= options(text).keys()


@pytest.mark.parametrize("name", SCRIPTS)
def test_a_script_says_how_long_it_takes(said, name):
    assert re.search(TIME, said(name))

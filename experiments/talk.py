"""Every experiment of the talk, one after the other, and one report of them all.

    python -m experiments.talk          what a laptop can show, in minutes
    python -m experiments.talk smoke    the same path, in two minutes
    python -m experiments.talk paper    the papers' scale, for accelerators
    python -m experiments.talk --also crowdsourcing=labelme:DIR ner_active_learning=iob2:DIR

report.html in the run's directory has the figures, the numbers, the commands that make them, and
what was and was not shown again. Experiments that are finished are not run again.
"""

import base64
import dataclasses
import html
import json
import pathlib
import shlex
import subprocess
import sys

from experiments import (
    crowdsourcing_report,
    generative_report,
    ner_report,
    partial_report,
    rendering_report,
)
from trinity_jax.compute import program
from trinity_jax.compute.run import Failure
from trinity_jax.types import InputError, choose, lookup

# What each experiment is called on the slides, and the module that turns its summary into claims.
EXPERIMENTS = {
    "ner_active_learning": ("Data, collection: a quarter of the words is enough", ner_report),
    "partial_feedback": ("Data, collection: a third of the questions is enough", partial_report),
    "crowdsourcing": ("Data, aggregation: labelling once is optimal", crowdsourcing_report),
    "neural_rendering": ("Data, augmentation: predicting and rendering", rendering_report),
    "generative_augmentation": ("Data, augmentation: adversaries or one model", generative_report),
}
VERDICTS = {True: "shown again", False: "not shown", None: "undecided"}
STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }
img { width: 100% } td, th { padding: .2rem .8rem; text-align: left; vertical-align: top }
table { border-collapse: collapse } tr { border-bottom: 1px solid #ddd } pre { overflow-x: auto }
.shown { color: #070 } .not { color: #a00 } .undecided { color: #860 }
"""


@dataclasses.dataclass(frozen=True)
class Config:
    """What to run; every experiment has a command of its own with more to vary."""

    experiments: tuple[str, ...] = ()  # which (default: all)
    also: tuple[str, ...] = ()  # further data for an experiment, as EXPERIMENT=SOURCE

    def __post_init__(self):
        choose(EXPERIMENTS, self.experiments, "experiment")
        for more in self.also:
            if "=" not in more:
                raise InputError(f"--also expects EXPERIMENT=SOURCE, found {more}")
            lookup(EXPERIMENTS, more.split("=")[0], "experiment of --also")


def work(preset: str, config: Config, options: program.Options) -> None:
    """Runs each experiment in a process of its own, then writes the report."""
    directory = pathlib.Path(options.out or "runs/talk").resolve()
    sections = []
    asked = [(name, "") for name in choose(EXPERIMENTS, config.experiments, "experiment")]
    asked += [(name, source) for name, _, source in (more.partition("=") for more in config.also)]
    for number, (name, source) in enumerate(asked):
        out = directory / (f"{name}_{number}" if source else name)
        data = ["--data", source] * bool(source)
        words = [f"experiments.{name}", preset, *data, "--out", str(out)]
        flags = [flag for flag in ("restart", "debug_nans") if getattr(options, flag)]
        flags = ["--" + flag.replace("_", "-") for flag in flags]
        print(f"== {name} {source}", flush=True)
        status = subprocess.run([sys.executable, "-m", *words, *flags], check=False).returncode
        if status:
            raise Failure(f"{name} ended with status {status}; nothing it did is lost")
        sections.append(section(name, out, f"python -m {shlex.join(words[:-2])}"))
    report = directory / "report.html"
    report.write_text(
        f"<!doctype html><meta charset=utf-8><title>trinity_jax</title><style>{STYLE}</style>"
        "<h1>Trinity of AI: data, algorithms, compute</h1>" + "\n".join(sections)
    )
    print(f"report: {report}")


def section(name: str, directory: pathlib.Path, command: str) -> str:
    """One experiment's part of the report."""
    title, module = EXPERIMENTS[name]
    summary = json.loads((directory / "summary.json").read_text())
    rows = "".join(
        f'<tr><td>{html.escape(claim)}<td class="{VERDICTS[verdict].split()[0]}">'
        f"{VERDICTS[verdict]}<td>{html.escape(numbers)}"
        for claim, verdict, numbers in module.claims(summary)
    )
    picture = base64.b64encode((directory / "figure.svg").read_bytes()).decode()
    sheets = "".join(
        f'<img alt="{path.stem} of {name}" src="data:image/png;base64,'
        f'{base64.b64encode(path.read_bytes()).decode()}">'
        for path in (directory / "renderings.png", directory / "samples.png")
        if path.exists()
    )
    facts = {
        "command": command,
        "data": summary["data"],
        **({"note": summary["note"]} if summary.get("note") else {}),
        "wall time, seconds": summary["seconds"],
        "devices": summary["devices"],
        "versions": summary["versions"],
        "configuration": summary["config"],
    }
    told = "".join(
        f"<tr><th>{name}<td>{html.escape(value if isinstance(value, str) else json.dumps(value))}"
        for name, value in facts.items()
    )
    numbers = html.escape(json.dumps(summary["headline"], indent=1))
    return (
        f"<h2>{html.escape(title)}</h2><table><tr><th>claim<th>here<th>measured (95 % interval)"
        f'{rows}</table><img alt="figure of {name}" src="data:image/svg+xml;base64,{picture}">'
        f"{sheets}<table>{told}</table>"
        f"<details><summary>all numbers</summary><pre>{numbers}</pre></details>"
    )


if __name__ == "__main__":
    presets = {"smoke": Config(), "laptop": Config(), "paper": Config()}
    program.guard("talk", presets, work, __doc__, sys.argv[1:])

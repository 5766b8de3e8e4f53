"""Several runs of one experiment beside each other: their curves, and is the difference real?

    python -m experiments.compare runs/a runs/b                    seconds, whatever the runs took
    python -m experiments.compare runs/a runs/b --metric loss      another measurement
    python -m experiments.compare runs/a runs/b --by labelled      a line a number of labels

A run is the directory that an experiment wrote, finished or not. A line is one arm of one run: the
mean over seeds with its 95 % interval. It is compared with the same arm of the first run (with that
run's baseline, if it has no such arm) over what all lines of the panel have measured: curves by
their mean height, trainings by where they end. Differences are of seeds that both have, with
Student's p value, and that p after Holm's correction for all that are printed.
--out has figure.png and figure.svg to look at, and compare.json with every number.
"""

import dataclasses
import json
import os
import pathlib
from typing import Annotated

import tyro

from experiments import compare_figure
from experiments.curves import form, tell
from experiments.lines import Lines, weigh
from experiments.recorded import Kind, Recorded, curves_of, kind_of, read
from trinity_jax.compute import program
from trinity_jax.types import InputError, choose, lookup

RUNS = tyro.conf.arg(metavar="RUN RUN [RUN ...]")


@dataclasses.dataclass(frozen=True)
class Config:
    """What to compare, and where the result goes."""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, RUNS] = ()
    """Directories of two or more runs."""
    out: str = "runs/compare"  # directory of figure.png, figure.svg and compare.json
    metric: str = ""  # a number of the records; empty: F1, accuracy or error on the test part
    by: str = ""  # field of the records that tells lines apart; empty: strategy, method or arm
    only: tuple[str, ...] = ()  # values of that field to show; none named: all there are


def read_all(directories: tuple[str, ...]) -> tuple[list[Recorded], Kind]:
    """Runs under different names, and what their records mean.

    Raises:
      InputError: they are not two or more runs of one experiment, each named once.
    """
    if len({pathlib.Path(path).resolve() for path in directories}) < max(2, len(directories)):
        raise InputError("expected the directories of two or more runs, each once; see --help")
    runs = [read(path) for path in directories]
    kinds = [kind_of(run) for run in runs]
    for path, run, kind in zip(directories, runs, kinds, strict=True):
        if kind is not kinds[0]:
            of = " of another kind of data" * (run.experiment == runs[0].experiment)
            raise InputError(
                f"{path} holds a run of {run.experiment}{of}; expected one of "
                f"{runs[0].experiment}, as {directories[0]} is"
            )
    if len({run.name for run in runs}) < len(runs):
        paths = [os.path.abspath(path) for path in directories]
        above = os.path.commonpath(paths)
        names = [os.path.relpath(path, above) for path in paths]
        runs = [run._replace(name=name) for run, name in zip(runs, names, strict=True)]
    return runs, kinds[0]


def panels_of(runs: list[Recorded], kind: Kind, metric: str, only) -> dict[str, Lines]:
    """The lines of each panel, those of the first run first."""
    found = {run.name: curves_of(run, kind, metric) for run in runs}
    arms = [arm for panels in found.values() for of_panel in panels.values() for arm in of_panel]
    wanted = choose(dict.fromkeys(arms), only, kind.arm)
    said = lambda field, value: value if isinstance(value, str) else f"{field} {value}"
    made: dict[str, Lines] = {}
    for name, panels in found.items():
        for values, of_panel in panels.items():
            title = ", ".join(map(said, kind.settings, values)).replace("_", " ")
            lines = {(name, arm): of_panel[arm] for arm in wanted if arm in of_panel}
            made.setdefault(title, {}).update(lines)
    return {title: lines for title, lines in made.items() if lines}


def show(runs: list[Recorded], kind: Kind, metric: str, weighed: dict) -> dict:
    """Prints what differs and what was found; returns the fields that differ."""
    fields = sorted({field for run in runs for field in run.config})
    values = {f: {run.name: json.dumps(run.config.get(f)) for run in runs} for f in fields}
    differ = {field: of for field, of in values.items() if len({*of.values()}) > 1}
    state = lambda run: "finished" if run.finished else f"{run.rows[-1]['round'] + 1} rounds so far"
    print(f"{runs[0].experiment}: {metric} against {kind.axis}\n")
    rows = [["run", *(run.name for run in runs)], ["state", *map(state, runs)]]
    tell(rows + [[field, *of.values()] for field, of in differ.items()])
    if not differ:
        print("the runs have the same configuration")
    for title, found in weighed.items():
        print(f"\n{title or 'all'}: ", end="")
        if found["over"] is None:
            print(f"the curves have no {kind.axis} in common, so nothing is compared")
            continue
        low, high = found["over"]
        whole = kind.whole and low < high
        what = f"mean from {low:,.5g} to {high:,.5g}" if whole else f"at {high:,.5g}"
        print(f"{metric}, {what} ({kind.axis})")
        table = [
            ["run", kind.arm, "mean and 95 % interval", "less", "difference", "p", "after Holm"]
        ]
        for row in found["lines"]:
            cells = ["", "", "", ""]
            if "less" in row:
                p = ["-" if row[name] is None else f"{row[name]:.2g}" for name in ("p", "p_holm")]
                difference = form(row["difference"]) if row["difference"] else "no seeds shared"
                cells = [" ".join(row["less"]), difference, *p]
            table.append([row["run"], row["arm"], form(row["height"]), *cells])
        tell(table)
    return differ


def work(config: Config) -> None:
    """Compares, prints, draws and writes."""
    runs, kind = read_all(config.runs)
    fields = (kind.arm, *kind.settings)
    if (by := config.by or kind.arm) != kind.arm:
        lookup(dict.fromkeys(fields), by, "field of --by")
        settings = tuple(field for field in fields if field != by)
        kind = kind._replace(arm=by, settings=settings, baseline="")
    metric = config.metric or kind.metric
    panels = panels_of(runs, kind, metric, config.only)
    found = weigh(panels, kind, runs[0].name)
    differ = show(runs, kind, metric, found)
    directory = pathlib.Path(config.out)
    directory.mkdir(parents=True, exist_ok=True)
    compare_figure.draw(panels, kind, metric, directory)
    told = {"experiment": runs[0].experiment, "metric": metric, "by": by, "axis": kind.axis}
    told["runs"] = {
        run.name: {"directory": path, "finished": run.finished, "config": run.config}
        for path, run in zip(config.runs, runs, strict=True)
    }
    told |= {"differ": differ, "panels": found}
    (directory / "compare.json").write_text(json.dumps(told, indent=1) + "\n")
    print(f"\n{directory / 'compare.json'} has every number, figure.png beside it the curves")


if __name__ == "__main__":
    program.script("compare", Config, work, str(__doc__))

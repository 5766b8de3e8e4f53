"""One label an item, of labels by many workers or models; and how far to trust it.

    trinity-aggregate annotations.csv
    trinity-aggregate annotations.csv --gold gold.csv --method dawid-skene --out DIR
    trinity-aggregate monday.parquet tuesday.csv --columns task annotator answer
    trinity-aggregate today.csv --previous DIR      yesterday's labels and workers, and today's file
    trinity-aggregate annotations.csv --method all  where methods disagree

A file has a row for each label: item, worker, label, of any names. DIR/report.html is to be looked
at; labels.csv has a line an item, workers.csv a line a worker, confusions.json who takes what for
what, summary.json all settings and numbers.
"""

import dataclasses
import hashlib
import os
import pathlib
import shlex
import sys
from collections.abc import Sequence
from typing import Annotated, Any

import jax.numpy as jnp
import numpy as np
import tyro

from trinity_jax.aggregate import checks, files, fitting, start
from trinity_jax.aggregate.report import page
from trinity_jax.aggregate.results import Answer, choose_label
from trinity_jax.compute import mesh, program
from trinity_jax.compute.run import OURS, Run
from trinity_jax.data import sources
from trinity_jax.data.aggregation import aggregators
from trinity_jax.data.aggregation.annotations import Dims
from trinity_jax.data.sources import Crowd
from trinity_jax.types import InputError, lookup

METHODS = {name.replace("_", "-"): name for name in aggregators.AGGREGATORS}
ALIASES = {alias: of.replace("_", "-") for alias, of in aggregators.ALIASES.items()}
FILES = tyro.conf.arg(metavar="FILE [FILE ...]")
SHORT = 20_000_000  # annotations that methods other than Dawid-Skene take at most


@dataclasses.dataclass(frozen=True)
class Config:
    """What is asked."""

    annotations: Annotated[tuple[str, ...], tyro.conf.Positional, FILES]
    """Files with a row for each label: CSV, or Parquet (.parquet)."""
    method: str = "dawid-skene-map"
    """How labels are put together, or all: majority, dawid-skene (maximum likelihood),
    dawid-skene-map (with pseudo-counts), one-coin, glad, mace, ibcc, ..."""
    gold: str = ""
    """A file with a row for each item whose label is known."""
    gold_weight: float | None = None
    """How much such an item counts among the others (default: items by items of known label;
    1: no more than any)."""
    columns: tuple[str, str, str] = ("item", "worker", "label")
    """What the columns of items, workers and labels are called."""
    gold_columns: tuple[str, str] = ("item", "label")
    """What those of the gold file are called."""
    previous: str = ""
    """Directory of an earlier run, whose labels are added, and where this one begins."""
    rounds: int | None = None
    """Rounds of dawid-skene and dawid-skene-map, at most (default: 500)."""
    tolerance: float | None = None
    """A round of these that gains less, in nats an annotation, is the last (default: 1e-5)."""
    resamples: int = 100
    """Draws of workers, of items, to see how the answers depend on them (0: none)."""
    seed: int = 0
    """Of methods that start at random, and of draws."""

    def __post_init__(self):
        if not self.annotations:
            raise InputError("expected a file of labels, found none")
        if self.method != "all":
            lookup(METHODS, self.method, "method", ALIASES)
        program.in_range(self, resamples=(0, 10**5), seed=(0, 2**31 - 1))
        limits = {"rounds": (1, 10**6), "tolerance": (0, 1), "gold_weight": (1e-6, 1e9)}
        given = {option: of for option, of in limits.items() if getattr(self, option) is not None}
        program.in_range(self, **given)
        for option in ("rounds", "tolerance", "previous"):
            if self.method not in fitting.IN_BLOCKS and getattr(self, option) not in (None, ""):
                expected = f"--{option} expects --method {' or '.join(fitting.IN_BLOCKS)}"
                raise InputError(f"{expected}, found {self.method}")


@dataclasses.dataclass(frozen=True)
class Asked(Config):
    """What is asked of which bytes: a file that has changed is another run."""

    contents: tuple[str, ...] = ()


def asked(config: Config) -> Asked:
    """The same, with digests of the files that there are."""
    paths = [*config.annotations, config.gold]
    if config.previous:
        paths += [os.path.join(config.previous, name) for name in (start.TABLE, start.CONFUSIONS)]
    digests = []
    for path in map(pathlib.Path, filter(None, paths)):
        if path.expanduser().is_file():  # whoever reads it says what is wrong with others
            with open(path.expanduser(), "rb") as file:
                digests.append(hashlib.file_digest(file, "sha256").hexdigest()[:16])
    return Asked(**vars(config), contents=tuple(digests))


@dataclasses.dataclass(frozen=True)
class Command:
    """The command line."""

    config: tyro.conf.OmitArgPrefixes[Config]
    out: str = "aggregated"
    """Directory of what is written."""
    restart: bool = False
    """Delete what an earlier run left there, and begin anew."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command, and exits."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    name = "trinity-aggregate"

    def work():
        command = program.read(Command, words, name, str(__doc__))
        mesh.use_cores()
        program.keep_compiled()
        config = asked(command.config)
        out = _out(command)
        with Run(out, "aggregate", "", config, restart=command.restart) as run:
            aggregate(config, run, f"{name} {shlex.join(words)}")

    program.ends(name, work, f"{name} {shlex.join(words)}")


def _out(command: Command) -> pathlib.Path:
    """The directory to write to, which has no file that is read and would be overwritten."""
    if not command.out:
        raise InputError("--out expects a directory, found ''")
    out = pathlib.Path(os.path.realpath(command.out))
    config = command.config
    earlier = [os.path.join(config.previous, start.TABLE)] if config.previous else []
    for name in filter(None, [*config.annotations, config.gold, *earlier]):
        path = pathlib.Path(os.path.realpath(pathlib.Path(name).expanduser()))
        if path.parent == out and path.name in OURS:
            raise InputError(f"--out {command.out} would overwrite {name}; expected another place")
    return out


def aggregate(config: Config, run: Run, command: str = "") -> dict[str, Any]:
    """Reads, aggregates, judges and writes.

    Returns:
      What summary.json holds.
    """
    paths = list(config.annotations)
    earlier, begin = start.read(config.previous) if config.previous else ("", None)
    with run.phase("read", f"reading {', '.join(paths)}"):
        given = paths, config.columns, config.gold, config.gold_columns, earlier
        crowd, unseen = sources.annotations(*given)
    dims = fitting.sizes(crowd)
    _check_sizes(config, dims)
    gold = crowd.truth if config.gold else None
    if config.gold and not (crowd.truth >= 0).any():
        raise InputError(f"{config.gold}: expected items that are labelled, found none")
    run.say(
        f"{len(crowd.item)} labels of {dims.items} items by {dims.workers} workers, "
        f"{dims.labels} classes; {int((crowd.truth >= 0).sum())} items are gold"
    )
    names = _methods(config, crowd)
    fits = _fit(config, run, crowd, names, begin)
    fit = fits[names[0]]
    answer = _answer(crowd, config, names[0], fit)
    found = checks.examine(run, crowd, config, answer, gold)
    warnings = checks.warnings(crowd, config, answer, found, unseen)
    answer = answer._replace(warnings=warnings)
    with run.phase("write"):
        comparison = None
        if len(fits) > 1:
            comparison = {name: choose_label(of.posterior).label for name, of in fits.items()}
        headline = checks.headline(answer, found, comparison)
        stability, skill = found.draws[:2] if found.draws else (None, None)
        files.labels(run.directory / "labels.csv", answer, stability)
        files.workers(run.directory / "workers.csv", answer, found.trust, skill)
        if answer.confusion is not None:
            files.confusions(run.directory, answer, fit.prior)
        files.annotations(run.directory, crowd)
        settings = [("command", command), ("method", answer.method), ("rounds", str(fit.rounds))]
        text = page(answer, found.trust, found.dependence, comparison, settings)
        with files.whole(run.directory / "report.html") as part:
            part.write_text(text, encoding="utf-8")
    for sentence in warnings:
        run.say(f"warning: {sentence}")
    return run.finish(headline, picture="report.html", warnings=list(warnings))


def _methods(config: Config, crowd: Crowd) -> list[str]:
    """The methods to be run, the one that counts first."""
    if config.method != "all":
        return [config.method]
    first = ["dawid-skene-map", "dawid-skene"]
    others = [name for name in METHODS if name not in first]
    of_two = {name for name, of in METHODS.items() if aggregators.AGGREGATORS[of].binary}
    return [name for name in first + others if len(crowd.labels) == 2 or name not in of_two]


def _check_sizes(config: Config, dims: Dims) -> None:
    """Refuses confusions that would not fit, and names methods that have none."""
    asked = METHODS if config.method == "all" else [config.method]
    of = {name: aggregators.AGGREGATORS[method] for name, method in METHODS.items()}
    copies = max(of[name].confusions * of[name].runs for name in asked)
    if not fitting.confusions_fit(dims, copies):
        without = [name for name in of if not (of[name].confusions or of[name].binary)]
        raise InputError(
            f"--method {config.method}: expected confusions that fit into "
            f"{fitting.ROOM >> 30} GiB, found {dims.workers} workers with {dims.labels} x "
            f"{dims.labels} labels; these methods have none: {', '.join(without)}"
        )


def _fit(config: Config, run: Run, crowd: Crowd, names: list[str], begin) -> dict:
    """What each method found."""
    if names[0] in fitting.IN_BLOCKS and len(names) == 1:
        likelihood, weight = names[0] == "dawid-skene", checks.gold_weight(config, crowd)
        usual = aggregators.AGGREGATORS[METHODS[names[0]]]
        rounds = usual.max_steps if config.rounds is None else config.rounds
        tolerance = usual.tolerance if config.tolerance is None else config.tolerance
        how = rounds, tolerance, begin
        return {names[0]: fitting.by_blocks(run, crowd, likelihood, weight, *how)}
    if len(crowd.item) > SHORT:
        expected = f"--method {config.method} expects at most {SHORT} labels"
        raise InputError(f"{expected}, found {len(crowd.item)}: see --method dawid-skene")
    options: dict = {METHODS[name]: {} for name in names}
    if config.gold:
        for name, of in zip(names, options.values(), strict=True):
            if not aggregators.AGGREGATORS[METHODS[name]].no_gold or len(names) == 1:
                of |= {"gold": jnp.asarray(crowd.truth), "gold_weight": config.gold_weight}
    fits = fitting.by_name(run, crowd, list(options), config.seed, options)
    return dict(zip(names, fits.values(), strict=True))


def _answer(crowd: Crowd, config: Config, method: str, fit: fitting.Fit) -> Answer:
    """What the report shows."""
    share = None
    if fit.counts is not None:
        of_truth = fit.counts.sum(2, keepdims=True)
        even = np.full_like(fit.counts, 1 / len(crowd.labels))
        share = np.divide(fit.counts, of_truth, out=even, where=of_truth > 0)
    return Answer(
        method=method,
        source=", ".join(pathlib.Path(path).name for path in config.annotations),
        items=crowd.items,
        workers=crowd.workers,
        labels=crowd.labels,
        posterior=fit.posterior,
        redundancy=np.bincount(crowd.item, minlength=len(crowd.items)),
        given=np.bincount(crowd.worker, minlength=len(crowd.workers)),
        skill=fitting.skill(crowd, fit.posterior),
        confusion=share,
        rounds=fit.rounds,
        converged=fit.converged,
        alpha=checks.alpha(crowd),
        warnings=(),
    )

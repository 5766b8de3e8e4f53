"""Learning curves of any strategies and any program: who needs fewer labels, and is it so?

    python -m experiments.curves FILE.csv [MORE.csv ...] [--full SCORE ...]         seconds

Each file is one corpus: strategy,seed,words,score, a row a measurement, in any order. Seeds of one
name are compared in pairs. Words are counted to the reference's last score and to 95 and 99
percent of SCORE, one for each file: what training on all data gives. A saving is how many words the
reference took for each word of the strategy. In a curves.csv of partial_feedback words are
questions, and none asks at random: it takes --reference uniform. --out has figure.png and
figure.svg to look at, and summary.json with every number.
"""

import dataclasses
import json
import pathlib
from typing import Annotated

import jax
import numpy as np
import tyro

from experiments import figures
from trinity_jax.algorithms import comparisons, curves, statistics
from trinity_jax.compute import program
from trinity_jax.data import sources
from trinity_jax.types import InputError

FILES = tyro.conf.arg(metavar="FILE [FILE ...]")


@dataclasses.dataclass(frozen=True)
class Config:
    """What to compare, and where the result goes."""

    files: Annotated[tuple[str, ...], tyro.conf.Positional, FILES] = ()
    """CSV files of curves, one for each corpus."""
    out: str = "runs/curves"  # directory of figure.png, figure.svg and summary.json
    full: tuple[float, ...] = ()  # the score with all data, for each file; none: it is not known
    reference: str = "random"  # the strategy that the others are compared with

    def __post_init__(self):
        if self.full and len(self.full) != len(self.files):
            raise InputError(f"--full gives {len(self.full)} scores for {len(self.files)} files")
        if not np.isfinite(self.full).all():
            raise InputError("--full expects finite scores")


def work(config: Config) -> None:
    """Compares, prints and draws."""
    if not config.files or len(set(config.files)) < len(config.files):
        raise InputError("expected CSV files of curves first, each once; see --help")
    full = config.full or (None,) * len(config.files)
    tables, corpora = {}, {}
    for path, score in zip(config.files, full, strict=True):
        tables[path], repeats = sources.curves(path)
        try:
            corpora[path] = comparisons.summarise(tables[path], config.reference, score)
        except InputError as error:
            raise InputError(f"{path}: {error}") from error
        print(f"\n{path}: {repeats} repeated points dropped")
        tell_corpus(corpora[path])
    areas = [{s: x["areas"] for s, x in one["strategies"].items()} for one in corpora.values()]
    gains = comparisons.gains(jax.random.key(0), areas, config.reference)
    print(f"\narea less that of {config.reference}, seed by seed")
    rows = [["strategy", "Student", "bootstrap", "p, signed ranks", "after Holm"]]
    for name, one in gains.items():
        numbers = [form(one["student"]), form(one["bootstrap"]), f"{one['p']:.3g}"]
        rows.append([name, *numbers, f"{one['p_holm']:.3g}"])
    tell(rows)
    directory = pathlib.Path(config.out)
    directory.mkdir(parents=True, exist_ok=True)
    summary: dict = {"experiment": "curves", "config": dataclasses.asdict(config)}
    summary["headline"] = {"gains": gains, "corpora": corpora}
    (directory / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
    draw(tables, full, directory)
    print(f"\n{directory / 'summary.json'} has every number, figure.png beside it the curves")


def tell_corpus(corpus: dict) -> None:
    """Prints areas, words to each target with what they save, and how often a strategy loses."""
    print("areas from {:,.0f} to {:,.0f} words".format(*corpus["words"]))
    targets = next(iter(corpus["strategies"].values()))["savings"]
    rows = [["strategy", "area", *(f"words to {t} / saving" for t in targets), "loses"]]
    for name, one in corpus["strategies"].items():
        ends = [[one[of][t]["mean_curve"] for of in ("words_to", "savings")] for t in targets]
        lost = [row[name] for row in corpus["wins"].values()]
        loses = "-" if None in lost else f"{sum(lost) / len(lost):.2f}"
        pairs = (" / ".join("-" if x is None else f"{x:,.5g}" for x in pair) for pair in ends)
        rows.append([name, form(one["area"]), *pairs, loses])
    tell(rows)


def tell(rows: list[list[str]]) -> None:
    """Prints columns below each other."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    print(*("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows), sep="\n")


def form(x: dict) -> str:
    """A mean with its interval."""
    ends = " [{:.4g}, {:.4g}]".format(*x["interval"]) if x["interval"] else ""
    return f"{x['mean']:.4g}{ends} n={x['n']}"


def draw(tables: dict, full: tuple, directory: pathlib.Path) -> None:
    """The mean curve of each strategy with intervals, a panel a file."""
    figure = figures.plt.figure(figsize=(5 * len(tables), 3.5))
    panels = figure.subplots(1, len(tables), squeeze=False)[0]
    titles = titles_of([*map(pathlib.Path, tables)])
    for panel, title, table, score in zip(panels, titles, tables.values(), full, strict=True):
        common = curves.align(table)
        for i, (name, runs) in enumerate(zip(table, common.scores, strict=True)):
            known = runs[~np.isnan(runs[:, 0])]
            points = dict(zip(common.words, map(statistics.interval, known.T), strict=True))
            figures.curve(panel, points, name, figures.COLOURS[i % 10], marker="")
        if score is not None:
            panel.axhline(score, color="black", linestyle=":", linewidth=0.8, label="all data")
        panel.set(xlabel="words labelled", ylabel="score", title=title)
        panel.legend()
    figures.save(figure, directory)


def titles_of(paths: list[pathlib.Path]) -> list[str]:
    """Names of files, or those of their folders where two files have one name."""
    stems = [path.stem for path in paths]
    folder = lambda path: path.resolve().parent.name
    return stems if len(set(stems)) == len(stems) else [*map(folder, paths)]


def write(table: curves.Curves, path: pathlib.Path) -> None:
    """Writes curves as this command reads them."""
    number = lambda x: int(x) if x == int(x) else float(x)
    rows = [
        f"{strategy},{seed},{number(words)},{score:.6f}\n"
        for strategy, of_seed in table.items()
        for seed, curve in of_seed.items()
        for words, score in zip(*curve, strict=True)
    ]
    path.write_text("strategy,seed,words,score\n" + "".join(rows))


if __name__ == "__main__":
    program.script("curves", Config, work, str(__doc__))

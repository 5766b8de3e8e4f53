"""The figure of active learning: F1 against words; the length and the genre of what is asked.

    python -m experiments.ner_figure RUN [RUN ...] [--out DIR]      seconds

draws F1 against words of several finished runs, a panel each, from curves.csv and summary.json.
--out has figure.png and figure.svg.
"""

import dataclasses
import json
import pathlib
from typing import Annotated

import numpy as np
import tyro

from experiments import figures
from trinity_jax.algorithms import curves
from trinity_jax.algorithms.statistics import interval
from trinity_jax.compute import program
from trinity_jax.data import sources
from trinity_jax.types import InputError

SEED = 0  # of the bootstrap
ALL = "all"  # not a strategy: everything is annotated at once, the line to reach
PAPER = {  # percent of the words on OntoNotes 5: to 99 % of the best deep, to the best shallow
    "English": (24.9, 12.0),
    "Chinese": (30.1, 16.9),
}


def lengths(rows) -> dict:
    """Mean number of words of the sentences asked: {strategy: {round: interval}}."""
    values: dict = {}
    for row in rows:
        if row["asked"] and row["strategy"] != ALL:
            mean = row["asked_words"] / len(row["asked"])
            of_strategy = values.setdefault(row["strategy"], {})
            of_strategy.setdefault(str(row["round"] + 1), []).append(mean)
    return {
        name: {number: interval(means) for number, means in of_round.items()}
        for name, of_round in values.items()
    }


def genres(corpus, rows) -> dict:
    """Share of the words of each genre, of the pool and of what was asked after the first round.

    {"pool" or strategy: {genre: share}}; nothing where sentences have no genre.
    """
    names = sorted({sentence.genre for sentence in corpus.train})
    if len(names) < 2:
        return {}
    of_sentence = np.array([names.index(sentence.genre) for sentence in corpus.train])
    length = np.array([len(sentence.tokens) for sentence in corpus.train])
    chosen: dict = {"pool": list(range(len(length)))}
    for row in rows:
        if row["strategy"] != ALL and row["round"]:
            chosen.setdefault(row["strategy"], []).extend(row["asked"])
    found = {}
    for name, ids in chosen.items():
        words = np.bincount(of_sentence[ids], length[ids], len(names))
        found[name] = dict(zip(names, (words / max(words.sum(), 1)).tolist(), strict=True))
    return found


def draw(test: curves.Curves, headline: dict, more: dict, data: str, directory) -> None:
    """All panels: what `report` has found, from the summary's entries."""
    columns = 3 if more["genres"] else 2
    figure, axes = figures.plt.subplots(1, columns, figsize=(4.5 * columns, 3.8))
    colour = {name: figures.COLOURS[i % 10] for i, name in enumerate(test)}
    f1_panel(axes[0], test, headline, more, colour)
    axes[0].set_title(title(data, more["synthetic"]))
    for name, of_round in more["sentence_length"].items():
        figures.curve(axes[1], of_round, label(name), colour[name])
    axes[1].set(xlabel="round", ylabel="words a sentence asked")
    if more["genres"]:
        genre_panel(axes[2], more["genres"])
    figures.save(figure, directory)


def label(name: str) -> str:
    """A strategy's name for people."""
    return name.replace("_", " ")


def f1_panel(axes, test, headline, more, colour) -> None:
    """Test F1 against words: deep, dotted shallow, the two lines to reach, the paper's numbers."""
    total = more["words"]
    for name, of_seed in test.items():
        grid = curves.mean(list(of_seed.values())).words
        scores = np.array([curves.interpolate(curve, grid) for curve in of_seed.values()])
        points = {100 * w / total: interval(scores[:, i]) for i, w in enumerate(grid)}
        figures.curve(axes, points, label(name), colour[name], marker="")
        for rounds in more["shallow"].get(name, {}).values():
            words, score = np.array(rounds).T
            axes.plot(100 * words / total, score, ":", color=colour[name], linewidth=1)
    lines = {"deep": ("f1_full", "-"), "shallow": ("f1_shallow_full", "--")}
    top = max(headline[key]["mean"] for key, _ in lines.values() if headline[key])
    for kind, (key, style) in lines.items():
        if headline[key]:
            height = headline[key]["mean"]
            side = "bottom" if height == top else "top"
            axes.axhline(height, color="black", linewidth=1, linestyle=style)
            axes.annotate(
                f"{kind}, all words",
                (0.02, height),
                xycoords=("axes fraction", "data"),
                va=side,
            )
    at_bottom = {"transform": axes.get_xaxis_transform(), "clip_on": False, "linestyle": ""}
    for (language, (deep, shallow)), mark in zip(PAPER.items(), "^s", strict=True):
        style = {"marker": mark, "color": "black", "markersize": 5, **at_bottom}
        axes.plot([deep], [0.02], **style)
        axes.plot([shallow], [0.02], fillstyle="none", **style, label=f"paper, {language}")
    axes.set(
        xlabel="% of words annotated (dotted: shallow tagger)\n"
        "paper's marks: passes shallow; 99 % of deep (full)",
        ylabel="test F1",
    )
    axes.legend(loc="lower right", fontsize=7, bbox_to_anchor=(1, 0.05))


def title(data: str, synthetic: bool) -> str:
    """What was read, without the folders above."""
    kind, _, path = data.partition(":")
    return ("synthetic: " if synthetic else "") + f"{kind}:{pathlib.Path(path).name}"


def genre_panel(axes, shares) -> None:
    """A bar for the pool and for each strategy."""
    names = [label(name) for name in shares]
    left = np.zeros(len(names))
    for number, genre in enumerate(shares["pool"]):
        share = np.array([of[genre] for of in shares.values()])
        axes.barh(names, share, left=left, label=genre, color=figures.COLOURS[number % 10])
        left += share
    axes.set(xlabel="share of the words asked, by genre")
    axes.legend(ncols=3, fontsize=7, loc="upper center", bbox_to_anchor=(0.5, 1.15))


RUNS = tyro.conf.arg(metavar="RUN [RUN ...]")


@dataclasses.dataclass(frozen=True)
class Config:
    """What to draw."""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional, RUNS] = ()
    """Directories of finished runs."""
    out: str = "runs/ner_figure"  # directory of figure.png and figure.svg


def panels(config: Config) -> None:
    """One panel a run."""
    if not config.runs:
        raise InputError("expected directories of runs first; see --help")
    figure = figures.plt.figure(figsize=(4.8 * len(config.runs), 3.8))
    axes = figure.subplots(1, len(config.runs), squeeze=False)[0]
    for panel, run in zip(axes, map(pathlib.Path, config.runs), strict=True):
        if not (run / "summary.json").exists():
            raise InputError(f"{run}: expected a finished run, found no summary.json")
        test, _ = sources.curves(str(run / "curves.csv"))
        summary = json.loads((run / "summary.json").read_text())
        colour = {name: figures.COLOURS[i % 10] for i, name in enumerate(test)}
        f1_panel(panel, test, summary["headline"], summary, colour)
        panel.set_title(title(summary["data"], summary["synthetic"]))
    directory = pathlib.Path(config.out)
    directory.mkdir(parents=True, exist_ok=True)
    figures.save(figure, directory)
    print(directory / "figure.png")


if __name__ == "__main__":
    program.script("ner_figure", Config, panels, str(__doc__))

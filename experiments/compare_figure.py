"""The figure of several runs: a panel for each setting, a line for each arm of each run."""

import pathlib
import textwrap

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from experiments import figures
from experiments.lines import Lines, is_point, span
from experiments.recorded import Kind
from trinity_jax.algorithms import statistics
from trinity_jax.algorithms.curves import Curve

STROKES = ("-", "--", ":", "-.")  # of runs
MARKS = "os^D"  # of every ten arms, as there are ten colours
COLUMNS = 4  # panels beside each other
MARKED = 12  # points of a line, at most, that have marks


def draw(panels: dict[str, Lines], kind: Kind, metric: str, directory: pathlib.Path) -> None:
    """A panel for each setting; a colour an arm and a stroke a run, or a colour a run."""
    every = [line for lines in panels.values() for line in lines]
    runs, arms = ([*dict.fromkeys(line[i] for line in every)] for i in (0, 1))
    coloured, i = (arms, 1) if len(arms) > 1 else (runs, 0)
    look = {
        name: {"color": figures.COLOURS[n % 10], "marker": MARKS[n // 10 % len(MARKS)]}
        for n, name in enumerate(coloured)
    }
    stroke = {run: STROKES[i * n % len(STROKES)] for n, run in enumerate(runs)}
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    figure = figures.plt.figure(figsize=(3.4 * columns + 1.6, 2.8 * rows + 0.2))
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(panels) :]:
        axes.set_visible(False)
    for axes, (title, lines) in zip(grid.flat, panels.items(), strict=False):
        for line, seeds in lines.items():
            draw_line(axes, seeds, lines, linestyle=stroke[line[0]], **look[line[i]])
        heights = np.concatenate([drawn.get_ydata() for drawn in axes.lines])
        room = 0.3 * np.ptp(heights) or 0.1  # for intervals, of which few seeds have huge ones
        axes.set_ylim(heights.min() - room, heights.max() + room)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.set(xlabel=kind.axis, ylabel=metric.replace("_", " "))
        named = [title, *arms] if len(arms) == 1 else [title]  # colours do not say which arm
        axes.set_title(", ".join(filter(None, named)), fontsize="medium")
    key = lambda name, **of: Line2D([], [], label=textwrap.fill(name, 24), markersize=3, **of)
    keys = [key(name, **of) for name, of in look.items()]
    if i:
        keys += [key(run, color="k", linestyle=of) for run, of in stroke.items()]
    figure.legend(handles=keys, loc="outside right upper", fontsize=7)
    figures.save(figure, directory)


def draw_line(axes, seeds: dict[str, Curve], lines: Lines, color, **style) -> None:
    """Means with intervals where all seeds have measured; a point beyond all curves is a level.

    Such are arms that get everything at once: what the others are to reach.
    """
    drawn = [curve for of in lines.values() if not is_point(of) for curve in of.values()]
    x = np.unique(np.concatenate([curve.words for curve in seeds.values()]))
    if is_point(seeds):
        x = x.mean(keepdims=True)
        if drawn and x[0] > max(curve.words[-1] for curve in drawn):
            mean = np.mean([curve.score for curve in seeds.values()])
            axes.axhline(mean, color=color, linewidth=0.8, linestyle=style["linestyle"])
            return
    elif over := span({("", ""): seeds}):
        x = x[(x >= over[0]) & (x <= over[1])]
    scores = np.array([np.interp(x, *curve) for curve in seeds.values()])
    points = dict(zip(x, map(statistics.interval, scores.T), strict=True))
    marker = style.pop("marker") if len(x) <= MARKED else ""
    figures.curve(axes, points, "", color, marker=marker, **style)

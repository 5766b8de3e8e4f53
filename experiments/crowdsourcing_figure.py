"""Pictures of a run of crowdsourcing: errors against redundancy, and what the theory says."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments import figures
from trinity_jax.algorithms.statistics import interval
from trinity_jax.data.aggregation import theory
from trinity_jax.data.aggregation.annotations import Dims
from trinity_jax.data.aggregation.workers import WORKERS

STYLES = {  # in the order of the legend; other methods come after them
    "majority": "-",
    "weighted_vote": "-",
    "em": "-",
    "weighted_em": "-",
    "weighted_one_coin": "-",
    "mbem": "-",
    "oracle_weighted": "--",
    "oracle_correct": "--",
    "clean": ":",
}

# Top-1 error on ImageNet under 1.2 million annotations, read from the vector figures that the
# authors published with their code (github.com/khetan2/MBEM).
PAPER_REDUNDANCIES = (1, 2, 3, 5, 7, 9)
PAPER_MBEM = {
    ("hammer_spammer", 0.2): (0.4740, 0.5087, 0.5663, 0.6305, 0.6528, 0.6940),
    ("class_wise", 0.2): (0.5283, 0.5706, 0.6062, 0.6629, 0.6884, 0.7006),
    ("hammer_spammer", 0.6): (0.3838, 0.4362, 0.4716, 0.5213, 0.5645, 0.6030),
    ("class_wise", 0.6): (0.3920, 0.4449, 0.4798, 0.5224, 0.5679, 0.6077),
}
# The same of majority vote at one label an item, which is its best.
PAPER_MAJORITY = {
    ("hammer_spammer", 0.2): 0.5415,
    ("class_wise", 0.2): 0.5555,
    ("hammer_spammer", 0.6): 0.3921,
    ("class_wise", 0.6): 0.3959,
}


def draw(config, errors: dict, labels: int, directory) -> None:
    """A row a setting: error by steps, error by epochs, and relative to r = 1 with the theory.

    `errors` is {setting: {method: {redundancy: [seed]}}}, `labels` the number of classes.
    """
    settings = [(w, q) for w in config.workers for q in config.qualities]
    columns = len(config.budget_match) + 1
    figure, grid = figures.plt.subplots(
        len(settings), columns, figsize=(3.6 * columns, 2.7 * len(settings)), squeeze=False
    )
    for panels, (workers, quality) in zip(grid, settings, strict=True):
        for axes, match in zip(panels, config.budget_match, strict=False):
            methods = errors[match, workers, quality]
            top = 0.0
            for number, method in enumerate(dict.fromkeys([*STYLES, *methods])):
                if method in methods:
                    points = {r: interval(e) for r, e in methods[method].items()}
                    top = max(top, *(point["mean"] for point in points.values()))
                    look = figures.nth(number)
                    look["linestyle"] = STYLES.get(method, look["linestyle"])
                    figures.curve(axes, points, method.replace("_", " "), **look)
            axes.set_title(f"{workers.replace('_', ' ')} {quality}, equal {match}")
            axes.set(xlabel="labels an item, r", ylabel="test error", ylim=(0, 1.15 * top))
            axes.set_xticks(config.redundancies, map(str, config.redundancies))
        first = errors[config.budget_match[0], workers, quality]
        predict(panels[-1], config, workers, quality, labels, first)
    tight = {"columnspacing": 1, "handlelength": 1.5, "fontsize": 8}
    figure.legend(
        *grid[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=5, **tight
    )
    figure.legend(
        *grid[0, -1].get_legend_handles_labels(), loc="outside upper right", ncols=2, **tight
    )
    figures.save(figure, directory)


@jax.jit
@functools.partial(jax.vmap, in_axes=(None, 0))
def information(confusion, redundancy):
    """omega of these workers, for classes that are equally frequent."""
    prior = jnp.full(confusion.shape[1], 1 / confusion.shape[1])
    return theory.information(jax.random.key(1), confusion, prior, redundancy, num_samples=5000)


def predict(axes, config, workers: str, quality: float, labels: int, methods: dict) -> None:
    """Error relative to r = 1: the two predictions, what was measured, what the paper measured."""
    redundancies = np.array([1, *config.redundancies])  # what all is relative to comes first
    confusion = WORKERS[workers](jax.random.key(0), Dims(1, config.num_workers, labels), quality)
    omega = information(confusion, redundancies)
    for label, theorem, style in (
        ("theory, bound", theory.bound_of, "k:"),
        ("theory, efficiency", theory.efficiency, "k--"),
    ):
        values = jax.vmap(theorem)(omega, redundancies)
        axes.plot(redundancies[1:], values[1:] / values[0], style, label=label, linewidth=1)
    for method, colour in (("mbem", 5), ("oracle_weighted", 6)):
        if 1 in methods.get(method, {}):
            once = np.mean(methods[method][1])
            points = {r: interval(np.array(e) / once) for r, e in methods[method].items()}
            figures.curve(axes, points, f"{method}, measured", figures.COLOURS[colour])
    if (workers, quality) in PAPER_MBEM:
        paper = np.array(PAPER_MBEM[workers, quality])
        axes.plot(
            PAPER_REDUNDANCIES, paper / paper[0], "k^", markersize=4, label="MBEM, paper (ImageNet)"
        )
    axes.set(xlabel="labels an item, r", ylabel="error relative to r = 1", title="and the theory")
    axes.set(ylim=(0, 2.5))

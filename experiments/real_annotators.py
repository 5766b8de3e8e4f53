"""Real annotators: how accurate are the labels that each method makes of r annotations an item?

The part of `python -m experiments.crowdsourcing` for `--data csv:DIR`, where label.csv has the
labels people gave and truth.csv the true ones of some items. There are no images and no budget to
share out: every item keeps r of its annotations, drawn at random (all, where it has fewer).
"""

import dataclasses

import jax
import jax.numpy as jnp

from experiments import figures
from trinity_jax.algorithms.statistics import accuracy, interval
from trinity_jax.compute import replicas
from trinity_jax.compute.run import Run
from trinity_jax.compute.sweep import Sweep
from trinity_jax.data import sources
from trinity_jax.data.aggregation.aggregators import AGGREGATORS, ALIASES, aggregate
from trinity_jax.data.aggregation.annotations import Dims, annotations, purchase, shuffle
from trinity_jax.types import InputError, choose

QUICK = ("majority", "wawa", "dawid_skene", "dawid_skene_map", "one_coin", "ibcc")  # by default
USES = ("seeds", "redundancies", "methods", "data")  # options


def refuse_unused(config, preset, uses: tuple[str, ...]) -> None:
    """Refuses options that labels by people leave without a meaning.

    Args:
      config: what was asked for.
      preset: the same without options.
      uses: the fields that are read for these data.

    Raises:
      InputError: another field is not as in the preset.
    """
    flag = lambda name: "--" + name.replace("_", "-")
    for name in (field.name for field in dataclasses.fields(config)):
        if name not in uses and getattr(config, name) != getattr(preset, name):
            expected = f"nothing but {', '.join(map(flag, uses))} with --data {config.data}"
            raise InputError(f"{flag(name)} is {getattr(config, name)}; expected {expected}")


def make_draw(methods: list[str], dims: Dims):
    """`draw(t, (table, truth), replica) -> metrics`: one draw of annotations, one method."""

    def draw(t, data, replica):
        table, truth = data
        key = jax.random.fold_in(jax.random.key(0), t)  # the same for all: differences are paired
        key_draw, key_fit = jax.random.split(key)
        bought = purchase(shuffle(key_draw, table), replica["redundancy"])
        answers = [lambda name=name: aggregate(name, key_fit, bought, dims) for name in methods]
        log_posterior = jax.lax.switch(replica["method"], answers)
        return {"label_accuracy": accuracy(log_posterior, truth)}

    return draw


def experiment(config, run: Run) -> None:
    """Draws as often as there are seeds, and reports."""
    with run.phase("load", f"reading {config.data}"):
        crowd = sources.crowd(config.data)
    if (crowd.truth < 0).all():
        raise InputError(f"{config.data}: expected a truth.csv to measure accuracy against")
    dims = Dims(len(crowd.items), len(crowd.workers), len(crowd.labels))
    methods = choose(AGGREGATORS, config.methods or QUICK, "aggregator", ALIASES)
    if dims.labels != 2 and any(AGGREGATORS[name].binary for name in methods):
        raise InputError(f"{config.data} has {dims.labels} labels, and one of --methods takes two")
    table, dims = annotations(crowd.item, crowd.worker, crowd.label, dims)
    run.say(
        f"{dims.items} items, {dims.workers} workers, {dims.labels} labels, {len(crowd.item)} "
        f"annotations; {crowd.duplicates} repeated rows dropped"
    )

    rows, replica = replicas.grid(redundancy=config.redundancies, method=methods)
    data = table, jnp.asarray(crowd.truth)
    sweep = Sweep.of_draws(run, config.seeds, make_draw(methods, dims), data, replica)
    for t, metrics in sweep:
        run.commit(t, sweep.state, run.measurements(rows, metrics))
    report(config, methods, run)


def report(config, methods: list[str], run: Run) -> None:
    """Writes the figure and the summary."""
    values: dict = {}
    for row in run.records():
        of_method = values.setdefault(row["method"], {})
        of_method.setdefault(row["redundancy"], []).append(row["label_accuracy"])
    result = {
        method: {r: interval(draws) for r, draws in by_redundancy.items()}
        for method, by_redundancy in values.items()
    }
    figure, axes = figures.plt.subplots(figsize=(5, 3.5))
    for number, method in enumerate(methods):
        figures.curve(axes, result[method], method, **figures.nth(number))
    axes.set(xlabel="annotations an item", ylabel="accuracy of the labels", title=config.data)
    axes.legend()
    figures.save(figure, run.directory)
    run.finish({"label_accuracy": result})

"""Lines of the figures: the theory's, whatever was measured, and those of all methods."""

import types

import jax
import numpy as np
import pytest

from experiments import crowdsourcing_figure, figures, real_annotators
from trinity_jax.data.aggregation import theory
from trinity_jax.data.aggregation.annotations import Dims
from trinity_jax.data.aggregation.workers import WORKERS


@pytest.mark.parametrize("redundancies", [(1, 3), (3, 7)])
@pytest.mark.parametrize("workers", ["hammer_spammer", "class_wise"])
@pytest.mark.parametrize("labels", [3, 10])
def test_predictions_are_relative_to_one_label(workers, redundancies, labels):
    config = types.SimpleNamespace(redundancies=redundancies, num_workers=100)
    figure, axes = figures.plt.subplots()
    crowdsourcing_figure.predict(axes, config, workers, 0.2, labels, {})
    lines = {line.get_label(): line for line in axes.get_lines()}
    figures.plt.close(figure)

    confusion = WORKERS[workers](jax.random.key(0), Dims(1, 100, labels), 0.2)
    once, *omega = crowdsourcing_figure.information(confusion, np.array([1, *redundancies]))
    for label, theorem in (("bound", theory.bound_of), ("efficiency", theory.efficiency)):
        line = lines[f"theory, {label}"]
        np.testing.assert_array_equal(line.get_xdata(), redundancies)
        expected = [
            theorem(o, r) / theorem(once, 1) for o, r in zip(omega, redundancies, strict=True)
        ]
        np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-5)


@pytest.fixture
def drawn(monkeypatch):
    """`{label: (colour, style)}` of the lines of each panel that `figures.save` is given."""
    panels = []

    def save(figure, _):
        for axes in figure.axes:
            look = {of.get_label(): (of.get_color(), of.get_linestyle()) for of in axes.get_lines()}
            panels.append(look)
        figures.plt.close(figure)

    monkeypatch.setattr(figures, "save", save)
    return panels


def test_methods_that_the_figure_does_not_know_are_drawn_after_those_it_does(drawn):
    config = types.SimpleNamespace(
        workers=("one_coin",), qualities=(0.5,), redundancies=(1, 3), num_workers=5
    )
    config.budget_match = ("steps",)
    methods = {name: {1: [0.1], 3: [0.2]} for name in ("mine", "mbem", "other", "majority")}
    crowdsourcing_figure.draw(config, {("steps", "one_coin", 0.5): methods}, 4, None)
    measured, _ = drawn
    assert list(measured) == ["majority", "mbem", "mine", "other"]
    assert len(set(measured.values())) == 4


def test_more_real_annotators_methods_than_colours(drawn, tmp_path):
    methods = [f"m{i}" for i in range(25)]
    rows = [{"method": m, "redundancy": r, "label_accuracy": 0.5} for m in methods for r in (1, 2)]
    run = types.SimpleNamespace(records=lambda: rows, directory=tmp_path, finish=lambda _: None)
    real_annotators.report(types.SimpleNamespace(data="csv:x"), methods, run)
    assert list(drawn[0]) == methods
    assert len(set(drawn[0].values())) == 25

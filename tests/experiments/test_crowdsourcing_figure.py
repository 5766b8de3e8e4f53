"""The theory's lines in the figure, whatever redundancies were measured."""

import types

import jax
import numpy as np
import pytest

from experiments import crowdsourcing_figure, figures
from trinity_jax.data.aggregation import theory
from trinity_jax.data.aggregation.annotations import Dims
from trinity_jax.data.aggregation.workers import WORKERS


@pytest.mark.parametrize("redundancies", [(1, 3), (3, 7)])
@pytest.mark.parametrize("workers", ["hammer_spammer", "class_wise"])
def test_predictions_are_relative_to_one_label(workers, redundancies):
    config = types.SimpleNamespace(redundancies=redundancies, num_workers=100)
    figure, axes = figures.plt.subplots()
    crowdsourcing_figure.predict(axes, config, workers, 0.2, {})
    lines = {line.get_label(): line for line in axes.get_lines()}
    figures.plt.close(figure)

    confusion = WORKERS[workers](jax.random.key(0), Dims(1, 100, 10), 0.2)
    once, *omega = crowdsourcing_figure.information(confusion, np.array([1, *redundancies]))
    for label, theorem in (("bound", theory.bound_of), ("efficiency", theory.efficiency)):
        line = lines[f"theory, {label}"]
        np.testing.assert_array_equal(line.get_xdata(), redundancies)
        expected = [
            theorem(o, r) / theorem(once, 1) for o, r in zip(omega, redundancies, strict=True)
        ]
        np.testing.assert_allclose(line.get_ydata(), expected, rtol=1e-5)

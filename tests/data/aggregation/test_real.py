"""Accuracy on labels by real annotators, against figures measured with another implementation."""

import csv
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.algorithms.em import fit_until
from trinity_jax.algorithms.statistics import accuracy
from trinity_jax.data import sources
from trinity_jax.data.aggregation.annotations import Dims, annotations
from trinity_jax.data.aggregation.dawid_skene import dawid_skene
from trinity_jax.data.aggregation.majority import majority
from trinity_jax.data.aggregation.one_coin import one_coin

METHODS = (majority, dawid_skene, functools.partial(one_coin, estimate_prior=True))
EXPECTED = {  # ties share the credit; one-coin with an estimated class prior
    "bluebird": (0.759, 0.898, 0.583),
    "rte": (0.897, 0.927, 0.925),
    "cf": (0.882, 0.790, 0.883),
    "temporal": (0.936, 0.942, 0.939),
    "music_genre": (0.704, 0.769, 0.793),
    "sentiment_polarity": (0.886, 0.915, 0.917),
    "d_product": (0.897, 0.939, 0.909),
    "labelme": (0.766, 0.793, 0.767),
}


def read(folder):
    """Columns item, worker, label and the truth, as integers."""
    if folder.name == "labelme":
        answers = np.loadtxt(folder / "answers.txt", dtype=int)
        item, worker = np.nonzero(answers >= 0)
        truth = np.loadtxt(folder / "LabelMe_Z_train.txt", dtype=float).astype(int)
        return item, worker, answers[item, worker], truth
    if folder.name == "temporal":  # a row an item, a column a worker, labels 1 and 2
        with open(folder / "temporal.csv") as file:
            rows = [row for row in csv.reader(file) if row]
        given = [(i, a, int(v) - 1) for i, row in enumerate(rows) for a, v in enumerate(row) if v]
        truth = np.array((folder / "temporal.key").read_text().split(), int) - 1
        return *np.array(given).T, truth
    crowd = sources.crowd(f"csv:{folder}")
    return crowd.item, crowd.worker, crowd.label, crowd.truth


@pytest.mark.parametrize("name", EXPECTED)
def test_accuracy(name, real_data):
    item, worker, label, truth = read(real_data("crowd", name))
    sizes = Dims(len(truth), worker.max() + 1, max(label.max(), truth.max()) + 1)
    table, dims = annotations(item, worker, label, sizes)
    for make, expected in zip(METHODS, EXPECTED[name], strict=True):
        fit = jax.jit(functools.partial(fit_until, make(dims), max_steps=500))
        found = accuracy(fit(jax.random.key(0), table).state.log_posterior, jnp.asarray(truth))
        assert float(found) == pytest.approx(expected, abs=0.002), make

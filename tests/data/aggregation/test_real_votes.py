"""Accuracies on public label sets; ties share credit, exact repeats are dropped."""

import csv

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.algorithms.em import fit, fit_until
from trinity_jax.algorithms.spans import span_f1
from trinity_jax.algorithms.statistics import accuracy
from trinity_jax.data import sources
from trinity_jax.data.aggregation import majority, sequences
from trinity_jax.data.aggregation.annotations import Dims, annotations
from trinity_jax.data.aggregation.dawid_skene import dawid_skene
from trinity_jax.data.aggregation.kos import kos
from trinity_jax.data.aggregation.m_msr import m_msr
from trinity_jax.data.aggregation.weighted_vote import iwmv, wawa, zero_based_skill

pytestmark = pytest.mark.slow  # minutes of compiling

METHODS = (majority.majority, wawa, iwmv, zero_based_skill)
TOLERANCE = (0.002, 0.002, 0.01, 0.01)
ACCURACY = {  # of the methods above, and of KOS where there are two labels
    "bluebird": (0.759, 0.759, 0.722, 0.759, 0.722),
    "rte": (0.897, 0.921, 0.927, 0.921, 0.497),
    "cf": (0.882, 0.893, 0.893, 0.893),
    "temporal": (0.936, 0.944, 0.942, 0.944, 0.569),
    "music_genre": (0.704, 0.799, 0.800, 0.800),
    "sentiment_polarity": (0.886, 0.895, 0.905, 0.895, 0.819),
    "d_product": (0.897, 0.897, 0.927, 0.897, 0.895),
    "labelme": (0.766, 0.774, 0.774, 0.774),
}


def read(name, folder):
    """The table, its sizes and the truth."""
    if name == "temporal":  # a column a worker, empty where there is no label
        lines = list(csv.reader((folder / "temporal.csv").read_text().splitlines()))
        given = [[int(cell) - 1 if cell else -1 for cell in line] for line in lines]
        truth = np.loadtxt(folder / "temporal.key", int) - 1
    elif name == "labelme":
        given = np.loadtxt(folder / "answers.txt", int)
        truth = np.loadtxt(folder / "LabelMe_Z_train.txt", int)
    else:
        crowd = sources.crowd(f"csv:{folder}")
        dims = Dims(len(crowd.items), len(crowd.workers), len(crowd.labels))
        return *annotations(crowd.item, crowd.worker, crowd.label, dims), jnp.asarray(crowd.truth)
    item, worker = np.nonzero(np.asarray(given) >= 0)
    return *annotations(item, worker, np.asarray(given)[item, worker]), jnp.asarray(truth)


@pytest.mark.parametrize("name", ACCURACY)
def test_accuracy(name, real_data):
    table, dims, truth = read(name, real_data("crowd", name))

    @jax.jit
    def measure(table):
        runs = [fit_until(method(dims), jax.random.key(0), table) for method in METHODS]
        logs = [run.state.log_posterior for run in runs]
        if dims.labels == 2:
            logs.append(fit(kos(dims), jax.random.key(0), table, 20)[0].log_posterior)
        return jnp.stack([accuracy(log_posterior, truth) for log_posterior in logs])

    found, expected = measure(table), ACCURACY[name]
    assert len(found) == len(expected)
    for value, target, tolerance in zip(found, expected, (*TOLERANCE, 0.01), strict=False):
        np.testing.assert_allclose(value, target, atol=tolerance + 5e-4)  # targets are rounded


@pytest.mark.parametrize(
    ("name", "least"), [("bluebird", 0.71), ("rte", 0.92), ("music_genre", 0.79), ("labelme", 0.77)]
)
def test_accuracy_of_m_msr(name, least, real_data):
    table, dims, truth = read(name, real_data("crowd", name))
    run = jax.jit(lambda table: fit_until(m_msr(dims), jax.random.key(0), table))
    assert accuracy(run(table).state.log_posterior, truth) > least


def read_ner(folder):
    """The table of tags, its sizes, the sentence of each token, the truth, and tags' names."""
    files = [(folder / f"{name}.csv").read_text().splitlines() for name in ("label", "truth")]
    rows, true = (list(csv.reader(lines))[1:] for lines in files)
    token = {(sentence, position): row for row, (sentence, position, _) in enumerate(true)}
    workers, names = (sorted({row[column] for row in rows}) for column in (2, 3))
    table, dims = annotations(
        np.array([token[row[0], row[1]] for row in rows]),
        np.array([workers.index(row[2]) for row in rows]),
        np.array([names.index(row[3]) for row in rows]),
        Dims(len(true), len(workers), len(names)),
    )
    sentence = np.array([int(row[0]) for row in true])
    return table, dims, sentence, [row[2] for row in true], names


def without_strays(tags):
    """The tags with O for every I-X that goes on with nothing: then it is no span."""
    kept = []
    for tag in tags:
        before = kept[-1] if kept else "O"
        stray = tag.startswith("I-") and before not in ("B-" + tag[2:], tag)
        kept.append("O" if stray else tag)
    return kept


def test_span_f1_of_tags(real_data):
    """Tags that break BIO cost conlleval's reading more than one that ignores them."""
    table, dims, sentence, true, names = read_ner(real_data("crowd", "ner_conll_mturk"))
    split = lambda tags: np.split(np.asarray(tags), np.flatnonzero(np.diff(sentence)) + 1)
    truth = [list(tags) for tags in split(true)]

    def f1(tags, repair=list):
        found = [repair(list(tags)) for tags in split(np.asarray(names)[tags])]
        return span_f1(found, truth).f1

    @jax.jit
    def measure(table, place):
        ems = majority.soft(dims), dawid_skene(dims), sequences.hmm_crowd(dims, place)
        logs = [fit_until(em, jax.random.key(0), table).state.log_posterior for em in ems]
        rules = sequences.bio(names)
        return [(log.argmax(1), sequences.viterbi(log, place, rules)) for log in logs]

    found = [
        (f1(tags), f1(tags, without_strays), f1(decoded))
        for tags, decoded in measure(table, jnp.asarray(sentence))
    ]
    expected = [  # as conlleval reads the tags, without strays, after Viterbi
        (0.737, 0.743, 0.746),  # majority
        (0.798, 0.810, 0.813),  # Dawid-Skene
        (0.781, 0.785, 0.782),  # HMM-Crowd
    ]
    np.testing.assert_allclose(found, expected, atol=0.004)

"""Every aggregator on every data set: accuracy of the labels; for tagged sentences, span F1.

    python -m experiments.benchmarks.aggregation_accuracy --data DIR     half an hour on two cores

Each folder of DIR is a data set, of a form that `crowd_sets` knows; others are passed over, in
words. Tied labels share the credit. Spans are measured twice: an I-X that goes on with nothing is
no span, and after Viterbi has found tags that keep the rules.

A cell is empty where a method is not defined: KOS takes two labels, HMM-Crowd tags, grouped
confusions classes of known groups, and CROWDLAB the predictions of a model, so that it stands where
items have features (LabelMe): there a softmax regression on them, trained out of fold on the soft
votes. Raykar, Crowd Layer, CoNAL and MBEM make no labels but a classifier; they are compared by
`python -m experiments.crowdsourcing --data labelme:DIR`.
"""

import dataclasses
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks.crowd_sets import Labelled, read
from trinity_jax.algorithms import networks, training
from trinity_jax.algorithms.em import fit_until
from trinity_jax.algorithms.spans import span_f1
from trinity_jax.algorithms.statistics import accuracy
from trinity_jax.compute import program
from trinity_jax.data.aggregation import sequences
from trinity_jax.data.aggregation.aggregators import AGGREGATORS, ALIASES, aggregate
from trinity_jax.data.aggregation.crowdlab import crowdlab
from trinity_jax.data.aggregation.grouped import grouped
from trinity_jax.data.aggregation.majority import soft_vote
from trinity_jax.data.aggregation.model_bootstrapped import out_of_fold
from trinity_jax.types import InputError, choose

METHODS = (*AGGREGATORS, "grouped", "crowdlab", "hmm_crowd")
L2, EPOCHS, BATCH_SIZE, LEARNING_RATE, FOLDS = 0.03, 20, 50, 0.01, 5  # of CROWDLAB's model


@dataclasses.dataclass(frozen=True)
class Config:
    """Where the data are, and where the table goes."""

    data: str  # folder of data sets, a folder each
    out: str = ""  # file for the table as JSON; empty: none
    methods: tuple[str, ...] = ()  # rows of the table, by name; none: all
    sets: tuple[str, ...] = ()  # columns, by folder; none: all


def defined(method: str, data: Labelled) -> bool:
    """Whether a method takes such data."""
    needs = {
        "hmm_crowd": data.sentence is not None,
        "crowdlab": data.features is not None,
        "grouped": data.groups is not None,
    }
    return needs.get(method, data.dims.labels == 2 or method != "kos")


def posterior(name: str, key, data: Labelled, table):
    """Log-probabilities of the true labels."""
    if name == "hmm_crowd":
        em = sequences.hmm_crowd(data.dims, jnp.asarray(data.sentence))
        return fit_until(em, key, table).state.log_posterior
    if name == "grouped":
        em = grouped(data.dims, np.array(data.groups))
        return fit_until(em, key, table, max_steps=500).state.log_posterior
    if name == "crowdlab":
        return crowdlab(table, data.dims, predictions(key, data, table)).log_posterior
    return aggregate(name, key, table, data.dims)


def predictions(key, data: Labelled, table):
    """Log-probabilities by a softmax regression that was not trained on the item."""
    network, x = networks.network("softmax", data.dims.labels), jnp.asarray(data.features)
    recipe = training.nesterov(network, LEARNING_RATE, L2, BATCH_SIZE)

    def fit_predict(key, target, weight):
        key_start, key_train = jax.random.split(key)
        items = jnp.arange(data.dims.items)
        examples = training.Examples(x, items, target, weight, jnp.int32(data.dims.items))
        start = training.begin(key_start, recipe, x)
        state = training.train(key_train, recipe, start, examples, EPOCHS)[0]
        return jax.nn.log_softmax(training.predict(recipe, state, x))

    return out_of_fold(fit_predict, FOLDS)(key, soft_vote(table, data.dims))


def measure(name: str, data: Labelled) -> float:
    """Accuracy of a method's labels."""
    run = jax.jit(lambda key, table: posterior(name, key, data, table))
    return float(accuracy(run(jax.random.key(0), data.table), jnp.asarray(data.truth)))


def measure_spans(name: str, data: Labelled) -> tuple[float, float]:
    """Span F1 of a method's tags, and of the best that keep the rules of BIO."""

    @jax.jit
    def run(key, table):
        found, rules = posterior(name, key, data, table), sequences.bio(data.names)
        return found.argmax(1), sequences.viterbi(found, jnp.asarray(data.sentence), rules)

    ends, names = np.flatnonzero(np.diff(data.sentence)) + 1, np.array(data.names)
    split = lambda tags: [list(names[part]) for part in np.split(np.asarray(tags), ends)]
    truth = split(data.truth)
    free, decoded = map(split, run(jax.random.key(0), data.table))
    return span_f1([without_strays(tags) for tags in free], truth).f1, span_f1(decoded, truth).f1


def without_strays(tags: list[str]) -> list[str]:
    """The tags, with O for every I-X that goes on with nothing."""
    kept: list[str] = []
    for tag in tags:
        before = kept[-1] if kept else "O"
        stray = tag.startswith("I-") and before not in ("B-" + tag[2:], tag)
        kept.append("O" if stray else tag)
    return kept


def main(config: Config) -> None:
    """Prints the table a row at a time, a method a row."""
    program.keep_compiled()
    if not pathlib.Path(config.data).is_dir():
        raise InputError(f"--data {config.data}: no such folder")
    folders = {path.name: path for path in sorted(pathlib.Path(config.data).iterdir())}
    folders = {name: path for name, path in folders.items() if path.is_dir()}
    methods = choose(dict.fromkeys(METHODS), config.methods, "method", ALIASES)
    sets = {name: read(folders[name]) for name in choose(folders, config.sets, "set")}
    for name in [name for name, data in sets.items() if data is None]:
        print(f"{name}: passed over, no table of items, workers and labels")
    sets = {name: data for name, data in sets.items() if data is not None}
    rows: dict = {}
    print("| method | " + " | ".join(sets) + " |\n|---|" + "---|" * len(sets))
    for method in methods:
        cells = rows[method] = {}
        for name, data in sets.items():
            if defined(method, data) and data.sentence is not None:
                cells[name] = measure_spans(method, data)
            elif defined(method, data):
                cells[name] = (measure(method, data),)
        shown = [", ".join(f"{value:.3f}" for value in cells.get(name, ())) for name in sets]
        print(f"| {method} | " + " | ".join(shown) + " |", flush=True)
    if config.out:
        pathlib.Path(config.out).write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    program.script("benchmarks.aggregation_accuracy", Config, main, str(__doc__))

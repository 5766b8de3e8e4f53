"""The figures of the talk at a small size, as pure functions of one replica from start to end.

They are made of the experiments' own `make_round`, with all they measure in a round. Data are those
that come with the package; what a replica trained on in a round is kept, for peers to do the same.
"""

import contextlib
import functools
import types
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from experiments import (
    crowdsourcing,
    few_data,
    few_labels,
    generative_augmentation,
    generative_report,
    ner_active_learning,
    ner_corpus,
    neural_rendering,
    partial_data,
    partial_feedback,
    step_times,
)
from trinity_jax.compute import replicas
from trinity_jax.data import sources
from trinity_jax.data.aggregation.annotations import Dims
from trinity_jax.types import choose, lookup

# Enough steps that training takes most of the time, and few enough that all take minutes.
FIGURES = {
    "crowdsourcing": crowdsourcing.Config(
        seeds=10,
        workers=("hammer_spammer",),
        qualities=(0.6,),
        redundancies=(1, 3),
        methods=("majority", "weighted_em", "mbem"),
        budget_match=("steps",),
        epochs=20,
        rounds=1,
        updates=1,
    ),
    "ner_active_learning": ner_active_learning.Config(
        seeds=4,
        strategies=("random", "mnlp"),
        fractions=(0.05, 0.15),
        epochs=2,
        min_steps=100,
        num_widths=2,
    ),
    "partial_feedback": partial_feedback.Config(
        seeds=10, methods=("uniform", "alpf_erc"), rounds=3, round_share=0.1, epochs=40
    ),
    "neural_rendering": neural_rendering.Config(
        seeds=3, arms=("supervised", "joint", "full"), labelled=(50,), steps=150, rounds=1
    ),
    "generative_augmentation": generative_augmentation.Config(
        seeds=3, arms=("supervised", "gan", "joint"), steps=300, rounds=1
    ),
}


class Case(NamedTuple):
    """A figure.

    Attributes:
      rows: what the replicas are.
      replica: the same as arrays, [replica].
      data: what all of them read.
      whole: `(data, replica) -> (metrics, kept)` of one replica, [round, ...].
      error: `metrics -> test error` of the network, or 1 - F1, [..., round].
      found: what peers need besides: images, sentences.
    """

    rows: list[dict[str, Any]]
    replica: dict[str, np.ndarray]
    data: Any
    whole: Callable
    error: Callable
    found: Any


@functools.cache
def case(name: str, config: Any) -> Case:
    """The figure of this experiment and configuration."""
    return lookup(CASES, name, "experiment")(config)


def _over_rounds(
    rounds: int, init: Callable, one_round: Callable, keep: Callable = lambda state: ()
) -> Callable:
    """A replica from its first round to its last, in one program."""

    def whole(data, replica):
        def body(state, t):
            state, metrics = one_round(t, data, state, replica)
            return state, (metrics, keep(state))

        return jax.lax.scan(body, init(data, replica), jnp.arange(rounds))[1]

    return whole


def _crowdsourcing(config) -> Case:
    images = sources.images(config.data)
    methods = choose(crowdsourcing.METHODS, config.methods, "method")
    dims = Dims(len(images.train_labels), config.num_workers, len(images.labels))
    budget = config.budget or dims.items
    rows, replica = replicas.grid(
        seed=range(config.seeds),
        workers=config.workers,
        quality=config.qualities,
        redundancy=config.redundancies,
        budget_match=config.budget_match,
        method=methods,
    )
    init, one_round = crowdsourcing.make_round(config, dims, methods, budget)
    rounds = config.rounds * (1 + config.updates * ("mbem" in methods))
    whole = _over_rounds(rounds, init, one_round, lambda state: state.target)
    error = lambda metrics: metrics["test_error"]
    return Case(rows, replica, images[1:5], whole, error, images)


def _ner_active_learning(config) -> Case:
    _, encoded, data = ner_corpus.read(config)
    rows, replica = replicas.grid(seed=range(config.seeds), strategy=config.strategies)
    data = jax.tree.map(jnp.asarray, data)
    pure = ner_active_learning.make_round(config, encoded, 0, len(data.length))
    whole = _over_rounds(len(config.fractions), *pure, lambda state: state.labelled)

    def error(metrics):
        right, found, true = np.moveaxis(metrics["test"].sum(-1), -1, 0)
        return 1 - 2 * right / np.maximum(found + true, 1)

    return Case(rows, replica, data, whole, error, (encoded, np.asarray(data.part)))


def _partial_feedback(config) -> Case:
    found = partial_data.read(config, _silent())
    rows, replica = replicas.grid(seed=range(config.seeds), method=config.methods)
    init, ask, learn = partial_feedback.make_round(config, found)
    keep = lambda state: (state.known, state.touched)
    one_round = lambda *now: learn(*now, ask(*now))
    whole = _over_rounds(1 + config.rounds, init, one_round, keep)
    error = lambda metrics: 1 - metrics["accuracy"]
    return Case(rows, replica, (*found.images[1:5], found.covers), whole, error, found.images)


def _neural_rendering(config) -> Case:
    images = few_labels.read(config, _silent())
    rows, replica = few_labels.grid(config, neural_rendering.CURVE)
    replica |= step_times.columns(len(rows), config.steps)
    init, _, advance = neural_rendering.make_round(config, images)
    whole = _over_rounds(config.rounds, init, advance)
    data = few_data.arrays(config, images)
    return Case(rows, replica, data, whole, lambda metrics: metrics["error"], images)


def _generative_augmentation(config) -> Case:
    images, held = few_labels.held_out(few_labels.read(config, _silent()), config.held_out)
    rows, replica = replicas.grid(seed=range(config.seeds), arm=config.arms)
    replica |= step_times.columns(len(rows), config.steps)
    measure = generative_report.measurer(config, images, held)
    whole = _over_rounds(
        config.rounds, *generative_augmentation.make_round(config, images, measure)
    )
    return Case(rows, replica, images[1:5], whole, lambda metrics: metrics["error"], images)


def _silent():
    """A run that says nothing, where an experiment's reader wants one."""
    quiet = lambda *_: contextlib.nullcontext()
    return types.SimpleNamespace(phase=quiet, say=lambda *_: None)


CASES = {name: globals()[f"_{name}"] for name in FIGURES}

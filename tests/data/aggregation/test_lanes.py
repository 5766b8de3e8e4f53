"""One program for all: data sets of several sizes padded to one shape, priors and keys as lanes.

Every method of the package is here, once; each lane must be what its data set is alone.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.algorithms.em import fit
from trinity_jax.data.aggregation import bwa, glad, mace, sequences
from trinity_jax.data.aggregation import model_bootstrapped as mbem
from trinity_jax.data.aggregation.aggregators import AGGREGATORS
from trinity_jax.data.aggregation.annotations import Annotations, Dims, annotations
from trinity_jax.data.aggregation.class_wise_coin import class_wise_coin
from trinity_jax.data.aggregation.crowdlab import crowdlab
from trinity_jax.data.aggregation.dawid_skene import (
    dawid_skene_map,
    dawid_skene_smoothed,
    pseudo_counts,
)
from trinity_jax.data.aggregation.ebcc import ebcc
from trinity_jax.data.aggregation.grouped import grouped
from trinity_jax.data.aggregation.ibcc import ibcc
from trinity_jax.data.aggregation.one_coin import one_coin
from trinity_jax.data.aggregation.raykar import raykar
from trinity_jax.data.aggregation.weighted_vote import iwmv, wawa, zero_based_skill

ROUNDS, LABELS = 4, 4
WHOLE = Dims(items=15, workers=7, labels=LABELS)  # what all are padded to, and how many rows
ROWS = 50
SIZES = ((Dims(12, 6, LABELS), 45), (Dims(9, 4, LABELS), 30))
VALUES = (0.5, 2.0)  # of a number in each method's prior


def model(key, posterior):
    """In place of a network: doubts what it is told."""
    del key
    return jnp.log(0.9 * posterior + 0.1 / LABELS)


def sentences(dims):
    return jnp.arange(dims.items) // 3


def counts(dims, value):
    return value * pseudo_counts(dims)


METHODS = {  # of dims and a number in the prior; those without one have none
    name: lambda dims, value, make=method.make: make(dims) for name, method in AGGREGATORS.items()
} | {
    "wawa": lambda dims, value: wawa(dims, value, 1.0),
    "zero_based_skill": lambda dims, value: zero_based_skill(dims, value, 1.0),
    "iwmv": lambda dims, value: iwmv(dims, value, 1.0),
    "dawid_skene_smoothed": dawid_skene_smoothed,
    "dawid_skene_map": lambda dims, value: dawid_skene_map(dims, counts(dims, value)),
    "one_coin": lambda dims, value: one_coin(dims, value, 1.0),
    "one_coin_prior": lambda dims, value: one_coin(dims, value, 1.0, estimate_prior=True),
    "class_wise_coin": class_wise_coin,
    "glad": lambda dims, value: glad.glad(dims, glad.Normal(1.0, value)),
    "mace": lambda dims, value: mace.mace(dims, honesty=jnp.full((1, 2), value)),
    "ibcc": lambda dims, value: ibcc(dims, counts(dims, value)),
    "ebcc": lambda dims, value: ebcc(dims, 3, prior=counts(dims, value)),
    "bwa": lambda dims, value: bwa.bwa(dims, 10 * value),
    "grouped": lambda dims, value: grouped(dims, 2, prior=value * jnp.ones((1, 1, 2, 2))),
    "raykar": lambda dims, value: raykar(dims, model, counts(dims, value)),
    "mbem": lambda dims, value: mbem.model_bootstrapped(dims, model, history=counts(dims, value)),
    "hmm_crowd": lambda dims, value: sequences.hmm_crowd(
        dims, sentences(dims), counts(dims, value)
    ),
}


def run(name, dims, key, value, table):
    """Log-probabilities; for Viterbi the tags."""
    if name == "crowdlab":
        wave = jnp.sin(jnp.arange(dims.items * dims.labels) * 1.0).reshape(dims[::2])
        return crowdlab(table, dims, jax.nn.log_softmax(value * wave)).log_posterior
    if name == "viterbi":
        log_posterior = run("dawid_skene_map", dims, key, value, table)
        rules = sequences.bio(("O", "B-X", "I-X", "I-Y"))
        return sequences.viterbi(log_posterior, sentences(dims), rules)
    return fit(METHODS[name](dims, value), key, table, ROUNDS)[0].log_posterior


def drawn(seed, dims, num_rows):
    """Every item has a label; workers are better or worse."""
    random = np.random.default_rng(seed)
    item = np.append(np.arange(dims.items), random.integers(dims.items, size=num_rows - dims.items))
    worker = random.integers(dims.workers, size=num_rows)
    truth, skill = random.integers(dims.labels, size=dims.items), random.uniform(0.4, 1, 7)
    right = random.random(num_rows) < skill[worker]
    label = np.where(right, truth[item], random.integers(dims.labels, size=num_rows))
    return annotations(item, worker, label, dims)[0]


def padded(table):
    """With rows of weight 0 of an item and a worker that the set does not have."""
    extra = ROWS - len(table.item)
    filling = WHOLE.items - 1, WHOLE.workers - 1, 1, 0.0
    return Annotations(
        *(jnp.append(c, jnp.full(extra, v, c.dtype)) for c, v in zip(table, filling, strict=True))
    )


@pytest.mark.parametrize("name", [*METHODS, "crowdlab", "viterbi"])
def test_lanes_are_one_program_and_equal_to_each_alone(name):
    labels = 2 if name == "kos" else LABELS
    sizes = [(dims._replace(labels=labels), rows) for dims, rows in SIZES]
    whole, traces = WHOLE._replace(labels=labels), []

    @jax.jit
    @jax.vmap
    def lanes(key, value, table):
        traces.append(1)
        return run(name, whole, key, value, table)

    with jax.enable_x64(True):
        sets = [drawn(seed, *size) for seed, size in enumerate(sizes)]
        sets = [table._replace(weight=table.weight.astype(float)) for table in sets]
        stacked = jax.tree.map(lambda *c: jnp.stack(c), *map(padded, sets))
        keys = lambda: jax.random.split(jax.random.key(0), 2)
        found = lanes(keys(), jnp.array(VALUES), stacked)
        lanes(keys(), 3 * jnp.array(VALUES), jax.tree.map(lambda c: c[::-1], stacked))
        assert len(traces) == 1
        for lane, (dims, _) in enumerate(sizes):
            alone = jax.jit(functools.partial(run, name, dims))
            expected = alone(keys()[lane], jnp.array(VALUES[lane]), sets[lane])
            ours = found[lane, : dims.items]
            if name == "viterbi":
                np.testing.assert_array_equal(ours, expected)
            else:
                np.testing.assert_allclose(np.exp(ours), np.exp(expected), atol=1e-6)


HYPERPARAMETERS = sorted(set(METHODS) - {"majority", "soft_vote", "dawid_skene", "kos", "m_msr"})


@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_the_prior_matters(name):
    """So that lanes of other priors are a test."""
    table = drawn(0, *SIZES[0])
    both = jax.vmap(lambda value: run(name, SIZES[0][0], jax.random.key(0), value, table))
    one, other = jax.jit(both)(jnp.array(VALUES))
    assert np.abs(np.exp(one) - np.exp(other)).max() > 1e-4

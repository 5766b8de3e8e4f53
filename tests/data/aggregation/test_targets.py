"""Training targets: what each is on a small table, and how true they are for simulated workers."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import oracles
import pytest

from trinity_jax.algorithms.em import fit_until
from trinity_jax.data.aggregation.annotations import Annotations, Dims, purchase
from trinity_jax.data.aggregation.dawid_skene import dawid_skene
from trinity_jax.data.aggregation.one_coin import one_coin
from trinity_jax.data.aggregation.targets import TARGETS, Evidence
from trinity_jax.data.aggregation.workers import annotate

# Items: two against one, a tie, one label that is wrong, nothing but a void row.
DIMS = Dims(items=4, workers=3, labels=3)
TABLE = Annotations(
    np.array([0, 0, 0, 1, 1, 2, 3]),
    np.array([0, 1, 2, 0, 1, 2, 0]),
    np.array([0, 0, 1, 1, 2, 2, 1]),
    np.array([1, 1, 1, 1, 1, 1, 0.0]),
)
TRUTH = np.array([0, 2, 1, 1])
CONFUSION = np.random.default_rng(0).dirichlet(np.ones(3), (3, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def targets():
    """All of them, and the posteriors of two models, from one compiled program."""

    def run(key, *data):
        keys = iter(jax.random.split(key, len(TARGETS) + 2))
        evidence = Evidence(data[0], DIMS, *data[1:])
        made = {name: target(next(keys), evidence) for name, target in TARGETS.items()}
        for em in (dawid_skene, one_coin):
            fitted = fit_until(em(DIMS), next(keys), data[0], tolerance=1e-5, max_steps=50)
            made[em.__name__] = jnp.exp(fitted.state.log_posterior)
        return made

    return jax.device_get(jax.jit(run)(jax.random.key(0), TABLE, TRUTH, CONFUSION))


def test_weights(targets):
    for name in TARGETS:
        right = [1, 1, 0, 0]  # items with a label that is true
        expected = right if name == "oracle_correct" else np.ones(4)
        np.testing.assert_array_equal(targets[name].weight, expected)


def test_votes(targets):
    np.testing.assert_array_equal(targets["majority"].probs.sum(axis=1), 1)
    assert targets["majority"].probs[0, 0] == 1
    assert targets["majority"].probs[1, 1:].max() == 1
    assert targets["majority"].probs[2, 2] == 1
    shares = [[2 / 3, 1 / 3, 0], [0, 0.5, 0.5], [0, 0, 1], [1 / 3] * 3]
    np.testing.assert_allclose(targets["weighted_vote"].probs, shares, rtol=1e-6)


def test_posteriors(targets):
    np.testing.assert_allclose(targets["weighted_em"].probs, targets["dawid_skene"], atol=1e-6)
    np.testing.assert_allclose(targets["weighted_one_coin"].probs, targets["one_coin"], atol=1e-6)
    likeliest = np.eye(3)[targets["weighted_em"].probs.argmax(axis=1)]
    np.testing.assert_array_equal(targets["em"].probs, likeliest)
    assert np.abs(targets["weighted_em"].probs - targets["weighted_one_coin"].probs).max() > 0.01


def test_oracles(targets):
    uniform = np.full(3, 1 / 3)
    expected, _ = oracles.enumeration(oracles.rows(TABLE), DIMS, CONFUSION, uniform)
    np.testing.assert_allclose(targets["oracle_weighted"].probs, expected, rtol=1e-4)
    for name in ("oracle_correct", "clean"):
        np.testing.assert_array_equal(targets[name].probs, np.eye(3)[TRUTH])


def test_true_labels_by_redundancy():
    """Of 100 workers 20 are always right, and the others guess, and it is known who does."""
    dims, redundancies = Dims(4000, 100, 10), np.array([1, 3, 7])
    hammer = (np.arange(dims.workers) < 20)[:, None, None]
    confusion = np.where(hammer, np.eye(dims.labels), 1 / dims.labels).astype(np.float32)

    def shares(key, confusion):
        key_truth, key_label, key_tie = jax.random.split(key, 3)
        truth = jax.random.randint(key_truth, (dims.items,), 0, dims.labels)
        table = annotate(key_label, truth, confusion, redundancies.max().item())

        def share(redundancy):
            evidence = Evidence(purchase(table, redundancy), dims, truth, confusion)
            made = (TARGETS[name](key_tie, evidence) for name in ("majority", "oracle_weighted"))
            return [target.probs[jnp.arange(dims.items), truth].mean() for target in made]

        return jax.vmap(share)(redundancies)

    # "rbg" keys: their programs compile in half the time.
    majority, oracle = jax.jit(shares)(jax.random.key(0, impl="rbg"), confusion)
    no_hammer = np.array([math.comb(80, r) / math.comb(100, r) for r in redundancies])
    np.testing.assert_allclose(oracle, 1 - 0.9 * no_hammer, atol=4 * np.sqrt(0.25 / dims.items))
    np.testing.assert_allclose(majority[0], 0.28, atol=4 * np.sqrt(0.2 / dims.items))
    assert majority[0] < majority[1] < oracle[1] - 0.1

"""Intervals against SciPy and by simulation, pairing, bad values, and accuracy with ties."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from trinity_jax.algorithms.statistics import accuracy, interval, paired


@pytest.mark.parametrize("n", [2, 3, 10, 100])
@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.999])
def test_interval_is_students(n, confidence):
    values = np.random.default_rng(n).normal(3, 2, n)
    result = interval(values, confidence)
    expected = stats.t.interval(confidence, n - 1, values.mean(), stats.sem(values))
    np.testing.assert_allclose(result["interval"], expected, rtol=1e-10)
    np.testing.assert_allclose(result["mean"], values.mean())
    assert result["n"] == n


def test_interval_covers_as_often_as_it_says():
    rng, num_trials = np.random.default_rng(0), 4000
    intervals = [interval(x, 0.9)["interval"] for x in rng.normal(size=(num_trials, 5))]
    covered = np.mean([low < 0 < high for low, high in intervals])
    assert abs(covered - 0.9) < 4 * np.sqrt(0.9 * 0.1 / num_trials)


def test_interval_of_few_or_equal_values():
    assert interval([]) is None
    assert interval([0.25]) == {"mean": 0.25, "interval": None, "n": 1}
    assert interval([0.25] * 4) == {"mean": 0.25, "interval": [0.25, 0.25], "n": 4}


def test_interval_takes_device_arrays_and_gives_plain_numbers():
    result = interval(jnp.array([1.0, 2.0, 3.0]))
    numbers = (result["n"], result["mean"], *result["interval"])
    assert [type(x) for x in numbers] == [int, float, float, float]


def test_paired_cancels_what_is_shared():
    rng = np.random.default_rng(0)
    seed, noise = rng.normal(0, 10, 20), rng.normal(0, 0.1, (2, 20))
    a, b = seed + noise[0] + 1, seed + noise[1]
    low, high = paired(a, b)["interval"]
    assert 0.9 < low < 1 < high < 1.1
    assert paired(a, b) == interval(a - b)
    test = stats.ttest_rel(a, b).confidence_interval(0.9)
    np.testing.assert_allclose(paired(a, b, 0.9)["interval"], test, rtol=1e-10)
    assert paired([], []) is None


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: interval([1.0, np.nan]), "replica 1 of 2 is not finite"),
        (lambda: interval([np.inf]), "replica 0 of 1 is not finite"),
        (lambda: interval(np.array(3.0)), "one number for each replica"),
        (lambda: interval([[1.0, 2.0]]), "one number for each replica"),
        (lambda: interval([1.0, 2.0], 95.0), "confidence must lie between 0 and 1"),
        (lambda: paired([1.0, 2.0], [1.0]), "as many, not 2 and 1"),
        (lambda: paired([1.0, np.nan], [1.0, 2.0]), "replica 1 of 2 is not finite"),
    ],
)
def test_bad_values_are_refused_in_words(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_accuracy_shares_credit_among_ties():
    log_posterior = jnp.log(
        jnp.array(
            [
                [0.7, 0.2, 0.1],  # right
                [0.7, 0.2, 0.1],  # wrong
                [0.4, 0.4, 0.2],  # one of two
                [0.4, 0.4, 0.2],  # neither of the two
                [1 / 3, 1 / 3, 1 / 3],  # one of three
                [1.0, 0.0, 0.0],  # unknown
            ]
        )
    )
    truth = jnp.array([0, 1, 1, 2, 2, -1])
    result = jax.jit(accuracy)(log_posterior, truth)
    np.testing.assert_allclose(result, (1 + 0 + 1 / 2 + 0 + 1 / 3) / 5, rtol=1e-6)


def test_accuracy_of_the_unknown_and_the_undefined():
    assert accuracy(jnp.zeros((2, 3)), jnp.array([-1, -1])) == 0
    assert accuracy(jnp.full((1, 2), jnp.nan), jnp.array([0])) == 0
    broken = jnp.array([[0.0, jnp.nan], [0.0, -1.0]])
    assert accuracy(broken, jnp.array([0, 0])) == 0.5
    impossible = jnp.array([[-jnp.inf, 0.0]])  # a posterior of exactly zero and one
    assert accuracy(impossible, jnp.array([1])) == 1


def test_accuracy_maps_over_replicas():
    log_posterior = jax.random.normal(jax.random.key(0), (4, 10, 3))
    truth = jnp.arange(10) % 3
    mapped = jax.vmap(accuracy, (0, None))(log_posterior, truth)
    loop = [np.mean(np.argmax(p, axis=1) == truth) for p in np.array(log_posterior)]
    np.testing.assert_allclose(mapped, loop, rtol=1e-6)

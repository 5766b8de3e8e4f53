"""Intervals and tests against SciPy, by simulation and enumeration; accuracy with ties."""

import itertools

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from trinity_jax.algorithms.statistics import (
    accuracy,
    bootstrap,
    holm,
    interval,
    paired,
    signed_rank,
    student,
    wilson,
)


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


def test_bootstrap_is_the_percentile_interval():
    rng = np.random.default_rng(0)
    a, b = rng.normal(1, 1, 12), rng.normal(0, 1, 12)
    found = bootstrap(jax.random.key(0), [a - b], 0.9, draws=40_000)
    scipy = stats.bootstrap(
        (a, b),
        lambda a, b, axis: (a - b).mean(axis=axis),
        paired=True,
        confidence_level=0.9,
        n_resamples=40_000,
        method="percentile",
        rng=rng,
    )
    np.testing.assert_allclose(found["interval"], scipy.confidence_interval, atol=0.02)
    assert found["mean"] == pytest.approx((a - b).mean())
    assert found["n"] == 12
    assert found == bootstrap(jax.random.key(0), [a - b], 0.9, draws=40_000)
    assert found != bootstrap(jax.random.key(1), [a - b], 0.9, draws=40_000)


def test_bootstrap_resamples_groups_and_within_them():
    groups = [np.array([0.0, 1.0, 5.0]), np.array([10.0, 14.0])]
    within = [[np.mean(x) for x in itertools.product(g, repeat=len(g))] for g in groups]
    weighted = [
        (np.mean(means), 1 / np.prod([len(within[g]) for g in chosen]) / 4)
        for chosen in itertools.product((0, 1), repeat=2)
        for means in itertools.product(*(within[g] for g in chosen))
    ]
    values, weights = np.array(sorted(weighted)).T
    exact = values[np.searchsorted(np.cumsum(weights), [0.2, 0.8])]
    found = bootstrap(jax.random.key(0), groups, 0.6, draws=40_000)
    np.testing.assert_allclose(found["interval"], exact, atol=0.1)
    assert found["mean"] == 7
    assert found["n"] == 5


def test_bootstrap_of_few_or_equal_values():
    key = jax.random.key(0)
    assert bootstrap(key, []) is bootstrap(key, [[], []]) is None
    assert bootstrap(key, [[2.0]]) == {"mean": 2.0, "interval": None, "n": 1}
    assert bootstrap(key, [[2.0] * 3, []]) == {"mean": 2.0, "interval": [2.0, 2.0], "n": 3}


def test_student_is_the_paired_test():
    a, b = np.random.default_rng(0).normal(size=(2, 6, 4, 3))
    np.testing.assert_allclose(student(a - b), stats.ttest_rel(a, b).pvalue, rtol=1e-10)
    np.testing.assert_array_equal(student([[0.0, 2.0], [0.0, 2.0]]), [1, 0])
    assert np.isnan(student([1.0]))


@pytest.mark.parametrize("n", [1, 5, 6, 20, 50])
def test_signed_rank_is_wilcoxons(n):
    for shift in (0, 0.3, -2):
        x = np.random.default_rng(n).normal(shift, 1, n)
        expected = stats.wilcoxon(x, method="exact").pvalue
        assert signed_rank(x) == pytest.approx(expected, rel=1e-9)


@hypothesis.given(st.lists(st.integers(-3, 3), min_size=1, max_size=9))
def test_signed_rank_with_ties_counts_all_signs(values):
    x = np.array([value for value in values if value], np.float64)
    ranks = stats.rankdata(np.abs(x))
    sums = [ranks @ signs for signs in itertools.product((0, 1), repeat=len(x))]
    observed = ranks @ (x > 0)
    tail = min(np.mean(sums <= observed), np.mean(sums >= observed))
    assert signed_rank(values) == pytest.approx(min(1, 2 * tail))
    assert signed_rank(np.negative(values)) == pytest.approx(signed_rank(values))


def test_five_replicas_cannot_be_significant_by_rank():
    assert signed_rank([1, 2, 3, 4, 5]) == 2 / 2**5
    assert signed_rank([0, 0]) == signed_rank([]) == 1


@hypothesis.given(st.lists(st.floats(0, 1), max_size=6))
def test_holm_closes_bonferroni(p):
    """A hypothesis falls if every set of hypotheses with it falls by Bonferroni's correction."""
    tests = range(len(p))
    sets = [s for size in tests for s in itertools.combinations(tests, size + 1)]
    bound = lambda s: min(1, len(s) * min(p[i] for i in s))
    expected = [max(bound(s) for s in sets if i in s) for i in tests]
    np.testing.assert_allclose(holm(p), expected)


def test_holm_by_hand():
    np.testing.assert_allclose(holm([0.01, 0.04, 0.03, 0.005]), [0.03, 0.06, 0.06, 0.02])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: interval([1.0, np.nan]), "replica 1 of 2 is not finite"),
        (lambda: interval([np.inf]), "replica 0 of 1 is not finite"),
        (lambda: interval(np.array(3.0)), "one number for each replica"),
        (lambda: interval([[1.0, 2.0]]), "one number for each replica"),
        (lambda: interval([1.0, 2.0], 95.0), "confidence must lie between 0 and 1"),
        (lambda: bootstrap(jax.random.key(0), [[1.0], [np.nan]]), "replica 0 of 1 is not finite"),
        (lambda: bootstrap(jax.random.key(0), [[1.0]], 95.0), "confidence must lie between"),
        (lambda: wilson(0.5, 3, 1.0), "confidence must lie between"),
        (lambda: signed_rank([1.0, np.nan]), "replica 1 of 2 is not finite"),
        (lambda: holm([0.5, 1.5]), "one p value from 0 to 1"),
        (lambda: holm([np.nan]), "one p value from 0 to 1"),
        (lambda: holm([[0.5]]), "one p value from 0 to 1"),
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


def test_wilson():
    """R. G. Newcombe. Two-sided confidence intervals for the single proportion. 1998, table I."""
    right, count = np.array([81, 15, 0, 1]), np.array([263, 148, 20, 29])
    low, high = wilson(right / count, count)
    np.testing.assert_allclose(low, [0.2553, 0.0624, 0, 0.0061], atol=6e-5)
    np.testing.assert_allclose(high, [0.3662, 0.1605, 0.1611, 0.1718], atol=6e-5)
    assert np.isnan(wilson(0.0, 0)).all()

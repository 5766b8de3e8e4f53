"""The theory of redundancy: against enumeration, against its own table, against an experiment."""

import fractions
import itertools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.optimize import brentq

from trinity_jax.data.aggregation import theory, workers
from trinity_jax.data.aggregation.annotations import Dims

REDUNDANCIES = jnp.arange(1, theory.MAX_REDUNDANCY + 1)
over_redundancy = lambda curve: jax.jit(jax.vmap(curve, (None, 0)))
BOUND = over_redundancy(theory.bound)
BOUND_HAMMER_SPAMMER = over_redundancy(
    lambda quality, r: theory.bound_of(theory.information_hammer_spammer(quality, r), r)
)


def posterior_error_by_enumeration(error, redundancy):
    """Every pattern of labels: its probability, times the posterior of the wrong class."""
    total = 0.0
    for wrong in itertools.product([False, True], repeat=redundancy):
        true = math.prod(error if w else 1 - error for w in wrong)
        false = math.prod(1 - error if w else error for w in wrong)
        total += true * false / (true + false)
    return total


def posterior_error_of_the_theorem(error, redundancy):
    tau = [(error / (1 - error)) ** u for u in range(redundancy + 1)]
    terms = (math.comb(redundancy, u) / (tau[u] + tau[-1 - u]) for u in range(redundancy + 1))
    return error**redundancy * sum(terms)


def information_by_enumeration(confusions, redundancy):
    """omega(r), uniform prior: every subset of workers, every tuple of their labels."""
    num_labels = confusions.shape[1]
    concentration = []
    for subset in itertools.combinations(confusions, redundancy):
        joint = np.full((num_labels, 1), 1 / num_labels)
        for confusion in subset:
            joint = (joint[:, :, None] * confusion[:, None, :]).reshape(num_labels, -1)
        marginal = joint.sum(axis=0)
        squares = (joint**2).sum(axis=0)
        concentration.append(np.sum(squares[marginal > 0] / marginal[marginal > 0]))
    return (num_labels * np.mean(concentration) - 1) / (num_labels - 1)


@pytest.mark.parametrize("error", [0.05, 0.1, 0.3, 0.45])
@pytest.mark.parametrize("redundancy", [1, 2, 3, 5, 8])
def test_posterior_error_equals_enumeration_and_the_theorem(error, redundancy):
    beta = theory.posterior_error(error, redundancy)
    enumerated = posterior_error_by_enumeration(error, redundancy)
    np.testing.assert_allclose(beta, enumerated, rtol=1e-5)
    np.testing.assert_allclose(posterior_error_of_the_theorem(error, redundancy), enumerated)
    information = theory.information_one_coin(error, redundancy)
    np.testing.assert_allclose(information, 1 - 2 * enumerated, rtol=1e-5)


@pytest.mark.parametrize(
    ("error", "expected"),
    [(0.1, [0.18, 0.10976, 0.0506, 0.0155]), (0.3, [0.42, 0.36207, 0.31466, 0.24257])],
)
def test_posterior_error_values(error, expected):
    beta = over_redundancy(theory.posterior_error)(error, jnp.array([1, 2, 3, 5]))
    np.testing.assert_allclose(beta, expected, atol=5e-5)


@pytest.mark.parametrize("error", [1e-30, 1e-6, 0.1, 0.4, 0.49, 0.4999])
def test_float32_keeps_its_digits(error):
    """Against exact fractions, where workers are all but perfect and where they all but guess."""
    rs = [1, 2, 3, 10, 49, 50]
    beta = [float(theory.posterior_error(error, r)) for r in rs]
    omega = [float(theory.information_one_coin(error, r)) for r in rs]
    rho = fractions.Fraction(float(np.float32(error)))
    exact = [posterior_error_of_the_theorem(rho, r) for r in rs]
    np.testing.assert_allclose(beta, [float(b) for b in exact], rtol=3e-5, atol=1e-37)
    np.testing.assert_allclose(omega, [float(1 - 2 * b) for b in exact], rtol=3e-5)


def test_ends_of_the_range():
    for r in (1, 2, 50):
        assert theory.posterior_error(0.0, r) == 0
        np.testing.assert_allclose(theory.information_one_coin(0.0, r), 1, rtol=3e-5)
        assert theory.information_one_coin(0.5, r) == 0
        assert theory.information_hammer_spammer(0.0, r) == 0
        assert theory.information_hammer_spammer(1.0, r) == 1
    assert jnp.isinf(theory.bound(0.5, 3))
    assert jnp.isnan(theory.posterior_error(0.1, theory.MAX_REDUNDANCY + 1))
    assert jnp.isnan(theory.bound(0.1, theory.MAX_REDUNDANCY + 1))


def test_curves_map_over_both_arguments():
    curves = jax.vmap(BOUND, (0, None))(jnp.array([0.1, 0.3]), REDUNDANCIES)
    assert curves.shape == (2, theory.MAX_REDUNDANCY)
    np.testing.assert_allclose(curves[1, 6], theory.bound(0.3, 7), rtol=1e-5)


@pytest.mark.parametrize(
    ("redundancy", "accuracy"),
    [(2, 0.8218), (3, 0.8233), (5, 0.8015), (7, 0.7853), (9, 0.7726)],
)
def test_accuracy_from_which_the_bound_is_better_labelled_once(redundancy, accuracy):
    def excess(a):
        once, several = BOUND(1 - a, jnp.array([1, redundancy]))
        return float(several - once)

    crossing = brentq(excess, 0.6, 0.95, xtol=1e-6)
    np.testing.assert_allclose(crossing, accuracy, atol=1e-4)


@pytest.mark.parametrize(
    ("accuracy", "best", "ratios"),
    [
        (0.95, 1, [1.443, 1.819, 2.145, 2.430]),
        (0.90, 1, [1.233, 1.477, 1.710, 1.926]),
        (0.85, 1, [1.072, 1.206, 1.353, 1.499]),
        (0.80, 3, [0.943, 0.994, 1.070, 1.155]),
        (0.75, 4, [0.836, 0.827, 0.851, 0.888]),
        (0.70, 7, [0.748, 0.695, 0.683, 0.686]),
        (0.60, 32, [0.622, 0.514, 0.461, 0.429]),
    ],
)
def test_bound(accuracy, best, ratios):
    curve = BOUND(1 - accuracy, REDUNDANCIES)
    assert REDUNDANCIES[jnp.argmin(curve)] == best
    np.testing.assert_allclose(curve[jnp.array([2, 4, 6, 8])] / curve[0], ratios, atol=6e-4)


def test_bound_of_hammers_and_spammers():
    curves = [BOUND_HAMMER_SPAMMER(g, REDUNDANCIES) for g in (0.6, 0.5, 0.4, 0.3, 0.2, 0.1)]
    assert [int(REDUNDANCIES[jnp.argmin(c)]) for c in curves] == [1, 2, 3, 4, 6, 12]

    def excess(gamma):
        once, twice = BOUND_HAMMER_SPAMMER(gamma, jnp.array([1, 2]))
        return float(twice - once)

    np.testing.assert_allclose(brentq(excess, 0.4, 0.8), 2 - math.sqrt(2), atol=1e-5)


def test_bounds_are_of_the_information():
    for r in (1, 3, 9):
        by_error = theory.bound_of(1 - 2 * posterior_error_by_enumeration(0.2, r), r)
        np.testing.assert_allclose(theory.bound(0.2, r), by_error, rtol=1e-5)


def test_efficiency():
    np.testing.assert_allclose(theory.efficiency(1.0, 1), 1)
    np.testing.assert_allclose(theory.efficiency(0.5, 2), 2)
    ratios = [  # accuracy 0.9, 0.8, 0.7, 0.6, then hammers 0.2, 0.6: five labels against one
        float(theory.efficiency(omega(q, 5), 5) / theory.efficiency(omega(q, 1), 1))
        for omega, qs in [
            (theory.information_one_coin, (0.1, 0.2, 0.3, 0.4)),
            (theory.information_hammer_spammer, (0.2, 0.6)),
        ]
        for q in qs
    ]
    np.testing.assert_allclose(ratios, [1.82, 1.49, 1.25, 1.07, 1.22, 1.74], atol=0.0055)


@pytest.mark.parametrize("quality", [0.01, 0.1, 0.2, 0.4, 0.6, 0.8, 0.95])
def test_a_further_label_never_informs_more_than_those_before(quality):
    """Two classes or hammers: omega(r) / r falls, so that prediction B has its best at r = 1."""
    for omega in (theory.information_one_coin, theory.information_hammer_spammer):
        error_or_quality = quality / 2 if omega is theory.information_one_coin else quality
        share = over_redundancy(omega)(error_or_quality, REDUNDANCIES) / REDUNDANCIES
        assert (np.diff(share) <= 3e-5 * share[:-1]).all()


RANDOM = np.random.default_rng(0)
POOLS = {
    "one coin": np.array(workers.one_coin(jax.random.key(0), Dims(1, 4, 3), 0.6)),
    "hammers": np.array([np.eye(3), np.full((3, 3), 1 / 3), np.full((3, 3), 1 / 3)]),
    "two classes": RANDOM.dirichlet([1.0, 1.0], (5, 2)),
    "three classes": RANDOM.dirichlet([1.0, 1.0, 1.0], (4, 3)) / 2 + np.eye(3) / 2,
    "halves": np.array([np.eye(2)[[0, 0, 1, 1]], np.eye(2)[[0, 1, 0, 1]]]),
}


@pytest.mark.parametrize("name", POOLS)
def test_information_equals_enumeration(name):
    pool, num_samples = POOLS[name], 20_000
    num_workers, num_classes, _ = pool.shape
    key, prior = jax.random.key(1), jnp.full(num_classes, 1 / num_classes)
    omega = over_redundancy(
        lambda pool, r: theory.information(key, pool, prior, r, num_samples),
    )(jnp.asarray(pool, jnp.float32), jnp.arange(num_workers + 2))
    exact = [information_by_enumeration(pool, r) for r in range(num_workers + 1)]
    np.testing.assert_allclose(omega[:-1], exact, atol=4 * 0.5 / math.sqrt(num_samples))
    assert jnp.isnan(omega[-1])  # more labels than workers

    # Two workers who each tell half of the classes from the other half settle the truth together.
    rises = np.diff(exact[1:] / np.arange(1, num_workers + 1)) > 1e-12
    assert rises.any() if name == "halves" else not rises.any()


def test_information_of_the_prior_alone():
    pool, prior = jnp.asarray(POOLS["two classes"], jnp.float32), jnp.array([0.9, 0.1])
    information = jax.jit(theory.information, static_argnums=4)
    omega = information(jax.random.key(0), pool, prior, 0, 100)
    np.testing.assert_allclose(omega, 2 * (0.81 + 0.01) - 1, rtol=1e-5)


# omega(r) / r for 100 workers and 10 classes at r = 1, 3, 5, 7, 13: means over 8 draws of workers,
# for qualities 0.2 and 0.6.
SIMULATED = {
    "hammer_spammer": [[0.185, 0.183, 0.134, 0.114, 0.071], [0.584, 0.316, 0.197, 0.143, 0.077]],
    "class_wise": [[0.121, 0.114, 0.110, 0.101, 0.073], [0.446, 0.307, 0.199, 0.143, 0.077]],
}


@pytest.mark.parametrize("name", SIMULATED)
def test_information_of_simulated_workers(name):
    redundancy, prior = jnp.array([1, 3, 5, 7, 13]), jnp.full(10, 0.1)

    def share(key, quality):
        key_pool, key_label = jax.random.split(key)
        pool = workers.WORKERS[name](key_pool, Dims(1, 100, 10), quality)
        omega = jax.vmap(lambda r: theory.information(key_label, pool, prior, r, 1000))
        return omega(redundancy) / redundancy

    keys, quality = jax.random.split(jax.random.key(0), 16), jnp.array([0.2, 0.6])
    draws = jax.jit(lambda *draws: jax.lax.map(lambda draw: share(*draw), draws))
    shares = np.array(draws(keys, jnp.repeat(quality, 8))).reshape(2, 8, 5)
    mean = shares.mean(axis=1)  # [quality, redundancy]
    error = shares.std(axis=1, ddof=1) * math.sqrt(2 / 8)  # of the difference of two such means
    tolerance = 4 * error + 6e-4  # three digits
    assert (np.abs(mean - np.array(SIMULATED[name])) < tolerance).all()
    if name == "hammer_spammer":
        exact = jax.vmap(over_redundancy(theory.information_hammer_spammer), (0, None))
        assert (np.abs(mean - exact(quality, redundancy) / redundancy[None]) < tolerance).all()


# Angle between true and learned direction, as a share of a half turn, at r = 1; then relative to it
# at r = 2, 3, 5, 7, 9. Means over 200 seeds, each with a standard error of about 1.2 %.
EXPERIMENT = np.array(
    [  # share and accuracy of the workers that do not guess
        [1.0, 0.9, 0.0321, 1.23, 1.35, 1.61, 1.87, 2.15],
        [1.0, 0.8, 0.0451, 1.13, 1.19, 1.33, 1.44, 1.63],
        [1.0, 0.7, 0.0695, 1.06, 1.10, 1.17, 1.21, 1.30],
        [1.0, 0.6, 0.1357, 1.03, 1.05, 1.07, 1.07, 1.10],
        [0.2, 1.0, 0.0623, 1.02, 1.06, 1.06, 1.15, 1.24],
        [0.6, 1.0, 0.0336, 1.10, 1.25, 1.51, 1.78, 2.05],
    ]
)


def angle(key, redundancy, share, skill, budget=6000, dim=20, slots=9):
    """Posterior-weighted logistic regression on a logistic truth of slope 2, by Newton's method."""
    keys = jax.random.split(key, 5)
    direction = jax.random.normal(keys[0], (dim,))
    direction /= jnp.linalg.norm(direction)
    x = jax.random.normal(keys[1], (budget, dim))
    truth = jax.random.bernoulli(keys[2], jax.nn.sigmoid(2 * x @ direction))
    skilled = jax.random.bernoulli(keys[3], share, (budget, slots))
    accuracy = jnp.where(skilled, skill, 0.5)
    right = jax.random.bernoulli(keys[4], accuracy)

    # The posterior, from workers of known quality, of as many items as the budget reaches.
    log_odds = jax.scipy.special.logit(jnp.minimum(accuracy, 1 - 1e-6))
    votes = jnp.where(right == truth[:, None], log_odds, -log_odds)
    seen = (jnp.arange(slots) < redundancy)[None]
    target = jax.nn.sigmoid(jnp.where(seen, votes, 0).sum(axis=1))
    labelled = jnp.arange(budget) < budget // redundancy

    def newton(weights, _):
        p = jax.nn.sigmoid(x @ weights)
        hessian = (x.T * jnp.where(labelled, p * (1 - p), 0)[None]) @ x
        return weights + jnp.linalg.solve(hessian, x.T @ jnp.where(labelled, target - p, 0)), None

    weights = jax.lax.scan(newton, jnp.zeros(dim), length=6)[0]
    return jnp.arccos(weights @ direction / jnp.linalg.norm(weights)) / jnp.pi


def check_experiment(redundancies, num_seeds):
    kinds = jnp.asarray(EXPERIMENT[:, :2], jnp.float32)
    one = lambda key, r: jax.vmap(lambda kind: angle(key, r, *kind))(kinds)
    # "rbg" keys: their programs compile in half the time.
    seeds = jax.random.split(jax.random.key(0, impl="rbg"), (num_seeds, 1 + len(redundancies)))
    rs = jnp.broadcast_to(jnp.array([1, *redundancies]), seeds.shape)
    runs = jax.jit(lambda *runs: jax.lax.map(lambda run: one(*run), runs))
    angles = np.array(runs(seeds.reshape(-1), rs.reshape(-1))).reshape(*seeds.shape, len(kinds))

    mean = angles.mean(axis=0)
    error = angles.std(axis=0) / mean / math.sqrt(num_seeds)
    column = {2: 3, 3: 4, 5: 5, 7: 6, 9: 7}
    expected = EXPERIMENT[:, [column[r] for r in redundancies]].T
    deviation = mean[1:] / mean[0] / expected - 1
    assert (np.abs(deviation) < 4 * np.sqrt(error[0] ** 2 + error[1:] ** 2 + 2 * 0.012**2)).all()
    deviation = mean[0] / EXPERIMENT[:, 2] - 1
    assert (np.abs(deviation) < 4 * np.sqrt(error[0] ** 2 + 0.012**2)).all()


def test_experiment():
    """Labelling once is best for all six, as B says; by A r = 3 is better for four of them."""
    check_experiment((3, 9), num_seeds=40)


@pytest.mark.slow
def test_experiment_at_full_size():
    check_experiment((2, 3, 5, 7, 9), num_seeds=200)

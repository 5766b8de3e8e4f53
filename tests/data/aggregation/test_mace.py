"""MACE against loops, its bound against the evidence itself, and its restarts."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import digamma, gammaln

from trinity_jax.algorithms.em import EM, Info, fit, fit_until, restarts
from trinity_jax.data.aggregation import majority
from trinity_jax.data.aggregation.annotations import Dims, annotations
from trinity_jax.data.aggregation.mace import mace

ITEM = [0, 0, 0, 1, 1, 2, 2]
WORKER = [0, 1, 2, 0, 2, 0, 1]
LABEL = [0, 0, 1, 2, 1, 2, 2]
TABLE, DIMS = annotations(ITEM, WORKER, LABEL)


@pytest.fixture(scope="module", params=[True, False], ids=["variational", "em"])
def fitted(request):
    """Start, end and infos of 50 rounds."""
    em = mace(DIMS, variational=request.param)
    key = lambda: jax.random.key(0)
    start = em.init(jax.random.split(key())[0], TABLE)
    return request.param, start, *jax.jit(lambda key: fit(em, key, TABLE, 50))(key())


def log_beta(counts):
    return gammaln(counts).sum() - gammaln(counts.sum())


def by_loops(variational, start, rounds):
    """Honesty and favourites of the last round, and the objective of each."""
    honesty, favourite = np.exp(start.log_honesty), np.exp(start.log_favourite)
    priors = (
        (np.full(2, 0.5), np.full(3, 10.0))
        if variational
        else (0.01 / 3 * np.ones(2), 0.01 / 3 * np.ones(3))
    )
    objectives = []

    def likelihood():
        joint = np.full((3, 3), 1 / 3)
        for i, a, l in zip(ITEM, WORKER, LABEL, strict=True):
            joint[i] *= honesty[a, 1] * favourite[a, l] + honesty[a, 0] * (np.arange(3) == l)
        return joint

    for _ in range(rounds):
        joint = likelihood()
        posterior = joint / joint.sum(1, keepdims=True)
        counts = [np.tile(prior, (3, 1)) for prior in priors]
        for i, a, l in zip(ITEM, WORKER, LABEL, strict=True):
            copy, spam = honesty[a, 0], honesty[a, 1] * favourite[a, l]
            copied = posterior[i, l] * copy / (copy + spam)
            counts[0][a] += [copied, 1 - copied]
            counts[1][a, l] += 1 - copied
        if variational:
            honesty, favourite = (
                np.exp(digamma(c) - digamma(c.sum(1, keepdims=True))) for c in counts
            )
        else:
            honesty, favourite = (c / c.sum(1, keepdims=True) for c in counts)
        objective = np.log(likelihood().sum(1)).sum()
        for prior, rows, probs in zip(priors, counts, (honesty, favourite), strict=True):
            for row, p in zip(rows, np.log(probs), strict=True):
                if variational:
                    objective -= log_beta(prior) - log_beta(row) + (row - prior) @ p
                else:
                    objective += prior @ (p - np.log(prior / prior.sum()))
        objectives.append(objective)
    return honesty, favourite, objectives


def test_equals_loops(fitted):
    variational, start, state, info = fitted
    honesty, favourite, objectives = by_loops(variational, start, 50)
    np.testing.assert_allclose(info.objective * len(ITEM), objectives, rtol=1e-4)
    np.testing.assert_allclose(jnp.exp(state.log_honesty), honesty, rtol=1e-2, atol=1e-5)
    np.testing.assert_allclose(jnp.exp(state.log_favourite), favourite, rtol=1e-2, atol=1e-5)


def log_evidence():
    """Of all labels, parameters integrated out: a sum over truths and over what is spam."""
    terms = []
    for truth in itertools.product(range(3), repeat=3):
        wrong = [truth[i] != l for i, l in zip(ITEM, LABEL, strict=True)]
        for spam in itertools.product([False, True], repeat=len(ITEM)):
            if any(w and not s for w, s in zip(wrong, spam, strict=True)):
                continue  # only spam can differ from the truth
            honesty, favourite = np.full((3, 2), 0.5), np.full((3, 3), 10.0)
            for a, l, s in zip(WORKER, LABEL, spam, strict=True):
                honesty[a, int(s)] += 1
                favourite[a, l] += s
            term = 3 * np.log(1 / 3)
            term += sum(log_beta(row) - log_beta(np.full(2, 0.5)) for row in honesty)
            terms.append(
                term + sum(log_beta(row) - log_beta(np.full(3, 10.0)) for row in favourite)
            )
    return np.logaddexp.reduce(terms)


def test_bound_is_below_the_evidence_and_close(fitted):
    variational, _, _, info = fitted
    if variational:
        assert 0 < log_evidence() - info.objective[-1] * len(ITEM) < 1.5


def test_objective_never_falls(fitted):
    assert np.diff(fitted[-1].objective).min() > -1e-5


def test_finds_spammers():
    """Workers 0 to 2 always say 1; the others are right eight times in ten."""
    random, dims = np.random.default_rng(0), Dims(100, 9, 4)
    truth = random.integers(4, size=100)
    item, worker = (column.ravel() for column in np.indices((100, 9)))
    right = random.uniform(size=900) < 0.8
    label = np.where(right, truth[item], (truth[item] + random.integers(1, 4, 900)) % 4)
    label[worker < 3] = 1
    table, _ = annotations(item, worker, label, dims)
    best = jax.jit(lambda keys: restarts(mace(dims), keys, table, max_steps=50))
    state = best(jax.random.split(jax.random.key(0), 10)).state
    spam = np.exp(state.log_honesty[:, 1])
    assert spam[:3].min() > 0.8
    assert spam[3:].max() < 0.4
    assert (state.log_favourite[:3].argmax(1) == 1).all()
    assert np.mean(np.array(state.log_posterior).argmax(1) == truth) > 0.98


def test_restarts_differ():
    """Each has its own random numbers, and honesty and favourites have different ones."""
    starts = jax.jit(jax.vmap(mace(DIMS).init, (0, None)))(
        jax.random.split(jax.random.key(0), 10), TABLE
    )
    for leaf in (starts.log_honesty, starts.log_favourite):
        assert len(np.unique(np.array(leaf).reshape(10, -1), axis=0)) == 10
    assert (starts.log_honesty[:, :, 0] != starts.log_favourite[:, :, 0]).all()


def test_restarts_keep_the_best():
    em, keys = mace(DIMS), lambda: jax.random.split(jax.random.key(3), 5)
    runs = jax.jit(jax.vmap(lambda key: fit_until(em, key, TABLE)))(keys())
    best = jax.jit(lambda keys: restarts(em, keys, TABLE))(keys())
    winner = runs.info.objective.argmax()
    jax.tree.map(
        lambda one, all: np.testing.assert_allclose(one, all[winner], rtol=1e-5), best, runs
    )
    assert len(np.unique(runs.info.objective)) > 1


@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
def test_restarts_never_choose_what_is_not_finite(bad):
    def init(key, observed, /):
        return majority.State(jax.random.uniform(key, (2, 2)))

    def step(key, state, observed, /):
        objective = state.log_posterior[0, 0]
        return state, Info(jnp.where(objective > 0.5, bad, objective), jnp.zeros(()))

    keys = jax.random.split(jax.random.key(0), 20)
    objective = restarts(EM(init, step), keys, None).info.objective
    assert 0.2 < objective <= 0.5

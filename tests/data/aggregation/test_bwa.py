"""BWA against loops, and its objective against the multivariate t of labels."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import multivariate_t, norm

from trinity_jax.algorithms.em import fit
from trinity_jax.data.aggregation.annotations import Dims, annotations
from trinity_jax.data.aggregation.bwa import bwa

ITEM = [0, 0, 0, 1, 1, 2, 2, 2, 3]
WORKER = [0, 1, 2, 0, 2, 0, 1, 2, 1]
LABEL = [0, 0, 1, 2, 1, 2, 2, 2, 0]


def run(table, dims, rounds):
    return jax.jit(lambda key: fit(bwa(dims), key, table, rounds))(jax.random.key(0))


def by_loops(rounds):
    """Averages [item, label], and log p(y, z | mean of z) after them, class by class."""
    item, worker, label = map(np.array, (ITEM, WORKER, LABEL))
    averages, log_density = np.zeros((4, 3)), 0.0
    for k in range(3):
        y = (label == k).astype(float)
        z = np.array([y[item == i].mean() for i in range(4)])
        scale = 15 * np.mean([z[i] * (1 - z[i]) for i in item]) * 4 * (1 - 1 / 3)
        for _ in range(rounds):
            mu, v = z.mean(), np.zeros(3)
            for a in range(3):
                mine = worker == a
                v[a] = (15 + mine.sum()) / (scale + ((y[mine] - z[item[mine]]) ** 2).sum())
            for i in range(4):
                weight = v[worker[item == i]]
                z[i] = (mu + weight @ y[item == i]) / (1 + weight.sum())
        averages[:, k] = z
        log_density += norm.logpdf(z, z.mean(), 1).sum()
        for a in range(3):
            mine = worker == a
            t = multivariate_t(z[item[mine]], scale / 15 * np.eye(mine.sum()), df=15)
            log_density += t.logpdf(y[mine])
    return averages, log_density


def test_equals_loops():
    """The objective, of where a round starts, up to a constant.

    Labels are jointly t once precisions are integrated out.
    """
    with jax.enable_x64(True):
        state, info = run(*annotations(ITEM, WORKER, LABEL), 3)
    averages, _ = by_loops(3)
    np.testing.assert_allclose(state.average, averages, rtol=1e-6)
    shares = averages / averages.sum(1, keepdims=True)
    np.testing.assert_allclose(np.exp(state.log_posterior), shares, rtol=1e-6)
    gained = np.diff(info.objective) * len(ITEM)
    np.testing.assert_allclose(gained, np.diff([by_loops(t)[1] for t in (0, 1, 2)]), rtol=1e-4)


def test_good_workers_weigh_more():
    """Two workers who agree with nobody but each other lose a tie to two who agree with all."""
    item = np.repeat(np.arange(40), 6)
    worker = np.tile(np.arange(6), 40)
    truth = np.arange(40) % 2
    label = np.where(worker < 4, truth[item], np.random.default_rng(0).integers(2, size=240))
    kept = (item > 0) | ~np.isin(worker, (2, 3))  # item 0 has two of each kind
    label[(item == 0) & (worker > 3)] = 1
    table, dims = annotations(item[kept], worker[kept], label[kept])
    state, _ = run(table, dims, 10)
    assert (state.log_posterior.argmax(1) == truth).all()
    np.testing.assert_allclose(state.average.sum(1), 1, rtol=1e-5)  # two classes mirror each other


def test_unanimous_workers_are_believed():
    """No variance at all, and a class that nobody names."""
    table, _ = annotations([0, 0, 1, 1], [0, 1, 0, 1], [0, 0, 1, 1])
    state, info = run(table, Dims(2, 2, 3), 5)
    np.testing.assert_allclose(jnp.exp(state.log_posterior), np.eye(2, 3), atol=1e-6)
    assert jnp.isfinite(info.objective).all()

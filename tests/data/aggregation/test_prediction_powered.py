"""Intervals that hold what they promise, and are narrower for predictions that say something."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.data.aggregation import prediction_powered
from trinity_jax.data.aggregation.aggregators import aggregate
from trinity_jax.data.aggregation.annotations import Annotations, Dims
from trinity_jax.data.aggregation.one_coin import coin_confusion
from trinity_jax.data.aggregation.workers import annotate
from trinity_jax.types import InputError

PANELS = 200
judge = jax.jit(prediction_powered.worker_accuracy, static_argnums=1)
accuracy = jax.jit(prediction_powered.accuracy)
CROWD = Dims(items=240, workers=8, labels=3)
SKILL = np.linspace(0.55, 0.97, CROWD.workers)


def by_hand(truth, prediction, others):
    """The formulas of PPI++ for a mean."""
    n, more = len(truth), len(others)
    every = np.concatenate([prediction, others])
    ratio = np.cov(truth, prediction)[0, 1] / ((1 + n / more) * every.var(ddof=1))
    tuning = np.clip(ratio, 0, 1)
    estimate = truth.mean() + tuning * (others.mean() - prediction.mean())
    variance = (truth - tuning * prediction).var(ddof=1) / n + tuning**2 * others.var(ddof=1) / more
    return estimate, variance**0.5, tuning


@jax.jit
def mean(truth, prediction, others):
    """Estimate and standard error of one group."""
    known = jnp.arange(truth.size + others.size) < truth.size
    every, group = jnp.concatenate([prediction, others]), jnp.zeros(known.shape, int)
    value = jnp.concatenate([truth, jnp.full_like(others, 9)])
    return tuple(leaf[0] for leaf in prediction_powered.means(value, every, known, group, 1)[:2])


def rows(seed, n=15, more=40, slope=0.7):
    random = np.random.default_rng(seed)
    truth, noise = random.normal(2, 1, n + more), random.normal(size=n + more)
    prediction = slope * truth + noise / 2
    return truth[:n], prediction[:n], prediction[n:]


@pytest.mark.parametrize("slope", [0.7, 0.0, -1.0, 30.0])
def test_a_mean_is_that_of_the_formulas(slope):
    truth, prediction, others = rows(0, slope=slope)
    estimate, error, _ = by_hand(truth, prediction, others)
    found = mean(*map(jnp.asarray, (truth, prediction, others)))
    np.testing.assert_allclose(found, (estimate, error), rtol=1e-4)


def test_groups_are_means_of_their_own():
    parts = [rows(seed, 5 + seed, 20 - seed) for seed in range(3)]
    known = [np.arange(len(y) + len(more)) < len(y) for y, _, more in parts]
    table = [
        np.concatenate([np.concatenate([y, np.full(len(more), 9)]) for y, _, more in parts]),
        np.concatenate([np.concatenate(part[1:]) for part in parts]),
        np.concatenate(known),
        np.repeat([0, 2, 3], [len(part) for part in known]),  # group 1 is empty, 3 does not exist
    ]
    order = np.random.default_rng(0).permutation(len(table[0]))
    means = jax.jit(prediction_powered.means, static_argnums=4)
    found = means(*(jnp.asarray(column[order]) for column in table), 3)
    for group, part in ((0, parts[0]), (2, parts[1])):
        expected = by_hand(*part)
        np.testing.assert_allclose([leaf[group] for leaf in found[:3]], expected, rtol=1e-4)
    np.testing.assert_array_equal(found.known, [5, 0, 6])
    assert np.isnan(found.error[1])


def test_where_all_is_known_it_is_the_mean():
    truth, prediction, _ = rows(0)
    found = mean(jnp.asarray(truth), jnp.asarray(prediction), jnp.zeros(0))
    np.testing.assert_allclose(found, (truth.mean(), truth.std(ddof=1) / 15**0.5), rtol=1e-5)


def test_intervals_of_a_mean_hold_it_and_are_narrower():
    def one(key, noise):
        key_truth, key_noise = jax.random.split(key)
        truth = jax.random.normal(key_truth, (340,))
        prediction = truth + 1 + noise * jax.random.normal(key_noise, truth.shape)  # biased
        return mean(truth[:40], prediction[:40], prediction[40:])

    noises, narrower = jnp.array([0.3, 1.0, 10.0]), (0.5, 0.85, 1.01)
    keys = jax.random.split(jax.random.key(0), (len(narrower), 1000))
    many = jax.jit(jax.vmap(jax.vmap(one, (0, None))))
    for estimate, error, times in zip(*many(keys, noises), narrower, strict=True):
        assert 0.92 < (jnp.abs(estimate) < 1.96 * error).mean() < 0.97
        assert error.mean() < times / 40**0.5


def crowd(key):
    """A table of labels, its truth, and the truth of some items at random."""
    key_truth, key_label, key_gold = jax.random.split(key, 3)
    truth = jax.random.randint(key_truth, (CROWD.items,), 0, CROWD.labels)
    table = annotate(key_label, truth, jnp.exp(coin_confusion(jnp.asarray(SKILL), 3)), 5)
    order = jax.random.permutation(key_gold, CROWD.items)
    return table, truth, jnp.where(order < 48, truth, -1)


def test_nobody_judges_what_he_was_told():
    """A method that repeats the gold is certain of it, but for the fold that is hidden."""
    gold = jnp.where(jnp.arange(40) % 3 == 0, jnp.arange(40) % 2, -1)
    seen = []

    def method(key, told):
        del key
        jax.debug.callback(lambda told: seen.append(np.asarray(told)), told)
        return jnp.where((told >= 0)[:, None], jnp.log(jax.nn.one_hot(told, 2)), jnp.log(0.5))

    found = prediction_powered.cross_fitted(jax.random.key(0), method, gold, 4)
    jax.effects_barrier()
    np.testing.assert_allclose(found, np.log(0.5), rtol=1e-6)
    hidden = (np.stack(seen) < 0)[:, gold >= 0]
    assert (hidden.sum(axis=0) == 1).all()
    assert sorted(hidden.sum(axis=1)) == [3, 3, 4, 4]
    with pytest.raises(InputError, match="two folds or more, not 1"):
        prediction_powered.cross_fitted(jax.random.key(0), method, gold, 1)


def test_other_items_get_the_mean_of_the_folds():
    gold = jnp.array([0, 1, -1, -1])
    log_posterior = lambda key, told: jnp.log(
        jnp.where((told[1] >= 0) & (jnp.arange(4) >= 2), 0.2, 0.6)[:, None] * jnp.ones((4, 2))
    )
    found = prediction_powered.cross_fitted(jax.random.key(0), log_posterior, gold, 2)
    np.testing.assert_allclose(np.exp(found), np.tile([[0.6], [0.6], [0.4], [0.4]], 2), rtol=1e-5)


def test_intervals_of_workers_hold_their_accuracy_and_are_narrower():
    """95 % intervals of eight workers in 200 panels: good, useless and no predictions."""

    def one(key):
        key_crowd, key_fold, key_permuted = jax.random.split(key, 3)
        table, truth, gold = crowd(key_crowd)
        method = lambda key, gold: aggregate("dawid_skene_map", key, table, CROWD, gold)
        found = prediction_powered.cross_fitted(key_fold, method, gold)
        useless = jax.random.normal(key_permuted, found.shape)
        beliefs = found, jax.nn.log_softmax(useless), jnp.zeros_like(found)
        answers = [prediction_powered.worker_accuracy(table, CROWD, gold, b) for b in beliefs]
        return answers, prediction_powered.accuracy(gold, found), (found.argmax(1) == truth).mean()

    keys = jax.random.split(jax.random.key(0), PANELS)
    answers, total, right = jax.jit(lambda keys: jax.lax.map(one, keys))(keys)
    width = []
    for answer in answers:
        low, high = np.asarray(answer.low), np.asarray(answer.high)
        held = (low <= SKILL) & (high >= SKILL)
        assert 0.94 < held.mean() < 0.99
        assert held.mean(axis=0).min() > 0.9
        np.testing.assert_allclose(answer.estimate.mean(axis=0), SKILL, atol=0.02)  # no bias
        width.append((high - low).mean())
    assert width[0] < 0.75 * width[2]
    assert width[1] < 1.03 * width[2]
    assert 0.9 < ((total.low <= right.mean()) & (right.mean() <= total.high)).mean() <= 0.99


def test_without_predictions_the_interval_is_agresti_and_coulls():
    table = Annotations(jnp.arange(12), jnp.arange(12) // 6, jnp.arange(12) % 3, jnp.ones(12))
    gold = jnp.array([0, 1, 1, 0, 0, 2, 0, -1, -1, -1, -1, -1])  # 4 of 6 right, and one
    found = judge(table, Dims(12, 3, 3), gold, jnp.zeros((12, 3)))
    np.testing.assert_allclose(found.estimate[0], 4 / 6, rtol=1e-6)
    rate, error = 6 / 10, (0.6 * 0.4 / 9) ** 0.5  # as a mean's: n - 1
    ends = rate - 1.95996 * error, rate + 1.95996 * error
    np.testing.assert_allclose((found.low[0], found.high[0]), ends, rtol=1e-4)
    np.testing.assert_array_equal(found.known, [6, 1, 0])
    assert all(np.isnan(leaf[1:]).all() for leaf in found[:3])


def test_rows_of_no_weight_and_the_order_of_rows_do_not_matter():
    table, _, gold = jax.device_get(jax.jit(crowd)(jax.random.key(3)))
    random = np.random.default_rng(0)
    belief = np.log(random.dirichlet([1, 1, 1], CROWD.items)).astype(np.float32)
    order = random.permutation(2 * len(table.item))
    empty = table._replace(weight=np.zeros_like(table.weight))
    other = Annotations(*(np.append(*pair)[order] for pair in zip(table, empty, strict=True)))
    for one, two in zip(*(judge(t, CROWD, gold, belief) for t in (table, other)), strict=True):
        np.testing.assert_allclose(one, two, atol=1e-5)


def test_accuracy_has_wilsons_interval():
    gold = jnp.array([0] * 10 + [-1] * 5)
    right = np.arange(15)[:, None] < 8
    log_posterior = np.where(right, [[-0.1, -2.3]], [[-2.3, -0.1]]).astype(np.float32)
    found = accuracy(gold, log_posterior)
    np.testing.assert_allclose(found, (0.8, 0.490162, 0.943318, 10), rtol=1e-4)
    nothing = accuracy(jnp.full(15, -1), log_posterior)
    assert np.isnan(nothing[:3]).all()
    with pytest.raises(InputError, match="confidence must lie between 0 and 1, not 95"):
        prediction_powered.accuracy(gold, jnp.asarray(log_posterior), 95.0)

"""Model-bootstrapped EM: the paper's estimate by hand, and what it gains where votes are blind."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from trinity_jax.algorithms.em import fit
from trinity_jax.data.aggregation import model_bootstrapped as mbem
from trinity_jax.data.aggregation.annotations import Dims, annotations
from trinity_jax.data.aggregation.dawid_skene import SMALLEST, expectation
from trinity_jax.data.aggregation.majority import soft_vote
from trinity_jax.data.aggregation.workers import annotate, class_wise, hammer_spammer

TABLE, DIMS = annotations(
    item=[0, 0, 1, 1, 2, 3, 3], worker=[0, 1, 0, 2, 1, 0, 2], label=[0, 0, 1, 0, 1, 1, 1]
)
LOG_PROBS = jnp.log(jnp.array([[0.9, 0.1], [0.4, 0.6], [0.2, 0.8], [0.3, 0.7]]))


def by_hand(answers):
    """The authors' rule, with products: empty rows are uniform, empty cells 1e-10."""
    confusion = np.zeros((*DIMS[1:], DIMS.labels))
    for item, worker, label in zip(TABLE.item, TABLE.worker, TABLE.label, strict=True):
        confusion[worker, answers[item], label] += 1
    confusion = np.maximum(confusion, 1e-10)
    confusion /= confusion.sum(-1, keepdims=True)
    posterior = np.ones((DIMS.items, DIMS.labels))
    for item, worker, label in zip(TABLE.item, TABLE.worker, TABLE.label, strict=True):
        posterior[item] *= confusion[worker, :, label]
    return posterior / posterior.sum(1, keepdims=True), confusion


def test_update_is_the_papers():
    state = mbem.update(TABLE, DIMS, LOG_PROBS)
    posterior, confusion = by_hand(np.asarray(LOG_PROBS).argmax(1))
    np.testing.assert_allclose(np.exp(state.log_posterior), posterior, atol=1e-6)
    np.testing.assert_allclose(np.exp(state.log_confusion), confusion, atol=1e-6)


def test_strength_draws_a_worker_to_one_coin():
    reference = mbem.hard_reference(LOG_PROBS)
    strong = np.exp(mbem.log_confusion(TABLE, DIMS, reference, strength=1e6))
    # Worker 0 agrees with the model on all of three labels, and chance adds one of two.
    np.testing.assert_allclose(strong[0], [[0.8, 0.2], [0.2, 0.8]], atol=1e-4)


def test_a_step_trains_on_the_posterior_and_updates_from_the_model():
    seen = []

    def fit_predict(key, posterior):
        del key
        seen.append(posterior)
        return LOG_PROBS

    em = mbem.model_bootstrapped(DIMS, fit_predict)
    key = jax.random.key(0)
    state, _ = em.step(key, em.init(key, TABLE), TABLE)
    np.testing.assert_allclose(seen[0], soft_vote(TABLE, DIMS), atol=1e-6)
    expected = mbem.update(TABLE, DIMS, LOG_PROBS)
    np.testing.assert_allclose(state.log_posterior, expected.log_posterior, atol=1e-6)


# Gaussian mixture, 10 classes in 20 dimensions, 100 workers, 20,000 labels.
MIXTURE = Dims(20_000, 100, 10)


def draw(key, num_items, means):
    key_label, key_noise = jax.random.split(key)
    y = jax.random.randint(key_label, (num_items,), 0, MIXTURE.labels)
    return means[y] + jax.random.normal(key_noise, (num_items, means.shape[1])), y


def regress(x, target):
    """Softmax regression by L-BFGS: its logits as a function."""

    def loss(params):
        logits = x @ params[0] + params[1][None]
        return -(target * jax.nn.log_softmax(logits)).sum(1).mean()

    params = (jnp.zeros((x.shape[1], MIXTURE.labels)), jnp.zeros(MIXTURE.labels))
    optimiser = optax.lbfgs()
    value_and_grad = optax.value_and_grad_from_state(loss)

    def step(_, carry):
        params, state = carry
        value, gradient = value_and_grad(params, state=state)
        update, state = optimiser.update(
            gradient, state, params, value=value, grad=gradient, value_fn=loss
        )
        return optax.apply_updates(params, update), state

    params, _ = jax.lax.fori_loop(0, 30, step, (params, optimiser.init(params)))
    return lambda inputs: inputs @ params[0] + params[1][None]


@functools.partial(jax.jit, static_argnums=1)
def mixture_errors(key, workers, quality):
    """Test errors of the vote, MBEM with one update, the oracle posterior and clean labels."""
    keys = jax.random.split(key, 5)
    means = jax.random.normal(keys[0], (MIXTURE.labels, 20))
    (x, y), (x_test, y_test) = draw(keys[1], MIXTURE.items, means), draw(keys[2], 20_000, means)
    confusion = workers(keys[3], MIXTURE, quality)
    table = annotate(keys[4], y, confusion, 1)
    vote = soft_vote(table, MIXTURE)
    em = mbem.model_bootstrapped(MIXTURE, lambda key, posterior: regress(x, posterior)(x))
    learned = jnp.exp(fit(em, jax.random.key(0), table, 1)[0].log_posterior)
    uniform = jnp.full((1, MIXTURE.labels), -jnp.log(MIXTURE.labels))
    log_confusion = jnp.log(jnp.maximum(confusion, SMALLEST))
    oracle = jnp.exp(expectation(table, MIXTURE, log_confusion, uniform)[0])
    targets = jnp.stack([vote, learned, oracle, jax.nn.one_hot(y, MIXTURE.labels)])
    return jax.lax.map(lambda t: (regress(x, t)(x_test).argmax(1) != y_test).mean(), targets)


@pytest.mark.parametrize(("workers", "quality"), [(hammer_spammer, 0.2), (class_wise, 0.2)])
def test_labels_given_once_tell_good_workers_from_bad(workers, quality):
    # "rbg" keys: their programs compile in half the time.
    runs = [mixture_errors(jax.random.key(seed, impl="rbg"), workers, quality) for seed in range(3)]
    vote, learned, oracle, clean = np.mean(runs, axis=0)
    assert clean < min(learned, oracle)
    assert learned < 0.9 * vote  # the vote alone cannot tell, however it is aggregated
    assert learned < 1.15 * oracle


def test_confusions_need_no_redundancy():
    """c labels for each worker and class leave sqrt(0.1 * 0.9 / c) of error, at every r."""

    @functools.partial(jax.jit, static_argnums=0)
    def error(redundancy):
        keys = jax.random.split(jax.random.key(0, impl="rbg"), 3)
        dims = Dims(MIXTURE.items // redundancy, *MIXTURE[1:])
        truth = jax.random.randint(keys[0], (dims.items,), 0, dims.labels)
        confusion = hammer_spammer(keys[1], dims, 0.2)
        table = annotate(keys[2], truth, confusion, redundancy)
        found = jnp.exp(mbem.log_confusion(table, dims, jax.nn.one_hot(truth, dims.labels)))
        spammer = confusion[:, 0, 0] < 0.5
        square = jnp.where(spammer[:, None, None], (found - confusion) ** 2, 0)
        return jnp.sqrt(square.sum() / (spammer.sum() * dims.labels**2))

    expected = np.sqrt(0.1 * 0.9 / (20_000 / (100 * 10)))
    for redundancy in (1, 7):
        assert float(error(redundancy)) == pytest.approx(expected, rel=0.06)

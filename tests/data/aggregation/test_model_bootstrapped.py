"""Model-bootstrapped EM: the paper's estimate by hand, and what it gains where votes are blind."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from trinity_jax.algorithms.em import fit, fit_best
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


@pytest.mark.parametrize(
    ("workers", "quality", "ratios", "tolerance"),
    [  # errors of MBEM and of the oracle to the vote's, in runs on other mixtures of this kind
        (hammer_spammer, 0.2, (0.0373 / 0.0479, 0.0369 / 0.0479), 0.12),
        (class_wise, 0.2, (0.0472 / 0.0681, 0.0515 / 0.0681), 0.12),
        (hammer_spammer, 0.6, (0.0309 / 0.0334, 0.0323 / 0.0334), 0.025),
    ],
)
def test_labels_given_once_tell_good_workers_from_bad(workers, quality, ratios, tolerance):
    # "rbg" keys: their programs compile in half the time.
    runs = [mixture_errors(jax.random.key(seed, impl="rbg"), workers, quality) for seed in range(3)]
    vote, learned, oracle, clean = np.mean(runs, axis=0)
    assert clean < min(learned, oracle)
    # The vote alone cannot tell, however it is aggregated.
    assert learned < (0.9 if quality < 0.5 else 0.95) * vote
    assert learned < 1.15 * oracle
    assert (learned / vote, oracle / vote) == pytest.approx(ratios, abs=tolerance)


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


def constant(log_probs):
    return lambda key, posterior: log_probs


def test_soft_reference_counts_how_sure_the_model_is():
    state = mbem.update(TABLE, DIMS, LOG_PROBS, reference=mbem.soft_reference)
    probs, counts = np.exp(LOG_PROBS), np.zeros((3, 2, 2))
    for item, worker, label in zip(TABLE.item, TABLE.worker, TABLE.label, strict=True):
        counts[worker, :, label] += probs[item]
    expected = counts / counts.sum(-1, keepdims=True)
    np.testing.assert_allclose(np.exp(state.log_confusion), expected, atol=1e-6)


def test_tau_and_prior_are_factors_of_the_posterior():
    plain = mbem.update(TABLE, DIMS, LOG_PROBS, strength=1.0)
    both = mbem.update(TABLE, DIMS, LOG_PROBS, strength=1.0, tau=0.5, estimate_prior=True)
    share = np.log([1 / 4, 3 / 4])  # of the model's answers 0, 1, 1, 1
    expected = jax.nn.log_softmax(plain.log_posterior + 0.5 * LOG_PROBS + share[None])
    np.testing.assert_allclose(both.log_posterior, expected, atol=1e-5)


def test_distilled_trains_on_the_first_models_answers():
    seen = []

    def fit_predict(key, posterior):
        seen.append((jax.random.key_data(key), posterior))
        return LOG_PROBS + len(seen)

    posterior = soft_vote(TABLE, DIMS)
    found = mbem.distilled(fit_predict)(jax.random.key(0), posterior)
    assert len(seen) == 2
    assert (seen[0][0] != seen[1][0]).any()
    np.testing.assert_array_equal(seen[0][1], posterior)
    np.testing.assert_array_equal(seen[1][1], [[1, 0], [0, 1], [0, 1], [0, 1]])
    np.testing.assert_array_equal(found, LOG_PROBS + 2)


def test_out_of_fold_predictions_do_not_see_their_item():
    """A model that returns the weights it was trained with: 0 for each item's own fold."""
    fit_predict = lambda key, posterior, weight: jnp.stack([weight, weight.sum() + 0 * weight], 1)
    predict = jax.jit(lambda key: mbem.out_of_fold(fit_predict, 3)(key, jnp.ones((10, 2)) / 2))
    found = predict(jax.random.key(0))
    np.testing.assert_array_equal(found[:, 0], 0)
    assert set(np.array(found[:, 1])) == {6, 7}  # ten items in folds of four, three and three


def test_the_guard_keeps_the_round_that_predicts_held_out_labels_best():
    """A model that is right at first, and worse in every round."""
    true = jnp.array([[4.0, 0.0], [0.0, 4.0], [0.0, 4.0], [0.0, 4.0]])
    rounds = iter((true, -true))

    def fit_predict(key, posterior):
        return jax.nn.log_softmax(next(rounds))

    em = mbem.model_bootstrapped(DIMS, fit_predict, strength=1.0, held_out=TABLE)
    state, info = em.init(jax.random.key(0), TABLE), []
    states = []
    for seed in range(2):
        state, found = em.step(jax.random.key(seed), state, TABLE)
        states.append(state)
        info.append(float(found.objective))
    by_hand = []
    for item, worker, label in zip(TABLE.item, TABLE.worker, TABLE.label, strict=True):
        mixed = np.exp(states[0].log_probs[item]) @ np.exp(states[0].log_confusion[worker])
        by_hand.append(np.log(mixed[label]))
    assert info[0] == pytest.approx(np.mean(by_hand), rel=1e-5)

    scripted = jnp.stack([true, -true])  # the same in a compiled program
    fit_predict = lambda key, posterior: jax.nn.log_softmax(
        scripted[jnp.where(posterior[2, 1] == 1, 0, 1)]
    )
    em = mbem.model_bootstrapped(DIMS, fit_predict, strength=1.0, held_out=TABLE)
    best = jax.jit(lambda key: fit_best(em, key, TABLE, 3))(jax.random.key(0))
    np.testing.assert_allclose(best.state.log_probs, jax.nn.log_softmax(true), atol=1e-6)
    assert best.num_steps == 1


def test_options_are_axes_of_one_program():
    traces = []

    @jax.jit
    @functools.partial(jax.vmap, in_axes=(0, 0, 0))
    def run(key, strength, tau):
        traces.append(1)
        em = mbem.model_bootstrapped(DIMS, constant(LOG_PROBS), strength, tau)
        return fit(em, key, TABLE, 2)[0].log_posterior

    keys = lambda: jax.random.split(jax.random.key(0), 2)
    found = run(keys(), jnp.array([0.5, 1.0]), jnp.array([0.0, 1.0]))
    run(keys(), jnp.array([1.0, 2.0]), jnp.array([1.0, 1.0]))
    assert len(traces) == 1
    for row, (strength, tau) in zip(found, ((0.5, 0.0), (1.0, 1.0)), strict=True):
        expected = mbem.update(TABLE, DIMS, LOG_PROBS, strength, tau).log_posterior
        np.testing.assert_allclose(row, expected, atol=1e-5)

"""Losses on label sets: their formulas, gradients and limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.algorithms import networks, partial_labels, training
from trinity_jax.algorithms.partial_labels import LOSSES

RNG = np.random.default_rng(0)
LOGITS = jnp.asarray(RNG.normal(size=(8, 5)), jnp.float32)
LEFT = jnp.asarray(RNG.random((8, 5)) < 0.5).at[:, 0].set(True)
TARGET = LEFT.astype(jnp.float32)
ONES = jnp.ones(8)


def gradient(name, logits=LOGITS, target=TARGET):
    return jax.grad(LOSSES[name].loss)(logits, target, ONES) * 8


def test_cc_is_minus_the_log_probability_of_what_is_left():
    probs = np.asarray(jax.nn.softmax(LOGITS))
    expected = -np.log((probs * TARGET).sum(1)).mean()
    np.testing.assert_allclose(LOSSES["cc"].loss(LOGITS, TARGET, ONES), expected, rtol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_one_label_left_is_cross_entropy(name):
    target = jax.nn.one_hot(jnp.arange(8) % 5, 5)
    expected = -(target * jax.nn.log_softmax(LOGITS)).sum(1).mean()
    found = LOSSES[name].loss(LOGITS, target, ONES)
    np.testing.assert_allclose(found, expected / (2 if name == "rc" else 1), rtol=1e-6)


def test_cc_of_all_labels_is_zero_and_pulls_nowhere():
    everything = jnp.ones((8, 5))
    np.testing.assert_allclose(LOSSES["cc"].loss(LOGITS, everything, ONES), 0, atol=1e-6)
    np.testing.assert_allclose(gradient("cc", target=everything), np.zeros((8, 5)), atol=1e-6)


def test_gradients_of_cc_of_proden_with_current_weights_and_twice_rc_are_one():
    probs = jax.nn.softmax(LOGITS)
    own = partial_labels.on_left(LOGITS, TARGET)
    np.testing.assert_allclose(gradient("cc"), probs - own, atol=1e-6)
    current = LOSSES["proden"].revise(LOGITS, TARGET)
    np.testing.assert_allclose(gradient("proden", target=current), probs - own, atol=1e-6)
    np.testing.assert_allclose(2 * gradient("rc"), probs - own, atol=1e-6)


def test_nothing_is_lost_where_the_network_excludes_what_is_left():
    logits = jnp.array([[300.0, -300.0, -301.0, 0.0, 0.0]])
    left = jnp.array([[0.0, 1.0, 1.0, 0.0, 0.0]])
    value, pull = jax.value_and_grad(LOSSES["cc"].loss)(logits, left, jnp.ones(1))
    np.testing.assert_allclose(value, 600 - np.log(1 + np.exp(-1)), rtol=1e-5)
    np.testing.assert_allclose(pull[0, 1:3].sum(), -1, rtol=1e-5)
    assert jnp.isfinite(pull).all()


def test_proden_keeps_what_is_left():
    target = TARGET
    for _ in range(50):
        target = LOSSES["proden"].revise(100 * LOGITS, target)
    np.testing.assert_array_equal(target > 0, LEFT)
    np.testing.assert_allclose(target.sum(1), np.ones(8), rtol=1e-5)


def test_evidence_weighs_labels():
    """Answers that may be wrong: -log sum_k p_k P(answers | k), up to what all labels share."""
    evidence = jnp.asarray(RNG.random((8, 5)), jnp.float32)
    expected = -np.log((jax.nn.softmax(LOGITS) * evidence).sum(1)).mean()
    np.testing.assert_allclose(LOSSES["cc"].loss(LOGITS, evidence, ONES), expected, rtol=1e-5)


@pytest.mark.parametrize("name", LOSSES)
def test_an_example_of_weight_zero_does_not_matter(name):
    weight = ONES.at[3].set(0)
    other = LOGITS.at[3].add(jnp.arange(5.0))
    loss = LOSSES[name].loss
    np.testing.assert_allclose(loss(LOGITS, TARGET, weight), loss(other, TARGET, weight), rtol=1e-6)


def test_pseudo_labels_stay_within_what_is_left():
    sure = partial_labels.pseudo(LOSSES["cc"], 0.6)
    own = partial_labels.on_left(LOGITS, TARGET)
    confident = own.max(1) >= 0.6
    assert confident.any()
    assert not confident.all()
    favourite = jax.nn.one_hot(jnp.where(LEFT, LOGITS, -jnp.inf).argmax(1), 5)
    target = jnp.where(confident[:, None], favourite, TARGET)
    expected = LOSSES["cc"].loss(LOGITS, target, ONES)
    np.testing.assert_allclose(sure.loss(LOGITS, TARGET, ONES), expected, rtol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_a_network_learns_classes_from_sets(name):
    """Every example has its label and one of two others left: only together do sets tell."""
    rng = np.random.default_rng(1)
    truth = rng.integers(3, size=600)
    inputs = (np.eye(3)[truth] * 2 + rng.normal(size=(600, 3)) * 0.3).astype(np.float32)
    left = np.eye(3)[truth]
    left[np.arange(600), (truth + rng.integers(1, 3, size=600)) % 3] = 1
    recipe = training.adam(networks.network("softmax", 3), 0.05, 32)
    recipe = recipe._replace(**LOSSES[name]._asdict())
    examples = (
        jnp.asarray(inputs),
        jnp.arange(600),
        jnp.asarray(left, jnp.float32),
        jnp.ones(600),
        600,
    )

    @jax.jit
    def learn(key):
        begin, train = jax.random.split(key)
        state = training.begin(begin, recipe, examples[0])
        state, _ = training.train(train, recipe, state, training.Examples(*examples), 8)
        return training.predict(recipe, state, examples[0])

    assert (learn(jax.random.key(0)).argmax(1) == truth).mean() > 0.95

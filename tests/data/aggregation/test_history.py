"""What was known of workers before: every method that takes it heeds it, in every shape.

Two workers disagree about each item, and nothing else tells them apart.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.data.aggregation import glad, mace
from trinity_jax.data.aggregation import model_bootstrapped as mbem
from trinity_jax.data.aggregation.aggregators import AGGREGATORS, aggregate
from trinity_jax.data.aggregation.annotations import Dims, annotations
from trinity_jax.data.aggregation.dawid_skene import dawid_skene_map
from trinity_jax.data.aggregation.ebcc import ebcc
from trinity_jax.data.aggregation.grouped import grouped
from trinity_jax.data.aggregation.ibcc import ibcc
from trinity_jax.data.aggregation.raykar import raykar
from trinity_jax.data.aggregation.sequences import hmm_crowd

DIMS = Dims(items=8, workers=2, labels=2)
TRUTH = np.arange(8) % 2
ITEM, WORKER = (axis.ravel() for axis in np.indices((8, 2)))
LABEL = np.where(WORKER == 1, TRUTH[ITEM], 1 - TRUTH[ITEM])
TABLE = annotations(ITEM, WORKER, LABEL, DIMS)[0]

RIGHT, WRONG = jnp.array([50.0, 95.0]), jnp.array([50.0, 5.0])  # of a hundred labels
CONFUSED = {"prior": jnp.array([[[1.0, 1.0], [1.0, 1.0]], [[101.0, 1.0], [1.0, 101.0]]])}
COINS = {"right": RIGHT, "wrong": WRONG}
HISTORIES = {  # of every method that takes one
    **dict.fromkeys(("dawid_skene_map", "ibcc", "ebcc"), CONFUSED),
    **dict.fromkeys(("one_coin", "one_coin_prior"), COINS),
    **dict.fromkeys(("wawa", "zero_based_skill", "iwmv"), COINS),
    "class_wise_coin": {"right": RIGHT[:, None], "wrong": WRONG[:, None]},
    "glad": {"ability": glad.Normal(jnp.array([0.0, 2.0]), jnp.array([4.0, 1.0]))},
    "mace": {"honesty": jnp.stack([RIGHT, WRONG], 1)},
}
NONE = {"majority", "soft_vote", "dawid_skene", "bwa", "kos", "m_msr"}  # nowhere to put it


@pytest.mark.parametrize("name", HISTORIES)
def test_a_worker_who_was_right_before_is_believed(name):
    found = jax.jit(lambda key, options: aggregate(name, key, TABLE, DIMS, **options))(
        jax.random.key(0), HISTORIES[name]
    )
    np.testing.assert_array_equal(found.argmax(1), TRUTH)
    assert (np.abs(found[:, 0] - found[:, 1]) > 0.1).all()


def test_every_other_method_takes_none():
    taking = {name.removesuffix("_smoothed") for name in AGGREGATORS} - NONE
    assert taking == set(HISTORIES)


def still(key, posterior):
    """In place of a network: knows nothing."""
    del key
    return jnp.log(jnp.full_like(posterior, 0.5))


SHAPES = ((1, 1, 1), (2, 1, 1), (1, 2, 2), (1, 2, 1), (2, 2, 2))
METHODS = {
    "dawid_skene_map": dawid_skene_map,
    "ibcc": ibcc,
    "ebcc": lambda dims, prior: ebcc(dims, 3, prior=prior),
    "grouped": lambda dims, prior: grouped(dims, 2, prior=prior[:, None]),
    "hmm_crowd": lambda dims, prior: hmm_crowd(dims, jnp.arange(8) // 2, prior),
    "raykar": lambda dims, prior: raykar(dims, still, prior),
    "mbem": lambda dims, prior: mbem.model_bootstrapped(dims, still, history=prior),
}


@pytest.mark.parametrize("name", METHODS)
def test_pseudo_counts_of_any_shape_are_broadcast(name):
    def step(key, prior):
        em = METHODS[name](DIMS, prior)
        return em.step(key, em.init(key, TABLE), TABLE)

    with jax.debug_key_reuse(False):
        for shape in SHAPES:
            prior = 0.5 + jnp.arange(np.prod(shape)).reshape(shape)
            key = jax.random.key(0)
            small, whole = step(key, prior), step(key, jnp.broadcast_to(prior, (2, 2, 2)))
            posteriors = [np.exp(state.log_posterior) for state, _ in (small, whole)]
            np.testing.assert_allclose(*posteriors, rtol=1e-5)
            np.testing.assert_allclose(small[1].objective, whole[1].objective, rtol=1e-5)


def test_history_is_as_if_it_were_in_the_table():
    """MBEM: earlier labels of items that the model is sure of."""
    answers = jnp.log(jnp.array([[1.0, 1e-9], [1e-9, 1.0]]))[TRUTH]
    history = mbem.confusion_counts(TABLE, DIMS, jnp.exp(answers))
    twice = TABLE._replace(weight=2 * TABLE.weight)
    for strength in (0.0, 1.0):
        found = mbem.log_confusion(TABLE, DIMS, jnp.exp(answers), strength, history)
        expected = mbem.log_confusion(twice, DIMS, jnp.exp(answers), strength)
        np.testing.assert_allclose(np.exp(found), np.exp(expected), atol=1e-6)


def test_glad_moves_less_from_what_is_firm():
    run = lambda prior: aggregate("glad", jax.random.key(0), TABLE, DIMS, ability=prior)
    loose, firm = (run(glad.Normal(jnp.array([0.5, 1.0]), precision)) for precision in (1.0, 1e4))
    assert (loose.argmax(1) == TRUTH).all()
    odds = np.exp(1.0) * np.array([0.5, 1.0])  # as ease is 1, where a firm ability makes it move
    assert np.abs(firm[:, 0] - firm[:, 1]).max() < odds.sum()


@pytest.mark.parametrize("variational", [True, False])
def test_usual_priors_of_mace(variational):
    usual = (0.5, 10.0) if variational else (0.005, 0.005)
    given = {"honesty": jnp.full((2, 2), usual[0]), "favourite": jnp.full((1, 2), usual[1])}

    def step(options):
        em = mace.mace(DIMS, variational, **options)
        return em.step(jax.random.key(1), em.init(jax.random.key(0), TABLE), TABLE)

    (state, info), (other, other_info) = step({}), step(given)
    np.testing.assert_allclose(info.objective, other_info.objective, rtol=1e-5)
    np.testing.assert_allclose(state.log_posterior, other.log_posterior, rtol=1e-5)

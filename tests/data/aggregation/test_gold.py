"""Known answers: what every aggregator learns from them, or why it refuses them.

One worker is always right and two are always wrong, each in a way of their own: among themselves
nobody can tell who is who.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.algorithms.em import fit
from trinity_jax.algorithms.statistics import accuracy
from trinity_jax.data.aggregation import gold_only, sequences
from trinity_jax.data.aggregation.aggregators import AGGREGATORS, aggregate, run
from trinity_jax.data.aggregation.annotations import Dims, annotations
from trinity_jax.data.aggregation.dawid_skene import dawid_skene, expectation
from trinity_jax.data.aggregation.gold import led, weighed, with_gold
from trinity_jax.data.aggregation.model_bootstrapped import model_bootstrapped
from trinity_jax.data.aggregation.one_coin import coin_confusion
from trinity_jax.data.aggregation.raykar import raykar
from trinity_jax.data.aggregation.workers import annotate, copying
from trinity_jax.types import InputError

DIMS = Dims(items=60, workers=3, labels=4)
ROUNDS = 25
VOTES = ("majority", "soft_vote")  # know no workers
REFUSES = {"kos": "KOS passes messages", "m_msr": "M-MSR compares workers with each other only"}
assert {name for name, method in AGGREGATORS.items() if method.no_gold} == REFUSES.keys()
TAUGHT = [name for name in AGGREGATORS if name not in (*VOTES, *REFUSES)]


def crowd(seed=0):
    """The table, the truth, and the truth of the first half."""
    random = np.random.default_rng(seed)
    truth = random.integers(DIMS.labels, size=DIMS.items)
    item, worker = (axis.ravel() for axis in np.indices((DIMS.items, DIMS.workers)))
    wrong = truth[item] + random.integers(1, DIMS.labels, len(item))
    label = np.where(worker == 0, truth[item], wrong % DIMS.labels)
    gold = np.where(np.arange(DIMS.items) < DIMS.items // 2, truth, -1)
    return annotations(item, worker, label, DIMS)[0], truth, jnp.asarray(gold)


def rounds(name, table, gold):
    em = lambda gold: with_gold(AGGREGATORS[name].make(DIMS), gold)
    run = jax.jit(lambda key, gold: fit(em(gold), key, table, ROUNDS))
    return jax.device_get(run(jax.random.key(0), gold))


@pytest.mark.parametrize("name", TAUGHT)
def test_half_of_the_answers_tell_who_is_right_about_the_other_half(name):
    table, truth, gold = crowd()
    with jax.enable_x64(True):
        state, info = rounds(name, table._replace(weight=table.weight.astype(float)), gold)
    assert (state.log_posterior.argmax(1) == truth).all()
    np.testing.assert_allclose(np.exp(state.log_posterior).sum(1), 1, rtol=1e-6)
    assert np.isfinite(info.objective).all()
    assert np.diff(info.objective).min() > -1e-9
    assert info.change[-1] < 1e-3  # what is told again each round is no change


@pytest.mark.parametrize("name", VOTES)
def test_votes_take_the_answers_and_learn_nothing(name):
    table, _, gold = crowd()
    plain, told = (aggregate(name, jax.random.key(0), table, DIMS, gold=g) for g in (None, gold))
    np.testing.assert_array_equal(told[30:], plain[30:])
    np.testing.assert_array_equal(told[:30].argmax(1), gold[:30])


@pytest.mark.parametrize("name", REFUSES)
def test_what_has_no_use_for_answers_says_so(name):
    table, _, gold = crowd()
    dims = DIMS._replace(labels=2) if name == "kos" else DIMS
    with pytest.raises(InputError, match=REFUSES[name]):
        aggregate(name, jax.random.key(0), table, dims, gold=gold)
    em, gold = AGGREGATORS[name].make(dims), jnp.minimum(gold, dims.labels - 1)
    table = table._replace(label=jnp.minimum(table.label, dims.labels - 1))
    learn = lambda em: jax.jit(lambda key: fit(em, key, table, 3))(jax.random.key(0))
    (plain, before), (told, after) = map(learn, (em, with_gold(em, gold)))
    np.testing.assert_array_equal(told.log_posterior[:30].argmax(1), gold[:30])
    np.testing.assert_allclose(told.log_posterior[30:], plain.log_posterior[30:], rtol=1e-6)
    np.testing.assert_allclose(after.objective, before.objective, rtol=1e-6)


def test_by_name_with_restarts_and_stopping():
    """Ten starts, of which the best is kept; rounds stop although gold is told in each."""
    table, truth, gold = crowd()
    fitted = jax.jit(lambda key: run("mace", key, table, DIMS, gold))(jax.random.key(0))
    assert fitted.converged
    assert fitted.num_steps < 25
    assert (fitted.state.log_posterior.argmax(1) == truth).all()


def test_nothing_known_changes_nothing():
    table, _, gold = crowd()
    with jax.enable_x64(True):
        found = rounds("dawid_skene", table, jnp.full_like(gold, -1))
        plain = jax.jit(lambda key: fit(dawid_skene(DIMS), key, table, ROUNDS))(jax.random.key(0))
    for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(np.exp(one), np.exp(other), atol=1e-9)


def test_objective_is_the_likelihood_of_labels_and_gold():
    table, _, gold = crowd()
    with jax.enable_x64(True):
        state, info = rounds("dawid_skene", table, gold)
        parameters = jnp.asarray(state.log_confusion), jnp.asarray(state.log_prior[None])
        posterior, log_likelihood = expectation(table, DIMS, *parameters)
    of_gold = posterior[np.arange(30), gold[:30]].sum()
    np.testing.assert_allclose(info.objective[-1] * 180, log_likelihood + of_gold, rtol=1e-6)


@pytest.mark.parametrize("name", ["ebcc", "dawid_skene"])
def test_a_truth_that_nobody_named(name):
    table, _, gold = crowd()
    table = table._replace(label=jnp.minimum(table.label, 2))
    state, info = rounds(name, table, gold.at[0].set(3))
    assert np.isfinite(info.objective).all()
    assert state.log_posterior[0].argmax() == 3
    assert not np.isnan(state.log_posterior).any()


def test_a_vector_of_other_length_is_refused():
    table, _, gold = crowd()
    with pytest.raises(ValueError, match=r"expected gold for 60 items, not of shape \(59,\)"):
        aggregate("ibcc", jax.random.key(0), table, DIMS, gold=gold[:-1])


@pytest.mark.parametrize("make", [raykar, model_bootstrapped])
def test_a_model_is_trained_on_the_answers(make):
    table, truth, gold = crowd()
    seen = []

    def fit_predict(key, posterior):
        seen.append(posterior)
        return jnp.log(posterior + 0.01)

    em = with_gold(make(DIMS, fit_predict), gold)
    state, _ = em.step(jax.random.key(0), em.init(jax.random.key(0), table), table)
    np.testing.assert_array_equal(seen[0][:30], np.eye(4)[truth[:30]])
    assert (state.log_posterior.argmax(1)[:30] == truth[:30]).all()


def test_tokens_known_in_a_chain():
    """HMM-Crowd takes them itself, so that they tell of the tokens beside them too."""
    table, truth, gold = crowd()
    sentence = jnp.arange(DIMS.items) // 4
    tagged = lambda gold: fit(
        sequences.hmm_crowd(DIMS, sentence, gold=gold), jax.random.key(0), table, 12
    )
    state, info = jax.jit(tagged)(gold)
    assert (state.log_posterior.argmax(1) == truth).all()
    assert np.diff(info.objective).min() > -1e-5
    np.testing.assert_allclose(state.transitions.sum(), 45, rtol=1e-4)
    with pytest.raises(InputError, match="hmm_crowd"):
        with_gold(sequences.hmm_crowd(DIMS, sentence), gold).init(jax.random.key(0), table)


def test_gold_weighs_as_much_as_all_items():
    table, _, gold = crowd()
    gold = jnp.where(jnp.arange(DIMS.items) < 4, gold, -1)
    table = table._replace(weight=jnp.where(table.item % 10 == 1, 0.0, 0.5))  # six have no label
    heavy = weighed(table, gold)
    factor = np.where(table.item < 4, 54 / 3, 1)
    np.testing.assert_allclose(heavy.weight, table.weight * factor, rtol=1e-6)
    np.testing.assert_array_equal(heavy.label, table.label)
    np.testing.assert_allclose(weighed(table, gold, 3).weight[:12], 3 * table.weight[:12])
    nothing = weighed(table, jnp.full_like(gold, -1))
    np.testing.assert_array_equal(nothing.weight, table.weight)


def test_a_weight_is_so_many_items_more():
    """The confusions of the next round are those of a table where gold rows are repeated."""
    table, _, gold = crowd()
    again = jnp.repeat(jnp.arange(180), jnp.where(gold[table.item] >= 0, 3, 1))
    repeated = type(table)(*(column[again] for column in table))
    em, key = with_gold(dawid_skene(DIMS), gold), jax.random.key(0)
    after = jax.jit(lambda table: em.step(key, em.init(key, table), table)[0])
    found, expected = after(weighed(table, gold, 3)), after(repeated)
    np.testing.assert_allclose(found.log_confusion, expected.log_confusion, atol=1e-5)
    np.testing.assert_allclose(found.log_posterior[30:], expected.log_posterior[30:], atol=1e-4)


@pytest.mark.parametrize("name", TAUGHT)
def test_no_round_lowers_the_objective_of_weighed_gold(name):
    table, truth, gold = crowd()
    with jax.enable_x64(True):
        table = table._replace(weight=table.weight.astype(float))
        em = lambda gold: led(with_gold(AGGREGATORS[name].make(DIMS), gold), gold)
        heavy = weighed(table, gold, 7)
        run = jax.jit(lambda key, gold: fit(em(gold), key, heavy, ROUNDS))
        state, info = jax.device_get(run(jax.random.key(0), gold))
    assert np.isfinite(info.objective).all()
    assert np.diff(info.objective).min() > -1e-9
    assert (state.log_posterior.argmax(1) == truth).all()


SHARED = Dims(items=600, workers=12, labels=4)


def panel(seed, num_gold=40):
    """Eight of twelve call most items of two classes by the class before; some are known."""
    keys = iter(jax.random.split(jax.random.key(seed), 3))
    truth = jax.random.randint(next(keys), (SHARED.items,), 0, SHARED.labels)
    wrong = (truth % 2 == 1) & jax.random.bernoulli(next(keys), 0.6, truth.shape)
    biased = jnp.arange(SHARED.workers) < 8
    confusion = jnp.exp(coin_confusion(jnp.where(biased, 0.8, 0.9), SHARED.labels))
    table = annotate(next(keys), truth, confusion, SHARED.workers)
    gold = jnp.where(jnp.arange(SHARED.items) < num_gold, truth, -1)
    return copying(table, biased, jnp.where(wrong, truth - 1, -1)), truth, gold


@pytest.mark.parametrize("name", ["dawid_skene", "dawid_skene_map", "ibcc"])
def test_gold_that_weighs_enough_corrects_an_error_that_most_workers_share(name):
    def accuracies(seed):
        table, truth, gold = panel(seed)
        told = lambda weight: aggregate(name, jax.random.key(0), table, SHARED, gold, weight)
        return [accuracy(told(w), jnp.where(gold >= 0, -1, truth)) for w in (1.0, None, 20.0)]

    once, balanced, twenty = jax.jit(lambda seeds: jax.lax.map(accuracies, seeds))(jnp.arange(6))
    assert once.max() < 0.76
    assert balanced.min() > 0.95
    assert twenty.min() > 0.95


def test_who_copies_is_not_found_out_by_weight():
    """Where answers that are copied may be of any class, no confusion tells of them."""

    def answers(key):
        table, truth, gold = panel(0)
        key_wrong, key = jax.random.split(key)
        other = jax.random.randint(key_wrong, truth.shape, 1, SHARED.labels)
        wrong = (truth + other) % SHARED.labels
        wrong = jnp.where(jnp.arange(SHARED.items) % 2 == 1, wrong, -1)
        table = copying(table, jnp.arange(SHARED.workers) < 8, wrong)
        told = aggregate("dawid_skene_map", key, table, SHARED, gold, None)
        ridge = gold_only.ridge_vote(table, SHARED, gold)
        return [accuracy(found, jnp.where(gold >= 0, -1, truth)) for found in (told, ridge)]

    told, ridge = jax.jit(answers)(jax.random.key(0))
    assert told < 0.9
    assert ridge > 0.95


@pytest.mark.parametrize("weight", [0.0, -1.0, float("nan"), float("inf")])
def test_a_weight_is_a_positive_number(weight):
    table, _, gold = crowd()
    with pytest.raises(InputError, match="weight of gold must be a positive number"):
        aggregate("ibcc", jax.random.key(0), table, DIMS, gold, weight)

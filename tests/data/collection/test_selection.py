"""The cut at a budget of words: against loops over sentences, for any pool; lotteries by power."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trinity_jax.data.collection.selection import RULES, power, select
from trinity_jax.types import InputError

SENTENCES = 10
every_rule = pytest.mark.parametrize("rule", RULES)


@functools.cache
def program(rule):
    """A compiled `select`, and the list that grows when it is traced."""
    traces = []

    def run(seed, scores, length, available, budget):
        traces.append(1)
        return select(jax.random.key(seed), scores, length, available, budget, rule)

    return jax.jit(run), traces


def choose(rule, scores, length, available, budget, seed=0):
    arrays = jnp.float32(scores), jnp.int32(length), jnp.array(available, bool)
    return program(rule)[0](jnp.int32(seed), *arrays, jnp.int32(budget))


def slowly(rule, scores, length, able, budget):
    """The sentences by falling score, one after another; different scores."""
    chosen, spent = [], 0
    for i in sorted(np.flatnonzero(able).tolist(), key=lambda i: -scores[i]):
        fits = spent + length[i] <= budget
        if (rule == "until" and spent >= budget) or (rule == "under" and not fits):
            break
        if rule == "fit" and not fits:
            continue
        chosen.append(i)
        spent += length[i]
    return chosen, spent


POOLS = st.fixed_dictionaries(
    {
        "scores": st.permutations([*range(-6, 1), np.nan, np.inf, -np.inf]),
        "length": st.lists(st.integers(0, 9), min_size=SENTENCES, max_size=SENTENCES),
        "available": st.lists(st.booleans(), min_size=SENTENCES, max_size=SENTENCES),
        "budget": st.integers(-1, 40),
    }
)


@every_rule
@settings(max_examples=150, deadline=None, derandomize=True, database=None)
@given(pool=POOLS)
def test_a_rule_is_the_loop_over_sentences(rule, pool):
    scores, length, available = (np.array(pool[k]) for k in ("scores", "length", "available"))
    budget = pool["budget"]
    able = available & np.isfinite(scores) & (length > 0)
    chosen, words = slowly(rule, scores, length, able, budget)
    found = choose(rule, scores, length, available, budget)

    assert np.flatnonzero(found.chosen).tolist() == sorted(chosen)
    assert not (np.asarray(found.chosen) & ~able).any()
    assert found.words == words == length[np.asarray(found.chosen)].sum()
    assert found.refused == (available & ~able).sum()
    if rule == "until" and chosen:
        assert words - length[chosen[-1]] < budget
        assert words >= min(budget, length[able].sum())
    elif rule != "until":
        assert words <= max(budget, 0)
    if rule == "fit":
        left = able & ~np.asarray(found.chosen)
        assert (length[left] > budget - words).all()


@every_rule
def test_a_program_serves_all_budgets_and_keys(rule):
    """Traced once, also where keys and budgets are axes; the lanes do not see each other."""
    rng = np.random.default_rng(0)
    pool = rng.normal(size=SENTENCES), rng.integers(1, 9, SENTENCES), np.ones(SENTENCES)
    one_by_one = [choose(rule, *pool, budget, seed) for seed, budget in enumerate([0, 7, 20, 99])]
    assert len(program(rule)[1]) == 1

    axes = (0, None, None, None, 0)
    together = jax.jit(jax.vmap(program(rule)[0], axes))(
        jnp.arange(4),
        jnp.float32(pool[0]),
        jnp.int32(pool[1]),
        pool[2] > 0,
        jnp.array([0, 7, 20, 99]),
    )
    for lane, alone in enumerate(one_by_one):
        np.testing.assert_array_equal(together.chosen[lane], alone.chosen)
        assert together.words[lane] == alone.words
    assert together.words[0] == 0
    assert together.words[3] == pool[1].sum()


def test_equal_scores_are_in_random_order():
    """Of 10 sentences two are best; of the rest each is third as often as the others."""
    scores = jnp.zeros(SENTENCES).at[jnp.array([3, 8])].set(1)
    one = jnp.ones(SENTENCES, jnp.int32)
    draw = lambda key: select(key, scores, one, one > 0, 3).chosen
    keys = lambda: jax.random.split(jax.random.key(0), 2000)
    chosen = np.asarray(jax.jit(jax.vmap(draw))(keys()))
    np.testing.assert_array_equal(chosen.sum(1), 3)
    rates = chosen.mean(0)
    assert rates[[3, 8]].tolist() == [1, 1]
    np.testing.assert_allclose(np.delete(rates, [3, 8]), 1 / 8, atol=4 * (7 / 64 / 2000) ** 0.5)


def test_zeros_of_either_sign_are_equal():
    scores, one = jnp.array([0.0, -0.0]), jnp.ones(2, jnp.int32)
    draw = lambda key: select(key, scores, one, one > 0, 1).chosen
    rates = jax.jit(jax.vmap(draw))(jax.random.split(jax.random.key(0), 400)).mean(0)
    np.testing.assert_allclose(rates, 0.5, atol=0.1)


def test_a_typo_names_the_nearest():
    one = jnp.ones(3, jnp.int32)
    with pytest.raises(InputError, match="did you mean 'until'"):
        select(jax.random.key(0), jnp.ones(3), one, one > 0, 2, "untill")


DRAWS = 4000
SCORES = np.array([0.1, 0.4, 0.2, 0.3], np.float32)
lots = jax.jit(jax.vmap(power, (0, None, None)))


@pytest.mark.parametrize("beta", [0.0, 1.0, 2.0])
def test_power_draws_in_proportion(beta):
    """The first, and the second of what is left."""
    drawn = lots(jax.random.split(jax.random.key(0), DRAWS), jnp.asarray(SCORES), beta)
    first, second = np.argsort(-np.asarray(drawn), 1)[:, :2].T
    share = SCORES.astype(float) ** beta / (SCORES.astype(float) ** beta).sum()
    tolerance = 4 * (0.25 / DRAWS) ** 0.5
    np.testing.assert_allclose(np.bincount(first) / DRAWS, share, atol=tolerance)
    next_share = sum(
        share[i] * np.delete(share, i, 0).sum() ** -1 * share * (np.arange(4) != i)
        for i in range(4)
    )
    np.testing.assert_allclose(np.bincount(second) / DRAWS, next_share, atol=tolerance)


def test_power_at_its_ends():
    """Scores of 0 come last but come, those not finite stay so, a large power keeps the order."""
    scores = jnp.array([0.0, 1e-3, np.nan, 0.5, np.inf, -np.inf])
    drawn = np.asarray(power(jax.random.key(0), scores, 1.0))
    assert np.isfinite(drawn).tolist() == [True, True, False, True, False, False]
    assert drawn[0] < min(drawn[1], drawn[3])
    order = np.argsort(-np.asarray(power(jax.random.key(0), jnp.asarray(SCORES), 1e4)))
    assert order.tolist() == np.argsort(-SCORES).tolist()

"""Rounds of questions: the same as a heap that asks them one by one, and what no round may do."""

import functools
import heapq

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.compute import mesh
from trinity_jax.data.collection import partial_feedback, questions
from trinity_jax.data.collection.partial_feedback import METHODS
from trinity_jax.data.collection.questions import Errors
from trinity_jax.types import InputError

LABELS, ITEMS, BUDGET = 6, 12, 9
ALL = list(METHODS)
COVERS = np.concatenate(
    [
        np.eye(LABELS, dtype=bool),
        np.array([[1, 1, 1, 0, 0, 0], [1, 1, 0, 0, 1, 0], [0, 1, 1, 1, 1, 0]], bool),
    ]
)


def problem(seed, items=ITEMS):
    """Distributions, sets that hold the true label, and true labels."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(LABELS, size=items)
    left = rng.random((items, LABELS)) < rng.uniform(0.3, 1)
    left[np.arange(items), truth] = True
    log_probs = np.log(rng.dirichlet(np.full(LABELS, 0.7), items) + 1e-6).astype(np.float32)
    log_probs -= np.log(np.exp(log_probs).sum(1, keepdims=True))
    return log_probs, left, truth


@jax.jit
def run(key, index, log_probs, left, truth, budget=BUDGET):
    known = partial_feedback.pack(left)
    asked = partial_feedback.ask(
        key, ALL, index, log_probs, known, truth, jnp.asarray(COVERS), budget, BUDGET
    )
    after = partial_feedback.tell(known, asked, jnp.asarray(COVERS))
    return asked, partial_feedback.unpack(after, LABELS)


def ask(log_probs, left, truth, covers=COVERS, name="alpf_erc", budget=BUDGET, most=BUDGET, **how):
    """One method, compiled."""
    given = map(jnp.asarray, (log_probs, left, truth, covers))

    def one(log_probs, left, truth, covers):
        known = left if left.dtype == jnp.float32 else partial_feedback.pack(left)
        return partial_feedback.ask(
            jax.random.key(0), [name], 0, log_probs, known, truth, covers, budget, most, **how
        )

    return jax.jit(one)(*given)


def pairs(asked):
    """Item, question and answer of all that was asked."""
    return [
        (int(asked.item[i]), int(asked.question[i, t]), bool(asked.yes[i, t]))
        for i in range(len(asked.item))
        for t in range(int(asked.taken[i]))
    ]


@functools.partial(jax.jit, static_argnums=2)
def best_questions(log_probs, left, name):
    probs = questions.posterior(log_probs, jnp.where(left, 0.0, -jnp.inf))
    belief = questions.believe(probs, left, jnp.asarray(COVERS))
    return questions.best(questions.any_of([name])(0, jax.random.key(1), belief))


def heap(log_probs, left, truth, name, budget):
    """ALPF as published: pop the best, ask, renormalise over what is left, push back."""
    left, asked = left.copy(), []
    best = lambda: [np.asarray(column) for column in best_questions(log_probs, left, name)]
    value, question = best()
    queue = [(-value[i], i, question[i]) for i in range(len(truth)) if np.isfinite(value[i])]
    heapq.heapify(queue)
    while queue and len(asked) < budget:
        _, i, q = heapq.heappop(queue)
        yes = bool(COVERS[q, truth[i]])
        asked.append((i, int(q), yes))
        left[i] &= COVERS[q] == yes
        value, question = best()
        if np.isfinite(value[i]):
            heapq.heappush(queue, (-value[i], i, question[i]))
    return asked, left


@pytest.mark.parametrize("name", ["eig", "erc", "edc"])
def test_a_round_is_what_the_heap_asks(name):
    """On a thousand problems in all, full of equal scores."""
    for seed in range(334):
        given = problem(seed)
        expected, left = heap(*given, name, BUDGET)
        asked, after = run(jax.random.key(2), ALL.index(f"alpf_{name}"), *given)
        assert sorted(pairs(asked)) == sorted(expected), seed
        np.testing.assert_array_equal(after, left)


@pytest.mark.parametrize("method", ALL)
@pytest.mark.parametrize("seed", range(2))
def test_what_every_method_promises(method, seed):
    log_probs, left, truth = problem(seed)
    asked, after = run(jax.random.key(0), ALL.index(method), log_probs, left, truth)
    assert list(asked.item) == sorted(set(asked.item.tolist()))
    sets = left.copy()
    for item, question, yes in pairs(asked):
        shrunk = sets[item] & (COVERS[question] == yes)
        assert 0 < shrunk.sum() < sets[item].sum()  # no question is vacuous
        assert yes == COVERS[question, truth[item]]
        sets[item] = shrunk
    np.testing.assert_array_equal(after, sets)
    assert after[np.arange(ITEMS), truth].all()  # the true label is never lost
    number = int(asked.taken.sum())
    if METHODS[method].finish:
        touched = np.asarray(asked.item)[np.asarray(asked.taken) > 0]
        assert (sets[touched].sum(1) == 1).all()
        last = max(int(count) for count in asked.taken)
        assert BUDGET <= number < BUDGET + last  # the last item is finished too
    else:
        assert number == BUDGET


@pytest.mark.parametrize("method", ALL)
def test_rounds_end_when_all_is_known(method):
    log_probs, left, truth = problem(0)
    for number in range(40):
        key = jax.random.fold_in(jax.random.key(0), number)
        asked, left = run(key, ALL.index(method), log_probs, np.asarray(left), truth)
        if not asked.taken.any():
            break
    assert (np.asarray(left).sum(1) == 1).all()
    empty, _ = run(jax.random.key(0), ALL.index(method), log_probs, np.asarray(left), truth)
    assert not empty.taken.any()


def test_a_budget_above_all_there_is_asks_all_there_is():
    asked = ask(*problem(3), budget=1e9, most=10**6)
    assert (asked.taken == (asked.question >= 0).sum(1)).all()


@pytest.mark.parametrize("seed", range(3))
def test_erc_and_edc_ask_the_same_of_an_item(seed):
    """So that AQ-ERC and AQ-EDC are one method."""
    given = problem(seed)
    one, other = (
        run(jax.random.key(0), ALL.index(name), *given)[0] for name in ("aq_erc", "aq_edc")
    )
    assert pairs(one) == pairs(other)
    assert pairs(one) != pairs(run(jax.random.key(0), ALL.index("uniform"), *given)[0])


def test_al_asks_of_those_it_is_least_sure_of():
    log_probs, left, truth = problem(5)
    probs = np.exp(log_probs) * left
    probs /= probs.sum(1, keepdims=True)
    open_items = left.sum(1) > 1
    doubt = {
        "al_me": -(probs * np.log(np.where(probs > 0, probs, 1))).sum(1),
        "al_lc": -probs.max(1),
    }
    for name, scores in doubt.items():
        asked, _ = run(jax.random.key(0), ALL.index(name), log_probs, left, truth)
        touched = np.asarray(asked.item)[np.asarray(asked.taken) > 0]
        rest = np.setdiff1d(np.flatnonzero(open_items), touched)
        assert scores[touched].min() >= scores[rest].max()


def test_the_next_item_of_a_race_is_any_of_those_that_are_open():
    log_probs = np.full((8, LABELS), -np.log(LABELS), np.float32)
    left = np.ones((8, LABELS), bool)
    draw = jax.vmap(run, (0, None, None, None, None, None))
    keys = jax.random.split(jax.random.key(0), 4000)
    asked, _ = draw(keys, ALL.index("random_partial"), log_probs, left, np.zeros(8, int), 2)
    counts = np.zeros((4000, 8))
    np.put_along_axis(counts, np.asarray(asked.item), np.asarray(asked.taken), 1)
    assert (counts.sum(1) == 2).all()
    assert abs((counts == 2).any(1).mean() - 1 / 8) < 0.02  # twice the same, as in any two draws
    np.testing.assert_allclose(counts.mean(0), 1 / 4, atol=0.03)


def test_a_cap_spreads_questions():
    assert ask(*problem(7), cap=1).taken.max() == 1
    assert ask(*problem(7)).taken.max() > 1


def test_costs_fill_the_budget():
    cost = jnp.where(jnp.arange(len(COVERS)) < LABELS, 2.0, 0.5)
    asked = ask(*problem(8), name="alpf_edc", budget=6, most=ITEMS, cost=cost)
    spent = sum(float(cost[question]) for _, question, _ in pairs(asked))
    assert 6 <= spent < 8
    with pytest.raises(InputError, match="where costs differ, found erc"):
        ask(*problem(8), cost=cost)


def test_errors_lose_no_label_and_are_outvoted():
    """With an annotator who errs, evidence grows; the truth wins in most items."""
    log_probs, _, truth = problem(9, items=200)
    errors, covers = Errors(0.1, 0.1), jnp.asarray(COVERS)

    @jax.jit
    def one_round(key, log_probs, evidence, truth):
        given = log_probs, evidence, truth, covers, 400, 200
        asked = partial_feedback.ask(key, ["alpf_edc"], 0, *given, errors=errors)
        return asked, partial_feedback.tell(evidence, asked, covers, errors)

    evidence = jnp.zeros((200, LABELS))
    for number in range(15):
        asked, evidence = one_round(
            jax.random.fold_in(jax.random.key(0), number), log_probs, evidence, truth
        )
    assert jnp.isfinite(evidence).all()
    probs = questions.posterior(jnp.asarray(log_probs), evidence)
    assert (probs.argmax(1) == truth).mean() > 0.85
    assert (probs.max(1) >= errors.sure).all()
    assert not asked.taken.any()


def test_sets_are_packed_in_bits():
    for labels in (1, 31, 32, 33, 200):
        left = np.random.default_rng(labels).random((3, 5, labels)) < 0.5
        words = partial_feedback.pack(jnp.asarray(left))
        assert words.dtype == jnp.uint32
        assert words.shape == (3, 5, -(-labels // 32))
        np.testing.assert_array_equal(partial_feedback.unpack(words, labels), left)


@pytest.mark.parametrize("name", ["eig", "edc"])
def test_a_pool_in_chunks_is_scored_as_in_one(name, monkeypatch):
    log_probs, left, _ = problem(1, items=50)
    score = lambda key, belief: questions.any_of([name])(0, key, belief)
    found = []
    given = jnp.asarray(log_probs), partial_feedback.pack(jnp.asarray(left)), jnp.asarray(COVERS)
    for chunk in (7, 8192):
        monkeypatch.setattr(partial_feedback, "ITEMS_AT_ONCE", chunk)
        found.append(partial_feedback.score_pool(jax.random.key(0), score, *given))
    for value, question in found[1:]:
        np.testing.assert_allclose(value, found[0][0], rtol=1e-6)
        np.testing.assert_array_equal(question, found[0][1])


@pytest.mark.parametrize("method", ["al_me", "alpf_erc"])
def test_sharded_over_devices_a_round_picks_the_same(method):
    log_probs, left, truth = problem(11, items=16)
    devices = mesh.make(replica=1, data=4)
    rows = jax.sharding.NamedSharding(devices, jax.sharding.PartitionSpec("data"))
    sharded = jax.device_put((log_probs, left, truth), rows)
    one, _ = run(jax.random.key(0), ALL.index(method), log_probs, left, truth)
    four, _ = run(jax.random.key(0), ALL.index(method), *sharded)
    assert pairs(one) == pairs(four)


def test_methods_are_an_axis():
    given = problem(2)
    many = jax.vmap(run, (None, 0, None, None, None))
    asked, after = many(jax.random.key(0), jnp.arange(len(ALL)), *given)
    for index in range(len(ALL)):
        one, left = run(jax.random.key(0), index, *given)
        assert pairs(partial_feedback.Asked(*(leaf[index] for leaf in asked))) == pairs(one)
        np.testing.assert_array_equal(after[index], left)


def test_an_unknown_method_is_named():
    with pytest.raises(InputError, match=r"unknown method 'alpf_er'.*did you mean 'alpf_erc'"):
        ask(*problem(0), name="alpf_er")

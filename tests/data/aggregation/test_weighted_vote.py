"""Weighted votes against loops over annotations."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.algorithms.em import fit, fit_until
from trinity_jax.data.aggregation.annotations import Annotations, Dims, annotations, purchase
from trinity_jax.data.aggregation.majority import soft_vote
from trinity_jax.data.aggregation.weighted_vote import iwmv, wawa, zero_based_skill

METHODS = {"wawa": wawa, "zero_based_skill": zero_based_skill, "iwmv": iwmv}
each = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


@functools.partial(jax.jit, static_argnums=(0, 1, 3))
def run(method, dims, table, rounds):
    return fit(method(dims), jax.random.key(0), table, rounds)


@functools.partial(jax.jit, static_argnums=(0, 1))
def converge(method, dims, table):
    return fit_until(method(dims), jax.random.key(0), table)


def made(seed, items=40, workers=7, labels=3):
    """Items with 1 to 5 labels by workers of unequal skill."""
    rng = np.random.default_rng(seed)
    truth, skill = rng.integers(labels, size=items), rng.uniform(0.2, 0.95, workers)
    rows = []
    for i in range(items):
        for a in rng.choice(workers, 1 + i % 5, replace=False):
            rows.append((i, a, truth[i] if rng.uniform() < skill[a] else rng.integers(labels)))
    return annotations(*np.array(rows).T, Dims(items, workers, labels))


def vote(rows, dims, weight):
    scores = np.zeros((dims.items, dims.labels))
    for item, worker, label in rows:
        scores[item, label] += weight[worker]
    return scores


def first_best(scores):
    return np.round(scores, 5).argmax(1)


def skills(rows, dims, answer):
    right = [[label == answer[i] for i, a, label in rows if a == w] for w in range(dims.workers)]
    return np.array([np.mean(r) for r in right])


def by_loops(name, table, dims, rounds):
    """The scores of each label, before they are made a posterior."""
    rows = list(zip(*(np.asarray(column) for column in table[:3]), strict=True))
    weight = np.full(dims.workers, 1 / dims.labels + 1e-5)
    if name == "wawa":
        return vote(rows, dims, skills(rows, dims, first_best(vote(rows, dims, weight))))
    rate = 1.0
    for t in range(1, rounds + 1):
        skill = skills(rows, dims, first_best(vote(rows, dims, weight)))
        if name == "iwmv":
            weight = dims.labels * skill - 1
        else:
            rate *= 0.5 if t % 20 == 0 else 1
            weight += rate * (skill - weight)
    return vote(rows, dims, weight)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", METHODS)
def test_equals_loops(name, seed):
    table, dims = made(seed)
    scores = by_loops(name, table, dims, 100)
    log_posterior = run(METHODS[name], dims, table, 100)[0].log_posterior
    if name == "iwmv":
        odds = np.exp(scores * dims.labels / (dims.labels - 1))
        expected = odds / odds.sum(1, keepdims=True)
    else:
        expected = scores / scores.sum(1, keepdims=True)
    np.testing.assert_allclose(np.exp(log_posterior), expected, atol=2e-4)
    np.testing.assert_array_equal(log_posterior.argmax(1), first_best(scores))


@pytest.mark.parametrize("method", [zero_based_skill, iwmv])
def test_stops_at_the_answer_of_a_hundred_rounds(method):
    table, dims = made(0)
    stopped = converge(method, dims, table)
    assert stopped.converged
    assert stopped.num_steps < 20
    long = run(method, dims, table, 100)[0].log_posterior
    np.testing.assert_allclose(stopped.state.log_posterior, long, atol=1e-4)


@each
def test_no_round_lowers_the_objective(method):
    for seed in range(5):
        table, dims = made(seed)
        objective = np.asarray(run(method, dims, table, 60)[1].objective)
        assert (np.diff(objective) > -1e-6).all()


def test_two_against_one_who_is_always_right():
    """Workers 0 and 1 vote together on item 4 only, against worker 2, whom the others confirm."""
    rows = [(i, a, i % 2) for i in range(4) for a in (2, 3, 4)]
    rows += [(i, a, 1 - i % 2) for i in range(4) for a in (0,)]
    rows += [(4, 0, 1), (4, 2, 0), (4, 1, 1), (5, 1, 0), (5, 3, 1), (5, 4, 1)]
    table, dims = annotations(*np.array(rows).T)
    assert soft_vote(table, dims)[4].argmax() == 1
    for method in (zero_based_skill, iwmv, wawa):
        assert converge(method, dims, table).state.log_posterior[4].argmax() == 0


def test_a_worker_who_is_always_wrong_votes_against_the_label():
    rows = [(i, a, i % 2) for i in range(6) for a in (0, 1)] + [(i, 2, 1 - i % 2) for i in range(8)]
    table, dims = annotations(*np.array(rows).T)
    alone = converge(iwmv, dims, table).state.log_posterior[6:].argmax(1)
    assert alone.tolist() == [0, 1]  # worker 2 alone says 1, 0


@each
def test_ties_do_not_follow_the_order_of_rows(method):
    """In crowd-kit labels (1, 0) make 1, and (0, 1) make 0."""
    for labels in ([1, 0], [0, 1]):
        table, dims = annotations([0, 0], [0, 1], labels)
        assert converge(method, dims, table).state.log_posterior.argmax(1) == 0
    table, dims = made(1, items=60, workers=12)
    answers = []
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(table.item))
        shuffled = annotations(*(np.asarray(column)[order] for column in table[:3]), dims)[0]
        answers.append(converge(method, dims, shuffled).state.log_posterior)
    for other in answers[1:]:
        np.testing.assert_allclose(other, answers[0], atol=1e-4)
        best = [p == p.max(1, keepdims=True) for p in (other, answers[0])]
        np.testing.assert_array_equal(*best)


@each
def test_sums_that_differ_by_rounding_are_tied(method):
    """Three voters against three of the same skills, added up in another order."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        rows = []
        for item in range(40):  # workers a and a + 3 always err together
            wrong = rng.uniform(size=3) < [0.1, 0.25, 0.4]
            rows += [(item, a, item % 2 ^ wrong[a % 3]) for a in range(6)]
        rows += [(40, a, int(a >= 3)) for a in (2, 0, 1, 3, 4, 5)]
        rows += [(41, a, int(a < 3)) for a in (0, 1, 2, 5, 3, 4)]
        table, dims = annotations(*np.array(rows).T.astype(int), Dims(42, 6, 3))
        log_posterior = run(method, dims, table, 3)[0].log_posterior[40:]
        np.testing.assert_array_equal(log_posterior[:, 0], log_posterior[:, 1])


@each
def test_renaming_items_and_workers(method):
    table, dims = made(2)
    rng = np.random.default_rng(0)
    item, worker = rng.permutation(dims.items), rng.permutation(dims.workers)
    renamed = annotations(item[table.item], worker[table.worker], np.asarray(table.label), dims)[0]
    one, two = (converge(method, dims, t).state for t in (table, renamed))
    np.testing.assert_allclose(two.log_posterior[item], one.log_posterior, atol=1e-4)
    np.testing.assert_allclose(two.weight[worker], one.weight, atol=1e-5)


@each
def test_padding_is_invisible(method):
    table, dims = made(3)
    wide = Dims(dims.items + 3, dims.workers + 2, dims.labels)
    rows = (jnp.append(c, jnp.array([dims.items, dims.items + 1])) for c in (table.item,))
    more = [jnp.append(c, jnp.array([0, 1])) for c in (table.worker, table.label)]
    padded = Annotations(*rows, *more, jnp.append(table.weight, jnp.zeros(2)))
    one, two = run(method, dims, table, 8), run(method, wide, padded, 8)
    np.testing.assert_allclose(two[0].log_posterior[: dims.items], one[0].log_posterior, atol=1e-5)
    np.testing.assert_allclose(two[0].log_posterior[dims.items :], -np.log(3), rtol=1e-5)
    np.testing.assert_allclose(two[1].objective, one[1].objective, atol=1e-6)


@each
def test_jit_and_vmap_over_redundancy(method):
    table, dims = made(4)
    redundancies = jnp.arange(1, 5)
    mapped = jax.vmap(lambda r: converge(method, dims, purchase(table, r)))(redundancies)
    for r, found in zip(redundancies, mapped.state.log_posterior, strict=True):
        alone = converge(method, dims, purchase(table, r)).state.log_posterior
        np.testing.assert_allclose(found, alone, atol=1e-5)


@each
def test_jitted_equals_plain(method):
    table, dims = made(5)
    em = method(dims)
    state = em.init(jax.random.key(0), table)
    for _ in range(3):
        state, _ = em.step(jax.random.key(0), state, table)
    jitted = run(method, dims, table, 3)[0]
    np.testing.assert_allclose(jitted.log_posterior, state.log_posterior, atol=1e-5)


@each
def test_one_label_an_item_is_the_answer(method):
    table, dims = annotations(np.arange(6), [0, 1, 2, 0, 1, 2], [0, 1, 2, 2, 1, 0])
    answer = converge(method, dims, table).state.log_posterior.argmax(1)
    np.testing.assert_array_equal(answer, table.label)

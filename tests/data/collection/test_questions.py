"""Scores of questions: the table of the paper's formulas, brute force, and what may not happen."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.data.collection import questions
from trinity_jax.data.collection.questions import Errors
from trinity_jax.types import InputError

SETS = ([0], [1], [2], [3], [0, 1], [2, 3], [2, 3, 4])
COVERS = np.array([[k in q for k in range(5)] for q in SETS])
F = np.array([[0.4, 0.1, 0.2, 0.2, 0.1]])
LEFT = np.array([[True, True, True, False, True]])
GOLDEN = {  # worked out by hand from f, what is left and the formulas
    "true": [0.5, 0.125, 0.25, 0, 0.625, 0.25, 0.375],
    "if_yes": [1, 1, 1, 0, 2, 1, 2],
    "if_no": [3, 3, 3, 4, 2, 3, 2],
    "eig": [1.0, 0.543564, 0.811278, -np.inf, 0.954434, 0.811278, 0.954434],
    "erc": [-2.0, -2.75, -2.5, -np.inf, -2.0, -2.5, -2.0],
    "edc": [2.0, 1.25, 1.5, -np.inf, 2.0, 1.5, 2.0],
    "balanced": [0.25, 0.25, 0.25, -np.inf, 0.5, 0.25, 0.5],
}


def evidence(left):
    return jnp.where(jnp.asarray(left), 0.0, -jnp.inf)


def belief_of(probs, left, covers, errors=None):
    p = questions.posterior(jnp.log(jnp.asarray(probs, jnp.float32)), evidence(left))
    return questions.believe(p, jnp.asarray(left), jnp.asarray(covers), errors)


def scores(name, belief):
    return questions.any_of([name])(0, jax.random.key(0), belief)


def problem(seed, items=20, labels=7, count=12):
    rng = np.random.default_rng(seed)
    covers = rng.random((count, labels)) < 0.4
    left = rng.random((items, labels)) < 0.7
    left[np.arange(items), rng.integers(labels, size=items)] = True
    probs = rng.dirichlet(np.full(labels, 0.5), items)
    return probs, left, covers


@pytest.mark.parametrize("name", GOLDEN)
def test_the_golden_table(name):
    belief = belief_of(F, LEFT, COVERS)
    np.testing.assert_allclose(belief.probs[0], [0.5, 0.125, 0.25, 0, 0.125], atol=1e-6)
    field = getattr(belief, name, None)
    found = scores(name, belief)[0] if field is None else field[0]
    np.testing.assert_allclose(found, GOLDEN[name], atol=1e-6)


@pytest.mark.parametrize("seed", range(2))
def test_scores_are_expectations_over_the_answer(seed):
    probs, left, covers = problem(seed)
    belief = belief_of(probs, left, covers)
    found = {name: np.asarray(scores(name, belief)) for name in ("eig", "erc", "edc", "ratio")}
    for i, q in itertools.product(range(len(probs)), range(len(covers))):
        p = probs[i] * left[i] / (probs[i] * left[i]).sum()
        yes, no = left[i] & covers[q], left[i] & ~covers[q]
        chance = [p[yes].sum(), p[no].sum()]
        if not (yes.any() and no.any()):
            assert not belief.splits[i, q]
            continue
        remaining = chance[0] * yes.sum() + chance[1] * no.sum()
        entropy = lambda p: -(p[p > 0] * np.log2(p[p > 0])).sum()
        after = sum(c * entropy(p[s] / c) for c, s in zip(chance, (yes, no), strict=True) if c > 0)
        for name, value in {
            "eig": entropy(p) - after,
            "erc": -remaining,
            "edc": left[i].sum() - remaining,
            "ratio": (entropy(p) - after) / remaining,
        }.items():
            np.testing.assert_allclose(found[name][i, q], value, atol=3e-5)


@pytest.mark.parametrize("name", questions.QUESTIONS)
@pytest.mark.parametrize("errors", [None, Errors(0.1, 0.2, 1.0), Errors(0.3, 0.0, 1.0)])
def test_a_set_and_its_complement_are_the_same_question(name, errors):
    probs, left, covers = problem(0)
    if errors is not None:
        left = np.ones_like(left)
    swapped = errors and Errors(errors.false_positive, errors.false_negative, errors.sure)
    one = scores(name, belief_of(probs, left, covers, errors))
    other = scores(name, belief_of(probs, left, ~covers, swapped))
    np.testing.assert_allclose(one, other, rtol=2e-4, atol=2e-5)


def test_information_is_at_most_one_bit_and_a_decrease_completes_what_remains():
    probs, left, covers = problem(1, items=500)
    belief = belief_of(probs, left, covers)
    gain = questions.eig(jax.random.key(0), belief)
    assert (gain >= 0).all()
    assert (gain <= 1 + 1e-6).all()
    total = questions.edc(jax.random.key(0), belief) - questions.erc(jax.random.key(0), belief)
    np.testing.assert_allclose(total, np.repeat(left.sum(1)[:, None], 12, 1), rtol=1e-6)


@pytest.mark.parametrize("name", questions.QUESTIONS)
@pytest.mark.parametrize("excluded", [0.0, 1e-12, 1e-30])
def test_a_network_that_excludes_what_is_left_is_not_believed(name, excluded):
    probs = np.array([[1 - 2 * excluded, excluded, excluded, 0, 0]])
    left = np.array([[False, True, True, False, True]])
    belief = belief_of(probs, left, COVERS)
    np.testing.assert_allclose(belief.probs[0], [0, 1 / 3, 1 / 3, 0, 1 / 3], rtol=1e-6)
    assert not np.isnan(scores(name, belief)).any()


@pytest.mark.parametrize("name", questions.QUESTIONS)
def test_a_vacuous_question_is_never_asked(name):
    """Where nothing is gained by any question, one that splits what is left is asked."""
    probs = np.array([[0, 0, 1.0, 0, 0]])
    left = np.array([[False, True, True, False, True]])
    _, asked = questions.best(scores(name, belief_of(probs, left, COVERS)))
    splits = (COVERS & left).any(1) & (~COVERS & left).any(1)
    assert splits[int(asked[0])]


def test_finished_items_have_no_question():
    left = np.eye(5, dtype=bool)
    value, _ = questions.best(scores("edc", belief_of(np.full((5, 5), 0.2), left, COVERS)))
    assert (value == -np.inf).all()


def test_nan_is_never_best():
    value, asked = questions.best(jnp.array([[jnp.nan, 1.0, jnp.nan], [jnp.nan] * 3]))
    assert value.tolist() == [1.0, -np.inf]
    assert asked[0] == 1


@pytest.mark.parametrize("alpha", [0.05, 0.3])
@pytest.mark.parametrize("beta", [0.0, 0.2])
def test_errors_are_those_of_a_channel(alpha, beta):
    """Information and sizes by enumerating labels and answers."""
    probs, _, covers = problem(2, items=6)
    left = np.ones_like(probs, bool)
    belief = belief_of(probs, left, covers, Errors(alpha, beta, 1.0))
    gain, remaining = (
        questions.eig(jax.random.key(0), belief),
        -questions.erc(jax.random.key(0), belief),
    )
    entropy = lambda p: -(p[p > 0] * np.log(p[p > 0])).sum()
    for i, q in itertools.product(range(6), range(len(covers))):
        says_yes = np.where(covers[q], 1 - alpha, beta)
        joint = np.stack([probs[i] * says_yes, probs[i] * (1 - says_yes)])
        chance = joint.sum(1)
        after = [entropy(j / c) if c > 1e-12 else 0 for j, c in zip(joint, chance, strict=True)]
        information = (entropy(probs[i]) - chance @ after) / np.log(2)
        np.testing.assert_allclose(gain[i, q], information, atol=3e-5)
        np.testing.assert_allclose(remaining[i, q], chance @ np.exp(after), rtol=3e-4)


def test_no_errors_are_a_limit():
    probs, left, covers = problem(3)
    left[:] = True
    exact, nearly = (belief_of(probs, left, covers, e) for e in (None, Errors(1e-7, 1e-7, 1.0)))
    found = [questions.eig(jax.random.key(0), belief) for belief in (exact, nearly)]
    np.testing.assert_allclose(*found, atol=1e-4)


def test_costs_divide_gains_and_nothing_else():
    belief = belief_of(F, LEFT, COVERS)
    cost = jnp.array([1.0, 1, 1, 1, 4, 1, 1])
    priced = questions.any_of(["eig"], cost)(0, jax.random.key(0), belief)
    np.testing.assert_allclose(priced, scores("eig", belief) / cost[None])
    with pytest.raises(InputError, match="expected eig or edc where costs differ, found erc"):
        questions.any_of(["erc"], cost)
    with pytest.raises(InputError, match=r"unknown question score 'edr'.*did you mean 'erc'"):
        questions.any_of(["edr"])


def test_strategies_are_an_axis():
    belief = belief_of(*problem(4))
    names = list(questions.QUESTIONS)
    score = jax.jit(jax.vmap(questions.any_of(names), (0, None, None)))
    for found, name in zip(
        score(jnp.arange(len(names)), jax.random.key(0), belief), names, strict=True
    ):
        np.testing.assert_allclose(found, scores(name, belief), rtol=1e-6, atol=1e-6)

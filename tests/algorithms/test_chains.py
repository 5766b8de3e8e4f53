"""Chains against enumeration of every path."""

import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.algorithms import chains

LENGTHS = [3, 1, 4, 2]
FIRST = np.concatenate([np.arange(n) == 0 for n in LENGTHS])


def chain(seed, labels=3, lengths=LENGTHS):
    """Log initial, transition and emission; the emission is no distribution."""
    rng = np.random.default_rng(seed)
    initial = np.log(rng.dirichlet(np.ones(labels)))
    transition = np.log(rng.dirichlet(np.ones(labels), size=labels))
    emission = 2 * rng.normal(size=(sum(lengths), labels))
    return tuple(np.float32(a) for a in (initial, transition, emission))


def paths(initial, transition, emission):
    """Every path of one sequence, with its log-probability."""
    for path in itertools.product(range(len(initial)), repeat=len(emission)):
        score = initial[path[0]] + sum(emission[t, k] for t, k in enumerate(path))
        yield path, score + sum(transition[j, k] for j, k in itertools.pairwise(path))


def enumerated(initial, transition, emission):
    """Marginals, expected transitions, log-likelihood and best path of one sequence."""
    every = list(paths(initial, transition, emission))
    scores = np.array([score for _, score in every], np.float64)
    log_likelihood = np.logaddexp.reduce(scores)
    marginal, steps = np.zeros(emission.shape), np.zeros(transition.shape)
    for (path, _), probability in zip(every, np.exp(scores - log_likelihood), strict=True):
        for t, label in enumerate(path):
            marginal[t, label] += probability
        for step in itertools.pairwise(path):
            steps[step] += probability
    return marginal, steps, log_likelihood, every[scores.argmax()][0]


def forward_backward(initial, transition, emission, first=FIRST, weight=None):
    weight = np.ones(len(emission), np.float32) if weight is None else weight
    problem = initial, transition, emission, first, weight
    return chains.forward_backward(*map(jnp.asarray, problem))


def viterbi(initial, transition, emission, first=FIRST):
    return chains.viterbi(*map(jnp.asarray, (initial, transition, emission, first)))


def pieces(emission):
    return np.split(emission, np.cumsum(LENGTHS)[:-1])


@pytest.mark.parametrize("forbid", [False, True])
def test_everything_equals_enumeration(forbid):
    initial, transition, emission = chain(0)
    if forbid:
        transition[0, 1] = transition[2, 2] = initial[1] = -np.inf
    beliefs = forward_backward(initial, transition, emission)
    best = viterbi(initial, transition, emission)
    expected = [enumerated(initial, transition, piece) for piece in pieces(emission)]
    marginal, steps, log_likelihood, path = zip(*expected, strict=True)
    np.testing.assert_allclose(np.exp(beliefs.log_marginal), np.concatenate(marginal), atol=1e-5)
    np.testing.assert_allclose(beliefs.transitions, np.sum(steps, 0), atol=1e-5)
    per_sequence = np.add.reduceat(beliefs.log_likelihood, np.flatnonzero(FIRST))
    np.testing.assert_allclose(per_sequence, log_likelihood, rtol=1e-5)
    assert best.tolist() == list(itertools.chain(*path))


def test_weights_say_which_transitions_count():
    initial, transition, emission = chain(1)
    weight = np.float32(np.repeat([1, 0, 1, 0], LENGTHS))
    some = forward_backward(initial, transition, emission, weight=weight)
    third = [enumerated(initial, transition, piece)[1] for piece in pieces(emission)][::2]
    np.testing.assert_allclose(some.transitions, np.sum(third, 0), atol=1e-5)


def test_sequences_do_not_see_each_other():
    initial, transition, emission = chain(2)
    together = forward_backward(initial, transition, emission)
    for piece, found in zip(pieces(emission), pieces(together.log_marginal), strict=True):
        first = np.zeros(len(piece), bool)  # that the first token begins one goes without saying
        alone = forward_backward(initial, transition, piece, first)
        np.testing.assert_allclose(alone.log_marginal, found, atol=1e-5)


def test_long_chains_keep_their_digits():
    """What is 50,000 tokens away is forgotten, and so is what it summed up to."""
    initial, transition, _ = chain(3, labels=2)
    emission = np.full((100_000, 2), -20, np.float32)
    emission[::2, 1] += 0.5
    first = np.arange(len(emission)) == 0
    long = forward_backward(initial, transition, emission, first).log_marginal[50_000:50_010]
    short = forward_backward(initial, transition, emission[:100], first[:100]).log_marginal[50:60]
    np.testing.assert_allclose(np.exp(long), np.exp(short), atol=1e-4)
    long = viterbi(initial, transition, emission, first)[50_000:50_010]
    short = viterbi(initial, transition, emission[:100], first[:100])[50:60]
    np.testing.assert_array_equal(long, short)


def test_jit_and_vmap():
    problems = [chain(seed) for seed in range(3)]
    stacked = [jnp.stack(column) for column in zip(*problems, strict=True)]
    first, weight = jnp.asarray(FIRST), jnp.ones(10)
    both = lambda *problem: (
        chains.forward_backward(*problem, first, weight),
        chains.viterbi(*problem, first),
    )
    mapped = jax.jit(jax.vmap(both))(*stacked)
    for row, problem in enumerate(problems):
        chex.assert_trees_all_close(
            jax.tree.map(lambda leaf, row=row: leaf[row], mapped),
            both(*map(jnp.asarray, problem)),
            atol=1e-5,
        )

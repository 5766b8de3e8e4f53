"""Random fields against enumeration of every tag sequence."""

import functools
import itertools

import jax
import numpy as np
import pytest

from trinity_jax.algorithms import crf
from trinity_jax.algorithms.decoding import Rules, of_tags

TAGS, TOKENS = 3, 3
LENGTH = np.array([3, 1, 0, 2])


def field(seed, shape=(4, TOKENS, TAGS)):
    """Scores, transition, start and end."""
    rng = np.random.default_rng(seed)
    draw = lambda *shape: np.float32(2 * rng.normal(size=shape))
    return draw(*shape), draw(shape[-1], shape[-1]), draw(shape[-1]), draw(shape[-1])


def weight(sequence, scores, transition, start, end):
    """The score of a tag sequence of a sentence."""
    total = sum(scores[t, k] for t, k in enumerate(sequence))
    total += sum(transition[j, k] for j, k in itertools.pairwise(sequence))
    return total + (start[sequence[0]] + end[sequence[-1]] if sequence else 0)


def enumerated(scores, transition, start, end):
    """Every sequence of a sentence, the most probable first, and the log-probabilities."""
    every = list(itertools.product(range(TAGS), repeat=len(scores)))
    scored = np.array([weight(y, scores, transition, start, end) for y in every], np.float64)
    log_prob = scored - np.logaddexp.reduce(scored)
    order = np.argsort(-log_prob)
    return [every[index] for index in order], log_prob[order]


def sentences(scores, *others):
    """Enumerations of the sentences, without their padding."""
    return [enumerated(s[:n], *others) for s, n in zip(scores, LENGTH, strict=True)]


def all_of_it(problem, tags, length):
    chain = crf.condition(*problem, length)
    log_prob = of_tags(crf.log_conditional(chain, tags), tags, length)
    return log_prob.sum(1), crf.log_marginal(chain, length), *crf.best(chain, length, 2)


def best(problem, length, width, rules=None):
    return crf.best(crf.condition(*problem, length), length, width, rules)


def test_likelihoods_equal_enumeration():
    problem = field(0)
    likelihoods = jax.jit(jax.vmap(lambda *given: all_of_it(*given)[0], (None, 0, None)))
    every_tags = np.array(list(itertools.product(range(TAGS), repeat=TOKENS)))
    got = likelihoods(problem, np.repeat(every_tags[:, None], 4, axis=1), LENGTH)
    for tags, log_likelihood in zip(every_tags.tolist(), got, strict=True):
        for row, (every, expected) in enumerate(sentences(*problem)):
            at = every.index(tuple(tags[: LENGTH[row]]))
            np.testing.assert_allclose(log_likelihood[row], expected[at], atol=1e-5)


def test_marginals_equal_enumeration():
    problem = field(1)
    got = jax.jit(all_of_it)(problem, np.zeros((4, TOKENS), int), LENGTH)[1]
    for row, (every, log_prob) in enumerate(sentences(*problem)):
        expected = np.zeros((TOKENS, TAGS))
        for sequence, probability in zip(every, np.exp(log_prob), strict=True):
            expected[range(len(sequence)), sequence] += probability
        np.testing.assert_allclose(np.exp(got[row, : LENGTH[row]]), expected[: LENGTH[row]], 1e-4)
        np.testing.assert_array_equal(got[row, LENGTH[row] :], 0)


@pytest.mark.parametrize("width", [1, 4, TAGS**TOKENS])
@pytest.mark.parametrize("rules", [False, True])
def test_the_best_sequences_equal_enumeration(width, rules):
    problem = field(2)
    start, transition, end = np.ones(TAGS, bool), np.ones((TAGS, TAGS), bool), np.ones(TAGS, bool)
    if rules:
        start[1] = transition[0, 1] = transition[2, 2] = end[2] = False
    legal = lambda y: (
        not y
        or (start[y[0]] and end[y[-1]] and all(transition[step] for step in itertools.pairwise(y)))
    )
    given = Rules(start, transition, end) if rules else None
    got = jax.jit(functools.partial(best, width=width, rules=given))(problem, LENGTH)
    assert got.tags.shape == (len(LENGTH), width, TOKENS)
    for row, (every, log_prob) in enumerate(sentences(*problem)):
        expected = [pair for pair in zip(every, log_prob, strict=True) if legal(pair[0])][:width]
        for rank, (sequence, probability) in enumerate(expected):
            padded = (*sequence, *[0] * (TOKENS - len(sequence)))
            assert tuple(got.tags[row, rank].tolist()) == padded
            np.testing.assert_allclose(got.log_prob[row, rank], probability, atol=1e-5)
        assert (got.log_prob[row, len(expected) :] == -np.inf).all()


def test_padding_does_not_matter():
    (scores, *others), tags = field(3), np.zeros((4, TOKENS), int)
    wide = np.full((4, TOKENS + 4, TAGS), 30, np.float32)
    wide[:, :TOKENS] = scores
    narrow = jax.jit(all_of_it)((scores, *others), tags, LENGTH)
    wider = jax.jit(all_of_it)((wide, *others), np.pad(tags, ((0, 0), (0, 4))), LENGTH)
    cut = wider[0], wider[1][:, :TOKENS], wider[2][..., :TOKENS], wider[3]
    for left, right in zip(narrow, cut, strict=True):
        np.testing.assert_allclose(left, right, atol=1e-6)


def test_vmap():
    problems = [field(seed) for seed in range(3)]
    stacked = [np.stack(column) for column in zip(*problems, strict=True)]
    tags = np.ones((4, TOKENS), int)
    mapped = jax.jit(jax.vmap(all_of_it, (0, None, None)))(stacked, tags, LENGTH)
    for row, problem in enumerate(problems):
        for left, right in zip(mapped, jax.jit(all_of_it)(problem, tags, LENGTH), strict=True):
            np.testing.assert_allclose(left[row], right, atol=1e-5)


def test_long_sentences_keep_their_digits():
    """Where the score of a sentence is 10,000, float32 has no fourth digit behind the point."""
    tokens, length = 400, np.array([400])
    scores, transition, start, end = field(4, (1, tokens, TAGS))
    scores += 25
    tags = np.asarray(scores.argmax(2))
    alpha = np.float64(scores[0, 0]) + start
    for score in np.float64(scores[0, 1:]):
        alpha = np.logaddexp.reduce(alpha[:, None] + transition, axis=0) + score
    expected = weight(tags[0].tolist(), np.float64(scores[0]), transition, start, end)
    expected -= np.logaddexp.reduce(alpha + end)
    got = jax.jit(all_of_it)((scores, transition, start, end), tags, length)[0]
    np.testing.assert_allclose(got[0], expected, rtol=1e-5)


def test_gradients():
    """Expected less given counts; and numbers where transitions are as good as forbidden."""
    scores, transition, start, end = field(5)
    tags = np.full((4, TOKENS), 2)

    loss = lambda problem, tags, length: -all_of_it(problem, tags, length)[0].sum()
    there = np.arange(TOKENS)[None, :, None] < LENGTH[:, None, None]
    marginal = np.exp(jax.jit(all_of_it)((scores, transition, start, end), tags, LENGTH)[1])
    gradient = jax.jit(jax.grad(loss))
    got = gradient((scores, transition, start, end), tags, LENGTH)
    np.testing.assert_allclose(got[0], (marginal - np.eye(TAGS)[tags]) * there, atol=1e-5)
    np.testing.assert_allclose(got[2], got[0][:, 0].sum(0), atol=1e-5)
    apart = np.where(np.eye(TAGS) > 0, np.float32(-1e4), transition)
    for slopes in gradient((scores, apart, start, end), tags, LENGTH):
        assert np.isfinite(slopes).all()

"""Every strategy for sentences: a line in the table buys all the promises; then what makes each."""

import collections
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.algorithms.decoding import Decoded
from trinity_jax.compute import mesh
from trinity_jax.data.collection.acquisition import ACQUISITIONS, Belief, any_of
from trinity_jax.data.collection.passes import Passes, monte_carlo
from trinity_jax.data.collection.selection import select
from trinity_jax.types import InputError

SENTENCES, TOKENS, TAGS, PASSES, LANES = 8, 7, 4, 12, 4
LENGTHS = [1, 2, 3, 7, 7, 5, 4, 2]
NAMES = list(ACQUISITIONS)
READING = [name for name in NAMES if ACQUISITIONS[name].needs]
every_strategy = pytest.mark.parametrize("name", NAMES)

ALL = any_of(NAMES)
SCORE = jax.jit(jax.vmap(ALL, (0, None, None)))  # [strategy, sentence]


def log_softmax(logits):
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def drawn(seed):
    """What a pass predicts, for the key of that seed: tags, and log-probabilities."""
    rng = np.random.default_rng([7, seed])
    base = np.random.default_rng(0).normal(0, 2, (SENTENCES, TOKENS, TAGS))
    token_log_probs = log_softmax(base + rng.normal(0, 1, base.shape))
    return token_log_probs.argmax(-1), token_log_probs


RUNS = [drawn(seed) for seed in range(PASSES)]
TAG_RUNS = np.array([tags for tags, _ in RUNS], np.int32)
LOG_RUNS = np.array([log_probs for _, log_probs in RUNS], np.float32)


def of(tags, token_log_probs):
    """What was decoded, with the probabilities of these tags."""
    picked = jnp.take_along_axis(token_log_probs, tags[..., None], axis=-1)[..., 0]
    return Decoded(tags, picked, token_log_probs)


@functools.partial(jax.jit, static_argnums=4)
def replay(keys, tags, token_log_probs, mask, chunk):
    """Passes of a model whose prediction depends on its key by the place among `keys` alone."""
    known = jax.random.key_data(keys)

    def predict(key):
        place = (known == jax.random.key_data(key)[None]).all(1).argmax()
        return of(tags[place], token_log_probs[place])

    return monte_carlo(predict, keys, mask, chunk)


def voted(tags=TAG_RUNS, token_log_probs=LOG_RUNS, chunk=4, mask=None):
    mask = masked(tags.shape[-1]) if mask is None else mask
    keys = jax.random.split(jax.random.key(0), len(tags))
    return replay(keys, tags, token_log_probs, mask, chunk)


def masked(width=TOKENS):
    return jnp.arange(width)[None] < jnp.array(LENGTHS)[:, None]


def decoded(token_log_probs):
    return of(token_log_probs.argmax(-1), token_log_probs)


@functools.cache
def usual():
    return jax.tree.map(jnp.asarray, Belief(masked(), decoded(LOG_RUNS[0]), voted()))


def score(belief, seed=0):
    """The scores of all strategies, by name."""
    belief = jax.tree.map(jnp.asarray, belief)
    scores = SCORE(jnp.arange(len(NAMES)), jax.random.key(seed), belief)
    return dict(zip(NAMES, np.asarray(scores), strict=True))


@pytest.fixture(scope="module")
def scores():
    return score(usual())


# Oracles: one sentence, floats, loops. `words` are the tags' probabilities word by word; `runs` are
# (tags, words) pass by pass.


def plain_entropy(probs):
    return -sum(p * math.log(p) for p in probs if p > 0)


def plain_variation(words, runs):
    return mean(1 - most([tags[i] for tags, _ in runs]) / len(runs) for i in range(len(words)))


def plain_information(words, runs):
    gain = []
    for i in range(len(words)):
        average = [mean(each[i][k] for _, each in runs) for k in range(TAGS)]
        gain.append(plain_entropy(average) - mean(plain_entropy(each[i]) for _, each in runs))
    return mean(gain)


def plain_sequence(words, runs):
    tie = mean(mean(-math.log(w[t]) for t, w in zip(*run, strict=True)) for run in runs)
    return 1 - (most([tuple(tags) for tags, _ in runs]) - tie / (1 + tie)) / len(runs)


def most(votes):
    return collections.Counter(votes).most_common(1)[0][1]


def mean(values):
    values = list(values)
    return sum(values) / len(values)


ORACLES = {
    "least_confidence": lambda words, runs: -sum(math.log(max(w)) for w in words),
    "mnlp": lambda words, runs: -mean(math.log(max(w)) for w in words),
    "bald": plain_variation,
    "bald_mutual_information": plain_information,
    "bald_sequence": plain_sequence,
    "entropy_sum": lambda words, runs: sum(map(plain_entropy, words)),
    "entropy_mean": lambda words, runs: mean(map(plain_entropy, words)),
    "margin": lambda words, runs: mean(1 - sorted(w)[-1] + sorted(w)[-2] for w in words),
    "lowest_token_probability": lambda words, runs: max(1 - max(w) for w in words),
}


@pytest.mark.parametrize("name", READING)
def test_scores_equal_the_slow_ones(name, scores):
    expected = []
    for sentence, n in enumerate(LENGTHS):
        cut = lambda log_probs, s=sentence, n=n: np.exp(np.float64(log_probs[s, :n])).tolist()
        runs = [(tags[sentence, :n].tolist(), cut(log_probs)) for tags, log_probs in RUNS]
        expected.append(ORACLES[name](cut(LOG_RUNS[0]), runs))
    np.testing.assert_allclose(scores[name], expected, rtol=2e-5, atol=1e-6)
    assert (np.argsort(scores[name]) == np.argsort(expected)).all()


def wider(array, extra, fill):
    """The array with more tokens, of which nothing is known."""
    axis = 2 if array.ndim - (array.shape[-1] == TAGS) == 3 else 1
    widths = [(0, extra if i == axis else 0) for i in range(array.ndim)]
    return np.pad(array, widths, constant_values=fill)


@pytest.fixture(scope="module")
def padded():
    log_runs, tags = wider(LOG_RUNS, 5, np.nan), TAG_RUNS
    tags = np.concatenate(
        [tags, np.random.default_rng(1).integers(TAGS, size=(*tags.shape[:2], 5))], -1
    )
    found = decoded(LOG_RUNS[0])
    alone = Decoded(wider(found.tags, 5, 0), *(wider(leaf, 5, np.nan) for leaf in found[1:]))
    return score(Belief(masked(TOKENS + 5), alone, voted(tags.astype(np.int32), log_runs)))


@every_strategy
def test_padding_does_not_matter(name, padded, scores):
    np.testing.assert_allclose(padded[name], scores[name], rtol=0, atol=1e-6)


@pytest.fixture(scope="module")
def reversed_order():
    return score(jax.tree.map(lambda leaf: leaf[::-1], usual()))


@pytest.mark.parametrize("name", READING)
def test_a_sentence_is_scored_alone(name, reversed_order, scores):
    np.testing.assert_allclose(reversed_order[name][::-1], scores[name], rtol=0, atol=1e-6)


@pytest.fixture(scope="module", params=[np.nan, np.inf, -np.inf], ids=str)
def poisoned(request, sentence=3):
    """One token of one sentence has this probability, in all floating-point arrays."""

    def poison(leaf):
        leaf = np.array(leaf)
        if leaf.dtype.kind == "f":
            leaf[sentence, 1] = request.param
        return leaf

    return request.param, sentence, score(jax.tree.map(poison, usual()))


@every_strategy
def test_what_is_not_finite_is_never_asked(name, poisoned, scores):
    value, sentence, found = poisoned
    others = np.arange(SENTENCES) != sentence
    np.testing.assert_allclose(found[name][others], scores[name][others], atol=1e-6)
    if np.isnan(value) and name != "random":
        assert not np.isfinite(found[name][sentence])
    able = jnp.ones(SENTENCES, bool)
    asked = select(jax.random.key(1), jnp.asarray(found[name]), jnp.array(LENGTHS), able, 99)
    assert asked.chosen.sum() == np.isfinite(found[name]).sum()
    assert asked.chosen[sentence] == np.isfinite(found[name][sentence])
    assert asked.refused == (~np.isfinite(found[name])).sum()


@pytest.fixture(scope="module")
def no_words():
    mask = jnp.zeros((SENTENCES, TOKENS), bool)
    return score(usual()._replace(mask=mask, passes=voted(mask=mask)))


@every_strategy
def test_no_words_score_nothing(name, no_words):
    assert name == "random" or not np.abs(no_words[name]).any()


def test_placement_does_not_matter():
    """Plain, compiled, vectorised over beliefs, a belief on each device, sentences over devices."""
    strategies, keys = jnp.arange(len(NAMES)), lambda: jax.random.split(jax.random.key(1), LANES)
    roll = lambda leaf: np.stack([np.roll(leaf, lane, 0) for lane in range(LANES)])
    beliefs = jax.tree.map(roll, usual())
    each = lambda key, belief: jax.vmap(ALL, (0, None, None))(strategies, key, belief)

    expected = np.asarray(jax.jit(jax.vmap(each))(keys(), beliefs))
    together = np.asarray(jax.pmap(each)(keys(), beliefs))
    place = jax.NamedSharding(mesh.make(1, LANES), jax.P("data"))
    spread = np.asarray(jax.jit(each)(keys()[0], jax.device_put(usual(), place)))
    plain = [ACQUISITIONS[name].score(keys()[0], usual()) for name in NAMES]
    np.testing.assert_allclose(together, expected, atol=1e-6)
    np.testing.assert_allclose(spread, expected[0], atol=1e-6)
    np.testing.assert_allclose(np.array(plain), expected[0], atol=1e-6)


def test_a_program_serves_all_strategies_keys_and_beliefs(scores):
    traced = SCORE._cache_size()
    score(usual(), 2)
    score(jax.tree.map(lambda leaf: leaf[::-1], usual()), 3)
    assert SCORE._cache_size() == traced


def test_a_typo_names_the_nearest():
    with pytest.raises(InputError, match="did you mean 'least_confidence'"):
        any_of(["mnlp", "least_confidense"])


@pytest.mark.parametrize("name", READING)
def test_what_a_strategy_needs_must_be_there(name):
    (needed,) = ACQUISITIONS[name].needs
    with pytest.raises(ValueError, match="which this belief does not have"):
        ACQUISITIONS[name].score(jax.random.key(0), usual()._replace(**{needed: None}))


def test_random_is_another_order_for_another_key(scores):
    other = score(usual(), 1)["random"]
    assert (np.argsort(other) != np.argsort(scores["random"])).any()
    assert (other >= 0).all()
    assert (other < 1).all()


# Of single strategies


def score_by(name, belief):
    belief = jax.tree.map(jnp.asarray, belief)
    return np.asarray(ACQUISITIONS[name].score(jax.random.key(0), belief))


def test_least_confidence_keeps_the_order_of_long_sentences():
    """In float32 1 - P is 1 for both, and so would be the product of their probabilities 0."""
    rng = np.random.default_rng(0)
    log_probs = np.log(rng.uniform(0.1, 0.6, (2, 150))).astype(np.float32)
    log_probs[1] = log_probs[0, ::-1]
    log_probs[1, 40] -= 0.01
    belief = Belief(np.ones((2, 150), bool), of(np.zeros((2, 150), int), log_probs[..., None]))
    less, more = score_by("least_confidence", belief)
    assert np.exp(-less) == 0
    assert less < more


def test_mnlp_is_least_confidence_over_length(scores):
    np.testing.assert_allclose(scores["mnlp"] * LENGTHS, scores["least_confidence"], rtol=1e-6)


def unanimous(votes):
    """Passes whose tags are these, [pass], for every token of every sentence."""
    tags = np.broadcast_to(np.array(votes, np.int32)[:, None, None], (len(votes), 2, 3))
    probs = np.where(tags[..., None] == np.arange(5), 1.0, 0.0)
    with np.errstate(divide="ignore"):
        return voted(tags, np.log(probs).astype(np.float32), 1, jnp.ones((2, 3), bool))


def test_variation_ratio_of_no_and_of_full_disagreement():
    names = ["bald", "bald_sequence", "bald_mutual_information"]
    mask = np.ones((2, 3), bool)
    of = lambda passes: [score_by(name, Belief(mask, None, passes))[0] for name in names]
    assert of(unanimous([2] * 5)) == pytest.approx([0, 0, 0], abs=1e-7)
    assert of(unanimous(range(5))) == pytest.approx([1 - 1 / 5, 1 - 1 / 5, math.log(5)])


def test_mutual_information_is_not_negative(scores):
    """Nor where all passes agree, up to rounding of their mean."""
    probs = np.random.default_rng(0).dirichlet(np.full(TAGS, 0.3), (200, 3)).astype(np.float32)
    votes = np.ones((200, 3, TAGS), np.int32)
    entropies = -np.where(probs > 0, probs * np.log(probs), 0).sum(-1)
    passes = Passes(votes, probs, entropies, -entropies, votes[:, 0, 0])
    belief = Belief(np.ones((200, 3), bool), None, passes)
    information = score_by("bald_mutual_information", belief)
    assert (information >= 0).all()
    assert (information < 1e-6).all()
    assert (scores["bald_mutual_information"] > 0).all()


def test_sequences_of_equal_votes_are_in_the_order_of_their_confidence():
    votes = np.ones((3, 1, 2), np.int32) * 50
    log_probs = np.array([[-0.2], [-0.3], [-0.2001]], np.float32)
    passes = Passes(votes, votes / 100, log_probs, log_probs, np.array([3, 3, 3], np.int32))
    belief = Belief(np.ones((3, 1), bool), None, passes)
    order = np.argsort(-score_by("bald_sequence", belief))
    assert order.tolist() == [1, 2, 0]
    surer = passes._replace(sequence_votes=np.array([3, 4, 3], np.int32))
    order = np.argsort(-score_by("bald_sequence", belief._replace(passes=surer)))
    assert order.tolist() == [2, 0, 1]

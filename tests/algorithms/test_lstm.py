"""The recurrent decoder against a loop over tokens, in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np

from trinity_jax.algorithms import lstm

FEATURES, STATE, TAGS, TOKENS = 5, 4, 3, 6
LENGTH = np.array([6, 4])


def weights(seed):
    rng = np.random.default_rng(seed)
    shapes = lstm.Weights(
        *((FEATURES, 4 * STATE), (TAGS + 1, 4 * STATE), (STATE, 4 * STATE), (STATE, TAGS), (TAGS,))
    )
    return lstm.Weights(*(np.float32(rng.normal(size=shape)) for shape in shapes))


def hidden(seed):
    return np.random.default_rng(seed).normal(size=(2, TOKENS, FEATURES)).astype(np.float32)


def oracle(weights, h, choose):
    """Log-probabilities `[token, tag]` of a sentence; `choose(t, log_probs)` is the tag told."""
    sigmoid = lambda z: 1 / (1 + np.exp(-z))
    c, s, before, log_probs = np.zeros(STATE), np.zeros(STATE), TAGS, []
    for t, features in enumerate(h):
        z = features @ weights.inputs + weights.previous[before] + s @ weights.hidden
        i, f, g, o = np.split(z, 4)
        c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
        s = sigmoid(o) * np.tanh(c)
        logits = s @ weights.output + weights.bias
        log_probs.append(logits - np.log(np.exp(logits).sum()))
        before = choose(t, log_probs[-1])
    return np.array(log_probs)


def test_the_teacher_tells_the_tag_before():
    tags = np.random.default_rng(2).integers(0, TAGS, (2, TOKENS))
    got = jax.jit(lstm.teacher)(weights(0), hidden(1), tags)
    for row in range(2):
        expected = oracle(weights(0), hidden(1)[row], lambda t, _, row=row: tags[row, t])
        np.testing.assert_allclose(got[row], expected, atol=1e-5)


def test_greedy_tells_what_it_chose():
    got = jax.jit(lstm.greedy)(weights(0), hidden(1), LENGTH)
    for row, length in enumerate(LENGTH):
        expected = oracle(weights(0), hidden(1)[row], lambda _, log_probs: log_probs.argmax())
        np.testing.assert_allclose(got.token_log_probs[row, :length], expected[:length], atol=1e-5)
        np.testing.assert_array_equal(got.tags[row, :length], expected[:length].argmax(1))
        np.testing.assert_allclose(got.log_probs[row, :length], expected[:length].max(1), atol=1e-5)


def test_a_beam_is_a_loop_over_hypotheses():
    """The three best are gone on with, and nothing else, however good it would have become."""
    got = jax.jit(lambda *given: lstm.beam(*given, 3))(weights(3), hidden(4), LENGTH)
    for row, length in enumerate(LENGTH):
        beam = [((), 0.0)]
        for t in range(length):
            ways = []
            for told, log_prob in beam:
                choose = lambda t, _, told=told: told[t] if t < len(told) else 0
                gain = oracle(weights(3), hidden(4)[row, : t + 1], choose)[t]
                ways += [((*told, tag), log_prob + gain[tag]) for tag in range(TAGS)]
            beam = sorted(ways, key=lambda way: -way[1])[:3]
        assert [tuple(tags[:length].tolist()) for tags in got.tags[row]] == [y for y, _ in beam]
        np.testing.assert_allclose(got.log_prob[row], [p for _, p in beam], atol=1e-5)


def test_vmap_over_models():
    models = [weights(seed) for seed in range(2)]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *models)
    h, length = jnp.asarray(hidden(1)), jnp.asarray(LENGTH)
    decode = lambda weights: (lstm.greedy(weights, h, length), lstm.beam(weights, h, length, 2))
    together = jax.jit(jax.vmap(decode))(stacked)
    for index, model in enumerate(models):
        alone = jax.jit(decode)(model)
        jax.tree.map(
            lambda a, b, index=index: np.testing.assert_allclose(a[index], b, atol=1e-5),
            together,
            alone,
        )

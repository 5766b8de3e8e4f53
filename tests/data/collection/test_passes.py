"""Monte-Carlo passes, reduced: against all passes kept, and in memory."""

import collections
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.algorithms.decoding import Decoded
from trinity_jax.data.collection.passes import entropy, fingerprint, monte_carlo, most_frequent

SENTENCES, TOKENS, TAGS, PASSES = 6, 5, 3, 12
MASK = jnp.arange(TOKENS)[None] < jnp.array([1, 5, 3, 2, 5, 4])[:, None]


def keys(seed=0):
    """Fresh ones, as they serve once."""
    return jax.random.split(jax.random.key(seed), PASSES)


def predict(key):
    """Log-probabilities about fixed ones, and their argmax."""
    base = 2 * jax.random.normal(jax.random.key(9), (SENTENCES, TOKENS, TAGS))
    log_probs = jax.nn.log_softmax(base + jax.random.normal(key, base.shape))
    return Decoded(log_probs.argmax(-1), log_probs.max(-1), log_probs)


def test_sums_are_those_of_all_passes():
    tags, _, log_probs = map(np.asarray, jax.jit(jax.vmap(predict))(keys()))
    passes = jax.jit(lambda keys: monte_carlo(predict, keys, MASK, 3))(keys())
    one_hot = tags[..., None] == np.arange(TAGS)
    probs = np.exp(np.float64(log_probs))
    assert passes.votes.dtype == jnp.int32
    np.testing.assert_array_equal(passes.votes, one_hot.sum(0))
    np.testing.assert_allclose(passes.mean_probs, probs.mean(0), atol=1e-6)
    np.testing.assert_allclose(passes.mean_entropy, -(probs * log_probs).sum(-1).mean(0), atol=1e-6)
    np.testing.assert_allclose(passes.log_probs, log_probs.max(-1).mean(0), atol=1e-6)
    for sentence, words in enumerate(np.asarray(MASK)):
        votes = collections.Counter(tuple(run[sentence, words]) for run in tags)
        assert passes.sequence_votes[sentence] == votes.most_common(1)[0][1]


def test_chunks_must_divide():
    for chunk in (0, 5, 24):
        with pytest.raises(ValueError, match=f"chunks of {chunk} do not divide 12 passes"):
            monte_carlo(predict, keys(), MASK, chunk)


def test_memory_is_that_of_a_chunk():
    """Of 64 passes, two at a time, never more than a few are there."""
    mask = jnp.ones((64, 32), bool)

    def large(key):
        low = jax.random.key_data(key)[0].astype(jnp.float32)
        log_probs = jax.nn.log_softmax(jnp.sin(low * jnp.arange(mask.size * 16.0)))
        log_probs = log_probs.reshape(*mask.shape, 16)
        return Decoded(log_probs.argmax(-1), log_probs.max(-1), log_probs)

    run = jax.jit(lambda keys: monte_carlo(large, keys, mask, 2))
    compiled = run.lower(jax.ShapeDtypeStruct((64,), keys().dtype)).compile()
    one_pass = mask.size * 16 * 4
    assert compiled.memory_analysis().temp_size_in_bytes < 20 * one_pass


def test_fingerprints_tell_all_sequences_apart():
    tags = jnp.array(list(itertools.product(range(TAGS), repeat=7)))
    prints = np.asarray(fingerprint(tags, TAGS, jnp.ones(tags.shape, bool)))
    assert prints.dtype == np.uint32
    for each in prints:  # 2187 sequences: a pair agrees by chance with probability 6e-4
        assert len(set(each.tolist())) == len(tags)
    cut = jnp.arange(7)[None] < jnp.full((len(tags), 1), 4)
    prints = np.asarray(fingerprint(tags, TAGS, cut))
    assert len(set(zip(*prints.tolist(), strict=True))) == TAGS**4


def test_both_fingerprints_must_agree():
    prints = jnp.array([[1, 1], [1, 2], [2, 1], [1, 1], [2, 2], [1, 1]], jnp.uint32)[..., None]
    assert int(most_frequent(prints)[0]) == 3
    assert int(most_frequent(prints[:3])[0]) == 1
    assert int(most_frequent(prints[:1])[0]) == 1
    assert int(most_frequent(prints[jnp.array([0, 0])])[0]) == 2


def test_entropy_of_what_is_impossible():
    with np.errstate(divide="ignore"):
        log_probs = np.log(np.array([[1, 0, 0], [0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3]], np.float32))
    np.testing.assert_allclose(entropy(jnp.asarray(log_probs)), np.log([1, 2, 3]), atol=1e-6)
    assert np.isnan(entropy(jnp.array([jnp.nan, -1.0])))

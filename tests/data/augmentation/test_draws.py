"""Labelled images are drawn evenly from the classes, and a batch has none twice if it can."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from trinity_jax.data.augmentation import draws

ITEMS, LABELS, MOST = 40, 4, 12
balanced = jax.jit(draws.balanced, static_argnums=2)
batch = jax.jit(draws.batch, static_argnums=(2, 3))


@settings(max_examples=50, deadline=None)
@given(
    label=arrays.arrays(np.int32, ITEMS, elements=st.integers(0, LABELS - 1)),
    seed=st.integers(0, 2**31 - 1),
)
def test_every_class_has_its_share(label, seed):
    """Of the first k K there are k of each, as long as the smallest class has k; sizes differ."""
    order = np.asarray(balanced(jax.random.key(seed), label, LABELS))
    assert sorted(order) == list(range(ITEMS))
    for k in range(1 + np.bincount(label, minlength=LABELS).min()):
        counts = np.bincount(label[order[: k * LABELS]], minlength=LABELS)
        np.testing.assert_array_equal(counts, k)


def test_which_are_labelled_is_up_to_the_key():
    """Within a class any item may be at any place, and the same key draws the same."""
    label = jnp.array([0] * 5 + [1] * 3)
    keys = jax.random.split(jax.random.key(0), 3000)
    order = np.asarray(jax.jit(jax.vmap(lambda key: draws.balanced(key, label, 2)))(keys))
    for place in (0, 2, 4):
        share = np.bincount(order[:, place], minlength=8) / len(keys)
        np.testing.assert_allclose(share, [0.2] * 5 + [0] * 3, atol=0.04)
    share = np.bincount(order[:, 1], minlength=8) / len(keys)
    np.testing.assert_allclose(share, [0] * 5 + [1 / 3] * 3, atol=0.04)
    one, same = (balanced(jax.random.key(7), label, 2) for _ in range(2))
    np.testing.assert_array_equal(one, same)


@pytest.mark.parametrize("size", [1, 5, 12, 30])
def test_a_batch_has_none_twice_if_it_can(size):
    """However many exist, a number of the program's; where there are too few, evenly again."""
    for existing in range(1, MOST + 1):
        drawn = np.asarray(batch(jax.random.key(existing), jnp.int32(existing), MOST, size))
        assert drawn.shape == (size,)
        counts = np.bincount(drawn, minlength=existing)
        assert len(counts) == existing  # none above
        assert set(counts) <= {size // existing, -(-size // existing)}


def test_every_batch_is_as_likely():
    keys = jax.random.split(jax.random.key(1), 3000)
    drawn = np.asarray(jax.jit(jax.vmap(lambda key: draws.batch(key, 6, MOST, 2)))(keys))
    pairs, counts = np.unique(drawn, axis=0, return_counts=True)
    assert len(pairs) == 6 * 5
    np.testing.assert_allclose(counts / len(keys), 1 / 30, atol=0.015)

"""Grouped confusions against dense ones: by loops, and as Dawid-Skene."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.algorithms.em import fit
from trinity_jax.data.aggregation import workers
from trinity_jax.data.aggregation.annotations import Dims, annotations, votes
from trinity_jax.data.aggregation.dawid_skene import dawid_skene_map
from trinity_jax.data.aggregation.grouped import grouped, partition
from trinity_jax.data.aggregation.majority import soft_vote
from trinity_jax.types import InputError

ITEM = [0, 0, 0, 1, 1, 2, 2, 2, 3, 3, 4, 4, 4]
WORKER = [0, 1, 2, 0, 2, 0, 1, 2, 1, 2, 0, 1, 2]
LABEL = [0, 3, 1, 2, 4, 2, 2, 4, 0, 3, 1, 1, 0]
TABLE, DIMS = annotations(ITEM, WORKER, LABEL)
GROUP = np.array([7, 5, 5, 7, 7])  # {1, 2} and {0, 3, 4}


def run(em, table, rounds=8):
    return jax.jit(lambda key, table: fit(em, key, table, rounds))(jax.random.key(0), table)


def by_loops(rounds, outside):
    """With confusions of all pairs of classes."""
    posterior, objectives = np.zeros((5, 5)), []
    for i, l in zip(ITEM, LABEL, strict=True):
        posterior[i, l] += 1 / ITEM.count(i)
    same = GROUP[:, None] == GROUP
    prior = np.where(same, 0.1 + np.eye(5), 0)
    typical = prior / prior.sum(1, keepdims=True)
    for _ in range(rounds):
        counts = np.tile(prior, (3, 1, 1))
        for i, a, l in zip(ITEM, WORKER, LABEL, strict=True):
            counts[a, :, l] += np.where(same[:, l], posterior[i], 0)
        inside = counts / counts.sum(2, keepdims=True)
        leave = outside / (5 - same.sum(1, keepdims=True))
        confusion = np.where(same, (1 - outside) * inside, leave)
        joint = np.tile(posterior.mean(0), (5, 1))
        for i, a, l in zip(ITEM, WORKER, LABEL, strict=True):
            joint[i] *= confusion[a, :, l]
        posterior = joint / joint.sum(1, keepdims=True)
        density = (prior * np.log(np.where(same, inside / np.where(same, typical, 1), 1))).sum()
        objectives.append(np.log(joint.sum(1)).sum() + density)
    return posterior, inside, objectives


def test_equals_loops():
    state, info = run(grouped(DIMS, GROUP, 0.05), TABLE)
    posterior, inside, objectives = by_loops(8, 0.05)
    np.testing.assert_allclose(jnp.exp(state.log_posterior), posterior, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(info.objective * len(ITEM), objectives, rtol=1e-5)
    for group, members in enumerate(([1, 2], [0, 3, 4])):
        found = np.exp(state.log_confusion[:, group, : len(members), : len(members)])
        np.testing.assert_allclose(found, inside[:, members][:, :, members], rtol=1e-3)


def test_one_group_is_dawid_skene():
    state, info = run(grouped(DIMS, 5), TABLE)
    other, other_info = run(dawid_skene_map(DIMS), TABLE)
    np.testing.assert_allclose(state.log_posterior, other.log_posterior, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(state.log_confusion[:, 0], other.log_confusion, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        np.diff(info.objective), np.diff(other_info.objective), rtol=1e-2, atol=1e-6
    )


def test_groups_of_one_are_a_vote():
    """Every label is right with probability 1 - outside."""
    state, _ = run(grouped(DIMS, 1, 0.2), TABLE, 1)
    logit = votes(TABLE, DIMS) * jnp.log(0.8 / (0.2 / 4)) + state.log_prior[None]
    np.testing.assert_allclose(state.log_posterior, jax.nn.log_softmax(logit), rtol=1e-4)


def test_nothing_outside_is_allowed():
    state, info = run(grouped(DIMS, GROUP, 0.0), TABLE)
    assert jnp.isfinite(state.log_posterior).all()
    assert jnp.isfinite(info.objective).all()


def test_partition():
    groups = partition(GROUP, 5)
    assert (groups.of == jnp.array([1, 0, 0, 1, 1])).all()
    assert (groups.slot == jnp.array([0, 0, 1, 1, 2])).all()
    assert (groups.member[groups.real] == jnp.array([1, 2, 0, 3, 4])).all()
    consecutive = partition(2, 5)
    assert (consecutive.of == jnp.array([0, 0, 1, 1, 2])).all()
    jax.tree.map(
        np.testing.assert_array_equal, consecutive, partition(np.array([3, 3, 5, 5, 9]), 5)
    )


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (0, "a group must have at least one class, not 0"),
        (np.zeros(4, int), "expected the groups of 5 classes, found 4"),
    ],
)
def test_what_is_no_partition(group, message):
    with pytest.raises(InputError, match=message):
        grouped(DIMS, group)


def test_memory_is_of_the_size_of_the_groups():
    dims = Dims(50, 100, 1000)
    table, _ = annotations([0], [0], [999], dims)
    state = jax.eval_shape(grouped(dims, 10).init, jax.random.key(0), table)
    assert state.log_confusion.size == 100 * 1000 * 10


def test_learns_confusions_inside_groups():
    """Twenty classes in fives; a worker is a hammer or guesses inside the group, for each class."""
    dims, keys = Dims(1000, 10, 20), jax.random.split(jax.random.key(0), 3)
    inside = workers.class_wise(keys[0], Dims(1, 40, 5), 0.4).reshape(10, 4, 5, 5)
    confusion = jnp.einsum("agkl,gh->agkhl", inside, jnp.eye(4)).reshape(10, 20, 20)
    truth = jax.random.randint(keys[1], (1000,), 0, 20)
    table = workers.annotate(keys[2], truth, confusion, 5)
    state, _ = run(grouped(dims, 5), table, 15)
    right = lambda posterior: jnp.mean(posterior.argmax(1) == truth)
    assert right(state.log_posterior) > right(soft_vote(table, dims)) + 0.1

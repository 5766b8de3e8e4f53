"""The class-wise coin against loops, against Dawid-Skene, and on workers who know some classes."""

import jax
import jax.numpy as jnp
import numpy as np

from trinity_jax.algorithms.em import fit
from trinity_jax.data.aggregation import workers
from trinity_jax.data.aggregation.annotations import Dims, annotations
from trinity_jax.data.aggregation.class_wise_coin import class_wise_coin
from trinity_jax.data.aggregation.dawid_skene import dawid_skene_map
from trinity_jax.data.aggregation.majority import soft_vote

ITEM = [0, 0, 0, 1, 1, 2, 2, 2, 3]
WORKER = [0, 1, 2, 0, 2, 0, 1, 2, 1]
LABEL = [0, 0, 1, 2, 1, 2, 2, 2, 0]
TABLE, DIMS = annotations(ITEM, WORKER, LABEL)


def run(em, table, rounds):
    return jax.jit(lambda key, table: fit(em, key, table, rounds))(jax.random.key(0), table)


def by_loops(rounds, right, wrong):
    posterior, objectives = np.zeros((4, 3)), []
    for i, l in zip(ITEM, LABEL, strict=True):
        posterior[i, l] += 1 / ITEM.count(i)
    for _ in range(rounds):
        agreed, met = np.full((3, 3), right), np.full((3, 3), right + 2 * wrong)
        for i, a, l in zip(ITEM, WORKER, LABEL, strict=True):
            agreed[a, l] += posterior[i, l]
            met[a] += posterior[i]
        skill = agreed / met
        joint = np.tile(posterior.mean(0), (4, 1))
        for i, a, l in zip(ITEM, WORKER, LABEL, strict=True):
            joint[i] *= np.where(np.arange(3) == l, skill[a], (1 - skill[a]) / 2)
        posterior = joint / joint.sum(1, keepdims=True)
        typical = right / (right + 2 * wrong)
        density = right * np.log(skill / typical)
        density += 2 * wrong * np.log((1 - skill) / (1 - typical))
        objectives.append(np.log(joint.sum(1)).sum() + density.sum())
    return posterior, skill, objectives


def test_equals_loops():
    state, info = run(class_wise_coin(DIMS, 1.5, 0.3), TABLE, 10)
    posterior, skill, objectives = by_loops(10, 1.5, 0.3)
    np.testing.assert_allclose(jnp.exp(state.log_posterior), posterior, rtol=1e-3)
    np.testing.assert_allclose(state.skill, skill, rtol=1e-4)
    np.testing.assert_allclose(info.objective * len(ITEM), objectives, rtol=1e-5)


def test_two_classes_are_dawid_skene():
    table, dims = annotations(ITEM, WORKER, np.minimum(LABEL, 1))
    state, info = run(class_wise_coin(dims), table, 10)
    other, other_info = run(dawid_skene_map(dims), table, 10)
    np.testing.assert_allclose(state.log_posterior, other.log_posterior, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(
        np.diff(info.objective), np.diff(other_info.objective), rtol=1e-2, atol=1e-6
    )


def test_no_pseudo_counts_are_maximum_likelihood():
    """Skill is a share of labels, and at chance for a worker who gave none."""
    dims = Dims(4, 4, 4)
    with jax.enable_x64(True):
        table, _ = annotations(ITEM, WORKER, LABEL, dims)
        state, info = run(class_wise_coin(dims, 0.0, 0.0), table, 30)
        assert jnp.isfinite(info.objective).all()
        assert np.diff(info.objective).min() > -1e-6  # of the clipping of skills at 0 and 1
        np.testing.assert_allclose(state.skill[3], 1 / 4)


def test_knows_who_knows_which_class():
    dims, keys = Dims(2000, 30, 5), jax.random.split(jax.random.key(0), 3)
    confusion = workers.class_wise(keys[0], dims, 0.4)
    truth = jax.random.randint(keys[1], (2000,), 0, 5)
    table = workers.annotate(keys[2], truth, confusion, 5)
    state, _ = run(class_wise_coin(dims), table, 30)
    expert = jnp.diagonal(confusion, axis1=1, axis2=2) == 1
    assert jnp.mean((state.skill > 0.6) == expert) > 0.99
    right = lambda posterior: jnp.mean(posterior.argmax(1) == truth)
    assert right(state.log_posterior) > right(soft_vote(table, dims)) + 0.1

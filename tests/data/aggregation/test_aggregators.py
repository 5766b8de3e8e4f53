"""The table of aggregators: names, and one compiled program for keys, budgets and data sets."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.data.aggregation.aggregators import AGGREGATORS, ALIASES, aggregate, run
from trinity_jax.data.aggregation.annotations import Dims, annotations, purchase
from trinity_jax.types import InputError

DIMS = Dims(items=30, workers=8, labels=2)


def crowd(seed):
    """Workers of all qualities, four labels an item; the truth."""
    random = np.random.default_rng(seed)
    truth, skill = random.integers(2, size=DIMS.items), random.uniform(0.7, 1, DIMS.workers)
    item = np.repeat(np.arange(DIMS.items), 4)
    worker = np.concatenate([random.permutation(DIMS.workers)[:4] for _ in range(DIMS.items)])
    right = random.random(len(item)) < skill[worker]
    return annotations(item, worker, np.where(right, truth[item], 1 - truth[item]), DIMS)[0], truth


@pytest.mark.parametrize("name", AGGREGATORS)
def test_keys_redundancies_and_data_sets_are_one_program(name):
    traces = []

    @jax.jit
    @jax.vmap
    def run(key, table, redundancy):
        traces.append(1)
        return aggregate(name, key, purchase(table, redundancy), DIMS)

    (one, truth), (other, _) = crowd(0), crowd(1)
    keys = lambda order: jax.random.split(jax.random.key(0), 3)[order]
    lanes = jax.tree.map(lambda *columns: jnp.stack(columns), one, other, one)
    redundancy = jnp.array([4, 4, 1])
    found = run(keys(jnp.arange(3)), lanes, redundancy)
    assert not jnp.isnan(found).any()
    np.testing.assert_allclose(jnp.exp(found).sum(2), 1, atol=1e-4)
    if name != "kos":  # which the short loops of so small a graph mislead
        assert (found[0].argmax(1) == truth).mean() > 0.8

    turned = jnp.array([2, 0, 1])  # a lane does not see the others
    again = run(keys(turned), jax.tree.map(lambda c: c[turned], lanes), redundancy[turned])
    np.testing.assert_allclose(np.exp(again), np.exp(found[turned]), atol=1e-5)
    assert len(traces) == 1


@pytest.mark.parametrize(
    ("typo", "meant"),
    [
        *(("dawid-skene", "dawid_skene"), ("glat", "glad"), ("majorty", "majority")),
        *(("MACE", "mace"), ("GLAD", "glad"), ("Dawid Skene", "dawid_skene"), ("kso", "kos")),
        *(("DS", "dawid_skene"), ("mv", "majority"), ("MMSR", "m_msr"), ("dawid", "dawid_skene")),
    ],
)
def test_a_typo_is_answered_with_the_nearest_name(typo, meant):
    with pytest.raises(InputError, match=f"unknown aggregator '{typo}': did you mean '{meant}'?"):
        aggregate(typo, jax.random.key(0), crowd(0)[0], DIMS)


def test_aliases_are_of_names_there_are():
    assert set(ALIASES.values()) <= set(AGGREGATORS)
    assert not set(ALIASES) & set(AGGREGATORS)


def test_rounds_that_are_fixed_are_all_there_are():
    fixed = {name: of.max_steps for name, of in AGGREGATORS.items() if of.fixed_rounds}
    assert fixed == {"majority": 0, "soft_vote": 0, "wawa": 1, "zero_based_skill": 100, "kos": 20}
    for name in ("majority", "soft_vote"):
        assert run(name, jax.random.key(0), crowd(0)[0], DIMS).num_steps == 0


def test_two_labels_where_a_method_takes_no_more():
    with pytest.raises(InputError, match="kos expects two labels, not 3"):
        aggregate("kos", jax.random.key(0), crowd(0)[0], DIMS._replace(labels=3))

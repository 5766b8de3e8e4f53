"""What every selector promises, for any pool: a line in the table buys all the tests."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trinity_jax.compute import mesh
from trinity_jax.data.collection.selection import Pool
from trinity_jax.data.collection.selectors import SELECTORS
from trinity_jax.data.collection.strategies import by_index

SENTENCES, LANES = 16, 4
WAYS = {name: selector.select for name, selector in SELECTORS.items()}
WAYS["typiclust"] = functools.partial(WAYS["typiclust"], num_clusters=3)
PLACED = ["fit", "facility_location", "k_center", "badge", "typiclust"]  # of all kinds
NEVER_PASS = ["under", "fit", "facility_location", "sieve_streaming"]
WITHOUT_SCORES = ["k_center", "badge", "typiclust"]
every_selector = pytest.mark.parametrize("name", WAYS)

TRACES = []


def choose(seed, pool, budget, names=tuple(WAYS)):
    """What each selector chooses, [selector, ...]."""
    TRACES.append(1)
    pick = by_index([WAYS[name] for name in names])
    key = jax.random.key(seed)
    return jax.vmap(pick, (0, None, None, None))(jnp.arange(len(names)), key, pool, budget)


PROGRAM = jax.jit(jax.vmap(choose))


def made(seed=0):
    rng = np.random.default_rng(seed)
    known = np.arange(SENTENCES) < 3
    length, scores = rng.integers(1, 9, SENTENCES), rng.random(SENTENCES)
    return Pool(length, ~known, known, scores, rng.normal(size=(SENTENCES, 3)))


def run(pools, budgets, seeds=range(LANES)):
    """What each selector chooses from each pool, by its name: leaves [lane, ...]."""
    found = jax.tree.map(np.asarray, PROGRAM(*lanes(pools, budgets, seeds)))
    return {name: jax.tree.map(lambda a, i=i: a[:, i], found) for i, name in enumerate(WAYS)}


def lanes(pools, budgets, seeds=range(LANES)):
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *pools)
    return jnp.array(seeds, jnp.int32), on_device(stacked), jnp.array(budgets, jnp.int32)


def on_device(pool):
    dtypes = jnp.int32, bool, bool, jnp.float32, jnp.float32
    return Pool(*(jnp.asarray(leaf, dtype) for leaf, dtype in zip(pool, dtypes, strict=True)))


def able(name, pool):
    good = np.ones(SENTENCES, bool)
    if name not in WITHOUT_SCORES:
        good &= np.isfinite(pool.scores)
    if SELECTORS[name].features != "none":
        good &= np.isfinite(pool.features).all(1)
    return pool.available & good & (pool.length > 0)


def draw_pool(seed, share, broken):
    """Of the sentences a share is available; some numbers are not numbers."""
    pool, rng = made(seed), np.random.default_rng(seed)
    pool.features[rng.random(SENTENCES) < broken, rng.integers(3)] = rng.choice([np.nan, np.inf])
    pool.scores[rng.random(SENTENCES) < broken] = rng.choice([np.nan, np.inf, -np.inf])
    pool.length[rng.random(SENTENCES) < broken] = 0
    state = rng.random(SENTENCES)
    return pool._replace(available=state < share, labelled=state > (1 + share) / 2)


@settings(max_examples=60, deadline=None, derandomize=True, database=None)
@given(
    seed=st.integers(0, 10_000),
    share=st.sampled_from([0.0, 0.3, 0.8, 1.1]),
    broken=st.sampled_from([0.0, 0.2, 1.0]),
    budgets=st.lists(st.integers(-1, 90), min_size=LANES, max_size=LANES),
)
def test_what_may_be_asked_is_asked_for_the_budget(seed, share, broken, budgets):
    pools = [draw_pool([seed, lane], share, broken) for lane in range(LANES)]
    for name, found in run(pools, budgets).items():
        for pool, budget, *result in zip(pools, budgets, *found, strict=True):
            assert_keeps_promises(name, pool, budget, *result)


def assert_keeps_promises(name, pool, budget, chosen, words, refused):
    may = able(name, pool)
    assert not (chosen & ~may).any(), name
    assert words == pool.length[chosen].sum(), name
    assert refused == (pool.available & ~may).sum(), name
    if name in NEVER_PASS:
        assert words <= max(budget, 0), name
    else:
        assert words >= min(budget, pool.length[may].sum()), name
        assert words - pool.length[chosen].max(initial=0) < budget or words == 0, name
    if name in ("until", "under"):
        worst = pool.scores[chosen].min(initial=np.inf)
        assert pool.scores[may & ~chosen].max(initial=-np.inf) <= worst, name


def test_lanes_do_not_see_each_other():
    """Nor does a program have to be traced again for other pools, keys and budgets."""
    pools, budgets, seeds = [made(lane) for lane in range(LANES)], [0, 7, 20, 99], range(LANES)
    together = run(pools, budgets)
    traced = len(TRACES)
    for lane in range(LANES):
        mine = run([pools[lane]] * LANES, [budgets[lane]] * LANES, [seeds[lane]] * LANES)
        for name in WAYS:
            for one, other in zip(together[name], mine[name], strict=True):
                np.testing.assert_array_equal(one[lane], other[0], err_msg=name)
    assert len(TRACES) == traced


@pytest.mark.parametrize("how", ["plain", "pmap", "sharded"])
def test_placement_does_not_matter(how):
    """Without a compiler, a pool on each device, and the sentences of a pool spread over them."""
    pools, budgets = [made(lane) for lane in range(LANES)], [12, 7, 20, 99]
    expected, arguments = run(pools, budgets), lanes(pools, budgets)
    first = jax.tree.map(lambda leaf: leaf[0], arguments)
    some = functools.partial(choose, names=PLACED)
    if how == "plain":
        _, pool, budget = first
        found = [WAYS[name](jax.random.key(0), pool, budget) for name in PLACED]
        found = jax.tree.map(lambda *leaves: np.stack(leaves)[None], *found)
    elif how == "pmap":
        found = jax.pmap(some)(*arguments)
    else:
        place = jax.NamedSharding(mesh.make(1, LANES), jax.P("data"))
        found = jax.jit(some)(first[0], jax.device_put(first[1], place), first[2])
        found = jax.tree.map(lambda leaf: np.asarray(leaf)[None], found)
    for i, name in enumerate(PLACED):
        for one, other in zip(found, expected[name], strict=True):
            np.testing.assert_array_equal(one[:, i], other[: len(one)], err_msg=name)


@every_selector
def test_a_key_tells_the_choice(name):
    """The same again, and for what is drawn another for some other key."""
    chosen = run([made()] * LANES, [20] * LANES, [0, 0, 1, 2])[name].chosen
    assert (chosen[0] == chosen[1]).all()
    assert (chosen[0] != chosen[2:]).any() == (name in ("power", "badge", "typiclust"))

"""A sweep in one program is the loop one would have written."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.compute import mesh, replicas

DEVICES = mesh.make()


def one(offset, table, t, replica):
    """A replica's work, with what replicas do: random numbers, a branch, a loop, a tree."""
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), replica["seed"]), t)
    noise = jax.random.normal(key, (3,)) * replica["scale"]
    branches = [lambda x: x + offset, lambda x: x * table.sum()]
    value = jax.lax.switch(replica["method"], branches, noise)
    steps = jax.lax.fori_loop(0, replica["seed"], lambda i, total: total + i, jnp.int32(0))
    return {"value": value, "steps": (steps, replica["method"] == 1)}


def sweep(count):
    replica = {
        "seed": jnp.arange(count, dtype=jnp.int32),
        "scale": jnp.linspace(0.5, 2, count),
        "method": jnp.arange(count, dtype=jnp.int32) % 2,
    }
    return jnp.float32(0.25), jnp.arange(4.0), jnp.full(count, 7), replica


def loop(shared, *rows):
    """What is expected: a row at a time."""
    one_row = jax.jit(one)
    count = len(rows[0])
    results = [
        one_row(*shared, *jax.tree.map(lambda leaf, i=i: leaf[i], rows)) for i in range(count)
    ]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *results)


def check_equal(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(found), jax.tree.leaves(expected), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize("count", range(1, 10))
def test_a_sweep_is_a_loop(count):
    """Also where the rows do not divide by the devices, of which there are four."""
    offset, table, *rows = sweep(count)
    mapped = jax.jit(replicas.over_replicas(one, DEVICES, shared=2))
    check_equal(mapped(offset, table, *rows), loop((offset, table), *rows))


def test_nothing_need_be_shared():
    double = lambda x, y: x + y
    mapped = jax.jit(replicas.over_replicas(double, DEVICES, shared=0))
    np.testing.assert_array_equal(mapped(jnp.arange(3), jnp.arange(3)), [0, 2, 4])


@pytest.mark.parametrize("count", [6, 8])
def test_placed_arrays_give_the_same(count):
    offset, table, *rows = sweep(count)
    shared = replicas.share((offset, table), DEVICES)
    placed = replicas.spread(rows, DEVICES)
    mapped = jax.jit(replicas.over_replicas(one, DEVICES, shared=2))
    check_equal(mapped(*shared, *placed), loop((offset, table), *rows))


@pytest.mark.parametrize("in_turn", [False, True])
@pytest.mark.parametrize("platform", ["cpu", "gpu", "tpu"])
def test_replicas_are_vectorised_on_accelerators_and_mapped_in_turn_on_cpu(
    platform, in_turn, monkeypatch
):
    """No accelerator is needed to see which."""
    offset, table, *rows = sweep(8)
    monkeypatch.setattr(replicas, "platform", lambda mesh: platform)
    mapped = jax.jit(replicas.over_replicas(one, DEVICES, shared=2, in_turn=in_turn))
    one_by_one = "scan[" in str(jax.make_jaxpr(mapped)(offset, table, *rows))
    assert one_by_one == (in_turn or platform == "cpu")
    check_equal(mapped(offset, table, *rows), loop((offset, table), *rows))


@pytest.mark.parametrize("spared", [False, True])
def test_replicas_may_be_spared_a_function_which_is_traced_once(spared):
    traces = []

    def one(x):
        measure = lambda: traces.append(x) or {"double": 2 * x, "whole": jnp.int32(3)}
        return replicas.unless(x < 0, measure)

    found = jax.jit(one)(-4.0 if spared else 4.0)
    assert (found["double"], found["whole"]) == ((0, 0) if spared else (8, 3))
    assert found["whole"].dtype == jnp.int32
    assert len(traces) == 1


def test_a_grid_is_every_combination_the_last_axis_fastest():
    rows, arrays = replicas.grid(seed=range(2), quality=[0.2, 0.6], method=("vote", "em", "mbem"))
    assert len(rows) == 12
    assert rows[0] == {"seed": 0, "quality": 0.2, "method": "vote"}
    assert rows[1] == {"seed": 0, "quality": 0.2, "method": "em"}
    assert rows[3] == {"seed": 0, "quality": 0.6, "method": "vote"}
    assert rows[-1] == {"seed": 1, "quality": 0.6, "method": "mbem"}
    methods = ("vote", "em", "mbem")
    for i, row in enumerate(rows):
        assert arrays["seed"][i] == row["seed"]
        assert arrays["quality"][i] == np.float32(row["quality"])
        assert methods[arrays["method"][i]] == row["method"]
    assert [arrays[name].dtype for name in arrays] == [np.int32, np.float32, np.int32]


def test_an_axis_of_numbers_is_itself_and_of_names_its_indices():
    _, arrays = replicas.grid(redundancy=(7, 1, 3), workers=("b", "a"))
    np.testing.assert_array_equal(arrays["redundancy"], [7, 7, 1, 1, 3, 3])
    np.testing.assert_array_equal(arrays["workers"], [0, 1, 0, 1, 0, 1])


@pytest.mark.parametrize(("count", "shards"), [(8, 4), (6, 1)])
def test_rows_are_spread_where_they_divide_and_shared_elsewhere(count, shards):
    tree = {"a": jnp.arange(count), "b": jnp.ones((count, 3))}
    spread = replicas.spread(tree, DEVICES)
    for name, leaf in spread.items():
        np.testing.assert_array_equal(leaf, tree[name])
        assert leaf.addressable_shards[0].data.shape[0] == count // shards
        assert leaf.sharding.device_set == set(jax.devices())


def test_what_is_shared_is_whole_on_every_device():
    shared = replicas.share(jnp.arange(8), DEVICES)
    assert [shard.data.shape for shard in shared.addressable_shards] == [(8,)] * 4


def test_a_stack_is_the_same_state_for_all():
    stacked = replicas.stack({"w": jnp.arange(3.0), "n": jnp.int32(5)}, 4)
    np.testing.assert_array_equal(stacked["w"], np.tile([0.0, 1, 2], (4, 1)))
    np.testing.assert_array_equal(stacked["n"], [5, 5, 5, 5])


@pytest.mark.parametrize("sizes", [(4, 1), (2, 2), (1, 4)])
@pytest.mark.parametrize("batch_size", [None, 1, 3, 5, 100])
@pytest.mark.parametrize("count", [1, 4, 7, 12])
def test_passes_over_items_are_shared_and_the_same_to_the_bit(sizes, batch_size, count):
    """Also where items divide neither by devices nor into batches."""
    items = {"x": jnp.linspace(0.1, 3, count), "y": jnp.arange(count)}
    one = lambda item: (jnp.sin(item["x"]) * jnp.exp(item["x"]), item["y"] * 2)

    def passed(devices):
        each = replicas.each_of(devices)
        work = lambda items, offset: each(one, items | {"x": items["x"] + offset}, **how)
        sweep = replicas.over_replicas(work, devices, shared=1)
        return jax.jit(sweep)(items, jnp.arange(3.0))

    how = {"batch_size": batch_size}
    alone = jax.sharding.Mesh(np.array(jax.devices()[:1]).reshape(1, 1), ("replica", "data"))
    found, expected = passed(mesh.make(*sizes)), passed(alone)
    assert found[0].shape == (3, count)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    np.testing.assert_array_equal(found[1][0], 2 * items["y"])

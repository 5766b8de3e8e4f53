"""A sweep as one program: strategies, settings and seeds are the rows of one array.

On CPU replicas are mapped in turn inside the program (a branch not taken costs nothing there, and
small matrix products do not gain from batching); on accelerators they are vectorised, unless bits
are to be the same on any number of devices. That is slower where replicas differ in heavy branches,
all of which each then goes through (`experiments.benchmarks.figures --platform gpu` measures it).
Either way the rows are spread over the devices of the mesh's axis `replica`. Those of its axis
`data` share the passes of each replica over its items.
"""

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def over_replicas(
    function: Callable[..., Any], mesh: Mesh, shared: int, in_turn: bool = False
) -> Callable[..., Any]:
    """Maps a function over the leading axis of its arguments.

    Args:
      function: one replica's work, on arguments without the replica axis.
      mesh: its axis `replica` takes the rows; a number of rows that does not divide is padded.
      shared: how many of the first arguments are the same for every replica.
      in_turn: on accelerators too, where a program of more rows may round differently.

    Returns:
      The mapped function, not yet compiled.
    """
    devices = mesh.shape["replica"]
    one_by_one = in_turn or platform(mesh) == "cpu"

    def on_device(common, rows):
        body = lambda row: function(*common, *row)
        return jax.lax.map(body, rows) if one_by_one else jax.vmap(body)(rows)

    on_mesh = jax.shard_map(
        on_device,
        mesh=mesh,
        in_specs=(PartitionSpec(), PartitionSpec("replica")),
        out_specs=PartitionSpec("replica"),
        check_vma=False,
    )

    def mapped(*arguments):
        common, rows = arguments[:shared], arguments[shared:]
        count = jax.tree.leaves(rows)[0].shape[0]
        missing = -count % devices
        fill = lambda leaf: jnp.concatenate([leaf, jnp.repeat(leaf[:1], missing, axis=0)])
        padded = jax.tree.map(fill, rows) if missing else rows
        result = on_mesh(common, padded)
        if not missing:
            return result
        everywhere = NamedSharding(mesh, PartitionSpec())
        trim = lambda leaf: jax.lax.with_sharding_constraint(leaf[:count], everywhere)
        return jax.tree.map(trim, result)

    return mapped


def platform(mesh: Mesh) -> str:
    """What its devices are: cpu, gpu or tpu."""
    return mesh.devices.flat[0].platform


def each_of(mesh: Mesh) -> Callable[..., Any]:
    """A `jax.lax.map`, inside of `over_replicas`, whose rows the axis `data` shares.

    Every row, or batch of rows, is worked on alike on any number of devices, and the results are
    gathered: they are the same to the bit, as barriers keep the compiler from fusing what comes
    before and after with a pass of one step. Rows that do not divide are filled up.
    """
    devices = mesh.shape["data"]

    def each(function, rows, *, batch_size: int | None = None):
        count = jax.tree.leaves(rows)[0].shape[0]
        batch = min(batch_size or 1, count)
        share = -(-count // (devices * batch)) * batch
        place = jnp.arange(share)
        if devices > 1:
            place += jax.lax.axis_index("data") * share
        mine = jax.tree.map(lambda leaf: leaf[jnp.minimum(place, count - 1)], rows)
        mine = jax.lax.optimization_barrier(mine)
        found = jax.lax.map(function, mine, batch_size=batch_size and batch)
        found = jax.lax.optimization_barrier(found)
        gather = lambda leaf: jax.lax.all_gather(leaf, "data", tiled=True)
        return jax.tree.map(lambda leaf: (gather(leaf) if devices > 1 else leaf)[:count], found)

    return each


def unless(spared: Any, function: Callable[[], Any]) -> Any:
    """What the function returns; of replicas that are spared it, zeros of that shape, in no time.

    Args:
      spared: a scalar boolean array, which may depend on the replica.
      function: traced once, for its shapes and to be compiled.
    """
    function = jax.jit(function)
    shapes = jax.eval_shape(function)
    zeros = lambda: jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return jax.lax.cond(spared, zeros, function)


def grid(**axes: Sequence) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Every combination of the axes' values, the last axis fastest.

    Returns:
      A dictionary a replica, for people; and an array an axis, [replica], for the program: numbers
      as they are, anything else as its index in the axis.

    >>> rows, arrays = grid(quality=[0.2, 0.6], method=["vote", "em"])
    >>> rows[1]
    {'quality': 0.2, 'method': 'em'}
    >>> arrays["method"]
    array([0, 1, 0, 1], dtype=int32)
    """
    rows = [dict(zip(axes, row, strict=True)) for row in itertools.product(*axes.values())]
    arrays = {}
    for name, values in axes.items():
        codes = range(len(values)) if any(isinstance(v, str) for v in values) else values
        code = np.array(codes)
        code = code.astype(np.float32 if code.dtype.kind == "f" else np.int32)
        arrays[name] = code[[list(values).index(row[name]) for row in rows]]
    return rows, arrays


def spread(tree: Any, mesh: Mesh) -> Any:
    """Places arrays with a replica axis over the mesh, or on all of it where it does not divide."""
    divides = jax.tree.leaves(tree)[0].shape[0] % mesh.shape["replica"] == 0
    return _place(tree, mesh, PartitionSpec("replica") if divides else PartitionSpec())


def share(tree: Any, mesh: Mesh) -> Any:
    """Places arrays that all replicas read on every device of the mesh."""
    return _place(tree, mesh, PartitionSpec())


def _place(tree: Any, mesh: Mesh, axes: PartitionSpec) -> Any:
    """Every process gives the same arrays, or its part of those that all have parts of."""
    sharding = NamedSharding(mesh, axes)
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding)

    def put(leaf):
        if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
            return jax.jit(lambda x: x, out_shardings=sharding)(leaf)
        held = np.asarray(leaf)
        return jax.make_array_from_callback(held.shape, sharding, lambda where: held[where])

    return jax.tree.map(put, tree)


def stack(tree: Any, count: int) -> Any:
    """The same state for every replica."""
    return jax.tree.map(lambda leaf: jnp.repeat(leaf[None], count, axis=0), tree)

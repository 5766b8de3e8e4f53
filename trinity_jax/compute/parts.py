"""Sums over data in parts: the same to the bit on one device, on several, and on several hosts.

Data are cut into a fixed number of parts, whatever the devices: each device sums up its own, one
after the other, and what the parts gave is added in their order.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec


def place(tree: Any, mesh: Mesh) -> Any:
    """Spreads arrays with a leading axis of parts over all devices, of all hosts.

    Every process gives the same arrays, of which only the parts of its own devices are moved.

    Raises:
      ValueError: the number of parts is not a multiple of that of devices.
    """
    sharding = NamedSharding(mesh, _spread(mesh))

    def put(leaf):
        if len(leaf) % mesh.size:
            raise ValueError(f"{len(leaf)} parts do not divide over {mesh.size} devices")
        return jax.make_array_from_callback(leaf.shape, sharding, lambda where: leaf[where])

    return jax.tree.map(lambda leaf: put(np.asarray(leaf)), tree)


def over_parts(
    function: Callable[..., Any], mesh: Mesh, join: Callable[[Any], Any] | None = None
) -> Callable[..., Any]:
    """Maps a function over the leading axis of its first argument, and joins the results.

    Args:
      function: `(part, *common) -> result`.
      mesh: its devices share the parts.
      join: makes one result of those of all parts, `[part, ...]`; by default they stay spread.

    Returns:
      `(parts, *common) -> result`, not yet compiled.
    """

    def on_device(parts, common):
        found = jax.lax.map(lambda part: function(part, *common), parts)
        if join is None:
            return found
        return join(jax.lax.all_gather(found, mesh.axis_names, tiled=True))

    spread = _spread(mesh)
    out = spread if join is None else PartitionSpec()
    specs = {"in_specs": (spread, PartitionSpec()), "out_specs": out, "check_vma": False}
    on_mesh = jax.shard_map(on_device, mesh=mesh, **specs)
    return lambda parts, *common: on_mesh(parts, common)


def _spread(mesh):
    return PartitionSpec(mesh.axis_names)

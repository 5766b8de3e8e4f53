"""Devices as a mesh with two axes: `replica` (runs of a sweep) and `data` (items of one run).

Axes are of type Auto, where the compiler places what we do not: with Explicit axes, gather, sort,
top-k and scatter on a sharded axis raise, and label-efficient learning is made of these.
"""

import contextlib
import os

import jax
from jax.sharding import AxisType, Mesh

PATIENCE = 10**6  # seconds


def use_cores() -> None:
    """Makes one JAX device of each CPU core, so that replicas run on all of them.

    Cores may wait for each other as long as they like, as replicas take as long as their method
    does: XLA would complain of it after 20 seconds, and it has a limit after which it gives up.

    Call it before JAX is first used; later it has no effect. Accelerators are not touched.
    """
    waits = ("warn_stuck", "terminate")
    flags = [f"--xla_cpu_collective_call_{wait}_timeout_seconds={PATIENCE}" for wait in waits]
    given = os.environ.get("XLA_FLAGS", "")
    if flags[0] not in given:  # flags are part of the keys of compiled programs: once is enough
        os.environ["XLA_FLAGS"] = " ".join([*flags, given])
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    if "JAX_NUM_CPU_DEVICES" not in os.environ:
        with contextlib.suppress(RuntimeError):  # JAX has been used: its devices stay
            jax.config.update("jax_num_cpu_devices", cores or 1)


def make(replica: int = -1, data: int = 1) -> Mesh:
    """A mesh over all devices of all hosts; -1 stands for as many as there are.

    Raises:
      ValueError: the product of the sizes is not the number of devices.
    """
    count = jax.device_count()
    sizes = [replica, data]
    if -1 in sizes:
        sizes[sizes.index(-1)] = count // max(1, -replica * data)
    if sizes[0] * sizes[1] != count:
        raise ValueError(f"a mesh of {sizes[0]} x {sizes[1]} does not cover {count} devices")
    return jax.make_mesh(tuple(sizes), ("replica", "data"), axis_types=(AxisType.Auto,) * 2)

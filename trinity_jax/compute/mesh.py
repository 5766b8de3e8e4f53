"""Devices as a mesh with two axes: `replica` (runs of a sweep) and `data` (items of one run).

Axes are of type Auto, where the compiler places what we do not: with Explicit axes, gather, sort,
top-k and scatter on a sharded axis raise, and label-efficient learning is made of these.
"""

import contextlib
import os

import jax
from jax.sharding import AxisType, Mesh

from trinity_jax.types import InputError

PATIENCE = 10**6  # seconds
THREADS = 8  # among which a CPU's sums are split, whatever its cores, where bits are to be the same


def use_cores(deterministic: bool = False) -> None:
    """Makes one JAX device of each CPU core, so that replicas run on all of them.

    Cores may wait for each other as long as they like, as replicas take as long as their method
    does: XLA would complain of it after 20 seconds, and it has a limit after which it gives up.

    Call it before JAX is first used; later it has no effect. Accelerators are not touched, but for
    the order in which GPUs add.

    Args:
      deterministic: whether sums are always in the same order, however many devices (up to eight
        a process) and cores, or blocks of a GPU, share them; it is slower.
    """
    waits = ("warn_stuck", "terminate")
    flags = [f"--xla_cpu_collective_call_{wait}_timeout_seconds={PATIENCE}" for wait in waits]
    if deterministic:
        flags.append("--xla_gpu_deterministic_ops=true")
        os.environ["NPROC"] = str(THREADS)  # where XLA looks for the size of its pool
    given = os.environ.get("XLA_FLAGS", "")
    missing = [flag for flag in flags if flag not in given]  # as they are part of programs' keys
    os.environ["XLA_FLAGS"] = " ".join([*missing, given]).strip()
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


def read(sizes: str) -> Mesh:
    """The mesh that an option asks for, as in "replica=2,data=2"; one size may be left out.

    Raises:
      InputError: it is not of this form, or does not cover the devices.
    """
    expected = "as in replica=2,data=2, whose product is the number of devices"
    pairs = [part.split("=") for part in sizes.split(",") if part]
    try:
        asked = {axis: int(size) for axis, size in pairs}
        if asked.keys() - {"replica", "data"} or min(asked.values(), default=1) < 1:
            raise ValueError(sizes)
        if len(asked) < len(pairs):
            raise ValueError(sizes)
    except ValueError as error:
        raise InputError(f"--mesh is {sizes!r}; expected sizes {expected}") from error
    if asked.keys() == {"data"}:
        asked["replica"] = -1
    elif asked.keys() == {"replica"}:
        asked["data"] = -1
    try:
        return make(**asked)
    except ValueError as error:
        raise InputError(f"--mesh is {sizes!r}: {error}; expected sizes {expected}") from error

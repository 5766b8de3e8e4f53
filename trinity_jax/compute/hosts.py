"""Several processes that run one program: each has some of the devices, the first has the disk.

Every process runs the same experiment on the same input, and what they compute on the mesh of all
devices they compute together. Files are the first one's: the others keep a run's directory of their
own that is thrown away, so nothing needs a file system that all can write to.
"""

import json
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from trinity_jax.types import Failure, InputError

EXPECTED = "auto, or HOST:PORT,PROCESSES,NUMBER as in host0:1234,2,0"


def join(processes: str, heartbeat: int) -> None:
    """Makes this process one of several; call it before JAX is used.

    Args:
      processes: "auto" where JAX knows the cluster (TPU slices, SLURM, Open MPI, Kubernetes); else
        the address of the first process, how many there are, and which this is, from 0.
      heartbeat: seconds without a word from another process after which this one ends.

    Raises:
      InputError: it is neither, or the cluster is not one that JAX knows.
    """
    given: dict[str, Any] = {}
    if processes != "auto":
        try:
            address, count, number = processes.split(",")
            host, _, port = address.rpartition(":")
            if not host or not 0 <= int(number) < int(count) or not 0 < int(port) < 2**16:
                raise ValueError(processes)
        except ValueError as error:
            raise InputError(f"--processes is {processes!r}; expected {EXPECTED}") from error
        given = {"num_processes": int(count), "process_id": int(number)}
        given["coordinator_address"] = address
    try:
        jax.distributed.initialize(**given, heartbeat_timeout_seconds=heartbeat)
    except ValueError as error:
        why = f"JAX knows no such cluster; expected {EXPECTED}"
        raise InputError(f"--processes {processes}: {why}") from error
    except RuntimeError as error:
        why = str(error).splitlines()[0][:200]
        raise Failure(f"--processes {processes}: they did not meet ({why})") from error


def first() -> bool:
    """Whether this process has the disk."""
    return jax.process_index() == 0


def agree(found: Callable[[], Any]) -> Any:
    """What the first process finds, in all of them.

    Args:
      found: returns what JSON can say; only the first calls it.

    Raises:
      InputError: it raised this in the first, as also `Failure`; then all raise it.
    """
    if jax.process_count() == 1:
        return found()
    kinds: dict[str, type[Exception]] = {"input": InputError, "failure": Failure}
    said, raised = {}, None
    if first():
        try:
            said = {"value": found()}
        except (InputError, Failure, OSError) as error:
            kind = "input" if isinstance(error, InputError) else "failure"
            said, raised = {kind: str(error)}, error
    told = json.loads(_from_first(json.dumps(said).encode()))
    if raised is not None:
        raise raised
    for kind, error in kinds.items():
        if kind in told:
            raise error(told[kind])
    return told["value"]


def _from_first(message: bytes) -> bytes:
    """The first process's message."""
    length = int(multihost_utils.broadcast_one_to_all(np.int32(len(message))))
    held = np.zeros(length, np.uint8)
    if first():
        held[:] = np.frombuffer(message, np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(held)).astype(np.uint8).tobytes()


def hand_out(tree: Any) -> Any:
    """The first process's arrays; the others give any of these shapes and types."""
    if jax.process_count() == 1:
        return tree
    return multihost_utils.broadcast_one_to_all(tree)


def any_of(flag: bool) -> bool:
    """Whether it is so in any process."""
    if jax.process_count() == 1:
        return flag
    return bool(multihost_utils.process_allgather(np.array(flag)).any())


def fetch(tree: Any) -> Any:
    """Arrays of which several processes have parts, whole; others as they are."""

    def whole(leaf):
        if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
            return multihost_utils.process_allgather(leaf, tiled=True)
        return leaf

    return jax.tree.map(whole, tree)

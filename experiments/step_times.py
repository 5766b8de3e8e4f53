"""How long a step of each arm takes, in the program of the whole sweep: nothing else is compiled.

Each replica has its number of `steps`, and is either `timed`, all steps at once and nothing
measured, or goes through them part by part.
"""

import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from trinity_jax.compute import replicas
from trinity_jax.compute.sweep import Sweep

STEPS = 30


def columns(count: int, steps: int) -> dict[str, np.ndarray]:
    """What replicas have that take so many steps, and are not timed."""
    return {"steps": np.full(count, steps, np.int32), "timed": np.zeros(count, bool)}


def part(t, rounds: int, replica) -> jax.Array:
    """The first step of the replica's round, and the one after its last."""
    parts = jnp.where(replica["timed"], jnp.array([0, rounds]), jnp.stack([t, t + 1]))
    return parts * replica["steps"] // rounds


def unless_timed(replica, measure: Callable):
    """What is measured; of timed replicas zeros, in no time."""
    shapes = jax.eval_shape(measure)
    nothing = lambda: jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return jax.lax.cond(replica["timed"], nothing, measure)


def of_arms(sweep: Sweep, rows) -> dict[str, float]:
    """Seconds of a step of each arm, with one replica at work; the best of three.

    Args:
      sweep: compiled, of replicas with `columns`.
      rows: what its replicas are.
    """
    state, idle = jax.tree.map(jnp.copy, sweep.state), np.zeros(len(rows), np.int32)

    def seconds(steps):
        nonlocal state
        columns = {"steps": steps, "timed": idle == 0}
        given = sweep.replica | replicas.spread(columns, sweep.mesh)
        times = []
        for _ in range(3):
            began = time.perf_counter()
            state, _ = jax.block_until_ready(sweep.advance(0, state, given))
            times.append(time.perf_counter() - began)
        return min(times)

    nothing, found = seconds(idle), {}
    for place, row in enumerate(rows):
        if row["arm"] not in found:
            steps = np.where(np.arange(len(rows)) == place, STEPS, idle).astype(np.int32)
            found[row["arm"]] = max(seconds(steps) - nothing, 1e-9) / STEPS
    return found

"""How long a step of each arm takes, in the program of the whole sweep: nothing else is compiled.

Each replica has its number of `steps`, and is either `timed`, all steps at once and nothing
measured, or goes through them part by part.
"""

import time

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


def of_arms(sweep: Sweep, rows) -> dict[str, float]:
    """Seconds of a step of each arm, with one replica at work; the best of three.

    On accelerators replicas are vectorised, and each goes through the branches of all: there it is
    a program of one replica that is timed.

    Args:
      sweep: compiled, of replicas with `columns`.
      rows: what its replicas are.
    """
    alone = replicas.platform(sweep.mesh) != "cpu"
    go = sweep.of_one() if alone else sweep.advance

    def seconds(place: int, steps: int) -> float:
        at = np.array([place]) if alone else np.arange(len(rows))
        some = lambda tree: jax.tree.map(lambda x: x[at] if alone else jnp.copy(x), tree)
        columns = {"steps": np.where(at == place, steps, 0).astype(np.int32), "timed": at >= 0}
        given = some(dict(sweep.replica)) | replicas.spread(columns, sweep.mesh)
        state, times = some(sweep.state), []
        for _ in range(3):
            began = time.perf_counter()
            state, _ = jax.block_until_ready(go(0, state, given))
            times.append(time.perf_counter() - began)
        return min(times)

    places = {row["arm"]: place for place, row in reversed([*enumerate(rows)])}
    extra = lambda place: max(seconds(place, STEPS) - seconds(place, 0), 1e-9)
    return {arm: extra(places[arm]) / STEPS for arm in dict.fromkeys(row["arm"] for row in rows)}

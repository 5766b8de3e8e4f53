"""Steps are timed in the program of the sweep, or in one of a single replica."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import step_times
from trinity_jax.compute import mesh, replicas
from trinity_jax.compute.run import Run
from trinity_jax.compute.sweep import Sweep

ROUNDS, STEPS = 2, 10


@dataclasses.dataclass(frozen=True)
class Config:
    """Of products, many or few."""


def init(data, replica):
    del replica
    return jnp.zeros_like(data)


def advance(t, data, state, replica):
    """Of arm 1 a step is a hundred products, of the other one."""

    def step(_, state):
        one = lambda _, x: jnp.tanh(data @ x + 1)
        return jax.lax.fori_loop(0, jnp.where(replica["arm"] == 1, 100, 1), one, state)

    state = jax.lax.fori_loop(*step_times.part(t, ROUNDS, replica), step, state)
    return state, replicas.unless(replica["timed"], lambda: {"mean": state.mean()})


@pytest.mark.parametrize("where", ["cpu", "gpu"])
@pytest.mark.parametrize("sizes", [(4, 1), (2, 2)])
def test_an_arm_that_does_more_takes_longer(tmp_path, monkeypatch, where, sizes):
    rows, replica = replicas.grid(seed=range(2), arm=["few", "many"])
    replica |= step_times.columns(len(rows), STEPS)
    data = np.eye(64, dtype=np.float32)
    with Run(tmp_path, "tiny", "laptop", Config(), mesh=mesh.make(*sizes)) as run:
        sweep = Sweep(run, ROUNDS, init, advance, data, replica)
        monkeypatch.setattr(replicas, "platform", lambda mesh: where)
        seconds = step_times.of_arms(sweep, rows)
        assert [*seconds] == ["few", "many"]
        assert seconds["many"] > 2 * seconds["few"] > 0
        [(first, _), *_] = sweep  # and nothing of it was used up
        assert first == 0

"""The loop of a figure: all replicas go a round on, in one program, until all rounds are done."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from trinity_jax.compute import hosts, replicas
from trinity_jax.compute.run import Run


class Sweep:
    """Replicas of one run, from where it stopped.

    for t, metrics in sweep:
        run.commit(t, sweep.state, run.measurements(rows, metrics))

    Attributes:
      state: of all replicas, placed.
      data: what all of them read, placed.
      replica: what makes them differ, placed; it may change between rounds.
      mesh: where they are.
    """

    def __init__(
        self,
        run: Run,
        total: int,
        init: Callable[..., Any],
        advance: Callable[..., Any],
        data: Any,
        replica: Mapping[str, np.ndarray],
    ):
        """Takes up the run, and compiles the program if rounds are left.

        Args:
          run: where to take it up, and on which devices.
          total: number of rounds.
          init: `(data, replica) -> state`, of one replica; pure, as is `advance`.
          advance: `(t, data, state, replica) -> (state, metrics)`: a round of one replica.
          data: what all replicas read.
          replica: arrays [replica]; see `replicas.grid`.
        """
        self._run, self._total, self.mesh = run, total, run.mesh
        self.data = replicas.share(data, run.mesh)
        self.replica = replicas.spread(dict(replica), run.mesh)
        begin = run.over_replicas(init, shared=1)
        self._start, state = run.resume(lambda: begin(self.data, self.replica))
        self.state = replicas.spread(state, run.mesh)
        whole = jax.jit(run.over_replicas(advance, shared=2), donate_argnums=2)
        given = np.int32(0), self.data, self.state, self.replica
        self._program = run.compile(whole, self._start, total, *given)

    @classmethod
    def of_draws(cls, run: Run, total: int, draw: Callable[..., Any], *given: Any) -> "Sweep":
        """Of rounds that do not depend on each other: `draw(t, data, replica) -> metrics`."""
        init = lambda data, replica: {"nothing": jnp.zeros(())}
        return cls(run, total, init, lambda t, data, state, r: (state, draw(t, data, r)), *given)

    def advance(self, t: int, state: Any, replica: Mapping[str, Any]) -> tuple[Any, Any]:
        """A round of all replicas: their new state, and metrics; the old state is used up."""
        return self._program(np.int32(t), self.data, state, replica)

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        """The number of each round that is left and its metrics, NumPy arrays [replica, ...]."""
        for t in self._run.rounds(self._start, self._total):
            self.state, metrics = self.advance(t, self.state, self.replica)
            yield t, jax.tree.map(np.asarray, hosts.fetch(metrics))

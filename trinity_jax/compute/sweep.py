"""The loop of a figure: all replicas go a round on, in one program, until all rounds are done."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from trinity_jax import watch
from trinity_jax.compute import finite, hosts, replicas
from trinity_jax.compute.run import Run


class Sweep:
    """Replicas of one run, from where it stopped.

    for t, metrics in sweep:
        run.commit(t, sweep.state, run.measurements(rows, metrics))

    Attributes:
      state: of all replicas, placed.
      data: what all of them read in the round that is at work, placed.
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
          data: what all replicas read; or a function `t -> data`, of one form, asked for round 0
            and before each other: chunks of what does not fit.
          replica: arrays [replica]; see `replicas.grid`.
        """
        self._run, self._total, self.mesh = run, total, run.mesh
        self._data_of = data if callable(data) else lambda t: data
        self._changes, self._round = callable(data), 0  # the round whose data are at hand
        self.data = replicas.share(self._data_of(0), run.mesh)
        self.replica = replicas.spread(dict(replica), run.mesh)
        self._init, self._advance = run.over_replicas(init, shared=1), advance
        self._start, state = run.resume(self._init, self.data, self.replica)
        self.state = replicas.spread(state, run.mesh)
        run.cause = self._cause
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
        if self._changes and t != self._round:
            self._round, self.data = int(t), None  # so that two rounds' are never held
            self.data = replicas.share(self._data_of(self._round), self.mesh)
        with jax.debug_nans(False):  # a compiled program could not say where
            found = self._program(np.int32(t), self.data, state, replica)
        asked = jax.config.jax_debug_nans  # pyright: ignore[reportAttributeAccessIssue]
        if asked and finite.holds_nan(hosts.fetch(found)):
            self._go_through(int(t))
        return found

    def of_one(self) -> Callable[..., tuple[Any, Any]]:
        """`advance` of one replica, [1], which does nothing that only others do."""
        mapped = replicas.over_replicas(self._advance, self.mesh, shared=2, in_turn=True)
        program = jax.jit(mapped)
        return lambda t, state, replica: program(np.int32(t), self.data, state, replica)

    def _cause(self, t: int) -> str:
        """The first step of round `t` in which a loss was bad, in words; empty where none was."""
        self._run.say(f"looking for the step of round {t} in which numbers went bad")
        found = self._first_bad(t)
        return f": {watch.first(found[0])} of the round" if found and found[0] else ""

    def _first_bad(self, t: int) -> tuple[list[watch.Bad], Any] | None:
        """Does round `t` again, replica by replica, up to one with a bad loss; and that replica.

        Every device does each of them, so that all processes find the same.
        """
        anew = lambda *given: self._advance(*given)  # as another function it is traced again
        program = jax.jit(self._run.over_replicas(anew, shared=2))
        with watch.watching() as noted, jax.debug_nans(False):
            for row in self._rows():
                jax.block_until_ready(program(np.int32(t), self.data, *row))
                jax.effects_barrier()
                if hosts.any_of(bool(noted)):
                    return noted, row
        return None

    def _rows(self) -> Iterator[Any]:
        """State, before the round that is not committed, and what differs, of each replica [1]."""
        _, state = self._run.restore(self._init, self.data, self.replica)
        every = jax.device_get(hosts.fetch((state, dict(self.replica))))
        for i in range(len(jax.tree.leaves(every)[0])):
            yield jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], every)

    def _go_through(self, t: int) -> None:
        """Does round `t` again, operation by operation: raises where the first NaN is made."""
        if self.mesh.shape["data"] > 1:
            self._run.say("a mesh with data=1 would show which operation it was")
            return
        self._run.say(f"going through round {t} operation by operation")
        found = self._first_bad(t)
        data = jax.tree.map(lambda leaf: leaf.addressable_data(0), self.data)
        with jax.disable_jit():
            for row in [found[1]] if found else self._rows():
                alone = jax.tree.map(lambda leaf: jnp.asarray(leaf[0]), row)
                self._advance(jnp.int32(t), data, *alone)

    def __iter__(self) -> Iterator[tuple[int, Any]]:
        """The number of each round that is left and its metrics, NumPy arrays [replica, ...]."""
        for t in self._run.rounds(self._start, self._total):
            self.state, metrics = self.advance(t, self.state, self.replica)
            yield t, jax.tree.map(np.asarray, hosts.fetch(metrics))

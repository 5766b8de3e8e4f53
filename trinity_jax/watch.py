"""Which step of a compiled loop made a number bad.

Training loops `tell` the losses of each step. In a usual program this is nothing; a round in which
numbers went bad is traced again inside `watching`, and then those that are not finite are noted.
"""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np


class Bad(NamedTuple):
    """A loss that was not finite, and the step, from 0, in which it was not."""

    step: int
    loss: str
    value: float


_NOTED: contextvars.ContextVar[list[Bad] | None] = contextvars.ContextVar("noted", default=None)


@contextlib.contextmanager
def watching() -> Iterator[list[Bad]]:
    """What is traced and done in the block notes its bad losses in the list, in any order."""
    noted: list[Bad] = []
    token = _NOTED.set(noted)
    try:
        yield noted
    finally:
        _NOTED.reset(token)


def first(noted: list[Bad]) -> str:
    """Which losses were bad in the first step in which any was, in words."""
    step = min(noted).step
    losses = {bad.loss: bad.value for bad in sorted(noted) if bad.step == step}
    return ", ".join(f"{loss} was {value}" for loss, value in losses.items()) + f" in step {step}"


def tell(step: Any, **losses: Any) -> None:
    """Losses of a step, scalars by name; may be called anywhere in a pure function."""
    noted = _NOTED.get()
    if noted is None:
        return

    def note(step, losses):
        numbers = {name: float(value) for name, value in losses.items()}
        noted.extend(Bad(int(step), *one) for one in numbers.items() if not np.isfinite(one[1]))

    jax.debug.callback(note, step, losses)

"""What the tests of contracts ask of algorithms: a plain input, and what may befall it.

A kind runs all algorithms of one signature at once, so that a promise costs a lane of a program.
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

RNG = np.random.default_rng(0)
Check = Callable[[str, Any, Any], None]  # of a name, what it returns, and that for the plain input


class Variant(NamedTuple):
    """Another input of the same shapes, and what must be true of what comes out."""

    input: Any
    check: Check


class Kind(NamedTuple):
    """Algorithms of one signature.

    Attributes:
      names: of the algorithms.
      run: `(key, input, names=all) -> {name: output}`.
      plain: the input that others are compared with.
      variants: by what they are called.
      one: a batch of one.
      random: those whose output changes with the key.
      plainly: those that are also run without a compiler, which takes long; others' tests do so.
      float64: whether rounding may not excuse anything.
    """

    names: tuple[str, ...]
    run: Callable[..., dict[str, Any]]
    plain: Any
    variants: dict[str, Variant]
    one: Variant
    random: tuple[str, ...] = ()
    plainly: tuple[str, ...] = ()
    float64: bool = False


def every(functions: dict[str, Callable], key: Any, *arguments: Any, names=None) -> dict[str, Any]:
    """What each function returns, or those of these names; each has a key as if it were alone."""
    bits = jax.random.key_data(key)
    key_of = lambda: jax.random.wrap_key_data(bits)
    return {
        name: functions[name](key_of(), *arguments)
        for name in (functions if names is None else names)
    }


def close(one: Any, other: Any) -> None:
    """Equal up to what float32 allows, NaN and infinities included."""
    compare = functools.partial(np.testing.assert_allclose, rtol=3e-4, atol=3e-5)
    jax.tree.map(compare, one, other)


def same(name: str, found: Any, plain: Any) -> None:
    del name
    close(found, plain)


def finite(name: str, found: Any, plain: Any) -> None:
    del name, plain
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))


def moved(order: np.ndarray) -> Check:
    """It is that of the plain input, its items in this order."""
    take = lambda leaf: leaf[order]
    return lambda name, found, plain: close(found, jax.tree.map(take, plain))


def alike(name: str, found: Any, plain: Any) -> None:
    """The first two items have one output."""
    del name, plain
    close(*(jax.tree.map(lambda leaf, i=i: leaf[i], found) for i in (0, 1)))


def first(name: str, found: Any, plain: Any) -> None:
    """A batch of one: it is as the first of many."""
    del name
    close(found, jax.tree.map(lambda leaf: leaf[:1], plain))


def normal(*shape: int, scale: float = 1.0) -> np.ndarray:
    return np.asarray(scale * RNG.normal(size=shape), np.float32)


def extreme(*shape: int) -> np.ndarray:
    """Logits of 10,000 and -10,000."""
    return np.where(RNG.random(shape) < 0.5, np.float32(1e4), np.float32(-1e4))

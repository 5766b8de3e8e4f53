"""Strategies by index, so that they can be an axis of `vmap`."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jaxtyping import Array, Int

from trinity_jax.types import PRNGKey


def by_index(strategies: Sequence[Callable[..., Any]]) -> Callable[..., Any]:
    """`(index, key, *arguments) -> strategies[index](key, *arguments)`.

    Under `vmap` over the index every strategy runs, all with one key. One result is used, so the
    key is used once; but JAX's check for that would count all, unless each makes its own of bits.
    """

    def run(index: Int[Array, ""] | int, key: PRNGKey, *arguments):
        make = lambda bits: jax.random.wrap_key_data(bits, impl=jax.random.key_impl(key))
        branches = [lambda bits, *rest, s=s: s(make(bits), *rest) for s in strategies]
        return jax.lax.switch(index, branches, jax.random.key_data(key), *arguments)

    return run

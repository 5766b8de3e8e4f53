"""The names that everything shares: axes, keys, parameters, and the error for bad input.

Axis words used in every shape of the library (jaxtyping's notation):

    item        something to be labelled          worker      someone, or a model, who labels
    label       a class, observed or true         annotation  one (item, worker, label) row
    slot        the n-th label of an item         replica     one run of a sweep
    batch, height, width, channel, feature        images and network inputs, channels last
"""

import difflib
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from jaxtyping import PRNGKeyArray

PRNGKey = PRNGKeyArray  # typed keys: jax.random.key, never PRNGKey
Params = Any  # a pytree of arrays that a network's `apply` understands
T = TypeVar("T")


class InputError(ValueError):
    """What a user gave is wrong; the message is one sentence that says what and where.

    Programs end with exit status 2 and the sentence, without a traceback.
    """


def lookup(table: Mapping[str, T], name: str, what: str) -> T:
    """`table[name]`, or an `InputError` naming the nearest name and all the known ones."""
    if name in table:
        return table[name]
    near = difflib.get_close_matches(name, table, n=1)
    hint = f": did you mean '{near[0]}'?" if near else ""
    raise InputError(f"unknown {what} '{name}'{hint} (known: {', '.join(table)})")


def choose(table: Mapping[str, Any], names: Sequence[str], what: str) -> list[str]:
    """The names, all different and in the table; no names mean all that it has."""
    for name in names:
        lookup(table, name, what)
        if list(names).count(name) > 1:
            raise InputError(f"{what} {name} is named twice")
    return list(names or table)

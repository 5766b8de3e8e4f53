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


class Failure(RuntimeError):
    """The run cannot go on, through no fault of the input; the message is one sentence."""


class InputError(ValueError):
    """What a user gave is wrong; the message is one sentence that says what and where.

    Programs end with exit status 2 and the sentence, without a traceback.
    """


NO_ALIASES: Mapping[str, str] = {}


def lookup(
    table: Mapping[str, T], name: str, what: str, aliases: Mapping[str, str] = NO_ALIASES
) -> T:
    """`table[name]`, or an `InputError` naming the nearest name and all the known ones.

    Nearest whatever the case, and none where no letter is shared. Aliases are other words
    for names of the table: they are answered with the name, not taken for it.
    """
    if name in table:
        return table[name]
    plain = lambda word: word.casefold().replace("-", "_").replace(" ", "_")
    meant = {plain(alias): of for alias, of in aliases.items()} | {plain(n): n for n in table}
    near = difflib.get_close_matches(plain(name), meant, n=1, cutoff=1e-9)
    hint = f": did you mean '{meant[near[0]]}'?" if near else ""
    raise InputError(f"unknown {what} '{name}'{hint} (known: {', '.join(table)})")


def choose(
    table: Mapping[str, Any],
    names: Sequence[str],
    what: str,
    aliases: Mapping[str, str] = NO_ALIASES,
) -> list[str]:
    """The names, all different and in the table; no names mean all that it has."""
    for name in names:
        lookup(table, name, what, aliases)
        if list(names).count(name) > 1:
            raise InputError(f"{what} {name} is named twice")
    return list(names or table)

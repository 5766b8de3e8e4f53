"""Every way to choose sentences from a pool, by name, with the settings it is usually run at.

All are `(key, pool, budget) -> Selection`; `functools.partial` changes a setting.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple, Protocol

import jax
from jaxtyping import ScalarLike

from trinity_jax.data.collection.cold_start import typiclust
from trinity_jax.data.collection.diversity import badge, k_center
from trinity_jax.data.collection.representativeness import facility_location, sieve_streaming
from trinity_jax.data.collection.selection import Pool, Selection, power, select
from trinity_jax.data.collection.strategies import by_index
from trinity_jax.types import PRNGKey, lookup


class Select(Protocol):
    """Chooses sentences of a pool for a budget of words."""

    def __call__(self, key: PRNGKey, pool: Pool, budget: ScalarLike, /) -> Selection: ...


class Selector(NamedTuple):
    """How to choose, and what of the pool it reads besides lengths and masks.

    Attributes:
      select: `(key, pool, budget) -> Selection`.
      scores: whether it reads scores.
      features: what features it is meant for, if any: the mean of the encoder's output over words
        of a sentence, `diversity.gradient_sketch`, or something known before any training.
    """

    select: Select
    scores: bool = True
    features: Literal["none", "encoder", "gradient", "fixed"] = "none"


def best(key: PRNGKey, pool: Pool, budget: ScalarLike, rule: str = "until") -> Selection:
    """The sentences of the highest scores: see `selection.select`."""
    return select(key, pool.scores, pool.length, pool.available, budget, rule)


def drawn(key: PRNGKey, pool: Pool, budget: ScalarLike, beta: ScalarLike = 1.0) -> Selection:
    """Sentences drawn by their scores: see `selection.power`."""
    key_draw, key_tie = jax.random.split(key)
    return best(key_tie, pool._replace(scores=power(key_draw, pool.scores, beta)), budget)


SELECTORS = {
    "until": Selector(best),
    "under": Selector(functools.partial(best, rule="under")),
    "fit": Selector(functools.partial(best, rule="fit")),
    "power": Selector(drawn),
    "facility_location": Selector(facility_location, features="encoder"),
    "sieve_streaming": Selector(sieve_streaming, features="encoder"),
    "k_center": Selector(k_center, scores=False, features="encoder"),
    "badge": Selector(badge, scores=False, features="gradient"),
    "typiclust": Selector(typiclust, scores=False, features="fixed"),
}


def any_of(names: Sequence[str]) -> Callable[..., Selection]:
    """`(index, key, pool, budget) -> Selection` by the selector of that index in `names`.

    Raises:
      InputError: no selector has the name; the nearest is named.
    """
    return by_index([lookup(SELECTORS, name, "selector").select for name in names])

"""Every way to choose sentences from a pool, by name, with the settings it is usually run at.

All are `(key, pool, budget) -> Selection`; `functools.partial` changes a setting.
"""

import functools
from typing import Literal, NamedTuple, Protocol

import jax
from jaxtyping import ScalarLike

from trinity_jax.data.collection.cold_start import typiclust
from trinity_jax.data.collection.diversity import badge, k_center
from trinity_jax.data.collection.representativeness import facility_location, sieve_streaming
from trinity_jax.data.collection.selection import Pool, Selection, power, select
from trinity_jax.types import PRNGKey


class Select(Protocol):
    """Chooses sentences of a pool for a budget of words."""

    def __call__(self, key: PRNGKey, pool: Pool, budget: ScalarLike, /) -> Selection: ...


class Selector(NamedTuple):
    """How to choose, and what points it reads.

    Attributes:
      select: `(key, pool, budget) -> Selection`.
      features: what features it is meant for, if any: the mean of the encoder's output over words
        of a sentence, `diversity.gradient_sketch`, or something known before any training.
    """

    select: Select
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
    "k_center": Selector(k_center, features="encoder"),
    "badge": Selector(badge, features="gradient"),
    "typiclust": Selector(typiclust, features="fixed"),
}

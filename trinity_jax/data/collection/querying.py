"""Strategies by name: what scores the sentences of a pool, and what chooses among the scores."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from jaxtyping import Array, Int, ScalarLike

from trinity_jax.data.collection.acquisition import ACQUISITIONS
from trinity_jax.data.collection.selection import Pool, Selection
from trinity_jax.data.collection.selectors import SELECTORS
from trinity_jax.data.collection.strategies import by_index
from trinity_jax.types import PRNGKey


class Strategy(NamedTuple):
    """An acquisition function, and the selector that reads its scores, both by name."""

    acquisition: str
    selector: str = ""  # "": the rule of the budget, on the scores alone


STRATEGIES = {name: Strategy(name) for name in ACQUISITIONS} | {
    "mnlp_power": Strategy("mnlp", "power"),
    "mnlp_facility_location": Strategy("mnlp", "facility_location"),
    "mnlp_sieve_streaming": Strategy("mnlp", "sieve_streaming"),
    "k_center": Strategy("random", "k_center"),
    "badge": Strategy("random", "badge"),
    "typiclust": Strategy("random", "typiclust"),
}


def ask(
    key: PRNGKey,
    names: Sequence[str],
    index: Int[Array, ""] | int,
    pool: Pool,
    features: Mapping[str, Array],
    budget: ScalarLike,
    rule: str = "until",
) -> Selection:
    """Chooses the next sentences of a pool by one of several strategies.

    Args:
      key: for ties, and for whatever a selector draws.
      names: in `STRATEGIES`, static.
      index: which of them, traced.
      pool: with scores of that strategy's acquisition function; its features do not matter.
      features: those of each kind that one of the strategies needs, `[sentence, feature]`.
      budget: words.
      rule: what the budget means for scores alone, a name in `selection.RULES`.

    Raises:
      KeyError: there are no features of a kind that one of the strategies needs (`kinds`).
    """

    def way(strategy: Strategy):
        selector = SELECTORS[strategy.selector or rule]
        points = pool.features if selector.features == "none" else features[selector.features]
        return lambda key: selector.select(key, pool._replace(features=points), budget)

    return by_index([way(STRATEGIES[name]) for name in names])(index, key)


def kinds(names: Sequence[str]) -> list[str]:
    """The kinds of features that some of these strategies read."""
    selectors = [STRATEGIES[name].selector for name in names]
    found = {SELECTORS[selector].features for selector in selectors if selector}
    return sorted(found - {"none"})

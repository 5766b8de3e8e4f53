"""Every aggregator that needs labels alone, by name, with the settings it is usually run at.

Methods that also read features are in `model_bootstrapped`, `raykar`, `crowd_layer` and `crowdlab`;
those for sequences in `sequences`.
"""

import functools
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jaxtyping import Array, Float, Int

from trinity_jax.algorithms.em import EM, Fitted, fit_until, restarts
from trinity_jax.data.aggregation.annotations import Annotations, Dims
from trinity_jax.data.aggregation.bwa import bwa
from trinity_jax.data.aggregation.class_wise_coin import class_wise_coin
from trinity_jax.data.aggregation.dawid_skene import (
    dawid_skene,
    dawid_skene_map,
    dawid_skene_smoothed,
)
from trinity_jax.data.aggregation.ebcc import ebcc
from trinity_jax.data.aggregation.glad import glad
from trinity_jax.data.aggregation.gold import led, weighed, with_gold
from trinity_jax.data.aggregation.ibcc import ibcc
from trinity_jax.data.aggregation.kos import kos
from trinity_jax.data.aggregation.m_msr import m_msr
from trinity_jax.data.aggregation.mace import mace
from trinity_jax.data.aggregation.majority import majority, soft
from trinity_jax.data.aggregation.one_coin import one_coin
from trinity_jax.data.aggregation.weighted_vote import iwmv, wawa, zero_based_skill
from trinity_jax.types import InputError, PRNGKey, lookup


class Aggregator(NamedTuple):
    """How to make an `EM` of a table's sizes, and how to run it.

    Attributes:
      make: `dims -> EM`, with options of its own.
      tolerance: see `em.fit_until`, as for the next two.
      max_steps: most rounds; 0 where there is nothing to repeat.
      max_change: a posterior that moves less has converged.
      runs: random starts, of which the best is kept.
      fixed_rounds: whether the answer is what so many rounds give, and not where they lead.
      confusions: whether it needs memory for a confusion [truth, label] of every worker.
      binary: whether it takes two labels and no more.
      no_gold: why it takes no items of known label; empty if it does.
    """

    make: Callable[..., EM]
    tolerance: float = 1e-5
    max_steps: int = 500
    max_change: float = 0.0
    runs: int = 1
    fixed_rounds: bool = False
    confusions: bool = False
    binary: bool = False
    no_gold: str = ""


ANY_GAIN = -float("inf")  # a tolerance that no round falls short of: the objective ends no run
AGGREGATORS = {
    "majority": Aggregator(majority, max_steps=0, fixed_rounds=True),
    "soft_vote": Aggregator(soft, max_steps=0, fixed_rounds=True),
    "wawa": Aggregator(wawa, ANY_GAIN, max_steps=1, fixed_rounds=True),
    "zero_based_skill": Aggregator(zero_based_skill, ANY_GAIN, max_steps=100, fixed_rounds=True),
    "iwmv": Aggregator(iwmv, ANY_GAIN, max_steps=50),  # stands still, or has not converged
    "dawid_skene": Aggregator(dawid_skene, confusions=True),
    "dawid_skene_smoothed": Aggregator(dawid_skene_smoothed, confusions=True),
    "dawid_skene_map": Aggregator(dawid_skene_map, confusions=True),
    "one_coin": Aggregator(one_coin, confusions=True),
    "one_coin_prior": Aggregator(functools.partial(one_coin, estimate_prior=True), confusions=True),
    "class_wise_coin": Aggregator(class_wise_coin),
    "glad": Aggregator(glad, max_steps=50),
    "mace": Aggregator(mace, max_steps=50, runs=10, confusions=True),
    "ibcc": Aggregator(ibcc, ANY_GAIN, max_change=1e-3, confusions=True),
    "ebcc": Aggregator(ebcc, ANY_GAIN, max_change=1e-3, runs=10, confusions=True),
    "bwa": Aggregator(bwa, ANY_GAIN, max_change=1e-3),
    "kos": Aggregator(
        kos,
        ANY_GAIN,
        max_steps=20,
        fixed_rounds=True,
        binary=True,
        no_gold="KOS passes messages between workers and items, and has no place for gold items",
    ),
    "m_msr": Aggregator(
        m_msr,
        tolerance=1e-10,
        max_steps=1000,
        no_gold="M-MSR compares workers with each other only: gold items would teach it nothing",
    ),
}
ALIASES = {  # what people call them
    **dict.fromkeys(("mv", "vote", "majority_vote", "hard_vote"), "majority"),
    **{"weighted_vote": "soft_vote", "zbs": "zero_based_skill", "lfc": "dawid_skene_map"},
    **dict.fromkeys(("ds", "em", "dawidskene"), "dawid_skene"),
    **{"hds": "one_coin", "variational_bayes": "ibcc", "bcc": "ibcc", "mmsr": "m_msr"},
}


def aggregate(
    name: str,
    key: PRNGKey,
    table: Annotations,
    dims: Dims,
    gold: Int[Array, " item"] | None = None,
    gold_weight: float | None = 1.0,
    **options: Any,
) -> Float[Array, "item label"]:
    """Log-probabilities of the true labels, by the aggregator of that name.

    Args:
      name: of `AGGREGATORS`.
      key: random numbers, for methods that start at random.
      table: annotations.
      dims: its sizes.
      gold: true labels that are known, -1 where unknown; see `gold.with_gold`.
      gold_weight: how often annotations of gold items count. 1 tells the answers and no more; with
        another number gold also leads the start, see `gold.led`; None is that of `gold.weighed`.
      **options: the method's own: `prior`, pseudo-counts of the workers' history [worker, truth,
        label], for dawid_skene_map, ibcc and ebcc; for others as their files say.

    Raises:
      InputError: no aggregator has the name (the nearest is named), the table has more labels than
        it takes, it has no use for gold, or the weight of gold is not positive.
    """
    return run(name, key, table, dims, gold, gold_weight, **options).state.log_posterior


def run(
    name: str,
    key: PRNGKey,
    table: Annotations,
    dims: Dims,
    gold: Int[Array, " item"] | None = None,
    gold_weight: float | None = 1.0,
    **options: Any,
) -> Fitted:
    """As `aggregate`, with what the method knows of workers, its objective and its rounds."""
    method = lookup(AGGREGATORS, name, "aggregator", ALIASES)
    if method.binary and dims.labels != 2:
        raise InputError(f"{name} expects two labels, not {dims.labels}")
    if gold is not None and method.no_gold:
        raise InputError(method.no_gold)
    if gold_weight is not None and not 0 < gold_weight < math.inf:
        raise InputError(f"the weight of gold must be a positive number, not {gold_weight}")
    how = {"max_steps": method.max_steps, "max_change": method.max_change}
    how |= {"tolerance": method.tolerance}
    em = method.make(dims, **options)
    if gold is not None:
        em = with_gold(em, gold)
        if gold_weight != 1:
            em, table = led(em, gold), weighed(table, gold, gold_weight)
    if method.runs > 1:
        return restarts(em, jax.random.split(key, method.runs), table, **how)
    return fit_until(em, key, table, **how)

"""How far an aggregation can be trusted, in numbers and in words."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy.stats import binomtest

from trinity_jax.aggregate import fitting
from trinity_jax.aggregate.results import (
    Answer,
    Dependence,
    Trust,
    choose_label,
    disagreement,
)
from trinity_jax.algorithms import statistics
from trinity_jax.compute.run import Run
from trinity_jax.data.aggregation import (
    aggregators,
    dependence,
    prediction_powered,
    resampling,
)
from trinity_jax.data.aggregation.agreement import alpha as alpha_of_sums
from trinity_jax.data.aggregation.agreement import consistency
from trinity_jax.data.aggregation.agreement import disagreement as disagreement_of_votes
from trinity_jax.data.aggregation.annotations import labelled
from trinity_jax.data.aggregation.gold_only import naive_bayes, ridge_vote
from trinity_jax.data.aggregation.majority import soft_vote
from trinity_jax.data.aggregation.one_coin import agreement
from trinity_jax.data.sources import Crowd

DETAILED = 1_000_000  # annotations up to which workers are compared
FEW = 100_000  # and up to which draws are made
ITEMS = 1 << 20  # looked at together
BUSIEST = 200  # workers that are compared
ROW = 24 / fitting.CELL  # memory of a label that is compared, in that of a worker's confusion
GAP = 0.05  # between confidence and share that is right, that is worth a warning
ONCE, POOR = 0.5, 0.667  # share of items with one label, and alpha, that are worth a warning


class Draws(NamedTuple):
    """What other workers, and other items, would have given: 95 % intervals (low, high).

    Attributes:
      stability: share of draws of workers in which an item gets the same label, [item].
      skill: of workers under draws of items, [2, worker].
      shares: of labels among all items, under the same draws, [2, label].
      shares_of_others: the same under draws of workers.
    """

    stability: np.ndarray
    skill: np.ndarray
    shares: np.ndarray
    shares_of_others: np.ndarray


class Found(NamedTuple):
    """What was looked at beside the answer; None where it was not."""

    trust: Trust | None
    dependence: Dependence | None
    draws: Draws | None
    consistency: float | None
    alarms: list[str]


def alpha(crowd: Crowd) -> float:
    """Krippendorff's alpha, in double precision, some items at a time."""
    labels, sums = len(crowd.labels), []
    first = np.arange(0, len(crowd.items) + ITEMS, ITEMS)
    ends = np.searchsorted(crowd.item, first)
    size = min(ITEMS, len(crowd.items)), labels
    with jax.enable_x64(True):
        add = jax.jit(disagreement_of_votes)
        for begin, low, high in zip(first, ends, ends[1:], strict=False):
            cell = (crowd.item[low:high] - begin) * labels + crowd.label[low:high]
            count = np.bincount(cell, minlength=size[0] * labels).reshape(size)
            sums.append(add(jnp.asarray(count, float)))
        total = jax.tree.map(lambda *parts: jnp.stack(parts).sum(0), *sums)
        return float(alpha_of_sums(*total))


def gold_weight(config: Any, crowd: Crowd) -> float:
    """How much an item of known label counts."""
    known = int((crowd.truth >= 0).sum())
    if not known:
        return 1.0
    return len(crowd.items) / known if config.gold_weight is None else config.gold_weight


def examine(run: Run, crowd: Crowd, config: Any, answer: Answer, gold) -> Found:
    """Looks at gold, and at whether workers err together."""
    number, dims, draws, alarms = len(crowd.item), fitting.sizes(crowd), None, []
    if number > DETAILED:
        run.say(f"workers are not compared with each other: more than {DETAILED} labels")
        return Found(None, None, None, None, [])
    told, trust, together, alike = {}, None, None, None
    at_once = dims._replace(workers=min(number, dependence.BLOCK))
    if fitting.confusions_fit(dims) and fitting.confusions_fit(at_once, ROW):
        with run.phase("examine", "comparing workers"):
            together = _dependence(crowd, answer, gold)
            given = fitting.table(crowd), dims, jnp.asarray(answer.skill, jnp.float32)
            label = jnp.asarray(choose_label(answer.posterior).label)
            alike = float(jax.jit(consistency, static_argnums=1)(*given, label))
    else:
        run.say(f"workers are not compared with each other: {dims.labels} classes are too many")
    if gold is not None:
        told = {"gold": jnp.asarray(gold), "gold_weight": config.gold_weight}
        with run.phase("gold", "judging by gold"):
            trust, alarms = _trust(crowd, config, answer, gold)
    if config.resamples and number > FEW:
        run.say(f"neither workers nor items are drawn anew: more than {FEW} labels")
    elif config.resamples:
        with run.phase("draws", f"drawing workers and items {config.resamples} times"):
            draws = _draws(crowd, config, answer.method, told)
    return Found(trust, together, draws, alike, alarms)


def _trust(crowd: Crowd, config: Any, answer: Answer, gold) -> tuple[Trust, list[str]]:
    """What gold says, of answers that were not told it; and what in it is alarming."""
    name, dims, table = answer.method.replace("-", "_"), fitting.sizes(crowd), fitting.table(crowd)
    known, told = jnp.asarray(gold), np.flatnonzero(gold >= 0)
    aggregate = lambda key, gold, **how: aggregators.aggregate(name, key, table, dims, gold, **how)
    methods = {
        answer.method: lambda key, gold: aggregate(key, gold, gold_weight=config.gold_weight),
        "naive Bayes, of gold alone": lambda key, gold: naive_bayes(table, dims, gold),
        "ridge vote, of gold alone": lambda key, gold: ridge_vote(table, dims, gold),
    }
    if not fitting.confusions_fit(dims):
        del methods["naive Bayes, of gold alone"]

    def crossed(method):
        """Of each fold, by what was told the others; the folds are the same for all methods."""
        find = lambda key, gold: prediction_powered.cross_fitted(key, method, gold)
        return jax.jit(find)(jax.random.key(config.seed), known)

    held = {of: crossed(method) for of, method in methods.items()}
    untold = f"{answer.method}, without gold"
    held[untold] = jax.jit(lambda key: aggregate(key, None))(jax.random.key(config.seed))
    held["majority"] = jnp.log(soft_vote(table, dims))

    def judge(log_posterior) -> tuple[float, float, float]:
        found = prediction_powered.accuracy(known, log_posterior)
        return float(found.estimate), float(found.low), float(found.high)

    accuracy = {of: judge(log_posterior) for of, log_posterior in held.items()}
    workers = prediction_powered.worker_accuracy(table, dims, known, held[answer.method])
    posterior = {of: np.exp(np.asarray(log_posterior))[told] for of, log_posterior in held.items()}
    trust = Trust(
        gold=gold,
        accuracy=accuracy.pop(answer.method),
        baselines=accuracy,
        worker_accuracy=np.stack([np.asarray(part) for part in workers[:3]], axis=1),
        held_out=posterior[answer.method],
    )
    return trust, _alarms(gold[told], posterior, answer.method, untold)


def _alarms(truth, posterior: Mapping[str, np.ndarray], method: str, untold: str) -> list[str]:
    """Where gold contradicts what labels alone say of themselves."""
    said, right = [], {}
    for name, of in posterior.items():
        right[name] = of.argmax(1) == truth
    hits, sure = right[untold], posterior[untold].max(1).mean()
    share = hits.mean()
    low, high = np.asarray(statistics.wilson(share, len(hits)))
    if high < sure and share < sure - GAP:
        said.append(
            f"{untold} and gold disagree: it is right on {share:.0%} of the gold items "
            f"[{low:.0%}, {high:.0%}], and claims {sure:.0%}: many workers may share an error, or "
            "mean something else than gold does."
        )
    for name, of in right.items():
        better, worse = int((of & ~right[method]).sum()), int((~of & right[method]).sum())
        unlikely = better > worse and binomtest(better, better + worse).pvalue < 0.05
        if unlikely:
            said.append(
                f"{name} is better than {method} on gold that neither was told: right on {better} "
                f"items where that is wrong, wrong on {worse} where it is right."
            )
    return said


def _draws(crowd: Crowd, config: Any, method: str, options: Mapping[str, Any]) -> Draws:
    """The bootstrap over workers, and over items."""
    name, dims, table = method.replace("-", "_"), fitting.sizes(crowd), fitting.table(crowd)
    keys = jax.random.split(jax.random.key(config.seed), 4)
    aggregate = lambda key, table, **other: aggregators.run(
        name, key, table, dims, **{**options, **other}
    )

    def statistic(fitted, drawn):
        posterior = jnp.exp(fitted.state.log_posterior)
        there = labelled(drawn, dims)[:, None]
        shares = jnp.where(there, posterior, 0).sum(0) / there.sum()
        return agreement(drawn, dims, posterior), shares

    def with_items(draw):
        """The same of a draw of items, which are numbered anew, and so is gold."""
        key, drawn, origin = draw
        gold = options.get("gold")
        known = {} if gold is None else {"gold": jnp.where(origin < 0, -1, gold[origin])}
        return statistic(aggregate(key, drawn, **known), drawn)

    drawn = resampling.draw_items(keys[0], table, dims, config.resamples)
    draws = jax.random.split(keys[1], config.resamples), *drawn
    over_items = jax.jit(lambda draws: jax.lax.map(with_items, draws))
    skill, shares = resampling.percentiles(over_items(draws))
    alike = lambda key, table: resampling.stability(
        key, name, table, dims, config.resamples, **options
    )
    others = lambda key, table: resampling.over_workers(
        key, aggregate, statistic, table, dims, config.resamples
    )[1]
    of_others = resampling.percentiles(jax.jit(others)(keys[3], table))
    return Draws(np.asarray(jax.jit(alike)(keys[2], table)), skill, shares, of_others)


def _dependence(crowd: Crowd, answer: Answer, gold) -> Dependence:
    """Who errs together, by gold where there is enough of it, else by agreement alone."""
    dims, table = fitting.sizes(crowd), fitting.table(crowd)
    with_gold = None if gold is None else jnp.asarray(gold)
    known = jnp.log(jnp.maximum(jnp.asarray(answer.posterior), 1e-30))
    compare = jax.jit(dependence.excess_agreement, static_argnums=(1, 3))
    pairs = compare(table, dims, known, BUSIEST)
    groups = dependence.clusters(pairs)
    if with_gold is not None:
        compare = jax.jit(dependence.error_correlation, static_argnums=(1, 3))
        on_gold = compare(table, dims, with_gold, BUSIEST)
        if groups_on_gold := dependence.clusters(on_gold):
            pairs, groups = on_gold, groups_on_gold
    number = len(pairs.worker)
    effective = float(dependence.effective_workers(pairs))
    return Dependence(effective, number, [list(map(int, group)) for group in groups])


def warnings(crowd: Crowd, config: Any, answer: Answer, found: Found, unseen: int) -> list[str]:
    """What the user should know, a sentence each."""
    said = list(found.alarms)
    if crowd.duplicates:
        said.append(f"{crowd.duplicates} rows repeat another one exactly and were left out.")
    if unseen:
        said.append(f"{unseen} gold items have no labels in the file and were left out.")
    once = float((answer.redundancy == 1).mean())
    if once > ONCE:
        said.append(
            f"{once:.0%} of the items have one label: where nobody else has labelled an item, "
            "no method that reads labels alone can see that a label is wrong."
        )
    if answer.alpha < POOR:
        said.append(
            f"Workers agree little (Krippendorff's alpha {answer.alpha:.2f}, below {POOR}): the "
            "question may be unclear, or many of them guess."
        )
    if config.gold and found.trust is None:
        said.append(
            "The answer was told the gold items, but is not judged by them: there are more than "
            f"{DETAILED:,} labels."
        )
    if not answer.converged:
        rounds = "1 round" if answer.rounds == 1 else f"{answer.rounds} rounds"
        said.append(f"{answer.method} had not converged after {rounds}.")
    worse = np.flatnonzero((answer.skill < 1 / len(answer.labels)) & (answer.given >= 10))
    if len(worse):
        names = ", ".join(repr(answer.workers[int(w)]) for w in worse[:5])
        more = f" and {len(worse) - 5} more" if len(worse) > 5 else ""
        said.append(f"Worse than guessing, by the answer's own account: {names}{more}.")
    never = np.setdiff1d(np.arange(len(answer.labels)), choose_label(answer.posterior).label)
    if len(never):
        names = ", ".join(repr(answer.labels[int(label)]) for label in never[:5])
        said.append(f"No item was given {'this label' if len(never) == 1 else 'these'}: {names}.")
    if found.dependence and found.dependence.clusters:
        group = found.dependence.clusters[0]
        names = ", ".join(repr(answer.workers[w]) for w in group[:6])
        said.append(
            f"{len(group)} workers err together more than chance allows ({names}"
            f"{', ...' if len(group) > 6 else ''}): {found.dependence.workers} workers are worth "
            f"about {found.dependence.effective:.1f} independent ones, and confidence is too high."
        )
    return said


def headline(
    answer: Answer, found: Found, comparison: Mapping[str, np.ndarray] | None
) -> dict[str, Any]:
    """The numbers of summary.json."""
    choice = choose_label(answer.posterior)
    shares = np.bincount(choice.label[choice.label >= 0], minlength=len(answer.labels))
    numbers: dict[str, Any] = {
        "items": len(answer.items),
        "workers": len(answer.workers),
        "annotations": int(answer.redundancy.sum()),
        "rounds": answer.rounds,
        "converged": answer.converged,
        "mean_confidence": float(choice.confidence.mean()),
        "krippendorff_alpha": None if np.isnan(answer.alpha) else answer.alpha,
        "labels": dict(zip(answer.labels, shares.tolist(), strict=True)),
    }
    if found.trust:
        numbers["accuracy_on_gold"] = _interval(found.trust.accuracy)
        numbers["others_on_gold"] = {n: _interval(of) for n, of in found.trust.baselines.items()}
    if found.draws:
        draws = {"items": found.draws.shares, "workers": found.draws.shares_of_others}
        numbers["share_interval"] = {
            drawn: dict(zip(answer.labels, np.round(ends.T, 6).tolist(), strict=True))
            for drawn, ends in draws.items()
        }
    if found.dependence:
        numbers["consistency"] = found.consistency
        numbers["effective_workers"] = found.dependence.effective
        numbers["clusters"] = [
            [answer.workers[w] for w in group] for group in found.dependence.clusters
        ]
    if comparison:
        share, _ = disagreement(comparison)
        numbers["disagreement"] = {
            name: dict(zip(comparison, map(float, row), strict=True))
            for name, row in zip(comparison, share, strict=True)
        }
    return numbers


def _interval(of: tuple[float, float, float]) -> dict[str, Any]:
    return {"mean": of[0], "interval": [of[1], of[2]]}

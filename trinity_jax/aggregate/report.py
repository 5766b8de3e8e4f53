"""One HTML page that says what an aggregation found and how far to trust it.

The page is complete in itself: no scripts, no fonts, no files, nothing that leaves the reader's
machine. Names from the user's file are text on it and never anything else.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import SupportsFloat, SupportsInt

import numpy as np
from jaxtyping import Float, Int
from scipy.special import entr

from trinity_jax.aggregate import pictures
from trinity_jax.aggregate.pictures import (
    NOTHING,
    dots,
    interval,
    named,
    number,
    percent,
    plain,
    table,
)
from trinity_jax.aggregate.results import (
    Answer,
    Choice,
    Dependence,
    Trust,
    choose_label,
    disagreement,
    reliability,
)
from trinity_jax.algorithms import statistics

UNSURE = 0.7  # confidence below which an item is counted as unsure
CLASSES, MATRIX_CLASSES = 30, 12  # listed with their shares; with pictures of the matrices
MATRICES, WORKERS, WORST = 24, 60, 20
HARDEST, DISPUTED = 25, 20
RELIABLE, TENTATIVE = 0.8, 0.667


def page(
    answer: Answer,
    trust: Trust | None = None,
    dependence: Dependence | None = None,
    comparison: Mapping[str, Int[np.ndarray, " item"]] | None = None,
    settings: Iterable[tuple[str, str]] = (),
) -> str:
    """The page.

    Args:
        answer: what the aggregation says.
        trust: what gold says of that.
        dependence: whether the workers are independent.
        comparison: the answers of several methods by name, -1 where one has none.
        settings: names and values for the end of the page.
    """
    choice = choose_label(answer.posterior)
    parts = [("workers", "Workers", _workers(answer, trust))]
    parts.append(("hardest", "Hardest items", _hardest(answer, choice)))
    parts.append(("agreement", "Agreement", _agreement(answer, choice)))
    if trust is not None:
        parts.append(("gold", "Against gold", _gold(answer, trust)))
    if dependence is not None:
        parts.append(("dependence", "Dependence", _dependence(answer, dependence)))
    if comparison:
        parts.append(("methods", "Methods compared", _methods(answer, comparison)))
    if rows := [(plain(str(name)), plain(str(value))) for name, value in settings]:
        parts.append(("settings", "Settings", table(("name", "value"), rows, words=(0, 1))))
    links = "".join(f'<a href="#{place}">{title}</a> ' for place, title, _ in parts)
    sections = "".join(
        f'<section id="{place}"><h2>{title}</h2>\n{body}</section>\n'
        for place, title, body in parts
    )
    return pictures.document(
        f"{plain(pictures.cut(answer.source))}: aggregated labels",
        f"{_headline(answer, choice)}{_warnings(answer)}{_classes(answer, choice)}"
        f"<nav>{links}</nav>\n{sections}",
    )


def _headline(answer: Answer, choice: Choice) -> str:
    """What was aggregated, and the numbers to remember."""
    items, workers, labels = map(len, (answer.items, answer.workers, answer.labels))
    if answer.rounds:
        ended = "converged" if answer.converged else "stopped before it converged,"
        how = f"{plain(answer.method)}, {ended} after {_many(answer.rounds, 'round')}"
    else:
        how = plain(answer.method)
    known = choice.confidence[np.isfinite(choice.confidence)]
    facts = {
        "mean confidence": percent(_mean(known)),
        f"of items below {percent(UNSURE, 0)} confidence": percent(_mean(known < UNSURE)),
        "labels an item": number(_mean(answer.redundancy), 1),
        "Krippendorff's alpha": number(answer.alpha, 2),
    }
    boxes = "".join(f"<div><b>{value}</b>{name}</div>" for name, value in facts.items())
    return (
        f"<h1>{_many(int(answer.redundancy.sum()), 'label')} of {_many(items, 'item')} by "
        f"{_many(workers, 'worker')}, {_many(labels, 'class', 'classes')}</h1>\n"
        f"<p>{named(answer.source)}, aggregated by {how}.</p>\n"
        f'<div class="facts">{boxes}</div>\n'
    )


def _warnings(answer: Answer) -> str:
    if not answer.warnings:
        return '<p class="fine">No warnings.</p>\n'
    return "".join(f'<p class="warning" role="note">{plain(w)}</p>\n' for w in answer.warnings)


def _classes(answer: Answer, choice: Choice) -> str:
    """How many items were given each class, the most frequent first."""
    counts = np.bincount(choice.label[choice.label >= 0], minlength=len(answer.labels))
    order = np.argsort(-counts, kind="stable")
    rows = [
        (named(answer.labels[k]), pictures.bar(share), percent(share), f"{counts[k]:,}")
        for k in map(int, order[:CLASSES])
        for share in (counts[k] / max(counts.sum(), 1),)
    ]
    more = len(order) - len(rows)
    note = f'<p class="note">And {_many(more, "class", "classes")} more.</p>\n' if more else ""
    return table(("class", "", "share", "items"), rows, words=(0, 1)) + note


def _workers(answer: Answer, trust: Trust | None) -> str:
    return _skill(answer, trust) + "<h3>What they confuse</h3>\n" + _matrices(answer)


def _skill(answer: Answer, trust: Trust | None) -> str:
    """A dot for each of the busiest workers, the best first."""
    count = len(answer.workers)
    gold = np.full((count, 3), np.nan) if trust is None else np.asarray(trust.worker_accuracy)
    busiest = _busiest(answer)[:WORKERS]
    order = busiest[np.argsort(-answer.skill[busiest], kind="stable")]
    low = pictures.axis_start([*answer.skill[order], *gold[order].ravel()])
    judged = bool(np.isfinite(gold[order, 0]).any())
    rows = []
    for w in map(int, order):
        marks = [("truth", gold[w])] * judged + [("said", answer.skill[w : w + 1])]
        row = [named(answer.workers[w]), dots(marks, low), percent(answer.skill[w])]
        rows.append([*row, number(answer.given[w]), *[interval(gold[w])] * judged])
    head = ("worker", pictures.axis(low), "skill", "labels", *["right on gold"] * judged)
    which = f"The {WORKERS} busiest of {count:,}, the" if count > WORKERS else "The"
    circle = " An open circle is the share right on gold, with its interval." * judged
    return (
        f"<p>{which} most skilled first. Skill is the mean probability that what a worker said is "
        f"true, as the aggregate believes; it is a filled dot.{circle}</p>\n"
        + table(head, rows, words=(0, 1))
    )


def _matrices(answer: Answer) -> str:
    """Confusion matrices of the busiest workers, side by side."""
    classes = len(answer.labels)
    if answer.confusion is None:
        return "<p>This method has no confusion matrices.</p>\n"
    if classes > MATRIX_CLASSES:
        return f"<p>{classes:,} classes are too many for pictures of the matrices.</p>\n"
    marks = _marks(answer.labels)
    key = ", ".join(f"{m} = {named(name)}" for m, name in enumerate(answer.labels, 1))
    key = f" Classes: {key}." if marks != list(answer.labels) else ""
    order = _busiest(answer)[:MATRICES]
    figures = "".join(
        f"<figure>{pictures.heatmap(answer.confusion[w], answer.labels, marks)}<figcaption>"
        f"<b>{named(answer.workers[w])}</b><br>{_many(int(answer.given[w]), 'label')}, skill "
        f"{percent(answer.skill[w])}</figcaption></figure>\n"
        for w in map(int, order)
    )
    which = f" These are the {MATRICES} busiest." if len(answer.workers) > MATRICES else ""
    inside = " Numbers are percent of a row." if classes <= 6 else ""
    return (
        f"<p>Rows are the truth, columns what the worker said.{which}{inside}{key}</p>\n"
        f'<p class="note">0{pictures.shades()}100\u00a0%</p>\n<div class="many">{figures}</div>\n'
    )


def _marks(labels: Sequence[str]) -> list[str]:
    """The names of classes where they are short, otherwise numbers from 1."""
    if len(labels) <= 6 and all(name.isascii() and 0 < len(name) <= 5 for name in labels):
        return list(labels)
    return [str(n + 1) for n in range(len(labels))]


def _hardest(answer: Answer, choice: Choice) -> str:
    """Items of which the posterior says least."""
    entropy = entr(answer.posterior).sum(axis=1)
    order = np.argsort(-np.nan_to_num(entropy, nan=-1), kind="stable")[:HARDEST]
    order = order[np.nan_to_num(entropy[order]) > 1e-6]
    if not len(order):
        return "<p>No item is in doubt.</p>\n"
    rows = [
        (
            named(answer.items[i]),
            _label(answer, choice.label[i]),
            _label(answer, choice.runner_up[i]),
            percent(choice.confidence[i]),
            number(answer.redundancy[i]),
        )
        for i in map(int, order)
    ]
    shown = "The item" if len(order) == 1 else f"The {len(order)} items"
    return (
        f"<p>{shown} of largest entropy, the hardest first. Another label helps most "
        "here.</p>\n"
        + table(("item", "label", "runner-up", "confidence", "labels"), rows, words=(0, 1, 2))
    )


def _agreement(answer: Answer, choice: Choice) -> str:
    """Krippendorff's alpha in words, and how labels and confidence are distributed."""
    known = choice.confidence[np.isfinite(choice.confidence)]
    sure = np.bincount(np.clip((known * 20).astype(int), 0, 19), minlength=20)
    edges = [f"{5 * n}" for n in range(20)]
    return (
        f"<p>Krippendorff's alpha is <b>{number(answer.alpha, 3)}</b>. {_meaning(answer.alpha)} "
        'It is 1 where workers always agree and 0 where they agree as chance would.</p>\n<p class="'
        'note">K. Krippendorff. Content Analysis: an introduction to its methodology. 2nd ed., '
        f"Sage 2004, chapter 11: from {RELIABLE} reliable, from {TENTATIVE} for tentative "
        "conclusions.</p>\n<h3>Labels an item</h3>\n"
        f"{pictures.columns(*_redundancy(answer.redundancy), 'items', 'labels of an item')}"
        "<h3>Confidence</h3>\n"
        f"{pictures.columns(sure, edges, 'items', 'percent confidence, at least')}"
    )


def _meaning(alpha: float) -> str:
    """What an alpha says of raw labels."""
    if not math.isfinite(alpha):
        return "It has no value: it needs items with two labels or more, and labels that differ."
    if alpha >= RELIABLE:
        return "Workers agree well enough to rely on their labels."
    if alpha >= TENTATIVE:
        return "Workers agree well enough for tentative conclusions only."
    if alpha >= 0:
        return "Workers agree too little for any one of them to be relied on."
    return "Workers agree less than chance would: some understand the task otherwise than others."


def _redundancy(labels: Int[np.ndarray, " item"]) -> tuple[np.ndarray, list[str]]:
    """Counts of items by their number of labels, in at most 20 bins, and the bins' names."""
    low, high = int(labels.min(initial=labels.max(initial=0))), int(labels.max(initial=0))
    width = -(-(high - low + 1) // 20)
    bins = (high - low) // width + 1
    counts = np.bincount((labels - low) // width, minlength=bins)
    first = [low + n * width for n in range(bins)]
    return counts, [f"{a}" if width == 1 else f"{a}-{a + width - 1}" for a in first]


def _gold(answer: Answer, trust: Trust) -> str:
    """Accuracy beside the baselines', calibration, and the workers who are wrong most often."""
    known = int((trust.gold >= 0).sum())
    if len(trust.held_out) != known:
        raise ValueError(f"expected posteriors of {known} gold items, not {len(trust.held_out)}")
    ours = f"<b>{plain(answer.method)}</b>"
    scores = {ours: trust.accuracy} | {plain(n): score for n, score in trust.baselines.items()}
    low = pictures.axis_start(x for score in scores.values() for x in score)
    rows = [
        (name, dots([("held" if name == ours else "other", score)], low), interval(score))
        for name, score in scores.items()
    ]
    return (
        f"<p>{_many(known, 'item')} with a known label. What is said of each comes from an "
        "aggregate that was not told it. Intervals are 95\u00a0%.</p>\n"
        + table(("method", pictures.axis(low), "accuracy"), rows, words=(0, 1))
        + (_calibration(trust) if known else "")
        + _worst(answer, trust)
    )


def _calibration(trust: Trust) -> str:
    """Whether confidence means what it says."""
    held, truth = np.asarray(trust.held_out, np.float64), trust.gold[trust.gold >= 0]
    bins, choice = reliability(held, truth), choose_label(held)
    told = choice.label >= 0
    sure, right = _mean(choice.confidence[told]), _mean((choice.label == truth)[told])
    low, high = np.asarray(statistics.wilson(right, told.sum()))
    meant = "as often as it says, within what so few items can show"
    if not low <= sure <= high:
        meant = "less often than it says" if sure > right else "more often than it says"
    rows = [
        (
            f"{10 * n} to {10 * (n + 1)}\u00a0%",
            f"{bins.items[n]:,}",
            percent(bins.confidence[n]),
            interval((bins.right[n], bins.low[n], bins.high[n])),
        )
        for n in np.flatnonzero(bins.items)
    ]
    return (
        "<h3>Is its confidence to be believed?</h3>\n"
        f"<p>On average it is {percent(sure)} confident and {percent(right)} right: it is right "
        f"{meant}. The expected calibration error is <b>{percent(bins.error)}</b>; a perfectly "
        f"calibrated aggregate would show about {percent(bins.chance)} on as many items.</p>\n"
        + pictures.diagram(bins)
        + table(("confidence", "items", "mean", "right"), rows)
    )


def _worst(answer: Answer, trust: Trust) -> str:
    """The workers least often right on gold."""
    accuracy = np.asarray(trust.worker_accuracy)
    order = np.argsort(accuracy[:, 0], kind="stable")
    order = order[np.isfinite(accuracy[order, 0])][:WORST]
    title = "<h3>Workers least often right</h3>\n"
    if not len(order):
        return title + "<p>No worker labelled enough gold items to be judged.</p>\n"
    rows = [
        (named(answer.workers[w]), number(answer.given[w]), interval(accuracy[w]))
        for w in map(int, order)
    ]
    return title + table(("worker", "labels", "right on gold"), rows)


def _dependence(answer: Answer, dependence: Dependence) -> str:
    """How many opinions there are, and who shares one."""
    clusters = sorted((c for c in dependence.clusters if len(c) > 1), key=len, reverse=True)
    lists = []
    for cluster in clusters[:WORST]:
        names = ", ".join(named(answer.workers[w]) for w in cluster[:WORST])
        more = f" and {len(cluster) - WORST:,} more" if len(cluster) > WORST else ""
        lists.append(f"<li>{names}{more}</li>")
    more = f"<p>And {len(clusters) - WORST:,} more.</p>\n" if len(clusters) > WORST else ""
    found = "<p>No workers were found that answer alike more than independent ones would.</p>\n"
    if clusters:
        found = (
            "<p>These answer alike more often than independent workers would; the aggregate "
            "counts them as independent, and is too sure where they agree:</p>\n"
            f"<ul>{''.join(lists)}</ul>\n"
        )
    busiest = "The busiest " if dependence.workers < len(answer.workers) else ""
    return (
        f"<p>{busiest}{_many(dependence.workers, 'worker')} say as much as "
        f"<b>{number(dependence.effective, 1)}</b> independent ones would.</p>\n{found}{more}"
    )


def _methods(answer: Answer, comparison: Mapping[str, Int[np.ndarray, " item"]]) -> str:
    """Where methods answer differently."""
    methods = list(comparison)
    shares, spread = disagreement(comparison)
    short = [plain(name) for name in methods]
    rows = [
        (name, *(NOTHING if a == b else percent(shares[a, b]) for b in range(len(methods))))
        for a, name in enumerate(short)
    ]
    order = np.argsort(-spread, kind="stable")[:DISPUTED]
    disputed = [
        (named(answer.items[i]), *(_label(answer, comparison[name][i]) for name in methods))
        for i in map(int, order[spread[order] > 0])
    ]
    agreed = int((spread == 0).sum())
    body = (
        f"<p>All methods agree on {agreed:,} of {_many(len(spread), 'item')}. The share of items "
        "on which two methods differ:</p>\n" + table(("", *short), rows)
    )
    if not disputed:
        return body
    words = tuple(range(len(methods) + 1))
    return f"{body}<h3>Most disputed</h3>\n" + table(("item", *short), disputed, words)


def _label(answer: Answer, label: SupportsInt) -> str:
    """The name of a class; -1 has none."""
    return named(answer.labels[int(label)]) if int(label) >= 0 else NOTHING


def _busiest(answer: Answer) -> Int[np.ndarray, " worker"]:
    """Workers by the number of their labels, most first."""
    return np.argsort(-np.asarray(answer.given), kind="stable")


def _mean(values: Float[np.ndarray, "..."] | Sequence[SupportsFloat] | np.ndarray) -> float:
    """Of no values it is NaN."""
    return float(np.mean(np.asarray(values, np.float64))) if len(values) else math.nan


def _many(count: int, one: str, several: str = "") -> str:
    """A count and the thing counted."""
    return f"{count:,} {one if count == 1 else several or one + 's'}"

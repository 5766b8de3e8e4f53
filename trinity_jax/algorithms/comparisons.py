"""Which strategy needs fewer labels: tests over seeds and corpora, on learning curves.

J. T. Ash, C. Zhang, A. Krishnamurthy, J. Langford, A. Agarwal. Deep batch active learning by
diverse, uncertain gradient lower bounds. ICLR 2020.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from trinity_jax.algorithms import curves
from trinity_jax.algorithms.curves import Curve, Curves, checked
from trinity_jax.algorithms.statistics import bootstrap, holm, interval, signed_rank, student
from trinity_jax.types import PRNGKey, lookup


def checkpoints(reference: Curve, query: float | int, share: float = 0.99) -> np.ndarray:
    """Where to compare: at w_0 + query 2^k words, while random choice is still learning.

    That is, below `share` of its final score, but at least once. Late differences, where every
    strategy has labelled most of what there is, would count for nothing else but noise.

    Args:
        reference: the mean curve of random choice.
        query: words labelled a round.
        share: of the reference's final score.

    Returns:
        Words within the reference's range, ascending, `[checkpoint]`.
    """
    words, score = checked(*reference)
    width = words[-1] - words[0]
    if not 0 < query <= width:
        raise ValueError(f"a round must label between 0 and {width:g} words, not {query:g}")
    at = words[0] + query * 2.0 ** np.arange(int(np.log2(width / query)) + 1)
    at = np.minimum(at, words[-1])  # rounding
    learning = np.interp(at, words, score) < share * score[-1]
    return at[: max(1, int(np.argmin(np.append(learning, False))))]


def win_matrix(scores: ArrayLike, alpha: float = 0.05) -> np.ndarray:
    """How often each strategy beats each other one: the pairwise penalty matrix of Ash et al.

    i beats j at a checkpoint where Student's paired test over the seeds they share finds i better
    at level alpha; there j is fined 1 / number of checkpoints. A column's mean is how often its
    strategy loses. Matrices of several settings (corpora, query sizes) are added.

    Args:
        scores: `[strategy, seed, checkpoint]`, NaN where a strategy lacks a seed.
        alpha: of each test; there is no correction for their number.

    Returns:
        Share of checkpoints at which the row beats the column, `[strategy, strategy]`; NaN where
        they share less than two seeds, and 0 on the diagonal.
    """
    scores = np.asarray(scores, np.float64)
    matrix = np.zeros((len(scores), len(scores)))
    for i, j in zip(*np.nonzero(~np.eye(len(scores), dtype=bool)), strict=True):
        difference = scores[i] - scores[j]
        difference = difference[~np.isnan(difference).any(axis=1)]
        if len(difference) < 2:
            matrix[i, j] = np.nan
        else:
            wins = (student(difference) < alpha) & (difference.mean(axis=0) > 0)
            matrix[i, j] = wins.mean()
    return matrix


def summarise(
    table: Curves, reference: str, full: float | int | None = None, query: float | int | None = None
) -> dict[str, Any]:
    """What the curves of one corpus say of each strategy, and who beats whom.

    Args:
        table: the curves.
        reference: the strategy that the others are compared with, random choice as a rule.
        full: the score with all data labelled; without it nothing is said of shares of it.
        query: words labelled a round; by default the median step of the reference's curves.

    Returns:
        A tree of plain numbers. `words`: the range that all share. `strategies`, by name: `area`
        (see `interval`), `areas` by seed, `words_to` (see `reach`) and `savings` (see `savings`)
        by target: "95%" and "99%" of `full`, and "reference", the last score of its mean curve.
        `checkpoints`, and the rows of the `win_matrix` there, `wins`, None where not tested.

    Raises:
        InputError: there is no such reference, or the curves share no range of words.
    """
    random = lookup(table, reference, "strategy")
    mean, aligned = curves.mean(list(random.values())), curves.align(table)
    targets = {} if full is None else {"95%": 0.95 * full, "99%": 0.99 * full}
    targets["reference"] = float(mean.score[-1])
    steps = np.concatenate([np.diff(curve.words) for curve in random.values()])
    common = Curve(aligned.words, curves.interpolate(mean, aligned.words))
    query = min(float(np.median(steps)) if query is None else query, float(np.ptp(common.words)))
    at = checkpoints(common, query)
    scores = [[np.interp(at, aligned.words, score) for score in x] for x in aligned.scores]
    return {
        "words": [float(aligned.words[0]), float(aligned.words[-1])],
        "strategies": {
            name: {
                "area": interval(area[~np.isnan(area)]),
                "areas": {
                    seed: float(x) for seed, x in zip(aligned.seeds, area, strict=True) if x == x
                },
                "words_to": {of: curves.reach([*runs.values()], t) for of, t in targets.items()},
                "savings": {of: curves.savings(random, runs, t) for of, t in targets.items()},
            }
            for (name, runs), area in zip(table.items(), curves.areas(aligned), strict=True)
        },
        "checkpoints": at.tolist(),
        "wins": {
            a: {b: None if x != x else x for b, x in zip(table, row, strict=True)}
            for a, row in zip(table, win_matrix(scores).tolist(), strict=True)
        },
    }


def gains(
    key: PRNGKey, areas: Sequence[Mapping[str, Mapping[str, float]]], reference: str
) -> dict[str, Any]:
    """Areas of each strategy less those of the reference, over all seeds of all corpora.

    Args:
        key: of the bootstrap.
        areas: of each corpus by strategy and seed; seeds of one name are pairs.
        reference: the strategy that the others are compared with.

    Returns:
        By strategy, less those without pairs: `student` (see `interval`) and `bootstrap`, both of
        the difference; `p` by Wilcoxon's `signed_rank` test over all pairs; `p_holm`, that p
        adjusted for the number of strategies. All pairs count alike but for the bootstrap, which
        resamples corpora too.
    """
    found = {}
    for name in dict.fromkeys(name for corpus in areas for name in corpus):
        sides = [(corpus.get(name, {}), corpus.get(reference, {})) for corpus in areas]
        groups = [[ours[s] - base[s] for s in ours if s in base] for ours, base in sides]
        pairs = np.concatenate(groups)
        if name != reference and len(pairs):
            found[name] = {
                "student": interval(pairs),
                "bootstrap": bootstrap(key, groups),
                "p": signed_rank(pairs),
            }
    adjusted = holm([of_name["p"] for of_name in found.values()]).tolist()
    return {
        name: {**of_name, "p_holm": p}
        for (name, of_name), p in zip(found.items(), adjusted, strict=True)
    }

"""What the crowdsourcing figure shows: the headline's numbers, the picture, the claims."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from experiments import figures
from trinity_jax.algorithms.statistics import interval, paired
from trinity_jax.compute.run import Run
from trinity_jax.data.aggregation import theory
from trinity_jax.data.aggregation.annotations import Dims
from trinity_jax.data.aggregation.workers import WORKERS

STYLES = {  # in the order of the legend
    "majority": "-",
    "weighted_vote": "-",
    "em": "-",
    "weighted_em": "-",
    "weighted_one_coin": "-",
    "mbem": "-",
    "oracle_weighted": "--",
    "oracle_correct": "--",
    "clean": ":",
}

# Top-1 error on ImageNet under 1.2 million annotations, read from the vector figures that the
# authors published with their code (github.com/khetan2/MBEM).
PAPER_REDUNDANCIES = (1, 2, 3, 5, 7, 9)
PAPER_MBEM = {
    ("hammer_spammer", 0.2): (0.4740, 0.5087, 0.5663, 0.6305, 0.6528, 0.6940),
    ("class_wise", 0.2): (0.5283, 0.5706, 0.6062, 0.6629, 0.6884, 0.7006),
    ("hammer_spammer", 0.6): (0.3838, 0.4362, 0.4716, 0.5213, 0.5645, 0.6030),
    ("class_wise", 0.6): (0.3920, 0.4449, 0.4798, 0.5224, 0.5679, 0.6077),
}


def final_errors(records) -> dict:
    """Test error of each replica after its last round: {setting: {method: {r: [seed]}}}."""
    last = {}
    for row in records:
        setting = (row["budget_match"], row["workers"], row["quality"])
        last[setting, row["method"], row["redundancy"], row["seed"]] = row["test_error"]
    errors: dict = {}
    for (setting, method, redundancy, _), error in sorted(last.items(), key=lambda kv: kv[0][-1]):
        of_method = errors.setdefault(setting, {}).setdefault(method, {})
        of_method.setdefault(redundancy, []).append(error)
    return errors


def headline(errors: dict, match: str) -> dict:
    """The numbers of the claims, for one way of matching budgets."""
    result: dict = {
        name: {}
        for name in ("error", "best_redundancy", "once_against_thrice", "gain_over_majority_points")
    }
    for (of_match, workers, quality), methods in errors.items():
        if of_match != match:
            continue
        means = {m: {r: np.mean(e) for r, e in by_r.items()} for m, by_r in methods.items()}
        mbem, majority = methods.get("mbem", {}), methods.get("majority", {})
        thrice = gain = None
        if 1 in mbem and 3 in mbem:
            thrice = paired(mbem[1], mbem[3])
        if 1 in mbem and majority:
            best = min(majority, key=means["majority"].__getitem__)
            gain = paired(100 * np.array(majority[best]), 100 * np.array(mbem[1]))
        values = {
            "error": {m: {r: interval(e) for r, e in by_r.items()} for m, by_r in methods.items()},
            "best_redundancy": {m: min(by_r, key=by_r.__getitem__) for m, by_r in means.items()},
            "once_against_thrice": thrice,
            "gain_over_majority_points": gain,
        }
        for name, value in values.items():
            result[name].setdefault(workers, {})[quality] = value
    return result


def claims(summary: dict) -> list[tuple[str, bool | None, str]]:
    """The talk's claims: what is claimed, whether it was shown again (None: undecided), numbers."""
    found = summary["headline"]
    verdicts: list = []
    if "labelme" in found:
        return [*_claims_of_people(found)]
    if "once_against_thrice" not in found:
        return verdicts
    for workers, by_quality in found["once_against_thrice"].items():
        for quality, once in by_quality.items():
            where = f"{workers.replace('_', ' ')} workers of quality {quality}"
            if once:
                low, high = (100 * bound for bound in once["interval"] or (-np.inf, np.inf))
                verdict = True if high < 0 else False if low > 0 else None
                numbers = f"error at r = 1 minus at r = 3: {_points(once, 100)} points"
                verdicts.append((f"Labelling once beats thrice: {where}", verdict, numbers))
            gain = found["gain_over_majority_points"][workers][quality]
            if gain:
                low = (gain["interval"] or (-np.inf,))[0]
                verdict = bool(low >= 5) or (None if gain["mean"] >= 5 else False)
                numbers = f"best majority vote minus MBEM at r = 1: {_points(gain, 1)} points"
                verdicts.append(
                    (f"MBEM is 5 points better than majority vote: {where}", verdict, numbers)
                )
    return verdicts


def _claims_of_people(found: dict):
    """The claims where people have labelled: MBEM's gain over votes, and one label against two."""
    for vote in ("hard_vote", "soft_vote"):
        ours, theirs = (found["labelme"].get(name) for name in ("mbem", vote))
        if ours and theirs:
            gain = 100 * (ours["mean"] - theirs["mean"])
            claim = f"MBEM is 5 points better than the {vote.replace('_', ' ')}"
            yield claim, bool(gain >= 5), f"accuracy, MBEM less the vote: {gain:.1f} points"
    for name, forms in found["labelme_budget"].items():
        gain = forms["paired"]
        if gain and name in ("hard_vote", "mbem"):
            low, high = gain["interval"] or (-np.inf, np.inf)
            verdict = True if low > 0 else False if high < 0 else None
            claim = f"Labelling once beats twice, labels by people: {name.replace('_', ' ')}"
            yield claim, verdict, f"accuracy once minus twice: {_points(gain, 100)} points"


def _points(form: dict, scale: float) -> str:
    low, high = form["interval"] or (np.nan, np.nan)
    return f"{scale * form['mean']:.1f} [{scale * low:.1f}, {scale * high:.1f}]"


def report(config, run: Run) -> None:
    """Writes the figure and the summary."""
    errors = final_errors(run.records())
    draw(config, errors, run.directory)
    matches = config.budget_match
    more = {f"headline_by_{match}": headline(errors, match) for match in matches[1:]}
    run.finish(headline(errors, matches[0]), **more)


def draw(config, errors: dict, directory) -> None:
    """A row a setting: error by steps, error by epochs, and relative to r = 1 with the theory."""
    settings = [(w, q) for w in config.workers for q in config.qualities]
    columns = len(config.budget_match) + 1
    figure, grid = figures.plt.subplots(
        len(settings), columns, figsize=(3.6 * columns, 2.7 * len(settings)), squeeze=False
    )
    for panels, (workers, quality) in zip(grid, settings, strict=True):
        for axes, match in zip(panels, config.budget_match, strict=False):
            methods = errors[match, workers, quality]
            top = 0.0
            for colour, (method, style) in zip(figures.COLOURS, STYLES.items(), strict=False):
                if method in methods:
                    points = {r: interval(e) for r, e in methods[method].items()}
                    top = max(top, *(point["mean"] for point in points.values()))
                    label = method.replace("_", " ")
                    figures.curve(axes, points, label, colour, linestyle=style)
            axes.set_title(f"{workers.replace('_', ' ')} {quality}, equal {match}")
            axes.set(xlabel="labels an item, r", ylabel="test error", ylim=(0, 1.15 * top))
            axes.set_xticks(config.redundancies, map(str, config.redundancies))
        first = errors[config.budget_match[0], workers, quality]
        predict(panels[-1], config, workers, quality, first)
    tight = {"columnspacing": 1, "handlelength": 1.5, "fontsize": 8}
    figure.legend(
        *grid[0, 0].get_legend_handles_labels(), loc="outside upper left", ncols=5, **tight
    )
    figure.legend(
        *grid[0, -1].get_legend_handles_labels(), loc="outside upper right", ncols=2, **tight
    )
    figures.save(figure, directory)


@jax.jit
@functools.partial(jax.vmap, in_axes=(None, 0))
def information(confusion, redundancy):
    """omega of these workers, for classes that are equally frequent."""
    prior = jnp.full(confusion.shape[1], 1 / confusion.shape[1])
    return theory.information(jax.random.key(1), confusion, prior, redundancy, num_samples=5000)


def predict(axes, config, workers: str, quality: float, methods: dict) -> None:
    """Error relative to r = 1: the two predictions, what was measured, what the paper measured."""
    redundancies = np.array([1, *config.redundancies])  # what all is relative to comes first
    confusion = WORKERS[workers](jax.random.key(0), Dims(1, config.num_workers, 10), quality)
    omega = information(confusion, redundancies)
    for label, theorem, style in (
        ("theory, bound", theory.bound_of, "k:"),
        ("theory, efficiency", theory.efficiency, "k--"),
    ):
        values = jax.vmap(theorem)(omega, redundancies)
        axes.plot(redundancies[1:], values[1:] / values[0], style, label=label, linewidth=1)
    for method, colour in (("mbem", 5), ("oracle_weighted", 6)):
        if 1 in methods.get(method, {}):
            once = np.mean(methods[method][1])
            points = {r: interval(np.array(e) / once) for r, e in methods[method].items()}
            figures.curve(axes, points, f"{method}, measured", figures.COLOURS[colour])
    if (workers, quality) in PAPER_MBEM:
        paper = np.array(PAPER_MBEM[workers, quality])
        axes.plot(
            PAPER_REDUNDANCIES, paper / paper[0], "k^", markersize=4, label="MBEM, paper (ImageNet)"
        )
    axes.set(xlabel="labels an item, r", ylabel="error relative to r = 1", title="and the theory")
    axes.set(ylim=(0, 2.5))

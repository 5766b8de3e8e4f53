"""What a run of crowdsourcing says: the headline's numbers, and the talk's claims."""

import numpy as np

from experiments import crowdsourcing_figure as figure
from experiments import verdicts
from experiments.verdicts import PARTLY, SHOWN, Claim, Measure, effect, minus
from trinity_jax.algorithms.statistics import interval, paired
from trinity_jax.compute.run import Run

ONCE = "Under a fixed budget, labelling once is optimal (MBEM: error at r = 3 less that at r = 1)"
GAIN = "MBEM is about 5 % better than majority vote"
SLIDE = "about 5 % over majority rule on the slide; ImageNet's errors in the table"


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


def claims(summary: dict) -> list[Claim]:
    """What the slide claims, and what the run says to it."""
    found = summary["headline"]
    if "labelme" in found:
        return _claims_of_people(found)
    once, gains = [], []
    for workers, by_quality in found.get("once_against_thrice", {}).items():
        for quality, form in by_quality.items():
            where = f"{workers.replace('_', '-')} workers, quality {quality}"
            known = (workers, float(quality))
            once.append(_once(where, form, known, found["best_redundancy"][workers][quality]))
            gain = found["gain_over_majority_points"][workers][quality]
            gains.append(effect(where, gain, "points", _paper_gain(known), size=5))
    return [Claim(ONCE, once), Claim(GAIN, gains, SLIDE)] if once else []


def _once(where: str, form, known: tuple, best: dict) -> Measure:
    """How much more error MBEM has from three labels an item than from one."""
    paper = ""
    if known in figure.PAPER_MBEM:
        errors = dict(zip(figure.PAPER_REDUNDANCIES, figure.PAPER_MBEM[known], strict=True))
        paper = f"{100 * (errors[3] - errors[1]):.1f} points"
    measure = effect(where, form and minus(form), "points", paper, scale=100)
    if measure.verdict == SHOWN and best["mbem"] != 1:
        why = f"Once beats thrice, but r = {best['mbem']} has the lowest error."
        return measure._replace(verdict=PARTLY, why=why)
    return measure


def _paper_gain(known: tuple) -> str:
    """The best majority vote less MBEM at one label an item, in the paper."""
    if known not in figure.PAPER_MBEM:
        return ""
    return f"{100 * (figure.PAPER_MAJORITY[known] - figure.PAPER_MBEM[known][0]):.1f} points"


def gains_over_votes(accuracies: dict) -> dict:
    """MBEM's accuracy less that of votes, in pairs; `accuracies` is {method: [seed]}."""
    mbem, votes = accuracies.get("mbem"), ("hard_vote", "soft_vote")
    return {vote: paired(mbem, accuracies[vote]) for vote in votes if mbem and vote in accuracies}


def _claims_of_people(found: dict) -> list[Claim]:
    """The claims where people have labelled: one label against two, and MBEM's gain over votes."""
    once = [
        effect(f"{name.replace('_', ' ')}, labels by people", form["paired"], "points", scale=100)
        for name, form in found["labelme_budget"].items()
        if form["paired"] and name in ("hard_vote", "mbem")
    ]
    where = lambda vote: f"over the {vote.replace('_', ' ')}, labels by people"
    gains = [
        effect(where(vote), gain, "points", size=5, scale=100)
        for vote, gain in found["labelme_gain"].items()
    ]
    claims = Claim("Labelling once is better than twice, at equal cost", once), Claim(GAIN, gains)
    return [claim for claim in claims if claim.measures]


def report(config, labels: int, run: Run) -> None:
    """Writes the figure and the summary; `labels` is the number of classes."""
    errors = final_errors(run.records())
    figure.draw(config, errors, labels, run.directory)
    matches = config.budget_match
    more = {f"headline_by_{match}": headline(errors, match) for match in matches[1:]}
    summary = run.finish(headline(errors, matches[0]), **more)
    verdicts.say(run, summary, claims(summary))

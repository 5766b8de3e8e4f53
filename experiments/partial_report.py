"""What a run of partial feedback says: records, learning curves, the headline, the claims."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments import partial_figure as figure
from experiments import verdicts
from experiments.curves import write
from experiments.verdicts import NOT_SHOWN, UNDECIDED, Claim, Measure, effect, rest, told
from trinity_jax.algorithms import curves
from trinity_jax.algorithms.statistics import interval, paired
from trinity_jax.compute.run import Run
from trinity_jax.data.collection import questions

SHARE = 0.3  # of the questions that labelling at random takes: where the paper compares
BASELINE = "uniform"
ALPF = ("alpf_edc", "alpf_erc", "alpf_eig")  # the method with each of the paper's scores
MORE, FEWER = 8, 0.4  # what the slide claims: points of accuracy, share of the questions saved


def measure(logits, labels) -> dict:
    """How often the label is the network's first guess, or among its first five."""
    above = (logits > jnp.take_along_axis(logits, labels[:, None], 1)).sum(1)
    return {"accuracy": (above < 1).mean(), "top5": (above < 5).mean()}


def progress(logits, evidence, truth, errors) -> dict:
    """Shares of images whose class is known, and wrongly; and how many classes are left.

    Where answers may be wrong it is known as soon as it is believed, with the network of `logits`.
    """
    left = (evidence > -jnp.inf).sum(1).astype(float)
    if errors:
        probs = questions.posterior(jax.nn.log_softmax(logits), evidence)
        left = jnp.exp(jax.scipy.special.entr(probs).sum(1))
        known, label = probs.max(1) >= errors.sure, probs.argmax(1)
    else:
        known, label = left == 1, evidence.argmax(1)
    wrong = (known & (label != truth)).mean()
    return {"exact": known.mean(), "remaining": left.mean(), "wrong": wrong}


def records(rows, metrics, found) -> list[dict]:
    """A record a replica: what was asked and answered, and how good the network then is."""
    asked, made = metrics["asked"], []
    for i, row in enumerate(rows):
        told = []
        for n in np.flatnonzero(asked.taken[i]):
            left = [*asked.left[i, n], 1.0]
            for t in range(asked.taken[i, n]):
                question, yes = int(asked.question[i, n, t]), int(asked.yes[i, n, t])
                sizes = (round(float(size), 3) for size in left[t : t + 2])
                told.append([int(asked.item[i, n]), question, yes, *sizes])
        numbers = {name: float(values[i]) for name, values in metrics.items() if name != "asked"}
        price = float(sum(found.cost[question] for _, question, *_ in told))
        # image, question, answer, classes left before and after it
        made.append({**row, "questions": len(told), "cost": price, **numbers, "asked": told})
    return made


def by_seed(rows, total: float) -> dict:
    """{method: {seed: {share, accuracy, exact, remaining}}}, arrays over rounds."""
    points: dict = {}
    for row in rows:
        of_seed = points.setdefault(row["method"], {}).setdefault(row["seed"], [])
        spent = row["cost"] + (of_seed[-1][0] if of_seed else 0)
        of_seed.append((spent, row["accuracy"], row["exact"], row["remaining"]))
    names = ("spent", "accuracy", "exact", "remaining")
    return {
        method: {
            seed: dict(zip(names, np.array(of_seed).T, strict=True))
            | {"share": np.array(of_seed)[:, 0] / total}
            for seed, of_seed in sorted(of_method.items())
        }
        for method, of_method in points.items()
    }


def at(curve: dict, share: float, name: str = "accuracy"):
    """Between two rounds on a line; None where nothing was asked there.

    A curve that has ended because all is known goes on as it is.
    """
    if share > curve["share"][-1] and curve["exact"][-1] < 1:
        return None
    return float(np.interp(share, curve["share"], curve[name]))


def to_full(curve: dict):
    """The share of questions after which every image was labelled; None if some are not."""
    return float(curve["share"][-1]) if curve["exact"][-1] >= 1 else None


def over_seeds(values) -> dict | None:
    """Interval of what every seed has; None where one has it not."""
    values = list(values)
    return None if None in values or not values else interval(values)


def headline(found, points: dict, prelabelled: float) -> dict:
    """The numbers of the claims."""
    of = lambda value: {m: over_seeds(map(value, seeds.values())) for m, seeds in points.items()}
    result = {"uniform_cost": found.uniform_cost, "questions": len(found.covers)}
    result |= {
        "accuracy_at_30pct": of(lambda curve: at(curve, SHARE)),
        "questions_to_full": of(to_full),
        # As if the labels given beforehand had been asked for, in the way of uniform.
        "questions_to_full_charged": of(
            lambda c: None if to_full(c) is None else to_full(c) + prelabelled
        ),
        "final_accuracy": of(lambda curve: float(curve["accuracy"][-1])),
        "relative_gain_at_30pct": {},
        "gain_in_points_at_30pct": {},
    }
    base = points.get(BASELINE, {})
    for method, seeds in points.items():
        pairs = [(at(seeds[s], SHARE), at(base[s], SHARE)) for s in seeds if s in base]
        if method == BASELINE or not pairs or None in {v for pair in pairs for v in pair}:
            continue
        ours, theirs = np.array(pairs).T
        result["relative_gain_at_30pct"][method] = paired(ours / theirs, np.ones(len(ours)))
        result["gain_in_points_at_30pct"][method] = paired(100 * ours, 100 * theirs)
    return result


def claims(summary: dict) -> list[Claim]:
    """What the slide claims, and what the run says to it."""
    found, gains, savings = summary["headline"], [], []
    asked = summary["config"]["round_share"] * summary["config"]["rounds"]
    for method in ALPF:
        name = method.replace("_", "-").upper()
        gain = found["gain_in_points_at_30pct"].get(method)
        if gain:
            relative = told(found["relative_gain_at_30pct"][method], "% relative", 100)
            measure = effect(f"{name} less Uniform", gain, "points", size=MORE)
            gains.append(measure._replace(here=f"{measure.here}, {relative}"))
        if method in found["questions_to_full"]:
            share, paper = found["questions_to_full"][method], ""
            if method in figure.PAPER:
                fewer = 1 - figure.PAPER[method] / figure.PAPER[BASELINE]
                paper = f"{100 * fewer:.0f} % fewer"
            savings.append(_saving(name, share, paper, min(asked, 1)))
    about = "Tiny ImageNet: about 8 points, 26 % relative"
    claims = (
        Claim("8 points of accuracy more at 30 % of the questions", gains, about),
        Claim("Everything is labelled with about 40 % fewer questions", savings),
    )
    return [claim for claim in claims if claim.measures]


def _saving(name: str, share, paper: str, asked: float) -> Measure:
    """The share of Uniform's questions that are left when every image is labelled."""
    measure = effect(name, share and rest(share), "% fewer", paper, 100 * FEWER, 100, 0)
    if share:
        return measure
    why = f"Not everything was labelled with {100 * asked:.0f} % of the questions."
    verdict = NOT_SHOWN if asked >= 1 - FEWER else UNDECIDED
    return measure._replace(here="not reached", verdict=verdict, why=why)


def report(config, found, run: Run) -> None:
    """Curves, headline and figure."""
    points = by_seed(run.records(), found.uniform_cost)
    write(
        {method: _asking(seeds) for method, seeds in points.items()}, run.directory / "curves.csv"
    )
    numbers = headline(found, points, config.prelabelled)
    title = f"{config.prefix or config.data}: partial feedback, {config.seeds} seeds"
    figure.draw(_lines(points), found.uniform_cost, SHARE, title, run.directory)
    summary = run.finish(numbers)
    verdicts.say(run, summary, claims(summary))


def _lines(points: dict) -> dict:
    """{what is measured: {method: {share of the questions: interval over seeds}}}."""
    lines: dict = {name: {} for name in figure.TITLES}
    for method, seeds in points.items():
        end = max(curve["share"][-1] for curve in seeds.values())
        shares = [share for share in np.linspace(0, 1, 41) if share <= end]
        for name, of in lines.items():
            of[method] = {s: over_seeds(at(c, s, name) for c in seeds.values()) for s in shares}
    return lines


def _asking(seeds: dict) -> dict[str, curves.Curve]:
    """Learning curves up to the round after which nothing was left to be asked."""
    made = {}
    for seed, curve in seeds.items():
        new = np.append(True, np.diff(curve["spent"]) > 0)
        made[str(seed)] = curves.Curve(curve["spent"][new], curve["accuracy"][new])
    return made

"""What a run of the rendering model says: errors, ablations, how exact it is, and pictures."""

import jax
import numpy as np

from experiments import rendering_figure, verdicts
from experiments.rendering_exact import KINDS
from experiments.verdicts import Claim, effect
from trinity_jax.algorithms import training
from trinity_jax.algorithms.statistics import interval, paired, signed_rank
from trinity_jax.compute.run import Run
from trinity_jax.data.augmentation import nrm, rendering

BASE, FULL = "supervised", "full"
SEEN = 256  # test images that are rendered, to be measured
CLAIMS = {
    "joint": "Predicting and rendering at once helps with few labels",
    "full": "So it does with all terms of the authors' loss",
    "reconstruction": "It is rendering that helps: reconstruction alone",
}
PAPER = "12.7 % error on CIFAR-10 with 4,000 labels, in the authors' log"


def measure(model, prepare, each, state, objective, pixels, labels) -> dict:
    """Of a replica on test images: the error, that of rendering, and the paths in use."""
    given = state.params, state.running, model
    predict = lambda x: nrm.predict(*given, objective.low, prepare(x))
    guess = training.in_batches(predict, pixels, 500, each).argmax(1)
    x, target = prepare(pixels[:SEEN]), jax.nn.one_hot(guess[:SEEN], model.labels)
    image = nrm.reconstruct(*given, x, target, objective.untied).image
    latents = nrm.look(*given, x).latents
    return {
        "error": (guess != labels).mean(),
        "rendering_error": ((image - x) ** 2).mean() / x.var(),
        "active_paths": rendering.active_paths(model.layers, latents, model.shape).mean(),
    }


def last_errors(records) -> dict:
    """Error in percent after the last round: {arm: {labelled: {seed: error}}}."""
    errors: dict = {}
    for row in records:  # in the order of rounds
        of_arm = errors.setdefault(row["arm"], {})
        of_arm.setdefault(row["labelled"], {})[row["seed"]] = 100 * row["error"]
    return errors


def less(one: dict, other: dict) -> dict:
    """Interval of the difference over seeds, with the p value of Wilcoxon's test."""
    pairs = np.array([(one[seed], other[seed]) for seed in one])
    return {**paired(*pairs.T), "p": signed_rank(pairs[:, 0] - pairs[:, 1])}


def higher(one, other) -> float:
    """How often a number of one kind is above one of the other: the area under the ROC curve."""
    one, other = np.asarray(one)[:, None], np.asarray(other)[None]
    return float((one > other).mean() + 0.5 * (one == other).mean())


def headline(records, main: int, seconds: dict, exact: dict) -> dict:
    """The numbers of the claims."""
    errors = last_errors(records)
    forms = lambda by_seed: interval(list(by_seed.values()))
    last = max(row["round"] for row in records)
    final = [row for row in records if row["round"] == last and row["labelled"] == main]
    of = lambda name: {
        arm: interval([row[name] for row in final if row["arm"] == arm]) for arm in errors
    }
    at_main = {arm: by_number[main] for arm, by_number in errors.items()}
    compare = lambda base: (
        {arm: less(e, at_main[base]) for arm, e in at_main.items() if arm != base}
        if base in at_main
        else {}
    )
    return {
        "error": {
            arm: {str(n): forms(by_seed) for n, by_seed in by_number.items()}
            for arm, by_number in errors.items()
        },
        "paired_gain": {
            arm: {str(n): less(errors[BASE][n], by_number[n]) for n in by_number}
            for arm, by_number in errors.items()
            if arm != BASE and BASE in errors
        },
        "ablation": compare(FULL),
        "identity_max_error": max(exact["identities"]),
        "seconds_per_step": seconds,
        "rendering_error": of("rendering_error"),
        "active_paths": of("active_paths"),
        # How often an image of the data scores above one of another kind.
        "separation": {
            name: {
                k: higher(sign * np.array(exact[name]["test"]), sign * np.array(exact[name][k]))
                for k in KINDS[1:]
            }
            for name, sign in (("R", -1), ("prior", 1))
        },
    }


def claims(summary: dict) -> list[Claim]:
    """What the slide claims, and what the run says to it."""
    found = summary["headline"]
    made = []
    for arm, text in CLAIMS.items():
        measures = []
        for labels, gain in sorted(found["paired_gain"].get(arm, {}).items(), key=_number):
            before, after = (found["error"][name][labels]["mean"] for name in (BASE, arm))
            measure = effect(f"{labels} labels", gain, "points of error less")
            here = f"{measure.here} ({before:.1f} to {after:.1f} %)"
            measures.append(measure._replace(here=here))
        if measures:
            made.append(Claim(text, measures, PAPER if arm == FULL else ""))
    return made


def _number(pair: tuple[str, dict]) -> int:
    return int(pair[0])


def report(config, images, rows, state, seconds, exact, run: Run) -> None:
    """Headline, figure, and a sheet of renderings."""
    numbers = headline(run.records(), config.labelled[0], seconds, exact)
    rendering_figure.draw(numbers, run.records(), exact, config, run.directory)
    arms = [row["arm"] for row in rows]
    wanted = [arm for arm in ("joint", "full", "reconstruction") if arm in arms]
    if wanted:
        chosen = jax.tree.map(lambda leaf: leaf[arms.index(wanted[0])], state)
        rendering_figure.sheet(config, images, chosen, wanted[0], run.directory)
    summary = run.finish(numbers)
    verdicts.say(run, summary, claims(summary))

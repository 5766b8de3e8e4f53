"""What a run of generative augmentation says: errors, generators, and where gradients point."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments import few_labels, generative_figure, verdicts
from experiments.generative_arms import see
from experiments.rendering_report import less
from experiments.verdicts import Claim, effect
from trinity_jax.algorithms import training
from trinity_jax.algorithms.statistics import interval, paired
from trinity_jax.compute.run import Run
from trinity_jax.data.augmentation import gan, nrm, samples
from trinity_jax.data.augmentation.nrm import Objective

BASE = "supervised"
TERMS = ("real_or_fake", "reconstruction", "entropy", "paths")
OWN = {"real_or_fake": "semi_gan"}  # the arm that learns it; the others, the joint model
SEEN = 128  # images without labels that auxiliary gradients are of
GANS = (
    ("gan", "GAN of the labelled images"),
    ("pseudo_gan", "GAN of all images, named by the classifier"),
    ("semi_gan", "semi-supervised GAN"),
)
JOINT = (("joint", "joint model"),)
# S. Ravuri, O. Vinyals. Classification accuracy score for conditional generative models.
CAS = "ImageNet, BigGAN-deep: 42.7 % of a classifier of its images, 73.1 % of one of real ones"


def measurer(config, images, held, each=jax.lax.map):
    """`measure(state, test images, test labels) -> metrics`: the error, and the cosine between the
    gradient of each auxiliary loss and that of prediction on held-out images, of the kernels.
    """
    model, prepare = few_labels.model(config, images), few_labels.preparer(config.inputs, images)
    held_x, held_y = prepare(held[0]), jax.nn.one_hot(held[1], model.labels)
    some = prepare(images.train_images[:SEEN])
    noise = jax.random.normal(jax.random.key(3), (SEEN, gan.NOISE))
    wanted = jax.nn.one_hot(jnp.arange(SEEN) % model.labels, model.labels)

    def measure(state, pixels, labels):
        predict = lambda x: nrm.predict(state.params, state.running, model, 0.0, prepare(x))
        guess = training.in_batches(predict, pixels, 500, each).argmax(1)
        made = gan.generate(state.maker[0], model, noise, wanted)

        def auxiliary(params, weights):
            terms, _ = nrm.half(
                jax.random.key(4), params, model, Objective(1.0, 1.0, 0.0, 1.0), some, None
            )
            logits = lambda x: see(params, model, x).logits + params.bias[None]
            terms["real_or_fake"] = gan.discriminator_loss(logits(some), logits(made))
            return sum(w * terms[name] for w, name in zip(weights, TERMS, strict=True))

        def prediction(params):
            return nrm.half(jax.random.key(4), params, model, Objective(), held_x, held_y)[0][
                "label"
            ]

        wanted_slope = jax.grad(prediction)(state.params).weights.kernels
        slope = lambda weights: jax.grad(auxiliary)(state.params, weights).weights.kernels
        angle = lambda weights: samples.cosine(slope(weights), wanted_slope)
        cosines = jax.lax.map(angle, jnp.eye(len(TERMS)))
        return {"error": (guess != labels).mean(), **dict(zip(TERMS, cosines, strict=True))}

    return measure


def by_arm(records, name: str, budget: str) -> dict:
    """{arm: {seed: [round]}}."""
    found: dict = {}
    for row in records:
        if row["budget"] == budget:
            found.setdefault(row["arm"], {}).setdefault(row["seed"], []).append(row[name])
    return found


def cosines(records, term: str, arm: str) -> np.ndarray:
    """[seed, round]."""
    return np.array(list(by_arm(records, term, "steps").get(arm, {}).values()))


def headline(records, seconds: dict, judged: dict) -> dict:
    """The numbers of the claims."""
    last = {
        budget: {
            arm: {seed: 100 * of_seed[-1] for seed, of_seed in seeds.items()}
            for arm, seeds in by_arm(records, "error", budget).items()
        }
        for budget in ("steps", "time")
    }
    forms = lambda arms: {arm: interval(list(seeds.values())) for arm, seeds in arms.items()}
    base = {budget: arms.get(BASE) for budget, arms in last.items()}
    measures = {
        name: {arm: interval(values) for arm, values in arms.items()}
        for name, arms in judged["measures"].items()
    }
    over_time = {
        term: {arm: cosines(records, term, arm) for arm in ("semi_gan", "joint", BASE)}
        for term in TERMS
    }
    mean = lambda values: interval(values.mean(1)) if values.size else None
    own = {term: over_time[term][OWN.get(term, "joint")] for term in TERMS}
    nearer, further = own["reconstruction"], own["real_or_fake"]
    both, made = nearer.size and further.size, judged["measures"].get("cas", {})
    return {
        "error": forms(last["steps"]),
        "error_at_equal_time": forms(last["time"]),
        "paired_gain": {
            budget: {arm: less(base[budget], e) for arm, e in arms.items() if arm != BASE}
            for budget, arms in last.items()
            if base[budget]
        },
        "cas": measures.pop("cas", {}),
        "gan_test": measures.pop("gan_test", {}),
        # How much better a classifier of real images is than one of made ones.
        "cas_less_than_real": {
            arm: paired(judged["measures"]["real_cas"][arm], cas) for arm, cas in made.items()
        },
        "gradient_cosine": {term: mean(values) for term, values in own.items()},
        "rendering_less_real_or_fake": mean(nearer - further) if both else None,
        # Of the same network, the semi-supervised discriminator, and of others.
        "gradient_cosine_by_arm": {
            term: {arm: mean(values) for arm, values in arms.items()}
            for term, arms in over_time.items()
        },
        "generators": measures,
        "seconds_per_step": seconds,
    }


def claims(summary: dict) -> list[Claim]:
    """What the slide claims, and what the run says to it."""
    found = summary["headline"]
    gains, lost = found["paired_gain"].get("steps", {}), found["cas_less_than_real"]
    help_by = lambda arms: [
        effect(name, gains[arm], "points of error less") for arm, name in arms if arm in gains
    ]
    worse = [
        effect(name, lost[arm], "points of accuracy less", scale=100)
        for arm, name in GANS
        if arm in lost
    ]
    elsewhere = effect(
        "cosine with the gradient of prediction, rendering less real or fake",
        found["rendering_less_real_or_fake"],
        "",
        digits=2,
    )
    claims = (
        Claim(
            "Merit: a GAN learns from images, and what it learns helps to predict", help_by(GANS)
        ),
        Claim("Peril: its images are worse; a classifier learns less from them", worse, CAS),
        Claim("Peril: its feedback, real or fake, is further from prediction", [elsewhere]),
        Claim("One model that predicts and renders helps instead", help_by(JOINT)),
    )
    return [claim for claim in claims if claim.measures]


def report(config, images, seconds, judged, run: Run) -> None:
    """Headline, figure, and a sheet of made images."""
    records = run.records()
    numbers = headline(records, seconds, judged)
    angles = {term: cosines(records, term, OWN.get(term, "joint")) for term in TERMS}
    generative_figure.draw(numbers, angles, config, run.directory)
    generative_figure.sheet(judged["sheet"], images, config, run.directory)
    summary = run.finish(numbers)
    verdicts.say(run, summary, claims(summary))

"""One network that predicts upwards and renders downwards: does rendering help with few labels?

    python -m experiments.neural_rendering smoke     digits, 3 arms: 40 s on 2 cores
    python -m experiments.neural_rendering laptop    (or no word) 13 arms: 3 minutes there
    python -m experiments.neural_rendering exact     nothing is normalised: 6 minutes at most there
    paper, paper_mnist, paper_svhn, paper_cifar100   GPUs, TPUs (2 cores: est. weeks to years)
    python -m experiments.neural_rendering --data idx:DIR --layers mnist --labelled 100 --steps 3000
    python -m experiments.neural_rendering --evaluate validation   to choose settings: never on test

Every arm sees the same few labels, all images without labels (a chunk a round, where not all fit
into memory), and as many steps; arms differ in which terms of the loss they have. The last step's
network is what counts.
Ho, Nguyen, Patel, Anandkumar, Jordan, Baraniuk. Neural rendering model. arXiv 1811.02657v1
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from experiments import few_data, few_labels, rendering_exact, rendering_report, step_times
from trinity_jax import watch
from trinity_jax.compute import hosts, program, replicas
from trinity_jax.compute.run import Run
from trinity_jax.compute.sweep import Sweep
from trinity_jax.data import sources
from trinity_jax.data.augmentation import distortion, draws, nrm
from trinity_jax.data.augmentation.nrm import Objective

ARMS = {  # which terms: of the full loss, with the weights of the configuration
    "supervised": lambda full: Objective(),
    "entropy": lambda full: Objective(entropy=full.entropy),
    "reconstruction": lambda full: Objective(reconstruction=full.reconstruction),
    "joint": lambda full: Objective(full.reconstruction, full.entropy),
    "full": lambda full: full,
    "no_reconstruction": lambda full: full._replace(reconstruction=0.0),
    "no_entropy": lambda full: full._replace(entropy=0.0),
    "other_sign": lambda full: full._replace(entropy=-full.entropy),
    "no_moments": lambda full: full._replace(moments=0.0),
    "no_paths": lambda full: full._replace(paths=0.0),
    "max_min": lambda full: full._replace(low=0.5),
    "untied": lambda full: full._replace(untied=1.0),
    "scattered": lambda full: full._replace(scattered=1.0),
}
TERMS = Objective._fields[:5]
CURVE = ("supervised", "entropy", "reconstruction", "joint")  # at every number of labels


@dataclasses.dataclass(frozen=True)
class Config:
    """What the experiment varies; replicas are arms times numbers of labels times seeds."""

    seeds: int = 4  # replicas with labels, network's start and training drawn anew
    arms: tuple[str, ...] = tuple(ARMS)  # what is learnt, by name: terms of the full loss
    data: str = "digits"  # digits, npz:DIR, idx:DIR or tfds:NAME
    prefix: str = ""  # which files, where an npz folder holds several data sets
    target: str = "fine"  # which labels, where there are several: fine or coarse
    chunk: int = 0  # training images held at a time, of a large tfds:NAME; 0: all, or what fits
    labelled: tuple[int, ...] = (50, 20, 100)  # images with labels; ablations only at the first
    evaluate: str = "test"  # or validation: a fifth of the training images, to choose settings
    layers: str = "small"  # small, medium (a sixth of mnist's work), mnist or allconv13
    mode: str = "authors"  # batches are normalised; or exact: nothing is, every identity holds
    inputs: str = "standard"  # images: standard, plain ([0, 1]) or norm (of one length, for exact)
    augment: str = "none"  # images in training: none, shift (and mirror), shift_only or crop
    dropout: float = 0.0  # share of features left out after each pooling
    reconstruction: float = 0.5  # weight, in the full loss, of rendering the image
    entropy: float = 0.5  # weight of sure predictions
    moments: float = 0.5  # weight of matching means and variances, up and down
    paths: float = 1.0  # weight of path normalisation
    ramp: float = 0.5  # share of the training in which the entropy's weight rises
    negative: float = 0.0  # weight of not rendering below 0; the authors' without normalisation
    steps: int = 300  # steps of the training
    exact_steps: int = 300  # of another model, in mode exact, whose identities are looked at
    rounds: int = 5  # parts of the training after which is measured
    batch_labelled: int = 50  # images with labels a step
    batch_unlabelled: int = 64  # images without labels a step
    learning_rate: float = 1e-2  # of Adam, at the start
    schedule: str = "cosine"  # how it falls; or authors: Adam, then descent
    descent_rate: float = 0.15  # learning rate of the authors' descent
    weight_decay: float = 5e-4  # L2: coefficient of the weights in the gradient
    clip: float = 0.0  # the gradient's norm, at most; 0: as it is

    def __post_init__(self):
        few_labels.check(self)
        program.known(self, arms=ARMS)


PAPER = Config(
    data="tfds:cifar10",
    arms=("supervised", "full", "max_min"),
    labelled=(4000,),
    layers="allconv13",
    augment="shift",
    dropout=0.5,
    steps=400 * 50_000 // 64,
    rounds=40,
    batch_labelled=64,
    learning_rate=1e-3,
    ramp=0.0,
    schedule="authors",
)
MNIST = {"layers": "mnist", "inputs": "plain", "augment": "none", "dropout": 0.0}
MNIST |= {"reconstruction": 1.0, "entropy": 0.2, "moments": 1.0, "descent_rate": 0.2}
MNIST |= {"batch_labelled": 256, "batch_unlabelled": 256, "steps": 400 * 60_000 // 256}
SVHN = {"data": "tfds:svhn_cropped", "labelled": (1000,), "augment": "shift_only"}
CIFAR100 = {"data": "tfds:cifar100", "labelled": (10_000,), "learning_rate": 1e-4}
PRESETS = {
    "smoke": Config(seeds=2, arms=("supervised", "joint", "full"), labelled=(50,), steps=60),
    "laptop": Config(),
    "exact": Config(mode="exact", inputs="norm", reconstruction=6.4, paths=0.1, learning_rate=3e-3),
    "paper": PAPER,
    "paper_mnist": dataclasses.replace(PAPER, data="tfds:mnist", labelled=(1000,), **MNIST),
    "paper_svhn": dataclasses.replace(PAPER, **SVHN),
    "paper_cifar100": dataclasses.replace(PAPER, **CIFAR100),
}


class State(NamedTuple):
    """One replica between rounds: a network, its running moments, and the optimiser's state."""

    params: nrm.Params
    running: nrm.Running
    optimiser: Any


def make_round(config: Config, images: sources.Images, each=jax.lax.map):
    """Pure `init(data, replica) -> state`; `train((i, j), data, state, replica) -> (state, terms)`
    from the i-th step to the j-th, with the terms of the last loss; and `advance(t, ...)`, a round.
    Data are `few_data.Data`. `each` maps passes over images.
    """
    model = few_labels.model(config, images)
    prepare, step_by = few_labels.preparer(config.inputs, images), few_labels.optimiser(config)
    full = Objective(*(getattr(config, name) for name in TERMS))
    arms = [ARMS[name](full) for name in config.arms]
    augment, most = distortion.AUGMENTS[config.augment], max(config.labelled)

    def keys(replica):
        """The same for all arms, so that their differences are paired."""
        return jax.random.split(jax.random.fold_in(jax.random.key(0), replica["seed"]))

    def init(data, replica):
        del data
        params, running = nrm.begin(keys(replica)[0], model)
        return State(params, running, step_by.init(params))

    def train(part, data, state, replica):
        key_train, objective = keys(replica)[1], few_labels.pick(arms, replica["arm"])

        def one_step(step, carry):
            params, running, optimiser, _ = carry
            bits = jax.random.split(jax.random.fold_in(key_train, step), 5)
            key_known, key_any, *key_augment, key_loss = bits
            batch = draws.batch(key_known, replica["labelled"], most, config.batch_labelled)
            mine = replica["seed"], batch
            others = jax.random.randint(key_any, (config.batch_unlabelled,), 0, len(data.pool))
            seen = [data.known[mine], data.pool[others]]
            if augment is not None:
                seen = [augment(key, x) for key, x in zip(key_augment, seen, strict=True)]
            labels = jax.nn.one_hot(data.named[mine], model.labels)
            halves = (prepare(seen[0]), labels), prepare(seen[1])
            rise = jnp.minimum(step / jnp.maximum(config.ramp * replica["steps"], 1e-9), 1)
            now = objective._replace(entropy=rise * objective.entropy)
            given = params, key_loss, running, model, now, *halves
            gradient, (running, terms) = nrm.gradient(*given, set(map(nrm.kind, arms)))
            watch.tell(step, **terms)
            params, optimiser = step_by.step(gradient, optimiser, params, step / replica["steps"])
            return params, running, optimiser, terms

        nothing = {name: jnp.zeros(()) for name in (*TERMS, "label")}
        *state, terms = jax.lax.fori_loop(*part, one_step, (*state, nothing))
        return State(*state), terms

    def advance(t, data, state, replica):
        part = step_times.part(t, config.rounds, replica)
        state, terms = train(part, data, state, replica)
        given = model, prepare, each, state, few_labels.pick(arms, replica["arm"])
        measure = lambda: rendering_report.measure(*given, data.test_images, data.test_labels)
        return state, terms | replicas.unless(replica["timed"], measure)

    return init, train, advance


def experiment(config: Config, run: Run) -> None:
    """Reads images, trains all replicas part by part, and reports."""
    images, data = few_data.read(config, run)
    init, _, advance = make_round(config, images, run.each)
    rows, replica = few_labels.grid(config, CURVE)
    replica |= step_times.columns(len(rows), config.steps)
    sweep = Sweep(run, config.rounds, init, advance, data, replica)
    seconds = run.once("seconds_per_step", lambda: step_times.of_arms(sweep, rows), "timing arms")
    for t, metrics in sweep:
        run.commit(t, sweep.state, run.measurements(rows, metrics))
    look = lambda: rendering_exact.look(config, make_round, images, data)
    exact = run.once("exact", look, "training a model in mode exact, to look at its identities")
    rendering_report.report(config, images, rows, hosts.fetch(sweep.state), seconds, exact, run)


if __name__ == "__main__":
    program.main("neural_rendering", PRESETS, experiment, __doc__)

"""Do made images help to predict? Adversarial networks against one model that does both.

    python -m experiments.generative_augmentation smoke     digits, 3 arms: a minute on 2 cores
    python -m experiments.generative_augmentation laptop    (or no word) 10 arms: 3 minutes
    python -m experiments.generative_augmentation paper     MNIST: GPUs, TPUs (2 cores: est. weeks)
    python -m experiments.generative_augmentation --data idx:DIR --layers mnist --labelled 100

Every arm trains the same classifier on the same few labels, in as many steps and again in as much
time as the joint model takes; that of the generator counts. Generators are then judged: by a
classifier that only saw made images (CAS), by one that saw real ones, as copies, as repetitions.
And over the training: does what else is learnt point where prediction does?
Slide "Data augmentation": GANs' merits and perils. S. Ravuri, O. Vinyals. Classification accuracy
score for conditional generative models. NeurIPS 2019
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax

from experiments import (
    few_labels,
    generative_arms,
    generative_judges,
    generative_report,
    step_times,
)
from experiments.generative_arms import ARMS, Batch, State
from trinity_jax.compute import program, replicas
from trinity_jax.compute.run import Run
from trinity_jax.compute.sweep import Sweep
from trinity_jax.data.augmentation import distortion, draws, gan, nrm
from trinity_jax.types import InputError

CLOCK = "joint"  # whose time the others have too
BUDGETS = ("steps", "time")


@dataclasses.dataclass(frozen=True)
class Config:
    """What the experiment varies; replicas are arms times budgets times seeds."""

    seeds: int = 5  # replicas with labels, networks' start and training drawn anew
    arms: tuple[str, ...] = tuple(ARMS)  # what is learnt from, by name
    data: str = "digits"  # digits, npz:DIR, idx:DIR or tfds:NAME
    prefix: str = ""  # which files, where an npz folder holds several data sets
    target: str = "fine"  # which labels, where there are several: fine or coarse
    labelled: tuple[int, ...] = (50,)  # images with labels: one number
    evaluate: str = "test"  # or validation: a fifth of the training images, to choose settings
    layers: str = "small"  # small, medium, mnist or allconv13
    mode: str = "authors"  # batches are normalised; or exact: nothing is
    inputs: str = "standard"  # images: standard, plain ([0, 1]) or norm (of one length)
    dropout: float = 0.0  # share of features left out after each pooling
    steps: int = 300  # of the joint model
    rounds: int = 6  # parts of the training after which is measured
    batch_labelled: int = 50  # images with labels a step
    batch_unlabelled: int = 64  # images without labels a step, and made images
    learning_rate: float = 1e-2  # of Adam, under half a cosine in each stage
    weight_decay: float = 5e-4  # L2: coefficient of the weights in the gradient
    clip: float = 0.0  # the gradient's norm, at most; 0: as it is
    ramp: float = 0.5  # share of the training in which the entropy's weight rises
    gan_rate: float = 2e-3  # learning rate of Adam, for generator and discriminator
    held_out: int = 200  # training images that are never learnt from: where prediction points to
    samples: int = 400  # made images that a generator is judged by
    judge_steps: int = 200  # steps of the classifiers that judge

    def __post_init__(self):
        few_labels.check(self)
        program.known(self, arms=ARMS)
        program.in_range(self, gan_rate=(1e-9, 1e9))
        if len(self.labelled) > 1:
            raise InputError("--labelled: expected one number of labels")


PRESETS = {
    "smoke": Config(
        seeds=2,
        arms=("supervised", "gan", "joint"),
        steps=30,
        rounds=2,
        samples=100,
        judge_steps=30,
    ),
    "laptop": Config(),
    "paper": Config(data="tfds:mnist", layers="mnist", labelled=(100,), steps=20_000, rounds=20),
}


def make_round(config: Config, images, measure):
    """Pure `init(data, replica) -> state` and `one_round(t, data, state, replica) -> (state,
    metrics)`, these by `measure(state, test images, test labels)`.
    """
    model, prepare = few_labels.model(config, images), few_labels.preparer(config.inputs, images)
    step_by, adam = few_labels.optimiser(config), optax.adam(config.gan_rate, b1=0.5)
    arms = [ARMS[name] for name in config.arms]
    advance = generative_arms.make_step(arms, model, step_by, adam, config.ramp)

    def keys(replica):
        """The same for all arms, so that their differences are paired."""
        return jax.random.split(jax.random.fold_in(jax.random.key(0), replica["seed"]), 4)

    def init(data, replica):
        del data
        key_params, key_judge, key_maker, _ = keys(replica)
        (params, running), (judge, _) = nrm.begin(key_params, model), nrm.begin(key_judge, model)
        maker = gan.begin(key_maker, model)
        rivals = (judge, adam.init(judge)), (maker, adam.init(maker))
        return State(params, running, step_by.init(params), *rivals)

    def one_round(t, data, state, replica):
        pixels, truth, *test = data
        key_train = keys(replica)[-1]
        arm = few_labels.pick(arms, replica["arm"])
        order = few_labels.draw_order(replica["seed"], truth, model.labels)
        count = config.labelled[0]
        one_hot = lambda label: jax.nn.one_hot(label, model.labels)
        among = jnp.where(arm.unlabelled > 0, len(truth), count)

        def one_step(step, state):
            key_known, key_any, key_distort, key_noise, key_class, key_loss = jax.random.split(
                jax.random.fold_in(key_train, step), 6
            )
            known = order[draws.batch(key_known, count, count, config.batch_labelled)]
            others = order[jax.random.randint(key_any, (config.batch_unlabelled,), 0, among)]
            x = prepare(pixels[known])
            x = jax.lax.cond(
                arm.classical > 0, lambda: distortion.distort(key_distort, x), lambda: x
            )
            noise = jax.random.normal(key_noise, (len(others), gan.NOISE))
            wanted = one_hot(jax.random.randint(key_class, (len(others),), 0, model.labels))
            seen = x, one_hot(truth[known]), prepare(pixels[others]), one_hot(truth[others])
            batch = Batch(*seen, noise, wanted)
            return advance(key_loss, arm, step, replica["steps"], batch, state)

        part = step_times.part(t, config.rounds, replica)
        state = jax.lax.fori_loop(*part, one_step, state)
        return state, replicas.unless(replica["timed"], lambda: measure(state, *test))

    return init, one_round


def experiment(config: Config, run: Run) -> None:
    """Reads images, times the arms, trains all replicas part by part, judges, and reports."""
    images, held = few_labels.held_out(few_labels.read(config, run), config.held_out)
    rows, replica = replicas.grid(seed=range(config.seeds), arm=config.arms, budget=BUDGETS)
    replica |= step_times.columns(len(rows), config.steps)
    measure = generative_report.measurer(config, images, held, run.each)
    sweep = Sweep(run, config.rounds, *make_round(config, images, measure), images[1:5], replica)
    seconds = run.once("seconds_per_step", lambda: step_times.of_arms(sweep, rows), "timing arms")
    sweep.replica["steps"] = replicas.spread(budgets(config, rows, seconds), run.mesh)
    for t, metrics in sweep:
        run.commit(t, sweep.state, run.measurements(rows, metrics))
    judge = lambda: generative_judges.judge(config, images, rows, sweep.state, run)
    judged = run.once("judged", judge, "judging generators, by classifiers of their own")
    generative_report.report(config, images, seconds, judged, run)


def budgets(config: Config, rows, seconds) -> np.ndarray:
    """Steps of each replica: as many for all, or as fill the joint's time (else the slowest's)."""
    clock = seconds.get(CLOCK, max(seconds.values()))
    of = lambda row: clock / seconds[row["arm"]] if row["budget"] == "time" else 1.0
    return np.array([round(config.steps * of(row)) for row in rows], np.int32)


if __name__ == "__main__":
    program.main("generative_augmentation", PRESETS, experiment, __doc__)

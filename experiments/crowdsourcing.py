"""Label once or label thrice? A fixed number of annotations, spread over few items or many.

    python -m experiments.crowdsourcing smoke           the same path, 2 seeds: 20 s on 2 cores
    python -m experiments.crowdsourcing laptop          (or no word) digits, 10 seeds: a minute
    python -m experiments.crowdsourcing paper           CIFAR-10: GPUs, TPUs (2 cores: est. years)
    python -m experiments.crowdsourcing --data npz:DIR  your images, a small convolutional network
    python -m experiments.crowdsourcing --data csv:DIR  your annotators, accuracy of the labels only

Simulated workers label images r times each until the budget is spent; a network is trained on what
each method makes of the labels, and tested on clean ones. In the paper (ImageNet, 1.2 million
annotations) one label an item is best for every method, and model-bootstrapped EM (MBEM) is 0.4 to
7 points of top-1 error better than majority vote there.
Khetan, Lipton, Anandkumar. Learning From Noisy Singly-labeled Data. ICLR 2018.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from experiments import crowdsourcing_report, labelme, real_annotators
from trinity_jax.algorithms import networks, training
from trinity_jax.compute import program, replicas
from trinity_jax.compute.run import Run
from trinity_jax.compute.sweep import Sweep
from trinity_jax.data import sources
from trinity_jax.data.aggregation import model_bootstrapped
from trinity_jax.data.aggregation.annotations import Dims, purchase
from trinity_jax.data.aggregation.targets import TARGETS, Evidence, Target, weighted_vote
from trinity_jax.data.aggregation.workers import WORKERS, annotate
from trinity_jax.data.augmentation.distortion import AUGMENTS
from trinity_jax.types import InputError, choose

PEOPLE = {"csv": real_annotators, "crowd": real_annotators, "labelme": labelme}  # not simulated
METHODS = TARGETS | {"mbem": weighted_vote}  # what MBEM trains on at first
MATCHES = {"steps": True, "epochs": False}  # whether more labels an item mean more epochs


@dataclasses.dataclass(frozen=True)
class Config:
    """What the experiment varies; replicas are all combinations of the first six."""

    seeds: int = 10  # replicas with workers, labels, items bought and training drawn anew
    # Models of the simulated workers: hammer_spammer, class_wise, one_coin, pair_flip, adversarial.
    workers: tuple[str, ...] = ("hammer_spammer", "class_wise")
    qualities: tuple[float, ...] = (0.2, 0.6)  # of workers, 0 to 1: the share of hammers, for one
    redundancies: tuple[int, ...] = (1, 3, 5, 7)  # labels an item
    # What to compare, by name; none: all there are for the data, but for csv: only majority, wawa,
    # dawid_skene, dawid_skene_map, one_coin and ibcc, which are quick.
    methods: tuple[str, ...] = ()
    budget_match: tuple[str, ...] = tuple(MATCHES)  # equal at all redundancies; first: headline
    data: str = "digits"  # npz:DIR, idx:DIR, tfds:NAME; labelled by people: csv:, labelme:, tfds:
    prefix: str = ""  # which files, where an npz folder holds several data sets
    num_workers: int = 100  # simulated workers
    budget: int = 0  # annotations in all; 0: as many as there are training items
    network: str = ""  # softmax, mlp, convnet, resnet20 ...; empty: mlp for digits, else convnet
    epochs: int = 10  # passes over the items in each training, at redundancy 1
    rounds: int = 2  # measurements and checkpoints in each training
    batch_size: int = 32  # items a step
    learning_rate: float = 0.05  # at the start, for Nesterov's momentum of 0.9
    schedule: str = "linear_decay"  # of the learning rate: constant, linear_decay or two_drops
    weight_decay: float = 1e-3  # L2: coefficient of the weights in the gradient
    augment: bool = False  # shift and mirror the images in training
    updates: int = 2  # times MBEM estimates the workers from its model and trains again
    strength: float = 1.0  # pseudo-labels that draw MBEM's confusions to one coin a worker

    def __post_init__(self):
        whole = dict.fromkeys(("seeds", "num_workers", "epochs", "batch_size"), (1, 10**9))
        least = dict.fromkeys(("budget", "updates", "strength"), (0, 10**9))
        program.in_range(self, learning_rate=(1e-9, 1e9), weight_decay=(0, 1), **whole, **least)
        program.in_range(self, qualities=(0, 1), redundancies=(1, 10**9))
        program.in_range(self, rounds=(1, self.epochs))
        program.known(self, workers=WORKERS, budget_match=MATCHES, schedule=training.SCHEDULES)


PRESETS = {
    "smoke": Config(seeds=2, redundancies=(1, 3), epochs=2, rounds=1, updates=1),
    "laptop": Config(),
    "paper": Config(
        seeds=5,
        redundancies=(1, 3, 5, 7, 13),
        budget_match=("epochs", "steps"),
        data="tfds:cifar10",
        network="resnet20",
        epochs=60,
        rounds=12,
        batch_size=500,
        learning_rate=0.5,
        schedule="two_drops",
        weight_decay=1e-4,
        augment=True,
        updates=1,
        strength=0.0,
    ),
}


class State(NamedTuple):
    """One replica between rounds: a network, and what it is trained on."""

    learner: training.State
    target: Target


def make_round(config: Config, dims: Dims, methods: list[str], budget: int, each=jax.lax.map):
    """Pure `init(data, replica)` and `one_round(t, data, state, replica)`; `each` maps passes."""
    default = "mlp" if config.data == "digits" else "convnet"
    network = networks.network(config.network or default, dims.labels)
    how = (config.learning_rate, config.weight_decay, config.batch_size, config.schedule)
    augment = AUGMENTS["shift" if config.augment else "none"]
    recipe = training.nesterov(network, *how, augment)._replace(each=each)
    mbem = methods.index("mbem") if "mbem" in methods else -1

    def init(data, replica):
        del replica  # all begin alike
        nothing = Target(jnp.zeros((dims.items, dims.labels)), jnp.zeros(dims.items))
        return State(training.begin(jax.random.key(0), recipe, data[0]), nothing)

    def begin(keys, number, data, order, state, replica):
        """Simulates the labels, makes targets of them, and takes a fresh network."""
        truth = data[1][order]
        models = [lambda k, q, f=WORKERS[name]: f(k, dims, q) for name in config.workers]
        confusion = jax.lax.switch(replica["workers"], models, keys[1], replica["quality"])
        table = annotate(keys[2], truth, confusion, max(config.redundancies))
        table = purchase(table, replica["redundancy"], budget)

        def first():
            evidence = Evidence(table, dims, truth, confusion)
            targets = [lambda f=METHODS[name]: f(keys[3], evidence) for name in methods]
            return jax.lax.switch(replica["method"], targets)

        def again():
            logits = training.predict(recipe, state.learner, data[0], order)
            found = model_bootstrapped.update(table, dims, logits, config.strength)
            return Target(jnp.exp(found.log_posterior), jnp.ones(dims.items))

        target = jax.lax.cond(number == 0, first, again)
        key = jax.random.fold_in(keys[4], number)
        return State(training.begin(key, recipe, data[0]), target)

    def one_round(t, data, state, replica):
        images, labels, test_images, test_labels = data
        keys = jax.random.split(jax.random.fold_in(jax.random.key(0), replica["seed"]), 6)
        order = jax.random.permutation(keys[0], dims.items)  # the first are bought
        number, part = t // config.rounds, t % config.rounds  # of the training, and within it
        trains = (number == 0) | (replica["method"] == mbem)  # only MBEM trains again
        start = lambda: begin(keys, number, data, order, state, replica)
        learner, target = jax.lax.cond(trains & (part == 0), start, lambda: state)

        count = budget // replica["redundancy"]
        longer = jnp.array([MATCHES[match] for match in config.budget_match])
        times = jnp.where(longer[replica["budget_match"]], replica["redundancy"], 1)
        examples = training.Examples(images, order, *target, count)
        key, parts = jax.random.fold_in(keys[5], number), (part, part + trains, config.rounds)
        learner, loss = training.train(key, recipe, learner, examples, config.epochs * times, parts)

        wrong = training.predict(recipe, learner, test_images).argmax(1) != test_labels
        right = (target.probs.argmax(1) == labels[order]) & (jnp.arange(dims.items) < count)
        accuracy = right.sum() / count
        metrics = {"test_error": wrong.mean(), "label_accuracy": accuracy, "loss": loss}
        return State(learner, target), metrics

    return init, one_round


def experiment(config: Config, run: Run) -> None:
    """Reads the data, advances all replicas round by round, and reports."""
    if people := PEOPLE.get(sources.kind(config.data)):
        real_annotators.refuse_unused(config, PRESETS[run.preset], people.USES)
        people.experiment(config, run)
        return
    program.in_range(config, redundancies=(1, config.num_workers))
    methods = choose(METHODS, config.methods, "method")
    with run.phase("load", f"reading {config.data}"):
        data = sources.images(config.data, prefix=config.prefix)
    dims = Dims(len(data.train_labels), config.num_workers, len(data.labels))
    budget = config.budget or dims.items
    if not (least := max(config.redundancies)) <= budget <= dims.items:
        raise InputError(f"--budget is {budget}; expected {least} (one item) to {dims.items}")
    rows, replica = replicas.grid(
        seed=range(config.seeds),
        workers=config.workers,
        quality=config.qualities,
        redundancy=config.redundancies,
        budget_match=config.budget_match,
        method=methods,
    )
    arrays = data[1:5]  # images and labels, to train on and to test
    pure = make_round(config, dims, methods, budget, run.each)
    total = config.rounds * (1 + config.updates * ("mbem" in methods))
    sweep = Sweep(run, total, *pure, arrays, replica)
    for t, metrics in sweep:
        trained = [t < config.rounds or row["method"] == "mbem" for row in rows]
        run.commit(t, sweep.state, run.measurements(rows, metrics, trained))
    crowdsourcing_report.report(config, dims.labels, run)


if __name__ == "__main__":
    program.main("crowdsourcing", PRESETS, experiment, __doc__)

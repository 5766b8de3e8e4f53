"""Images, what may be asked of them, and what it costs to label them all without a network."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from trinity_jax.algorithms import networks, partial_labels, training
from trinity_jax.compute import program
from trinity_jax.data import sources
from trinity_jax.data.augmentation import distortion
from trinity_jax.data.collection import hierarchy, partial_feedback
from trinity_jax.types import InputError

TABLES = {  # classes, and images to learn from
    "digits": (10, 0),  # not as many of each class
    "cifar10": (10, 50_000),
    "cifar100": (100, 50_000),
    "tinyimagenet": (200, 100_000),
}
LEARNED = "learned"


class Problem(NamedTuple):
    """What the experiment works on."""

    images: sources.Images
    asked: hierarchy.Questions
    covers: np.ndarray  # bool [question, label]
    cost: np.ndarray  # float [question]
    uniform_cost: float  # questions that label all training images, in a fixed order that splits


def check(config) -> None:
    """Raises InputError where a number of the experiment, or a name, can have no meaning."""
    whole = dict.fromkeys(("seeds", "rounds", "epochs", "batch_size"), (1, 10**9))
    whole |= dict.fromkeys(("train_size", "cap", "image_size"), (0, 10**9))
    shares = dict.fromkeys(("error_no", "error_yes"), (0, 0.49))
    shares |= dict.fromkeys(("prelabelled", "pseudo"), (0, 1))
    shares |= {"round_share": (1e-6, 1), "calibrate": (0, 0.9)}
    program.in_range(config, learning_rate=(1e-9, 1e9), leaf_cost=(1e-3, 1e3), **whole, **shares)
    program.known(config, methods=partial_feedback.METHODS, schedule=training.SCHEDULES)
    program.known(config, loss=partial_labels.LOSSES, augment=distortion.AUGMENTS)
    program.known(config, oracle=dict.fromkeys(("simulated", "ask")))
    if config.errors and config.calibrate:
        raise InputError("--calibrate: expected answers without errors, which leave one class")


def read(config, run) -> Problem:
    """Images and questions, with what is odd about these said in words."""
    with run.phase("load", f"reading {config.data}"):
        how = {"prefix": config.prefix, "target": config.target, "size": config.image_size}
        images = balanced(sources.images(config.data, **how), config.train_size)
    table = config.hierarchy or _usual(config)
    if table == LEARNED:
        confusion = run.once("confusion", lambda: mixed_up(config, images).tolist())
        parents = hierarchy.learned(np.array(confusion), images.labels)
        asked = hierarchy.questions(images.labels, parents)
    else:
        asked = hierarchy.questions(*sources.hierarchy(table, images.labels))
    covers = asked.covers
    aliases = sum(map(len, asked.aliases))
    told = (
        f"{len(images.train_labels)} images of {covers.shape[1]} classes, {len(covers)} questions"
    )
    run.say(f"{told} ({aliases} more nodes ask the same as others)")
    for one, other in hierarchy.alike(covers):
        run.say(f"no question tells {asked.labels[one]} and {asked.labels[other]} apart")
    cost = np.where(covers.sum(1) == 1, config.leaf_cost, 1.0)
    total = hierarchy.balanced_cost(covers)[images.train_labels].sum()
    return Problem(images, asked, covers, cost, float(total))


def _usual(config) -> str:
    """The hierarchy of data that are known by name."""
    kind, _, name = config.data.partition(":")
    for known in (kind, name if kind == "tfds" else config.prefix):
        if known in TABLES and config.target == "fine":
            return known
    raise InputError(
        f"--hierarchy: expected one for the classes of {config.data}: {', '.join(TABLES)}, "
        f"FILE.json, FILE.csv, wordnet:DIR or {LEARNED}"
    )


def balanced(images: sources.Images, size: int) -> sources.Images:
    """The first images of each class, as many of every one; all images if the size is 0."""
    if not size:
        return images
    each, rest = divmod(size, len(images.labels))
    count = np.bincount(images.train_labels, minlength=len(images.labels))
    if rest or not 0 < each <= count.min():
        expected = f"a multiple of {len(images.labels)} classes up to {count.min()} each"
        raise InputError(f"--train-size is {size}; expected {expected}")
    first = [np.flatnonzero(images.train_labels == k)[:each] for k in range(len(images.labels))]
    rows = np.sort(np.concatenate(first))
    part = {"train_images": images.train_images[rows], "train_labels": images.train_labels[rows]}
    return images._replace(**part)


def recipe(config, labels: int) -> training.Recipe:
    """How a network learns from sets of classes."""
    name = config.network or ("mlp" if config.data == "digits" else "convnet_bn")
    how = config.learning_rate, config.batch_size, config.schedule
    loss = partial_labels.LOSSES[config.loss]
    loss = partial_labels.pseudo(loss, config.pseudo) if config.pseudo else loss
    made = training.adam(networks.network(name, labels), *how)
    return made._replace(augment=distortion.AUGMENTS[config.augment], **loss._asdict())


def mixed_up(config, images: sources.Images) -> np.ndarray:
    """What a network takes classes for, [label, label]: half of some labels tell of the others."""
    number, labels = len(images.train_labels), len(images.labels)
    count = max(2 * labels, round(config.prelabelled * number))
    order = np.random.default_rng(0).permutation(number)[:count]
    pixels, truth = jnp.asarray(images.train_images[order]), images.train_labels[order]
    how = recipe(config, labels)

    @jax.jit
    def confusion(key, known, truth):
        key_begin, key_train = jax.random.split(key)
        row, target = jnp.argsort(~known), jax.nn.one_hot(truth, labels)
        examples = training.Examples(pixels, row, target[row], jnp.ones(count), known.sum())
        start = training.begin(key_begin, how, pixels)
        learner, _ = training.train(key_train, how, start, examples, config.epochs)
        probs = jax.nn.softmax(training.predict(how, learner, pixels))
        return target.T @ jnp.where(known[:, None], 0, probs)

    halves = np.arange(count) % 2 == 0
    parts = zip(jax.random.split(jax.random.key(0)), (halves, ~halves), strict=True)
    return np.asarray(sum(confusion(key, half, truth) for key, half in parts))


def table(name: str) -> hierarchy.Questions:
    """The questions of a hierarchy of the package."""
    return hierarchy.questions(*sources.hierarchy(name, list(map(str, range(TABLES[name][0])))))


def costs() -> None:
    """Prints what labelling everything costs without a network: the paper's baselines."""
    for name, (_, images) in TABLES.items():
        covers = table(name).covers
        mean = hierarchy.balanced_cost(covers).mean()
        total = f", {images * mean:,.0f} for {images:,} images" if images else ""
        print(f"{name}: {len(covers)} questions, {mean:.3f} an image{total}")

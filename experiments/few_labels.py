"""What the experiments with few labels share: images, the network's form, optimisers."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from trinity_jax.algorithms import optimisers
from trinity_jax.algorithms.optimisers import Optimiser
from trinity_jax.compute import program, replicas
from trinity_jax.data import sources
from trinity_jax.data.augmentation import distortion, draws
from trinity_jax.data.augmentation.nrm import Model
from trinity_jax.data.augmentation.rendering import Layer
from trinity_jax.types import InputError, lookup

LAYERS = {  # the last two are the authors', for 28 and 32 pixels a side
    "small": (Layer(16, pool=2), Layer(32), Layer(32, pool=2)),
    "medium": (Layer(16, pool=2), Layer(32, pool=2), Layer(64), Layer(64, pad=0)),
    "mnist": (Layer(32, 5, 4, 2), Layer(64, 3, 0), Layer(64, 3, 2, 2), Layer(128, 3, 0)),
    "allconv13": (
        *(Layer(128), Layer(128), Layer(128, pool=2)),
        *(Layer(256), Layer(256), Layer(256, pool=2)),
        *(Layer(512, pad=0), Layer(256), Layer(128)),
    ),
}
LENGTH = 10.0  # squared, of images of one length: longer ones saturate the softmax
NAMES = {  # what these fields may be
    "inputs": ("standard", "plain", "norm"),
    "schedule": ("cosine", "authors"),
    "mode": ("authors", "exact"),
    "evaluate": ("test", "validation"),
}


def check(config) -> None:
    """Raises InputError where a number or a name can have no meaning."""
    whole = ("seeds", "steps", "rounds", "labelled", "batch_labelled", "batch_unlabelled")
    whole += ("held_out", "samples", "judge_steps", "exact_steps")
    weights = dict.fromkeys(("reconstruction", "moments", "paths", "negative"), (0, 1e9))
    weights |= {"entropy": (-1e9, 1e9), "weight_decay": (0, 1e9), "clip": (0, 1e9)}
    more = {
        "chunk": (0, 10**9),
        "learning_rate": (1e-9, 1e9),
        "descent_rate": (1e-4, 1e9),
        "dropout": (0, 0.9),
        "ramp": (0, 1),
    }
    limits = dict.fromkeys(whole, (1, 10**9)) | weights | more
    names = {field: dict.fromkeys(values) for field, values in NAMES.items()}
    names |= {"layers": LAYERS, "augment": distortion.AUGMENTS}
    has = lambda table: {field: of for field, of in table.items() if hasattr(config, field)}
    program.in_range(config, **has(limits))
    program.known(config, **has(names))
    if config.steps < config.rounds:
        raise InputError(f"--rounds is {config.rounds}; expected at most --steps, {config.steps}")


def grid(config, curve) -> tuple[list[dict], dict[str, np.ndarray]]:
    """Replicas: every arm at the first number of labels, those of the curve at all of them."""
    rows, replica = replicas.grid(
        seed=range(config.seeds), arm=config.arms, labelled=config.labelled
    )
    wanted = lambda row: row["labelled"] == config.labelled[0] or row["arm"] in curve
    kept = [i for i, row in enumerate(rows) if wanted(row)]
    return [rows[i] for i in kept], {name: values[kept] for name, values in replica.items()}


def draw_order(seed, truth, labels: int) -> jax.Array:
    """All training images, the first n of which are the n labelled ones of this seed."""
    return draws.balanced(jax.random.fold_in(jax.random.key(1), seed), truth, labels)


def pick(arms: list, number):
    """The arm of this number; what is the same for all stays a number, known when compiling."""
    value = lambda *v: float(v[0]) if len(set(v)) == 1 else jnp.array(v, jnp.float32)[number]
    return jax.tree.map(value, *arms)


def read(config, run) -> sources.Images:
    """Images; with `config.evaluate` "validation" a fifth of the training part is tested on."""
    with run.phase("load", f"reading {config.data}"):
        images = sources.images(config.data, prefix=config.prefix, target=config.target)
        if config.evaluate == "validation":
            images = _apart(images)
    check_labelled(config, images.train_labels, len(images.labels))
    sizes = f"{len(images.train_labels)} images to learn from, {len(images.test_labels)} to test on"
    run.say(f"{sizes} ({config.evaluate})")
    return images


def check_labelled(config, truth: np.ndarray, labels: int) -> None:
    """Raises InputError where as many of each class cannot be labelled."""
    least = np.bincount(truth, minlength=labels).min()
    for number in config.labelled:
        each, rest = divmod(number, labels)
        if rest or not 0 < each <= least:
            expected = f"a multiple of {labels} classes, up to {least} of each"
            raise InputError(f"--labelled is {number}; expected {expected}")


def _apart(images: sources.Images) -> sources.Images:
    """Training images alone, four fifths to learn from and one to choose settings on."""
    order = np.random.default_rng(0).permutation(len(images.train_labels))
    test, train = np.split(order, [len(order) // 5])
    pixels, labels = images.train_images, images.train_labels
    return images._replace(
        train_images=pixels[train],
        train_labels=labels[train],
        test_images=pixels[test],
        test_labels=labels[test],
    )


def held_out(images: sources.Images, count: int) -> tuple[sources.Images, tuple]:
    """Images without `count` of the training part, and these with their labels."""
    if not 0 < count < len(images.train_labels) // 2:
        raise InputError(f"--held-out is {count}; expected less than half of the training images")
    order = np.random.default_rng(1).permutation(len(images.train_labels))
    held, kept = np.split(order, [count])
    pixels, labels = images.train_images, images.train_labels
    rest = images._replace(train_images=pixels[kept], train_labels=labels[kept])
    return rest, (pixels[held], labels[held])


def preparer(inputs: str, images: sources.Images) -> Callable:
    """What makes the network's input of bytes; its numbers are those of the training part."""
    axes = (0, 1, 2)
    mean = images.train_images.mean(axes, dtype=np.float64)
    squares = np.square(images.train_images, dtype=np.uint16).mean(axes, dtype=np.float64)
    std = np.sqrt(np.maximum(squares - mean**2, 0)) + 1e-6
    mean, std = (jnp.asarray(v, jnp.float32)[None, None, None] for v in (mean, std))

    def prepare(pixels):
        x = pixels.astype(jnp.float32)
        if inputs == "plain":
            return x / 255
        x = (x - mean) / std
        if inputs == "norm":
            length = jnp.sqrt((x**2).sum((1, 2, 3), keepdims=True))
            x *= LENGTH**0.5 / jnp.maximum(length, 1e-6)
        return x

    return prepare


def model(config, images: sources.Images) -> Model:
    """The network for these images.

    Raises:
      InputError: its pools do not divide them.
    """
    layers = lookup(LAYERS, config.layers, "value of --layers")
    shape = images.train_images.shape[1:]
    height, width, channels = shape
    for layer in layers:
        height, width = (n + 2 * layer.pad - layer.window + 1 for n in (height, width))
        if min(height, width) < 1 or height % layer.pool or width % layer.pool:
            size = "x".join(map(str, shape))
            expected = f"images that its {len(layers)} layers leave something of, in whole pools"
            raise InputError(f"--layers {config.layers} expects {expected}, found {size}")
        height, width = height // layer.pool, width // layer.pool
    normalised = config.mode == "authors"
    return Model(
        layers, (*shape[:2], channels), len(images.labels), 0.1, normalised, config.dropout
    )


def optimiser(config) -> Optimiser:
    """Adam under half a cosine; or as the authors: Adam for a twentieth, then plain descent."""
    more = config.weight_decay, config.clip
    if getattr(config, "schedule", "cosine") == "cosine":
        return optimisers.cosine(config.learning_rate, *more)
    return optimisers.then_descent(config.learning_rate, config.descent_rate, *more)

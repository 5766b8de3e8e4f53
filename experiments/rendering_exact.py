"""The rendering model without normalisation: how exactly it keeps its identities, what it scores.

The scores say how probable an image's latents are; do those of other images score less?
"""

import dataclasses

import jax
import numpy as np

from experiments import few_labels
from trinity_jax.data.augmentation import identities, rendering

KINDS = ("test", "noise", "photographs")
COUNT = 256  # images of each kind


def trained(config, make_round, images, data):
    """The joint model of the first draw of labels, in mode exact; with what it was made by.

    Of data that are a function of the round, those of round 0 are learnt from.
    """
    data = data(0) if callable(data) else data
    config = dataclasses.replace(
        config,
        mode="exact",
        inputs="norm",
        schedule="cosine",
        arms=("joint",),
        steps=config.exact_steps,
        rounds=1,
        learning_rate=3e-3,
        reconstruction=0.1 * images.train_images[0].size,
        clip=5.0,
    )
    init, train, _ = make_round(config, images)
    replica = {"seed": 0, "arm": 0, "labelled": config.labelled[0], "steps": config.steps}
    state, _ = jax.jit(train)((0, config.steps), data, jax.jit(init)(data, replica), replica)
    return config, state


def look(config, make_round, images, data) -> dict:
    """Of such a model: the identities' errors, and what it scores images of each kind.

    R is the price of the path of the image's class (see `rendering.rpn`), prior its eta.
    """
    config, state = trained(config, make_round, images, data)
    model, weights = few_labels.model(config, images), state.params.weights
    prepare = few_labels.preparer(config.inputs, images)
    keys = jax.random.split(jax.random.key(0), 3)
    pixels = images.test_images[:COUNT]
    noise = np.random.default_rng(0).integers(0, 256, pixels.shape, dtype=np.uint8)
    parts = photographs(keys[1], len(pixels), model.shape)
    kinds = dict(zip(KINDS, (pixels, noise, parts), strict=True))
    errors = jax.jit(lambda x: identities.errors(keys[0], weights, model.layers, x, model.slope))

    @jax.jit
    def scores(x):
        seen = rendering.infer(weights, model.layers, x, model.slope)
        target = jax.nn.one_hot(seen.logits.argmax(1), model.labels)
        given = weights, model.layers, target, seen.latents, model.shape
        return rendering.rpn(*given, model.slope), rendering.render(*given).prior

    found = {kind: np.asarray(scores(prepare(x)), float) for kind, x in kinds.items()}
    result = {"identities": np.asarray(errors(prepare(pixels)), float).tolist()}
    for number, name in enumerate(("R", "prior")):
        result[name] = {kind: values[number].round(5).tolist() for kind, values in found.items()}
    return result


def photographs(key, count: int, shape: tuple[int, ...]) -> np.ndarray:
    """Random parts of scikit-learn's two photographs, uint8: images of nothing that was learnt."""
    from sklearn.datasets import load_sample_images

    rng = np.random.default_rng(np.asarray(jax.random.key_data(key)))
    height, width, channels = shape
    parts = []
    for picture in load_sample_images().images:
        rows = rng.integers(picture.shape[0] - height, size=-(-count // 2))
        columns = rng.integers(picture.shape[1] - width, size=len(rows))
        parts += [
            picture[i : i + height, j : j + width] for i, j in zip(rows, columns, strict=True)
        ]
    pixels = np.stack(parts)
    if channels == 1:
        pixels = np.round(pixels.mean(-1, keepdims=True)).astype(np.uint8)
    return rng.permutation(pixels)[:count]

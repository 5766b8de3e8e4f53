"""Learning the rendering model from few labelled and many unlabelled images.

    L = cross-entropy of the labelled + sum over both halves of the batch, w the objective's, of

    reconstruction  1/2 mean (x' - x)^2              x' being rendered from x's own latents
    entropy         -sum_c q_c log(K q_c)            q the prediction
    moments         sum_l KL(N(td_l) || N(bu_l))     mean and variance of the channels of h_l, and
                                                     of what the network sees there
    paths           |R|, or sum_l mean |b_l (h_l s_l - h0_l s0_l)|    path normalisation
    negative        sum_l mean relu(-h_l)^2          what is rendered should not be

The class that is rendered is the label, or the network's guess where there is none. In the
evidence bound the entropy has a negative weight, which pulls single predictions to chance; in the
authors' code a positive one, which makes them sure. Max-Min: a second network, of minima, shares
all but its normalisation and takes the share `low` of every term.

Exactly (`Model.normalised` false) nothing is normalised, and the paths' R is `rendering.rpn`. As by
the authors (true), batches are normalised after each convolution and each step of rendering, with
numbers of their own, which undoes the identities of `rendering`; and the path of an image is
compared, layer by layer, with that of a dark one under instance norm, both rendered from all
classes at once. Unlike in their code minima are rendered to where they are, only one pixel of a
cell is rendered to, and dropout is the same in both directions.

N. Ho, T. Nguyen, A. Patel, A. Anandkumar, M. I. Jordan, R. G. Baraniuk. Neural rendering model:
joint generation and prediction for semi-supervised learning. arXiv 1811.02657v1.
"""

from collections.abc import Callable, Collection
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from trinity_jax.data.augmentation import rendering
from trinity_jax.data.augmentation.normalisation import (
    Moments,
    by_batch,
    by_image,
    divergence,
    frozen,
)
from trinity_jax.data.augmentation.rendering import Images, Latents, Layer, Weights
from trinity_jax.types import PRNGKey

MOMENTUM = 0.9  # of running moments
KINDS = ("labels", "entropy", "drawn")  # of losses, by what of them takes time
DRAWN = ("reconstruction", "moments", "paths", "negative")  # terms of what is rendered

Number = Float[Array, ""] | float


class Model(NamedTuple):
    """What does not change in training, static.

    Attributes:
      layers: from the image upwards.
      shape: of an image, (height, width, channel).
      labels: number of classes.
      slope: of the rectifier.
      normalised: as by the authors, or exactly.
      dropout: share of features left out after each pooling.
    """

    layers: tuple[Layer, ...]
    shape: tuple[int, int, int]
    labels: int
    slope: float = 0.1
    normalised: bool = True
    dropout: float = 0.0


class Objective(NamedTuple):
    """Weights of the terms, and what an ablation changes; numbers, so that arms are an axis.

    Attributes:
      reconstruction: of a term, as are the next four.
      entropy: negative for the sign of the evidence bound.
      moments: without normalisation there are none.
      paths: of path normalisation.
      negative: of rendering below zero.
      low: share of the network of minima in all terms and in predictions.
      untied: 1 to render with weights of its own.
      scattered: 1 to render to random places of the cells.
    """

    reconstruction: Number = 0.0
    entropy: Number = 0.0
    moments: Number = 0.0
    paths: Number = 0.0
    negative: Number = 0.0
    low: Number = 0.0
    untied: Number = 0.0
    scattered: Number = 0.0


class Params(NamedTuple):
    """All that is learnt.

    Attributes:
      weights: of both directions.
      bias: of the classes.
      decoder: weights to render with, if untied.
      up: scale and shift after each convolution, as are `low`'s and `down`'s, by level.
      low: of the network of minima.
      down: of h_0 to h_L.
      dark: shifts of instance norm, upwards and downwards.
    """

    weights: Weights
    bias: Float[Array, " label"]
    decoder: Weights
    up: Moments
    low: Moments
    down: Moments
    dark: tuple[tuple[Array, ...], tuple[Array, ...]]


class Running(NamedTuple):
    """Running moments for prediction, which training data alone have moved."""

    up: Moments
    low: Moments
    down: Moments


def begin(key: PRNGKey, model: Model) -> tuple[Params, Running]:
    """Fresh parameters, and moments of 0 and 1."""
    key_shared, key_own = jax.random.split(key)
    fresh = lambda key: rendering.begin(key, model.layers, model.shape[2], model.labels)
    above = [layer.channels for layer in model.layers]
    below = [model.shape[2], *above]
    ones = lambda sizes: tuple((jnp.ones(n), jnp.zeros(n)) for n in sizes)
    zeros = lambda sizes: tuple(map(jnp.zeros, sizes))
    dark = zeros(above), zeros(below[:-1])
    affine = ones(above), ones(above), ones(below)
    params = Params(fresh(key_shared), jnp.zeros(model.labels), fresh(key_own), *affine, dark)
    # Copies: what is learnt and what is counted are updated in place, each on its own.
    moments = [tuple((shift + 0, scale + 0) for scale, shift in part) for part in affine]
    return params, Running(*moments)


def predict(
    params: Params, running: Running, model: Model, low: Number, x: Images
) -> Float[Array, "batch label"]:
    """Logits by running moments: those of maxima, and of minima by their share."""

    def logits(affine, moments, is_low):
        norm = frozen(affine, moments) if model.normalised else None
        return rendering.infer(
            params.weights, model.layers, x, model.slope, low=is_low, norm=norm
        ).logits

    high = logits(params.up, running.up, False)
    other = lambda: logits(params.low, running.low, True)
    lowest = jax.lax.cond(low > 0, other, lambda: jnp.zeros_like(high))
    return (1 - low) * high + low * lowest + params.bias[None]


def look(params: Params, running: Running, model: Model, x: Images) -> rendering.Inferred:
    """What the network of maxima sees, by running moments; logits without the classes' bias."""
    norm = frozen(params.up, running.up) if model.normalised else None
    return rendering.infer(params.weights, model.layers, x, model.slope, norm=norm)


def reconstruct(
    params: Params, running: Running, model: Model, x: Images, target: Array, untied: Number = 0.0
) -> rendering.Rendered:
    """What `rendering.render` makes of the images' own latents, by running moments."""
    norm = frozen(params.down, running.down) if model.normalised else None
    latents = look(params, running, model, x).latents
    decoder = _decoder(params, untied)
    return rendering.render(decoder, model.layers, target, latents, model.shape, norm=norm)


def loss(
    params: Params,
    key: PRNGKey,
    running: Running,
    model: Model,
    objective: Objective,
    labelled: tuple[Images, Float[Array, "batch label"]],
    unlabelled: Float[Array, "others height width channel"],
) -> tuple[Float[Array, ""], tuple[Running, dict[str, Array]]]:
    """What a step lowers, the moments it moves, and every term by name, not weighted.

    Args:
      params: to be learnt.
      key: of dropout and of scattered places.
      running: moments before.
      model: static.
      objective: weights.
      labelled: images and their labels.
      unlabelled: images.
    """
    keys = jax.random.split(key)
    told, moments = half(keys[0], params, model, objective, *labelled)
    running = _moved(running, moments)
    found, moments = half(keys[1], params, model, objective, unlabelled, None)
    running = _moved(running, moments)
    terms = {name: told[name] + found[name] for name in told}
    weights = {name: getattr(objective, name) for name in terms if name != "label"}
    wanted = (weight * terms[name] for name, weight in weights.items() if not _is_zero(weight))
    return terms["label"] + sum(wanted), (running, terms)


def gradient(
    params: Params,
    key: PRNGKey,
    running: Running,
    model: Model,
    objective: Objective,
    labelled: tuple[Images, Float[Array, "batch label"]],
    unlabelled: Float[Array, "others height width channel"],
    kinds: Collection[str] = KINDS,
) -> tuple[Params, tuple[Running, dict[str, Array]]]:
    """The gradient of `loss` by the parameters, and what else that returns; see there.

    What an arm does not want takes no time, even where which arm it is, and so its weights, are
    only known in the compiled program: derived, a term costs as much with a weight of 0. `kinds`
    are those of the arms that there are (see `kind`): others are not compiled.
    """
    flat = objective._replace(**dict.fromkeys(DRAWN, 0.0))
    of_kind = {"labels": flat._replace(entropy=0.0), "entropy": flat, "drawn": objective}
    if all(isinstance(weight, float) for weight in objective[:5]):
        kinds = (kind(objective),)
    names = [name for name in KINDS if name in kinds]

    def of(name):
        slope = jax.grad(loss, has_aux=True)
        return slope(params, key, running, model, of_kind[name], labelled, unlabelled)

    if len(names) == 1:
        return of(names[0])
    place = jnp.array([names.index(name) if name in names else 0 for name in KINDS])
    which = jnp.where(_draws(objective), 2, jnp.where(objective.entropy != 0, 1, 0))
    return jax.lax.switch(place[which], [lambda n=name: of(n) for name in names])


def kind(objective: Objective) -> str:
    """What of a loss takes time, of known weights: all, or the entropy, or labels alone."""
    if _draws(objective):
        return "drawn"
    return "entropy" if objective.entropy else "labels"


def half(
    key: PRNGKey,
    params: Params,
    model: Model,
    objective: Objective,
    x: Images,
    target: Float[Array, "batch label"] | None,
) -> tuple[dict[str, Array], Running]:
    """The terms on some images, with labels or without; and the moments of the batch."""
    key_drop, *key_place = jax.random.split(key, 3)
    keep = _dropout(key_drop, model, len(x))
    low = objective.low

    def look(affine, is_low):
        moments: dict[int, tuple] = {}
        norm = by_batch(affine, moments) if model.normalised else None
        how = {"low": is_low, "norm": norm, "keep": keep}
        seen = rendering.infer(params.weights, model.layers, x, model.slope, **how)
        return seen.logits + params.bias[None], seen.latents, _ordered(moments)

    high = look(params.up, False)
    lowest = _if(low > 0, lambda: look(params.low, True))
    log_probs = [jax.nn.log_softmax(logits) for logits, *_ in (high, lowest)]
    mixed = lambda one, other: (1 - low) * one + low * other
    terms = {"label": jnp.zeros(())}
    if target is None:
        guess = jax.lax.stop_gradient(mixed(high[0], lowest[0])).argmax(1)
        target = jax.nn.one_hot(guess, model.labels, dtype=x.dtype)
    else:
        terms["label"] = -(target * mixed(*log_probs)).sum(1).mean()
    probs = mixed(*map(jnp.exp, log_probs))
    terms["entropy"] = -(probs * jnp.log(model.labels * probs + 1e-8)).sum(1).mean()

    decoder = _decoder(params, objective.untied)

    def draw(key, latents, seen_moments):
        latents = _scattered(key, model, latents, objective.scattered)
        moments: dict[int, tuple] = {}
        norm = by_batch(params.down, moments) if model.normalised else None
        given = decoder, model.layers, target, latents, model.shape
        seen = rendering.render(*given, norm=norm)
        found = {"reconstruction": 0.5 * ((seen.image - x) ** 2).mean()}
        below = [(jax.nn.relu(-h) ** 2).mean() for h in seen.features]
        found["negative"] = sum(below, jnp.zeros(()))
        down = _ordered(moments)
        pairs = zip(down[1:], seen_moments, strict=True) if model.normalised else ()
        found["moments"] = sum((divergence(*pair) for pair in pairs), jnp.zeros(()))
        return found, down

    def draw_both():
        found, moments = draw(key_place[0], *high[1:])
        other = _if(low > 0, lambda: draw(key_place[1], *lowest[1:])[0])
        found = jax.tree.map(mixed, found, other)
        on = objective.paths != 0
        found["paths"] = _if(on, lambda: paths(params, decoder, model, target, high[1]))
        return found, moments

    on = _draws(objective)
    drawn, down = _if(on, draw_both)
    down = tuple((mean, jnp.where(on, variance, 1.0)) for mean, variance in down)
    return terms | drawn, Running(high[2], lowest[2], down)


def paths(
    params: Params, decoder: Weights, model: Model, target: Array, latents: Latents
) -> Float[Array, ""]:
    """How far the paths of some images are from those that the prior likes best."""
    layers, shape, slope = model.layers, model.shape, model.slope
    if not model.normalised:
        return jnp.abs(rendering.rpn(decoder, layers, target, latents, shape, slope)).mean()
    up, down = params.dark
    dark = jnp.zeros((1, *shape))
    gates = rendering.infer(params.weights, layers, dark, slope, norm=by_image(up)).latents.gate
    everything, normal = jnp.ones_like(target), by_image(down)
    # What is the same everywhere would be normalised to nothing: the template is left as it is.
    norm = lambda level, h: h if level == len(layers) else normal(level, h)
    render = lambda latents: rendering.render(
        decoder, layers, everything, latents, shape, norm=norm
    )
    gates = tuple(jnp.broadcast_to(g, s.shape) for g, s in zip(gates, latents.gate, strict=True))
    of_prior = Latents(latents.place, gates)
    total = jnp.zeros(())
    both = zip(render(latents).features, render(of_prior).features, strict=True)
    for level, (h, h0) in enumerate(both):
        bias = jax.lax.stop_gradient(params.weights.biases[level])[None, None, None]
        total += jnp.abs(bias * (h * latents.gate[level] - h0 * gates[level])).mean()
    return total


def _decoder(params: Params, untied: Number) -> Weights:
    """The weights to render with."""
    own = lambda mine, shared: untied * mine + (1 - untied) * shared
    return jax.tree.map(own, params.decoder, params.weights)


def _draws(objective: Objective):
    """Whether anything is to be rendered."""
    return sum(abs(getattr(objective, name)) for name in DRAWN) > 0


def _is_zero(weight: Number) -> bool:
    """Whether it is known to be, before compiling."""
    return isinstance(weight, float) and weight == 0


def _if(condition, function: Callable):
    """What the function returns, or zeros of that shape: where it is not needed, for nothing."""
    shapes = jax.eval_shape(function)
    nothing = lambda: jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return _either(condition, function, nothing)


def _either(condition, function: Callable, otherwise: Callable):
    """What one of them returns."""
    if isinstance(condition, bool):  # known before compiling, which then has less to do
        return function() if condition else otherwise()
    return jax.lax.cond(condition, function, otherwise)


def _ordered(moments: dict[int, tuple]) -> Moments:
    return tuple(moments[level] for level in sorted(moments))


def _moved(running: Running, moments: Running) -> Running:
    """Running moments a step on; those of what was not used do not matter."""
    if not moments.up:
        return running
    step = lambda old, new: MOMENTUM * old + (1 - MOMENTUM) * jax.lax.stop_gradient(new)
    return jax.tree.map(step, running, moments)


def _dropout(key, model, batch):
    """Factors of the gates of pooled layers; None if nothing is left out."""
    if not model.dropout:
        return None
    shapes = jax.eval_shape(
        lambda x: rendering.infer(begin(key, model)[0].weights, model.layers, x).latents.gate,
        jax.ShapeDtypeStruct((batch, *model.shape), jnp.float32),
    )
    keys, factors = jax.random.split(key, len(shapes)), []
    for key_layer, layer, gate in zip(keys, model.layers, shapes, strict=True):
        stays = jax.random.bernoulli(key_layer, 1 - model.dropout, gate.shape)
        factors.append(stays / (1 - model.dropout) if layer.pool > 1 else jnp.ones(gate.shape))
    return factors


def _scattered(key, model, latents, share):
    """Latents whose places are drawn at random, if the share is 1."""
    keys, places = jax.random.split(key, len(model.layers)), []
    for key_layer, layer, place in zip(keys, model.layers, latents.place, strict=True):
        drawn = jax.random.randint(key_layer, place.shape, 0, layer.pool**2, place.dtype)
        places.append(jnp.where(share > 0, drawn, place))
    return latents._replace(place=tuple(places))

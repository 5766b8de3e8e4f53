"""What the arms of generative augmentation do in a step."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from experiments import few_labels
from trinity_jax import watch
from trinity_jax.data.augmentation import gan, normalisation, nrm, rendering
from trinity_jax.data.augmentation.nrm import Model, Objective


class Arm(NamedTuple):
    """What an arm does; numbers, so that arms are an axis.

    Attributes:
      rival: 1 to train a conditional generator first, and learn from its images then; 2 to tell
        real from made images with the classifier itself.
      unlabelled: 1 to see images without labels.
      ratio: weight of made images.
      classical: 1 to shift and rotate the labelled images.
      reconstruction: of the classifier's loss, as are the next two.
      entropy: of its predictions.
      untied: 1 to render with weights of its own.
    """

    rival: float = 0
    unlabelled: float = 0
    ratio: float = 0
    classical: float = 0
    reconstruction: float = 0
    entropy: float = 0
    untied: float = 0


ARMS = {
    "supervised": Arm(),
    "classical": Arm(classical=1),
    "gan_half": Arm(1, ratio=0.5),
    "gan": Arm(1, ratio=1),
    "gan_double": Arm(1, ratio=2),
    "pseudo_gan": Arm(1, unlabelled=1, ratio=1),  # learns from images as the classifier names them
    "semi_gan": Arm(2, unlabelled=1),
    "entropy": Arm(unlabelled=1, entropy=0.5),
    "joint": Arm(unlabelled=1, reconstruction=0.5, entropy=0.5),
    "untied": Arm(unlabelled=1, reconstruction=0.5, entropy=0.5, untied=1),
}


class State(NamedTuple):
    """One replica between rounds: the classifier, and a discriminator with its generator."""

    params: nrm.Params
    running: nrm.Running
    optimiser: Any
    judge: tuple[nrm.Params, Any]
    maker: tuple[gan.Generator, Any]


class Batch(NamedTuple):
    """What a step sees.

    Attributes:
      x: labelled images.
      y: their classes, as ones.
      others: images without labels, where the arm may see any; else labelled ones.
      named: their classes, which only an arm without unlabelled images may use.
      noise: of made images.
      wanted: their classes.
    """

    x: jax.Array
    y: jax.Array
    others: jax.Array
    named: jax.Array
    noise: jax.Array
    wanted: jax.Array


def see(params: nrm.Params, model: Model, x) -> rendering.Inferred:
    """What the network sees, normalised by the batch."""
    norm = normalisation.by_batch(params.up, {})
    return rendering.infer(params.weights, model.layers, x, model.slope, norm=norm)


def stage(arm: Arm, done) -> tuple[jax.Array, jax.Array]:
    """Which of `steps` it is, after this share of the training; and the share of the stage.

    Arms with a generator play for half of the training and use it then; if they name images
    themselves, they first learn for a quarter.
    """
    start = jnp.where(arm.rival == 1, 0.25 * arm.unlabelled, 1.0)
    first, last = done < start, (done >= 0.5) & (arm.rival == 1)
    which = jnp.where(arm.rival == 2, 3, jnp.where(first, 0, jnp.where(last, 2, 1)))
    begin = jnp.where(which == 2, 0.5, 0.0)
    end = jnp.where(which == 0, start, 1.0)
    return which, (done - begin) / (end - begin)


def make_step(
    arms: Sequence[Arm],
    model: Model,
    step_by: few_labels.Optimiser,
    adam: optax.GradientTransformation,
    ramp: float,
):
    """`step(key, arm, at, steps, batch, state) -> state`, of any of these arms in any stage."""
    kinds = {nrm.kind(Objective(arm.reconstruction, arm.entropy)) for arm in arms}
    paint = lambda maker, batch: gan.generate(maker, model, batch.noise, batch.wanted)
    logits = lambda params, x: see(params, model, x).logits + params.bias[None]

    def descend(at, name: str, loss: Callable, of):
        """A step of Adam on a network of the game."""
        network, optimiser = of
        value, gradient = jax.value_and_grad(loss)(network)
        watch.tell(at, **{name: value})
        update, optimiser = adam.update(gradient, optimiser)
        return optax.apply_updates(network, update), optimiser

    def play(at, arm, batch, state):
        """The conditional game: a step of the discriminator, and one of the generator."""
        guess = nrm.predict(state.params, state.running, model, 0.0, batch.others).argmax(1)
        named = jnp.where(arm.unlabelled > 0, jax.nn.one_hot(guess, model.labels), batch.named)
        made, judge = paint(state.maker[0], batch), state.judge[0]
        tell = lambda judge: gan.conditional_discriminator_loss(
            logits(judge, batch.others), logits(judge, made), named, batch.wanted
        )
        deceive = lambda maker: gan.generator_loss(logits(judge, paint(maker, batch)), batch.wanted)
        maker = descend(at, "generator", deceive, state.maker)
        return state._replace(judge=descend(at, "discriminator", tell, state.judge), maker=maker)

    def match(at, batch, state):
        """The semi-supervised generator's step."""
        feature = lambda x: see(state.params, model, x).features[-1].mean((1, 2))
        loss = lambda maker: gan.feature_matching_loss(
            feature(batch.others), feature(paint(maker, batch))
        )
        return state._replace(maker=descend(at, "feature_matching", loss, state.maker))

    def learn(key, arm, at, which, progress, batch, state):
        """A step of the classifier: of its own loss, and that of made images if there are any."""
        rise = jnp.minimum(progress / max(ramp, 1e-9), 1)
        objective = Objective(arm.reconstruction, rise * arm.entropy, untied=arm.untied)
        halves = (batch.x, batch.y), batch.others
        made = lambda params: logits(params, paint(state.maker[0], batch))
        name = lambda params: -(batch.wanted * jax.nn.log_softmax(made(params))).sum(1).mean()
        more = (
            lambda params: jnp.zeros(()),
            lambda params: arm.ratio * name(params),
            lambda params: gan.discriminator_loss(logits(params, batch.others), made(params)),
        )

        given = state.params, key, state.running, model, objective, *halves
        gradient, (running, terms) = nrm.gradient(*given, kinds)
        watch.tell(at, **terms)
        added = jax.lax.switch(jnp.maximum(which - 1, 0), list(map(jax.grad, more)), state.params)
        gradient = jax.tree.map(jnp.add, gradient, added)
        params, optimiser = step_by.step(gradient, state.optimiser, state.params, progress)
        return state._replace(params=params, running=running, optimiser=optimiser)

    def step(key, arm, at, steps, batch, state):
        which, progress = stage(arm, at / steps)
        nothing = lambda state: state
        moves = nothing, lambda state: play(at, arm, batch, state), nothing
        moved = jax.lax.switch(which, (*moves, lambda state: match(at, batch, state)), state)
        taught = lambda: learn(key, arm, at, which, progress, batch, moved)
        return jax.lax.cond(which == 1, lambda: moved, taught)

    return step

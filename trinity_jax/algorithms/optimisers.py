"""Optimisers that know how far the training is, so that its length may be traced."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax


class Optimiser(NamedTuple):
    """`init(params) -> state`; `step(gradient, state, params, progress) -> (params, state)`."""

    init: Callable[[Any], Any]
    step: Callable[..., tuple[Any, Any]]


def adam(
    rate: Callable, descent: Callable, weight_decay: float = 0.0, clip: float = 0.0
) -> Optimiser:
    """Adam, and plain gradient descent where Adam's rate is 0.

    Args:
      rate: of Adam, from the share of the training done, in [0, 1).
      descent: rate of the descent, likewise.
      weight_decay: coefficient of the parameters in the gradient.
      clip: greatest norm of the gradient (0: as it is).
    """
    transform = optax.scale_by_adam()
    before = optax.chain(
        optax.clip_by_global_norm(clip) if clip else optax.identity(),
        optax.add_decayed_weights(weight_decay),
    )

    def step(gradient, state, params, progress):
        gradient, _ = before.update(gradient, before.init(params), params)
        direction, state = transform.update(gradient, state)
        move = lambda p, d, g: p - rate(progress) * d - descent(progress) * g
        return jax.tree.map(move, params, direction, gradient), state

    return Optimiser(transform.init, step)


def cosine(learning_rate: float, weight_decay: float = 0.0, clip: float = 0.0) -> Optimiser:
    """Adam whose rate falls to zero as half a cosine."""
    rate = lambda progress: learning_rate * 0.5 * (1 + jnp.cos(jnp.pi * progress))
    return adam(rate, lambda progress: 0.0, weight_decay, clip)


def then_descent(
    learning_rate: float, descent_rate: float, weight_decay: float = 0.0, clip: float = 0.0
) -> Optimiser:
    """Adam for a twentieth of the training, then plain descent whose rate falls exponentially.

    From `descent_rate` to 1e-4 in 500 epochs, of which there are 400: the neural rendering model's.
    """
    epoch = lambda progress: 400 * progress
    fall = lambda progress: (1e-4 / descent_rate) ** ((epoch(progress) - 20) / 498)
    rate = lambda progress: jnp.where(epoch(progress) < 20, learning_rate, 0.0)
    descent = lambda progress: jnp.where(epoch(progress) < 20, 0.0, descent_rate * fall(progress))
    return adam(rate, descent, weight_decay, clip)

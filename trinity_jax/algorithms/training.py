"""Supervised training as a pure function: epochs of mini-batches inside one compiled loop.

The order of the examples is a function of the key and the epoch, so a run taken up at epoch 7 sees
what epoch 7 would have seen. How many examples there are may be traced: a loop ends when they do.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from trinity_jax import watch
from trinity_jax.algorithms.losses import weighted_cross_entropy
from trinity_jax.algorithms.networks import Network
from trinity_jax.types import Params, PRNGKey


class State(NamedTuple):
    """A network in training: parameters, batch-norm statistics, state of the optimiser."""

    params: Params
    stats: Params
    optimiser: Any


class Examples(NamedTuple):
    """A training set; example e is `inputs[row[e]]`, and only the first `existing` do exist.

    Rows, not copies: every replica of a sweep has its own order and labels of the same inputs.
    """

    inputs: Array
    row: Int[Array, " item"]
    target: Float[Array, "item label"]
    weight: Float[Array, " item"]
    existing: Int[Array, ""] | int


def constant(progress):
    """The learning rate as it is."""
    return jnp.ones_like(progress)


def linear_decay(progress):
    """Learning rate falling to zero; `progress` is the share of training done."""
    return 1 - progress


def two_drops(progress):
    """Learning rate divided by ten after two thirds and after five sixths of training."""
    return jnp.where(progress < 2 / 3, 1.0, jnp.where(progress < 5 / 6, 0.1, 0.01))


SCHEDULES: dict[str, Callable] = {f.__name__: f for f in (constant, linear_decay, two_drops)}


class Recipe(NamedTuple):
    """How to train: everything but the data and the number of epochs.

    Attributes:
      network: what to train.
      optimiser: its step is multiplied by the learning rate.
      learning_rate: from the share of training done, in [0, 1).
      batch_size: examples a step; the last batch of an epoch may be partly empty.
      augment: `(key, batch of inputs) -> batch of inputs`, or None.
      loss: `(logits, target, weight) -> loss` of a batch.
      revise: `(logits, target) -> target`, what targets are after a visit, or None: as before.
      each: maps passes over all items, batch by batch; it may share them out.
    """

    network: Network
    optimiser: optax.GradientTransformation
    learning_rate: Callable[[Array], Array]
    batch_size: int
    augment: Callable[[PRNGKey, Array], Array] | None = None
    loss: Callable[..., Float[Array, ""]] = weighted_cross_entropy
    revise: Callable[[Array, Array], Array] | None = None
    each: Callable[..., Any] = jax.lax.map


def nesterov(
    network: Network,
    learning_rate: Float[Array, ""] | float,
    weight_decay: Float[Array, ""] | float,
    batch_size: int,
    schedule: str = "linear_decay",
    augment: Callable[[PRNGKey, Array], Array] | None = None,
) -> Recipe:
    """Stochastic gradient descent with Nesterov's momentum of 0.9 and L2 weight decay.

    Args:
      network: what to train.
      learning_rate: at the start.
      weight_decay: coefficient of the parameters in the gradient.
      batch_size: examples a step.
      schedule: how the learning rate falls, a name in `SCHEDULES`.
      augment: see `Recipe`.
    """
    decay = SCHEDULES[schedule]
    optimiser = optax.chain(
        optax.add_decayed_weights(weight_decay), optax.trace(0.9, nesterov=True), optax.scale(-1)
    )
    rate = lambda progress: learning_rate * decay(progress)
    return Recipe(network, optimiser, rate, batch_size, augment)


def adam(
    network: Network, learning_rate: float, batch_size: int, schedule: str = "constant"
) -> Recipe:
    """Adam on gradients whose elements are clipped at 2.

    Args:
      network: what to train.
      learning_rate: at the start.
      batch_size: examples a step.
      schedule: how the learning rate falls, a name in `SCHEDULES`.
    """
    decay = SCHEDULES[schedule]
    optimiser = optax.chain(optax.clip(2.0), optax.scale_by_adam(), optax.scale(-1))
    return Recipe(network, optimiser, lambda done: learning_rate * decay(done), batch_size)


def begin(key: PRNGKey, recipe: Recipe, inputs: Array) -> State:
    """Fresh parameters for inputs of this shape."""
    params, stats = recipe.network.init(key, inputs[:1])
    return State(params, stats, recipe.optimiser.init(params))


def train(
    key: PRNGKey,
    recipe: Recipe,
    state: State,
    examples: Examples,
    epochs: Array | int,
    part: tuple[Array | int, Array | int, int] = (0, 1, 1),
) -> tuple[State, Float[Array, ""]]:
    """Trains for some of the epochs.

    Args:
      key: orders the examples of every epoch.
      recipe: how to train.
      state: what to go on from.
      examples: inputs, soft labels and weights.
      epochs: passes over the examples, in the whole training.
      part: (i, j, n): only from the i-th to the j-th of n parts. Parts in a row are the same as
        the whole, unless targets are revised: every part begins with those of the examples.

    Returns:
      The new state, and the mean loss of the last epoch (0 where there was none).
    """
    network, optimiser, learning_rate, batch_size, augment, loss_of, revise, _ = recipe
    num_items, name = examples.row.shape[0], getattr(loss_of, "__name__", "loss")
    steps = (examples.existing + batch_size - 1) // batch_size

    def loss(params, stats, inputs, target, weight):
        logits, stats = network.train(params, stats, inputs)
        return loss_of(logits, target, weight), (stats, logits)

    def one_epoch(epoch, carry):
        key_order, key_augment = jax.random.split(jax.random.fold_in(key, epoch))
        lottery = jax.random.uniform(key_order, (num_items,))
        order = jnp.argsort(jnp.where(jnp.arange(num_items) < examples.existing, lottery, 2.0))

        def one_step(step, carry):
            (params, stats, opt), targets, total = carry
            place = step * batch_size + jnp.arange(batch_size)
            chosen = order[place % examples.existing]
            exists = place < examples.existing  # others fill up the last batch
            weight = jnp.where(exists, examples.weight[chosen], 0)
            inputs = examples.inputs[examples.row[chosen]]
            if augment is not None:
                inputs = augment(jax.random.fold_in(key_augment, step), inputs)
            target = targets[chosen]
            (value, (stats, logits)), gradient = jax.value_and_grad(loss, has_aux=True)(
                params, stats, inputs, target, weight
            )
            if revise is not None:
                visited = jnp.where(exists, chosen, num_items)
                targets = targets.at[visited].set(revise(logits, target), mode="drop")
            now = epoch * steps + step
            watch.tell(now, **{name: value})
            update, opt = optimiser.update(gradient, opt, params)
            rate = learning_rate(now / (epochs * steps))
            params = jax.tree.map(lambda p, u: p + rate * u, params, update)
            return State(params, stats, opt), targets, total + value

        return jax.lax.fori_loop(0, steps, one_step, (*carry[:2], jnp.zeros(())))

    first, last, parts = part
    start = (state, examples.target, jnp.zeros(()))
    state, _, total = jax.lax.fori_loop(
        first * epochs // parts, last * epochs // parts, one_epoch, start
    )
    return state, total / jnp.maximum(steps, 1)


def predict(
    recipe: Recipe,
    state: State,
    inputs: Array,
    row: Int[Array, " item"] | None = None,
    batch_size: int = 1024,
) -> Float[Array, "item label"]:
    """Logits of `inputs[row]` (by default of all inputs), `batch_size` at a time."""
    row = jnp.arange(inputs.shape[0]) if row is None else row
    apply = lambda r: recipe.network.apply(state.params, state.stats, inputs[r])
    return in_batches(apply, row, batch_size, recipe.each)


def in_batches(
    function: Callable[[Array], Array],
    rows: Array,
    batch_size: int = 1024,
    each: Callable[..., Any] = jax.lax.map,
) -> Array:
    """`function(rows)`, `batch_size` of them at a time; the last batch wraps around.

    `each` maps batches, as `jax.lax.map`, and may share them out.
    """
    count = rows.shape[0]
    batch_size = min(batch_size, count)
    taken = jnp.arange(-(-count // batch_size) * batch_size) % count
    batches = rows[taken].reshape(-1, batch_size, *rows.shape[1:])
    results = each(function, batches)
    return results.reshape(-1, *results.shape[2:])[:count]

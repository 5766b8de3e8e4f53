"""Expectation-maximisation, and whatever else alternates: one protocol and its drivers.

Every method that repeats "believe the parameters, update the posterior" is an `EM`: two pure
functions. The state holds what the next round needs (its `log_posterior` is the answer so far), the
info what a person wants to see. All drivers run under `jit` and `vmap`, over keys, priors or data.
"""

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from trinity_jax import watch
from trinity_jax.types import PRNGKey


class Init(Protocol):
    """The state before the first round: `(key, observed) -> state`."""

    def __call__(self, key: PRNGKey, observed: Any, /) -> Any: ...


class Step(Protocol):
    """One round: `(key, state, observed) -> (state, info)`."""

    def __call__(self, key: PRNGKey, state: Any, observed: Any, /) -> tuple[Any, "Info"]: ...


class EM(NamedTuple):
    """An algorithm: `init` and `step`. Every state has a field `log_posterior`, [item, label]."""

    init: Init
    step: Step


class Info(NamedTuple):
    """What one round achieved.

    Attributes:
      objective: what the round did not let fall, per observation; for maximum likelihood the mean
        log-likelihood of an observation under the round's parameters, in nats.
      change: largest change of a posterior probability in the round.
    """

    objective: Float[Array, ""]
    change: Float[Array, ""]


def largest_change(
    new: Float[Array, "item label"],
    old: Float[Array, "item label"],
    observed: Bool[Array, " item"] | None = None,
) -> Float[Array, ""]:
    """Largest difference of two posteriors in logarithms, as probabilities.

    Args:
      new: log-probabilities.
      old: log-probabilities.
      observed: items that count; by default all.
    """
    change = jnp.abs(jnp.exp(new) - jnp.exp(old))
    return (change if observed is None else jnp.where(observed[:, None], change, 0)).max()


def fit(em: EM, key: PRNGKey, observed: Any, num_steps: int) -> tuple[Any, Info]:
    """Runs `num_steps` rounds.

    Returns:
      The last state, and the infos with a leading axis of `num_steps`.
    """
    key_init, key_step = jax.random.split(key)

    def step(state, t):
        state, info = em.step(jax.random.fold_in(key_step, t), state, observed)
        watch.tell(t, objective=info.objective)
        return state, info

    return jax.lax.scan(step, em.init(key_init, observed), jnp.arange(num_steps))


def fit_best(em: EM, key: PRNGKey, observed: Any, num_steps: int) -> "Fitted":
    """Runs `num_steps` rounds and keeps the one of the highest objective.

    For algorithms whose rounds may do harm, and whose objective shows it.

    Returns:
      State and info of that round (the first of equals), its number, counted from 1, and whether
      rounds after it did no better.
    """
    key_init, key_step = jax.random.split(key)

    def step(carry, t):
        state, best = carry
        state, info = em.step(jax.random.fold_in(key_step, t), state, observed)
        watch.tell(t, objective=info.objective)
        better = info.objective > best.info.objective
        new = Fitted(state, info, t + 1, t + 1 < num_steps)
        return (state, jax.tree.map(lambda n, b: jnp.where(better, n, b), new, best)), None

    start = em.init(key_init, observed)
    state, info = em.step(jax.random.fold_in(key_step, 0), start, observed)
    first = Fitted(state, info, jnp.int32(1), jnp.bool_(num_steps > 1))
    return jax.lax.scan(step, (state, first), jnp.arange(1, num_steps))[0][1]


class Fitted(NamedTuple):
    """A finished run: last state, last info, rounds taken, and whether it stood still."""

    state: Any
    info: Info
    num_steps: Array
    converged: Array


def fit_until(
    em: EM,
    key: PRNGKey,
    observed: Any,
    tolerance: float | Array = 1e-5,
    max_steps: int = 100,
    max_change: float | Array = 0.0,
) -> Fitted:
    """Runs rounds until they no longer help.

    Under `vmap` a problem that has converged is frozen while the others go on.

    Args:
      em: the algorithm.
      key: random numbers.
      observed: the data, as the algorithm expects them.
      tolerance: a round that gains less than this in the objective is the last.
      max_steps: a run of so many rounds ends in any case.
      max_change: a round that changes no posterior probability by more than this is the last too.
    """
    key_init, key_step = jax.random.split(key)

    def unfinished(carry):
        return (carry.num_steps < max_steps) & ~carry.converged

    def step(carry):
        key = jax.random.fold_in(key_step, carry.num_steps)
        state, info = em.step(key, carry.state, observed)
        watch.tell(carry.num_steps, objective=info.objective)
        stands = info.objective - carry.info.objective < tolerance
        return Fitted(state, info, carry.num_steps + 1, stands | (info.change <= max_change))

    state = em.init(key_init, observed)
    dtype = jax.eval_shape(em.step, key_step, state, observed)[1].objective.dtype
    nothing = Info(jnp.full((), -jnp.inf, dtype), jnp.full((), jnp.inf, dtype))
    start = Fitted(state, nothing, jnp.int32(0), jnp.bool_(False))
    return jax.lax.while_loop(unfinished, step, start)


def restarts(em: EM, keys: Key[Array, " run"], observed: Any, **options: Any) -> Fitted:
    """The best of several runs of `fit_until`, for methods that start at random.

    Args:
      em: the algorithm.
      keys: one for each run.
      observed: the data, as the algorithm expects them.
      **options: those of `fit_until`.

    Returns:
      The run with the highest objective, of those where it is finite.
    """
    runs = jax.vmap(lambda key: fit_until(em, key, observed, **options))(keys)
    objective = runs.info.objective
    best = jnp.where(jnp.isfinite(objective), objective, -jnp.inf).argmax()
    return jax.tree.map(lambda leaf: leaf[best], runs)

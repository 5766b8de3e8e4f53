"""Items whose true label is known: any aggregator, told so.

After every round the posterior of a gold item is all mass on its truth; its annotations go on
teaching about the workers who gave them.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int

from trinity_jax.algorithms.em import EM

IMPOSSIBLE = -100.0  # log-probability whose exponential is 0 in float32, and times 0 still 0


def with_gold(em: EM, gold: Int[Array, " item"]) -> EM:
    """An aggregator that knows some answers.

    Args:
      em: any aggregator.
      gold: true labels, -1 where unknown.
    """

    def clamp(state):
        log_posterior = state.log_posterior
        truth = jax.nn.one_hot(gold, log_posterior.shape[1], dtype=log_posterior.dtype)
        known = jnp.where(truth > 0, 0.0, IMPOSSIBLE).astype(log_posterior.dtype)
        return state._replace(log_posterior=jnp.where(gold[:, None] >= 0, known, log_posterior))

    def init(key, table, /):
        return clamp(em.init(key, table))

    def step(key, state, table, /):
        state, info = em.step(key, state, table)
        return clamp(state), info

    return EM(init, step)

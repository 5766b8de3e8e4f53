"""How far a network's probabilities can be trusted: the temperature that makes them fit.

C. Guo, G. Pleiss, Y. Sun, K. Weinberger. On calibration of modern neural networks. ICML 2017,
section 4.2.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

RANGE = 1 / 20, 20.0  # of temperatures
HALVINGS = 30


def temperature(
    logits: Float[Array, "item label"],
    truth: Int[Array, " item"],
    weight: Float[Array, " item"],
) -> Float[Array, ""]:
    """T for which softmax(logits / T) gives some labels the highest likelihood.

    The log-likelihood is concave in 1 / T, so its slope changes sign once; it is halved in.

    Args:
      logits: of a network, on items that it did not learn from.
      truth: their labels.
      weight: how often each counts; 0 for those of which nothing is known.

    Returns:
      A number between 1/20 and 20; 1 if nothing counts.
    """
    given = jnp.take_along_axis(logits, truth[:, None], 1)[:, 0]

    def halve(_, ends):
        low, high = ends
        middle = jnp.sqrt(low * high)
        expected = (jax.nn.softmax(logits / middle) * logits).sum(1)
        too_cold = (weight * (given - expected)).sum() < 0
        return jnp.where(too_cold, middle, low), jnp.where(too_cold, high, middle)

    low, high = jax.lax.fori_loop(0, HALVINGS, halve, tuple(map(jnp.asarray, RANGE)))
    return jnp.where(weight.sum() > 0, jnp.sqrt(low * high), 1.0)

"""How well a network, in the arithmetic it runs in, keeps the identities of `rendering`."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, ScalarLike

from trinity_jax.data.augmentation import rendering
from trinity_jax.data.augmentation.rendering import Images, Latents, Layer, Weights
from trinity_jax.types import PRNGKey


def errors(
    key: PRNGKey, weights: Weights, layers: Sequence[Layer], x: Images, slope: ScalarLike = 0.0
) -> Float[Array, "3"]:
    """The largest deviations, relative to the largest of the numbers that should be equal.

    1. The score of any latents is the logit of the network clamped to them.
    2. The network's own latents attain its logit.
    3. Rendering from them is the gradient of the logit.

    Args:
      key: of latents drawn at random.
      weights: of both directions.
      layers: their form.
      x: images.
      slope: of the rectifier.
    """
    labels = weights.templates.shape[1]
    target = jax.nn.one_hot(jnp.arange(len(x)) % labels, labels, dtype=x.dtype)
    of_target = lambda logits: (logits * target).sum(1)
    seen = rendering.infer(weights, layers, x, slope)
    drawn = random(key, layers, seen.latents, slope)
    score = lambda latents: rendering.score(weights, layers, x, target, latents)
    logit = lambda x: of_target(rendering.infer(weights, layers, x, slope).logits)
    image = rendering.render(weights, layers, target, seen.latents, x.shape[1:]).image
    pairs = [
        (score(drawn), of_target(rendering.clamped(weights, layers, x, drawn).logits)),
        (score(seen.latents), of_target(seen.logits)),
        (image, jax.grad(lambda x: logit(x).sum())(x)),
    ]
    return jnp.stack([jnp.abs(a - b).max() / jnp.abs(b).max() for a, b in pairs])


def random(
    key: PRNGKey, layers: Sequence[Layer], like: Latents, slope: ScalarLike = 0.0
) -> Latents:
    """Latents of these shapes, each place and gate as likely as any other."""
    place, gate = [], []
    for level, layer in enumerate(layers):
        key_place, key_gate = jax.random.split(jax.random.fold_in(key, level))
        shape = like.place[level].shape
        place.append(
            jax.random.randint(key_place, shape, 0, layer.pool**2, like.place[level].dtype)
        )
        gate.append(jnp.where(jax.random.bernoulli(key_gate, shape=shape), 1.0, slope))
    return Latents(tuple(place), tuple(gate))

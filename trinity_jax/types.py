"""The names that everything shares: axes, keys, parameters, and the error for bad input.

Axis words used in every shape of the library (jaxtyping's notation):

    item        something to be labelled          worker      someone, or a model, who labels
    label       a class, observed or true         annotation  one (item, worker, label) row
    slot        the n-th label of an item         replica     one run of a sweep
    batch, height, width, channel, feature        images and network inputs, channels last
"""

from typing import Any

from jaxtyping import PRNGKeyArray

PRNGKey = PRNGKeyArray  # typed keys: jax.random.key, never PRNGKey
Params = Any  # a pytree of arrays that a network's `apply` understands


class InputError(ValueError):
    """What a user gave is wrong; the message is one sentence that says what and where.

    Programs end with exit status 2 and the sentence, without a traceback.
    """

"""A recurrent decoder of tags: an LSTM that is told the tag before.

    z_t = W_x h_t + table(y_{t-1}) + W_h s_{t-1}
    c_t = sigmoid(z_f) c_{t-1} + sigmoid(z_i) tanh(z_g),  s_t = sigmoid(z_o) tanh(c_t)
    P(y_t | y_{<t}, h) = softmax(W_o s_t + b_o)

Before the first token stands the tag GO, the last row of the table. All W_x h_t are one product,
so a step of the loop over tokens is a single product of matrices, with W_h.

Y. Shen, H. Yun, Z. C. Lipton, Y. Kronrod, A. Anandkumar. Deep active learning for named entity
recognition. ICLR 2018, section 3.4. They decode greedily; beams gained very little.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import log_softmax, sigmoid
from jaxtyping import Array, Float, Int

from trinity_jax.algorithms.decoding import (
    NEVER,
    Beam,
    Decoded,
    Rules,
    exists,
    follow,
    is_last,
    of_tags,
    penalties,
)

Hidden = Float[Array, "sentence token feature"]
Length = Int[Array, " sentence"]


class Weights(NamedTuple):
    """Parameters; the gates are i, f, g and o, behind one another."""

    inputs: Float[Array, "feature gates"]
    previous: Float[Array, "before gates"]  # the table, in which is the bias of the gates
    hidden: Float[Array, "state gates"]
    output: Float[Array, "state tag"]
    bias: Float[Array, " tag"]


def teacher(
    weights: Weights, h: Hidden, tags: Int[Array, "sentence token"]
) -> Float[Array, "sentence token tag"]:
    """Every log P(y_t = k | y_{<t}, h), where y_{<t} are the given tags."""
    rows = len(weights.previous)
    before = jnp.concatenate([jnp.full_like(tags[:, :1], rows - 1), tags[:, :-1]], axis=1)
    # Rows as a product with zeros and ones: the gradient of that is another product.
    told = _inputs(weights, h) + jax.nn.one_hot(before.T, rows) @ weights.previous
    states = jax.lax.scan(lambda state, z: _cell(weights, state, z), _begin(weights, len(h)), told)
    return _log_probs(weights, states[1]).transpose(1, 0, 2)


def greedy(weights: Weights, h: Hidden, length: Length, rules: Rules | None = None) -> Decoded:
    """From left to right the tag that is the most probable after those chosen."""
    steps, end = penalties(rules, len(weights.bias))

    def step(carry, now):
        state, before = carry
        z, last = now
        state, output = _cell(weights, state, z + weights.previous[before])
        log_probs = _log_probs(weights, output)
        cost = steps[before] + jnp.where(last[:, None], end[None], 0)
        tag = (log_probs + cost).argmax(1)
        return (state, tag), (tag, log_probs)

    begin = _begin(weights, len(h)), jnp.full(len(h), len(weights.bias))
    now = _inputs(weights, h), is_last(length, h.shape[1]).T
    _, (tags, log_probs) = jax.lax.scan(step, begin, now)
    there = exists(length, h.shape[1])
    tags = jnp.where(there, tags.T, 0)
    log_probs = jnp.where(there[..., None], log_probs.transpose(1, 0, 2), 0)
    return Decoded(tags, of_tags(log_probs, tags, length), log_probs)


def beam(
    weights: Weights, h: Hidden, length: Length, width: int, rules: Rules | None = None
) -> Beam:
    """The best sequences that one finds when after every token only the `width` best are kept."""
    (sentences, tokens, _), num_tags = h.shape, len(weights.bias)
    steps, end = penalties(rules, num_tags)
    freeze = jnp.where(jnp.arange(num_tags) == 0, 0.0, NEVER)[None, None]

    def step(carry, now):
        state, before, log_prob = carry
        z, last, there = now
        told = z[:, None] + weights.previous[before]
        state, output = _cell(weights, state, told.reshape(sentences * width, -1))
        gain = _log_probs(weights, output).reshape(sentences, width, num_tags)
        gain += steps[before] + jnp.where(last[:, None, None], end[None, None], 0)
        gain = jnp.where(there[:, None, None], gain, freeze)
        ways = (log_prob[..., None] + gain).reshape(sentences, width * num_tags)
        log_prob, way = jax.lax.top_k(ways, width)
        source, tag = way // num_tags, way % num_tags
        row = (jnp.arange(sentences)[:, None] * width + source).ravel()
        return (jax.tree.map(lambda leaf: leaf[row], state), tag, log_prob), (source, tag)

    one = jnp.full((sentences, width), NEVER).at[:, 0].set(0)  # the others are not there yet
    begin = _begin(weights, sentences * width), jnp.full((sentences, width), num_tags), one
    now = _inputs(weights, h), is_last(length, tokens).T, exists(length, tokens).T
    (_, _, log_prob), pointers = jax.lax.scan(step, begin, now)
    all_of_them = jnp.broadcast_to(jnp.arange(width)[None], (sentences, width))
    tags = follow(all_of_them, *pointers, length)
    return Beam(tags, jnp.where(log_prob < NEVER / 2, -jnp.inf, log_prob))


def _begin(weights, rows):
    zeros = jnp.zeros((rows, len(weights.hidden)))
    return zeros, zeros


def _inputs(weights, h):
    """W_x h of all tokens, [token, sentence, gates]."""
    return h.transpose(1, 0, 2) @ weights.inputs


def _cell(weights, state, told):
    """One step from the state (c, s); `told` is what the gates hear from outside."""
    c, s = state
    i, f, g, o = jnp.split(told + s @ weights.hidden, 4, axis=1)
    c = sigmoid(f) * c + sigmoid(i) * jnp.tanh(g)
    s = sigmoid(o) * jnp.tanh(c)
    return (c, s), s


def _log_probs(weights, s):
    return log_softmax(s @ weights.output + jnp.expand_dims(weights.bias, range(s.ndim - 1)))

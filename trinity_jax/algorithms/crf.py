"""Linear-chain conditional random fields on padded sentences.

    P(y | x) = exp(sum_t s_t(y_t) + sum_{t > 1} A(y_{t-1}, y_t)) / Z(x)

Given x, such a field is a Markov chain:

    P(y_t = k | y_{t-1} = j, x) = exp(A(j, k) + a_t(k)) / sum_l exp(A(j, l) + a_t(l))
    a_t(k) = s_t(k) + log(what all ends of the sentence weigh together, after tag k at t)

So here log P(y | x) is a sum of log-probabilities of tags given the tag before, and not the
difference of two large numbers, the score and log Z(x).

J. Lafferty, A. McCallum, F. Pereira. Conditional random fields. ICML 2001. The tagger's variant:
Y. Shen, H. Yun, Z. C. Lipton, Y. Kronrod, A. Anandkumar. Deep active learning for named entity
recognition. ICLR 2018, section 3.3. Several best sequences: N. Seshadri, C.-E. W. Sundberg. List
Viterbi decoding algorithms with applications. IEEE Transactions on Communications 42, 1994 (the
parallel algorithm).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.nn import log_softmax, logsumexp
from jaxtyping import Array, Float, Int

from trinity_jax.algorithms.decoding import (
    NEVER,
    Beam,
    Rules,
    exists,
    follow,
    is_last,
    penalties,
)

Scores = Float[Array, "sentence token tag"]
Length = Int[Array, " sentence"]


class Chain(NamedTuple):
    """The field given x: the scores a_t(k), and A.

    Tags that do not depend on each other are one with A = 0, whose a_t(k) are the scores s_t(k).
    """

    ahead: Scores
    transition: Float[Array, "tag tag"]  # [from, to]


def condition(
    scores: Scores,
    transition: Float[Array, "tag tag"],
    start: Float[Array, " tag"],
    end: Float[Array, " tag"],
    length: Length,
) -> Chain:
    """The chain of a field, from one pass over the sentences, from their ends to their beginnings.

    Args:
      scores: s_t(k), but for the two next ones.
      transition: A, [from, to].
      start: added to the scores of the first token.
      end: added to the scores of the last token.
      length: of each sentence.
    """
    last = is_last(length, scores.shape[1])[..., None]
    scores = scores.at[:, 0].add(start[None]) + jnp.where(last, end[None, None], 0)
    # Constants of a token cancel in probabilities: what is largest is set to 0 all the way.
    weight = jnp.exp(transition - jax.lax.stop_gradient(transition.max())).T  # [to, from]

    def step(future, now):
        score, is_later = now
        ahead = score + future
        ahead -= jax.lax.stop_gradient(ahead.max(1, keepdims=True))
        total = jnp.maximum(jnp.exp(ahead) @ weight, 1e-37)  # whose logarithm is still a number
        return jnp.where(is_later[:, None], jnp.log(total), 0), ahead

    steps = scores.transpose(1, 0, 2), exists(length, scores.shape[1]).T
    _, ahead = jax.lax.scan(step, jnp.zeros_like(scores[:, 0]), steps, reverse=True)
    return Chain(ahead.transpose(1, 0, 2), transition)


def log_conditional(chain: Chain, tags: Int[Array, "sentence token"]) -> Scores:
    """Every log P(y_t = k | y_{t-1}, x), where y_{t-1} is the given tag.

    At the given tags, over the tokens of a sentence, it sums to log P(tags | x).
    """
    ahead, transition = chain
    # Rows as a product with zeros and ones: the gradient of that is another product.
    rows = jax.nn.one_hot(tags[:, :-1], len(transition)) @ transition
    return log_softmax(ahead.at[:, 1:].add(rows))


def log_marginal(chain: Chain, length: Length) -> Scores:
    """Every log P(y_t = k | x); 0 beyond the sentence."""

    def step(log_prob, log_step):
        log_prob = logsumexp(log_prob[:, :, None] + log_step, axis=1)
        return log_prob, log_prob

    any_tag = log_softmax(jnp.zeros_like(chain.ahead[:, 0]))  # the first token has none before it
    marginal = jax.lax.scan(step, any_tag, jnp.moveaxis(_log_steps(chain), 1, 0))[1]
    there = exists(length, len(marginal))[..., None]
    return jnp.where(there, marginal.transpose(1, 0, 2), 0)


def best(chain: Chain, length: Length, width: int = 1, rules: Rules | None = None) -> Beam:
    """The `width` most probable tag sequences of each sentence, exactly.

    Viterbi's algorithm, but for each tag of a token it keeps `width` ways to get there, not one.
    """
    sentences, tokens, num_tags = chain.ahead.shape
    stay = jnp.where(jnp.eye(num_tags, dtype=bool), 0.0, NEVER)[None, None]
    gain = _log_steps(chain) + _costs(rules, length, tokens, num_tags)
    gain = jnp.where(exists(length, tokens)[..., None, None], gain, stay)

    def step(log_prob, gain):
        ways = log_prob[..., None] + gain[:, :, None]  # [sentence, from, rank, to]
        ways = jnp.moveaxis(ways, 3, 1).reshape(sentences, num_tags, num_tags * width)
        log_prob, source = _top(ways, width)
        return log_prob, source.reshape(sentences, num_tags * width)

    # Before the first token there is one way, with a tag that does not matter.
    begin = jnp.full((sentences, num_tags, width), NEVER).at[:, 0, 0].set(0)
    log_prob, source = jax.lax.scan(step, begin, jnp.moveaxis(gain, 1, 0))
    log_prob, last = _top(log_prob.reshape(sentences, num_tags * width), width)
    tag = jnp.broadcast_to(jnp.arange(num_tags * width) // width, source.shape)
    tags = follow(last, source, tag, length)
    return Beam(tags, jnp.where(log_prob < NEVER / 2, -jnp.inf, log_prob))


def _log_steps(chain):
    """Every log P(y_t = to | y_{t-1} = from, x), [sentence, token, from, to]."""
    later = jnp.arange(chain.ahead.shape[1])[None, :, None, None] > 0  # than the first token
    return log_softmax(chain.ahead[:, :, None] + jnp.where(later, chain.transition[None, None], 0))


def _costs(rules, length, tokens, num_tags):
    """What the rules cost, [sentence, token, from, to]."""
    steps, end = penalties(rules, num_tags)
    later = jnp.arange(tokens)[None, :, None, None] > 0
    along = jnp.where(later, steps[None, None, :num_tags], steps[None, None, num_tags:])
    return along + jnp.where(is_last(length, tokens)[..., None, None], end[None, None, None], 0)


def _top(x, width):
    """The largest numbers and where they are; `top_k` is slow to find a single one."""
    if width > 1:
        return jax.lax.top_k(x, width)
    return x.max(-1, keepdims=True), x.argmax(-1, keepdims=True)

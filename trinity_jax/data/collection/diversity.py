"""Choosing sentences that differ, under a budget of words: each is a point, its features.

    k_center    the point farthest from all that are labelled or chosen, again and again
    badge       a point at random, in proportion to its squared distance from the nearest chosen

Both go on while the words of those before are fewer than the budget. One vector of distances to the
nearest chosen point is kept, never a matrix of all pairs. A point that is not finite is never
chosen.

k_center: O. Sener, S. Savarese. Active learning for convolutional neural networks: a core-set
approach. ICLR 2018. badge: J. T. Ash et al. Deep batch active learning by diverse, uncertain
gradient lower bounds. ICLR 2020.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, ScalarLike

from trinity_jax.data.collection.selection import Pool, Selection, lottery, selection
from trinity_jax.types import PRNGKey

Points = Float[Array, "sentence feature"]


class Picks(NamedTuple):
    """What `one_by_one` has chosen so far: a mask, its words, and what `add` remembers of it."""

    chosen: Bool[Array, " sentence"]
    words: Int[Array, ""]
    state: Any


def one_by_one(
    worth: Callable[[Any], Float[Array, " sentence"]],
    add: Callable[[Any, Int[Array, ""]], Any],
    state: Any,
    length: Int[Array, " sentence"],
    able: Bool[Array, " sentence"],
    budget: ScalarLike,
    ticket: Int[Array, " sentence"],
    room: Int[Array, " sentence"] | int = 1,
) -> Picks:
    """Chooses the sentence worth most, then the one worth most beside it, and so on.

    Args:
      worth: `state -> [sentence]`; what is not a number is worth least.
      add: `(state, index) -> state` after that sentence is chosen.
      state: before any is chosen.
      length: words of each sentence, positive where it is able.
      able: those that may be chosen.
      budget: words.
      ticket: of sentences worth the same, that of the highest ticket is chosen.
      room: words that the budget must have left for a sentence: 1 may pass the budget by less than
        the last sentence, `length` never does.
    """

    def free(picks):
        return able & ~picks.chosen & (room <= budget - picks.words)

    def pick(picks):
        worths = worth(picks.state)
        worths = jnp.nan_to_num(worths, nan=jnp.finfo(worths.dtype).min)
        worths = jnp.where(free(picks), worths, -jnp.inf)
        best = jnp.where(worths == worths.max(), ticket, jnp.iinfo(jnp.int32).min)
        index = best.argmax()
        words = picks.words + length[index].astype(jnp.int32)
        return Picks(picks.chosen.at[index].set(True), words, add(picks.state, index))

    start = Picks(jnp.zeros_like(able), jnp.int32(0), state)
    return jax.lax.while_loop(lambda picks: free(picks).any(), pick, start)


def k_center(key: PRNGKey, pool: Pool, budget: ScalarLike) -> Selection:
    """Greedy core-set: the sentence farthest from the labelled and the chosen ones.

    With nothing labelled the first is the one nearest the mean.
    """
    points, able, known = finite(pool)
    to = lambda nearest, index: jnp.minimum(nearest, squared_distances(points, points[index]))
    order = jnp.argsort(~known)  # the labelled first
    nearest = jnp.full(able.shape, jnp.inf, points.dtype)
    nearest = jax.lax.fori_loop(0, known.sum(), lambda i, d: to(d, order[i]), nearest)
    first = -squared_distances(points, mean(points, able | known))
    worth = lambda nearest: jnp.where(jnp.isinf(nearest), first, nearest)
    ticket = lottery(key, able.size)
    picks = one_by_one(worth, to, nearest, pool.length, able, budget, ticket)
    return selection(picks.chosen, pool.length, pool.available, able)


def badge(key: PRNGKey, pool: Pool, budget: ScalarLike) -> Selection:
    """k-means++ on gradients, as `gradient_sketch` gives them: uncertain ones lie far from zero.

    The first is the largest.
    """
    points, able, _ = finite(pool)
    norm = jnp.square(points).sum(-1)
    chosen = plus_plus(key, points, norm, pool.length, able, budget)
    return selection(chosen, pool.length, pool.available, able)


def plus_plus(
    key: PRNGKey,
    points: Points,
    first: Float[Array, " sentence"],
    length: Int[Array, " sentence"],
    able: Bool[Array, " sentence"],
    budget: ScalarLike,
) -> Bool[Array, " sentence"]:
    """k-means++: points at random, in proportion to D^2, the squared distance to the nearest.

    D. Arthur, S. Vassilvitskii. k-means++: the advantages of careful seeding. SODA 2007.

    Args:
      key: for the draws; the n-th point is drawn with the n-th key folded from it.
      points: where they are.
      first: the first point has the largest.
      length: what each costs, positive where it is able.
      able: those that may be drawn.
      budget: points are drawn while those before cost less.
    """
    key_tie, key_draw = jax.random.split(key)

    def worth(state):
        nearest, step = state
        noise = jax.random.gumbel(jax.random.fold_in(key_draw, step), nearest.shape, nearest.dtype)
        log_squared = jnp.log(jnp.maximum(nearest, jnp.finfo(nearest.dtype).tiny))
        return jnp.where(step == 0, first, log_squared + noise)

    def add(state, index):
        nearest, step = state
        return jnp.minimum(nearest, squared_distances(points, points[index])), step + 1

    start = jnp.full(able.shape, jnp.inf, points.dtype), jnp.int32(0)
    ticket = lottery(key_tie, able.size)
    return one_by_one(worth, add, start, length, able, budget, ticket).chosen


def gradient_sketch(
    key: PRNGKey,
    token_log_probs: Float[Array, "sentence token tag"],
    features: Float[Array, "sentence token feature"],
    mask: Bool[Array, "sentence token"],
    size: int,
) -> Float[Array, "sentence size"]:
    """Points whose squared distances are, on average, those of the gradients of sentences.

        z_r = sum_i (A_r . g_i) (B_r . h_i) / sqrt(size),    g_i = p_i - onehot(argmax p_i)

    sum_i g_i h_i^T is the gradient of the loss by the output layer, if the tags decoded are right.
    A and B hold random signs, so E[z . z'] is the inner product of two gradients, without ever a
    matrix [tag, feature] for each sentence.

    Args:
      key: for the signs; the same for all sentences of a pool.
      token_log_probs: log p_i of every tag.
      features: h_i, the input of the output layer.
      mask: which tokens are words.
      size: of the sketch; the ratio of a distance to the true one has sd about sqrt(2 / size).

    Returns:
      z; the sum over words favours long sentences, z divided by their number does not.
    """
    key_tag, key_feature = jax.random.split(key)
    probs = jnp.exp(token_log_probs)
    tags = jax.nn.one_hot(probs.argmax(-1), probs.shape[-1], dtype=probs.dtype)
    left = jnp.where(mask[..., None], probs - tags, 0)
    right = jnp.where(mask[..., None], features, 0)
    a = jax.random.rademacher(key_tag, (probs.shape[-1], size), probs.dtype)
    b = jax.random.rademacher(key_feature, (features.shape[-1], size), features.dtype)
    return ((left @ a) * (right @ b)).sum(1) / size**0.5


def finite(pool: Pool) -> tuple[Points, Bool[Array, " sentence"], Bool[Array, " sentence"]]:
    """Points, those that may be chosen, those labelled; others lie at 0 and are neither."""
    good = jnp.isfinite(pool.features).all(-1)
    points = jnp.where(good[:, None], pool.features, 0)
    return points, pool.available & good & (pool.length > 0), pool.labelled & good


def mean(points: Points, member: Bool[Array, " sentence"]) -> Float[Array, " feature"]:
    """The mean of the members."""
    total = jnp.where(member[:, None], points, 0).sum(0)
    return total / jnp.maximum(member.sum(), 1)


def squared_distances(
    points: Points, centre: Float[Array, " feature"]
) -> Float[Array, " sentence"]:
    """By differences: a point is at exactly 0 from itself and from its duplicates."""
    return jnp.square(points - centre[None]).sum(-1)

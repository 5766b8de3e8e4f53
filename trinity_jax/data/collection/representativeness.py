"""Choosing sentences that stand for the others: facility location under a budget of words.

    f(S) = sum_{i in V} max_{j in S or labelled} w(i, j) - f_0,    w(i, j) = max(0, cos(x_i, x_j))

x is what the encoder makes of a sentence; f_0 is what the labelled cover already, so f of nothing
is 0. V is the most uncertain sentences, of a few times as many words as the budget: representative
of what the model does not know. f is monotone and submodular, and two ways climb it, neither of
which ever passes the budget B:

    facility_location   greedy by gain / words and greedy by gain, the better of the two: at least
                        (1 - 1/e) / 2 of the best f (Leskovec et al., section 3)
    sieve_streaming     one look at each sentence, for many guesses v of the best f at once:
                        taken if gain / words >= (v / 2 - f(S)) / (B - words of S)

SUBMOD of Y. Shen, H. Yun, Z. C. Lipton, Y. Kronrod, A. Anandkumar. Deep active learning for named
entity recognition. ICLR 2018, section 4, as far as its text tells; after K. Wei, R. Iyer,
J. Bilmes. Submodularity in data subset selection and active learning. ICML 2015. J. Leskovec et al.
Cost-effective outbreak detection in networks. KDD 2007. A. Badanidiyuru et al. Streaming submodular
maximization. KDD 2014.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, ScalarLike

from trinity_jax.data.collection.diversity import finite, one_by_one
from trinity_jax.data.collection.selection import Pool, Selection, best_first, selection
from trinity_jax.types import PRNGKey

FACTOR, NUM_CANDIDATES, NUM_SIEVES = 4, 1024, 32
BLOCK = 64  # candidates whose similarities to the whole pool are in memory together


class Candidates(NamedTuple):
    """The most uncertain sentences, by falling score.

    Attributes:
      length: words of each.
      valid: those that there are.
      similarity: w(i, j), 0 where i is not valid.
      covered: the largest w(i, j) over labelled j.
    """

    length: Int[Array, " candidate"]
    valid: Bool[Array, " candidate"]
    similarity: Float[Array, "candidate candidate"]
    covered: Float[Array, " candidate"]


def facility_location(
    key: PRNGKey,
    pool: Pool,
    budget: ScalarLike,
    factor: ScalarLike = FACTOR,
    num_candidates: int = NUM_CANDIDATES,
) -> Selection:
    """The better of two greedy choices; of equal gains, the more uncertain sentence.

    Args:
      key: for the order of equal scores.
      pool: all of it matters.
      budget: words, never passed.
      factor: V has this many times as many words as the budget.
      num_candidates: V has no more sentences than this, static.
    """
    return _among_uncertain(key, pool, budget, factor, num_candidates, greedy)


def sieve_streaming(
    key: PRNGKey,
    pool: Pool,
    budget: ScalarLike,
    factor: ScalarLike = FACTOR,
    num_candidates: int = NUM_CANDIDATES,
) -> Selection:
    """The best sieve of a stream that begins with the most uncertain; see `facility_location`."""
    return _among_uncertain(key, pool, budget, factor, num_candidates, sieve)


def greedy(candidates: Candidates, budget: ScalarLike) -> Bool[Array, " candidate"]:
    """Largest gain, and largest gain for its words, that fits; the choice that covers more."""
    length, valid, similarity, covered = candidates

    def choose(per_word):
        price = jnp.where(per_word, jnp.maximum(length, 1), 1)
        worth = lambda covered: gains(similarity, covered) / price
        add = lambda covered, index: jnp.maximum(covered, similarity[:, index])
        ticket = -jnp.arange(length.size)
        picks = one_by_one(worth, add, covered, length, valid, budget, ticket, room=length)
        return picks.chosen, picks.state.sum()

    chosen, value = jax.vmap(choose)(jnp.array([False, True]))
    return chosen[value.argmax()]


def sieve(
    candidates: Candidates, budget: ScalarLike, num_sieves: int = NUM_SIEVES
) -> Bool[Array, " candidate"]:
    """One sieve for each guess v, evenly in log v between the best f / words and B times that."""
    length, valid, similarity, covered = candidates
    alone = jnp.where(valid & (length <= budget), gains(similarity, covered), 0)
    density = (alone / jnp.maximum(length, 1)).max()
    powers = jnp.linspace(0, 1, num_sieves, dtype=density.dtype)
    guesses = density * jnp.maximum(budget, 1).astype(density.dtype) ** powers

    def run(guess):
        def look(state, candidate):
            covered, words = state
            length, valid, similarity = candidate
            left = budget - words
            gain = jnp.maximum(similarity - covered, 0).sum()
            missing = guess / 2 - (covered - candidates.covered).sum()
            take = valid & (length <= left) & (gain * left >= length * missing)
            covered = jnp.where(take, jnp.maximum(covered, similarity), covered)
            return (covered, words + jnp.where(take, length, 0)), take

        start, stream = (covered, jnp.zeros_like(length[0])), (length, valid, similarity.T)
        (reached, _), taken = jax.lax.scan(look, start, stream)
        return taken, reached.sum()

    taken, value = jax.vmap(run)(guesses)
    return taken[value.argmax()]


def gains(
    similarity: Float[Array, "candidate candidate"], covered: Float[Array, " candidate"]
) -> Float[Array, " candidate"]:
    """What each candidate j would add to f."""
    return jnp.maximum(similarity - covered[:, None], 0).sum(0)


def _among_uncertain(
    key: PRNGKey,
    pool: Pool,
    budget: ScalarLike,
    factor: ScalarLike,
    num_candidates: int,
    choose: Callable[[Candidates, ScalarLike], Bool[Array, " candidate"]],
) -> Selection:
    """Cuts the pool down to the candidates, and maps what is chosen of them back."""
    points, able, known = finite(pool)
    able &= jnp.isfinite(pool.scores)
    index = best_first(key, pool.scores, able)[:num_candidates]
    length = jnp.where(able, pool.length, 0)[index].astype(jnp.int32)
    before = jnp.cumsum(length, dtype=jnp.int32) - length
    most = jnp.iinfo(jnp.int32).max // jnp.maximum(factor, 1)  # a larger product is no number
    valid = able[index] & (before < factor * jnp.minimum(budget, most))
    candidates = Candidates(length, valid, *_similarities(points, index, valid, known))
    chosen = jnp.zeros_like(able).at[index].set(choose(candidates, budget))
    return selection(chosen, pool.length, pool.available, able)


def _similarities(
    points: Float[Array, "sentence feature"],
    index: Int[Array, " candidate"],
    valid: Bool[Array, " candidate"],
    known: Bool[Array, " sentence"],
) -> tuple[Float[Array, "candidate candidate"], Float[Array, " candidate"]]:
    """Similarities between candidates, and each one's largest to a labelled sentence."""
    norm = jnp.sqrt(jnp.square(points).sum(-1, keepdims=True))
    unit = points / jnp.where(norm > 0, norm, 1)
    cosine = lambda one, others: jnp.maximum(jnp.matmul(others, one, precision="highest"), 0)
    candidates = unit[index]
    similarity = jax.vmap(cosine, (0, None))(candidates, candidates) * valid[:, None]
    nearest = lambda one: jnp.where(known, cosine(one, unit), 0).max()
    covered = jax.lax.map(nearest, candidates, batch_size=BLOCK)
    return similarity, jnp.where(valid, covered, 0)

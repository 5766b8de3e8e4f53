"""What to ask before a model knows anything: the most typical sentence of each cluster.

A tagger trained on next to nothing calls everything O, and its scores are noise or length. So
sentences are clustered by fixed features (the mean of word vectors, say), and of every cluster the
one in the densest place is asked:

    typicality(x) = 1 / (mean distance of x to its nearest neighbours in the cluster)

of 20 neighbours, or half the cluster if that is fewer. Clusters take turns: those with the fewest
labels first, of these the largest; clusters of 5 sentences or fewer when all others are used up.
Where the turn comes round again, the next most typical is asked, so there may be more questions
than clusters. (The authors' code measures typicality anew without the sentences asked before, and
never asks of small clusters.)

G. Hacohen, A. Dekel, D. Weinshall. Active learning on a budget: opposite strategies suit high and
low budgets. ICML 2022, section 3.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, ScalarLike

from trinity_jax.data.collection.diversity import Points, finite, mean, plus_plus
from trinity_jax.data.collection.selection import Pool, Selection, lottery, select
from trinity_jax.types import PRNGKey

NEIGHBOURS = 20
SMALL = 5
BLOCK = 256  # sentences whose distances to all others are in memory together
LLOYD_STEPS = 25


def typiclust(key: PRNGKey, pool: Pool, budget: ScalarLike, num_clusters: int = 100) -> Selection:
    """Asks the most typical sentence of each cluster in turn.

    Args:
      key: for the clusters and for equally typical sentences.
      pool: its features; scores do not matter.
      budget: words; the last sentence may pass it.
      num_clusters: the paper has as many as sentences are labelled and asked, 500 at most.
    """
    key_cluster, key_turn, key_select = jax.random.split(key, 3)
    points, able, known = finite(pool)
    points -= mean(points, able | known)[None]  # squares of small numbers keep their digits
    cluster = k_means(key_cluster, points, able | known, num_clusters)
    scores = turns(key_turn, remoteness(points, cluster, able), cluster, able, known, num_clusters)
    return select(key_select, scores, pool.length, pool.available, budget)


def k_means(
    key: PRNGKey, points: Points, member: Bool[Array, " sentence"], num_clusters: int
) -> Int[Array, " sentence"]:
    """Lloyd's algorithm from a start by k-means++; an empty cluster stays where it is.

    Args:
      key: for the start.
      points: with a mean not far from 0.
      member: points that count; the others are only assigned.
      num_clusters: clusters; with fewer different points some are empty.

    Returns:
      The cluster of each point.
    """
    anywhere = jnp.zeros(member.shape, points.dtype)
    once = jnp.ones(member.shape, jnp.int32)
    chosen = plus_plus(key, points, anywhere, once, member, num_clusters)
    number = jnp.arange(num_clusters)
    place = jnp.argsort(~chosen, stable=True)  # nonzero would not lower in JAX 0.12
    place = place.take(number, mode="clip")  # there may be fewer points than clusters
    centres = points[jnp.where(number < chosen.sum(), place, chosen.argmax())]

    def step(_, centres):
        cluster = pairwise(points, centres).argmin(1)
        weight = jax.nn.one_hot(cluster, num_clusters, dtype=points.dtype) * member[:, None]
        size = weight.sum(0)[:, None]
        total = jnp.matmul(weight.T, points, precision="highest")
        return jnp.where(size > 0, total / jnp.maximum(size, 1), centres)

    return pairwise(points, jax.lax.fori_loop(0, LLOYD_STEPS, step, centres)).argmin(1)


def remoteness(
    points: Points, cluster: Int[Array, " sentence"], able: Bool[Array, " sentence"]
) -> Float[Array, " sentence"]:
    """One over typicality: mean distance to the nearest able neighbours in the cluster."""
    number = jnp.arange(able.size)

    def of(index):
        together = able & (cluster == cluster[index])
        others = together & (number != index)
        squared = jnp.where(others, pairwise(points[index][None], points)[0], jnp.inf)
        nearest = -jax.lax.top_k(-squared, min(NEIGHBOURS, able.size))[0]
        counts = jnp.arange(nearest.size) < together.sum() // 2
        return jnp.where(counts, jnp.sqrt(nearest), 0).sum() / jnp.maximum(counts.sum(), 1)

    return jax.lax.map(of, number, batch_size=BLOCK)


def turns(
    key: PRNGKey,
    remote: Float[Array, " sentence"],
    cluster: Int[Array, " sentence"],
    able: Bool[Array, " sentence"],
    known: Bool[Array, " sentence"],
    num_clusters: int,
) -> Float[Array, " sentence"]:
    """The order in which clusters take turns, as scores: 0, -1, -2 ...; -inf if not able."""
    none, number = jnp.zeros(num_clusters, jnp.int32), jnp.arange(able.size)
    count = lambda mask: none.at[cluster].add(mask.astype(jnp.int32))[cluster]
    size, labels = count(able | known), count(known)
    in_cluster = jnp.lexsort((lottery(key, able.size), remote, cluster, ~able))
    began = jnp.diff(cluster[in_cluster], prepend=-1) != 0
    place = number - jax.lax.cummax(jnp.where(began, number, 0))
    turn = jnp.zeros_like(number).at[in_cluster].set(place)
    order = jnp.lexsort((cluster, -size, labels, turn, size <= SMALL, ~able))
    scores = jnp.zeros_like(remote).at[order].set(-number.astype(remote.dtype))
    return jnp.where(able, scores, -jnp.inf)


def pairwise(
    points: Float[Array, "one feature"], others: Float[Array, "two feature"]
) -> Float[Array, "one two"]:
    """Squared distances, by one product of matrices."""
    product = jnp.matmul(points, others.T, precision="highest")
    norms = jnp.square(points).sum(1)[:, None] + jnp.square(others).sum(1)[None]
    return jnp.maximum(norms - 2 * product, 0)

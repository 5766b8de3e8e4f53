"""Which sentences are worth labelling: scores of what a tagger says of them; the highest is asked.

Every strategy is `(key, belief) -> scores, [sentence]`. For a sentence of n words with decoded tags
y_1 .. y_n, p_i the probabilities of the i-th tag given those decoded before it, and M passes with
dropout, pass m decoding y^m from p^m:

    random                    uniform
    least_confidence          -sum_i log p_i(y_i)
    mnlp                      -1/n sum_i log p_i(y_i)
    bald                      1/n sum_i (1 - max_k |{m : y^m_i = k}| / M)
    bald_mutual_information   1/n sum_i (H(mean_m p^m_i) - mean_m H(p^m_i))
    bald_sequence             1 - max_y |{m : y^m = y}| / M, ties by the mean of mnlp over passes
    entropy_sum, _mean        sum_i H(p_i), 1/n sum_i H(p_i)
    margin                    1/n sum_i (1 - (best p_i - second best p_i))
    lowest_token_probability  max_i (1 - max_k p_i(k))

Axes: `sentence`, `token` (padded; the mask tells), `tag`. What is masked may be anything, NaN too:
a pool comes in buckets of different widths, is scored bucket by bucket, and padding it wider
changes nothing. A sentence without words scores 0, unless at random.

least_confidence, mnlp, bald: Y. Shen, H. Yun, Z. C. Lipton, Y. Kronrod, A. Anandkumar. Deep active
learning for named entity recognition. ICLR 2018, section 4. The bald there is the variation ratio
of single tags; the mutual information is of N. Houlsby et al., arXiv:1112.5745, 2011, and whole
sequences vote in A. Siddhant, Z. C. Lipton, EMNLP 2018. Entropies and margin: B. Settles,
M. Craven. An analysis of active learning strategies for sequence labeling tasks. EMNLP 2008.
lowest_token_probability: M. Liu et al. LTP. Neural Processing Letters 54, 2022.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from trinity_jax.algorithms.decoding import Decoded
from trinity_jax.data.collection.passes import Passes, entropy
from trinity_jax.data.collection.strategies import by_index
from trinity_jax.types import PRNGKey, lookup

Scores = Float[Array, " sentence"]


class Belief(NamedTuple):
    """What a tagger says of some sentences; strategies name the part that they need.

    Attributes:
      mask: which tokens are words.
      decoded: the tags decoded greedily, without dropout.
      passes: the votes of passes with dropout.
    """

    mask: Bool[Array, "sentence token"]
    decoded: Decoded | None = None
    passes: Passes | None = None

    @property
    def length(self) -> Int[Array, " sentence"]:
        """Words of each sentence, n."""
        return self.mask.sum(-1, dtype=jnp.int32)


class Strategy(Protocol):
    """Scores sentences, [sentence]; higher is asked first."""

    def __call__(self, key: PRNGKey, belief: Belief, /) -> Scores: ...


class Acquisition(NamedTuple):
    """A strategy, and the fields of `Belief` that it reads besides the mask."""

    score: Strategy
    needs: tuple[str, ...]


def random(key: PRNGKey, belief: Belief, /) -> Scores:
    """Uniform in [0, 1): every order is as likely."""
    return jax.random.uniform(key, belief.mask.shape[:1])


def least_confidence(key: PRNGKey, belief: Belief, /) -> Scores:
    """Minus the log-probability of the decoded sequence: the order of 1 - P(y | x).

    1 - P itself is 1 in float32 once P < 3e-8, which long sentences all reach.
    """
    del key
    return -_sum(belief, _decoded(belief).log_probs)


def mnlp(key: PRNGKey, belief: Belief, /) -> Scores:
    """Maximum normalised log-probability: least confidence that does not favour length."""
    del key
    return -_mean(belief, _decoded(belief).log_probs)


def bald(key: PRNGKey, belief: Belief, /) -> Scores:
    """How many passes disagree with the most voted tag of a word, on average over words.

    A pass that finds NaN votes like any other: its log-probability tells.
    """
    del key
    votes, log_probs = _passes(belief).votes, _passes(belief).log_probs
    ratio = 1 - votes.max(-1) / votes.sum(-1)
    return _mean(belief, jnp.where(jnp.isnan(log_probs), jnp.nan, ratio))


def bald_mutual_information(key: PRNGKey, belief: Belief, /) -> Scores:
    """What a tag tells of the network's weights, in nats, on average over words."""
    del key
    passes = _passes(belief)
    gain = entropy(jnp.log(passes.mean_probs)) - passes.mean_entropy
    return _mean(belief, jnp.maximum(gain, 0))  # rounding can be negative


def bald_sequence(key: PRNGKey, belief: Belief, /) -> Scores:
    """How many passes disagree with the most voted whole sequence.

    Sequences of equally many votes are in the order of their mean normalised log-probability r, as
    r / (1 + r) of a vote; float32 tells r apart to about 1e-7 M, in nats.
    """
    del key
    passes = _passes(belief)
    tie = -_mean(belief, passes.log_probs)
    agreed = passes.sequence_votes - tie / (1 + tie)
    return 1 - agreed / passes.votes[:, 0].sum(-1)


def entropy_sum(key: PRNGKey, belief: Belief, /) -> Scores:
    """Entropy of the tags in nats, added up over words: favours length."""
    del key
    return _sum(belief, entropy(_decoded(belief).token_log_probs))


def entropy_mean(key: PRNGKey, belief: Belief, /) -> Scores:
    """Entropy of the tags in nats, on average over words."""
    del key
    return _mean(belief, entropy(_decoded(belief).token_log_probs))


def margin(key: PRNGKey, belief: Belief, /) -> Scores:
    """One minus the gap between the two most probable tags, on average over words."""
    del key
    best = jax.lax.top_k(jnp.exp(_decoded(belief).token_log_probs), 2)[0]
    return _mean(belief, 1 - (best[..., 0] - best[..., 1]))


def lowest_token_probability(key: PRNGKey, belief: Belief, /) -> Scores:
    """How improbable the best tag of the most doubtful word is."""
    del key
    doubt = 1 - jnp.exp(_decoded(belief).token_log_probs.max(-1))
    return jnp.where(belief.mask, doubt, 0).max(-1)


ACQUISITIONS = {
    "random": Acquisition(random, ()),
    "least_confidence": Acquisition(least_confidence, ("decoded",)),
    "mnlp": Acquisition(mnlp, ("decoded",)),
    "bald": Acquisition(bald, ("passes",)),
    "bald_mutual_information": Acquisition(bald_mutual_information, ("passes",)),
    "bald_sequence": Acquisition(bald_sequence, ("passes",)),
    "entropy_sum": Acquisition(entropy_sum, ("decoded",)),
    "entropy_mean": Acquisition(entropy_mean, ("decoded",)),
    "margin": Acquisition(margin, ("decoded",)),
    "lowest_token_probability": Acquisition(lowest_token_probability, ("decoded",)),
}


def any_of(names: Sequence[str]) -> Callable[..., Scores]:
    """`(index, key, belief) -> scores` by the strategy of that index in `names`.

    Raises:
      InputError: no strategy has the name; the nearest is named.
    """
    strategies = [lookup(ACQUISITIONS, name, "acquisition").score for name in names]
    return by_index([lambda *a, s=s: jnp.asarray(s(*a), float) for s in strategies])


def _sum(belief: Belief, values: Float[Array, "sentence token"]) -> Scores:
    return jnp.where(belief.mask, values, 0).sum(-1)


def _mean(belief: Belief, values: Float[Array, "sentence token"]) -> Scores:
    return _sum(belief, values) / jnp.maximum(belief.length, 1)


def _decoded(belief: Belief) -> Decoded:
    if belief.decoded is None:
        raise ValueError("the strategy reads decoded tags, which this belief does not have")
    return belief.decoded


def _passes(belief: Belief) -> Passes:
    if belief.passes is None:
        raise ValueError("the strategy reads Monte-Carlo passes, which this belief does not have")
    return belief.passes

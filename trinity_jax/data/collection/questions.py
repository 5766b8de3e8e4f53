"""Which question about an item is worth asking: scores of "is its label in q?"; the highest is.

Every strategy is `(key, belief) -> scores, [item, question]`. Let p be what is believed of an item,
over the labels that its earlier answers left, pi = sum_{k in q} p_k the chance of a yes, n the
number of labels left, n+ of them in q and n- not:

    eig        H(pi)                              expected information gain, in bits
    erc        -(pi n+ + (1 - pi) n-)             expected remaining classes
    edc        n - (pi n+ + (1 - pi) n-)          expected decrease in classes
    ratio      eig / (pi n+ + (1 - pi) n-)
    balanced   min(n+, n-) / n                    eig if all that is left is as likely

H is the entropy of a yes-or-no variable. As the answer is a function of the label, eig is exact:
what the answer tells of the label is all there is in it. erc and edc differ by n, which is the
same for all questions about an item: they ask the same of it, but rank items differently. What
cannot tell labels apart that are left (n+ = 0 or n- = 0) scores minus infinity.

If annotators err (they say no to a true question with probability alpha, yes to a false one with
beta), a yes comes with rho = (1 - alpha) pi + beta (1 - pi), no label is ever excluded, and

    eig        H(rho) - pi H(alpha) - (1 - pi) H(beta)
    n, n+, n-  exp(entropy) of p, of p after a yes, after a no

with rho in the place of pi. An item is then finished when p is sure enough of a label.

P. Hu, Z. C. Lipton, A. Anandkumar, D. Ramanan. Active learning with partial feedback. ICLR 2019,
sections 2 and 3; there eig, erc and edc are names of the whole methods. Errors are ours.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
from jax.scipy.special import entr, xlogy
from jaxtyping import Array, Bool, Float, Int

from trinity_jax.data.collection.strategies import by_index
from trinity_jax.types import InputError, PRNGKey, lookup

Scores = Float[Array, "item question"]
NEGLIGIBLE = 1e-8  # probability of all that is left, below which the network knows nothing of it


class Errors(NamedTuple):
    """How often an annotator is wrong.

    Attributes:
      false_negative: alpha, the probability of a no where the label is in q.
      false_positive: beta, that of a yes where it is not.
      sure: nothing more is asked of an item once a label is believed to be so probable.
    """

    false_negative: Float[Array, ""] | float
    false_positive: Float[Array, ""] | float
    sure: Float[Array, ""] | float = 0.95


class Belief(NamedTuple):
    """What is thought of some items and of the answers to questions about them.

    Attributes:
      probs: p; zero for labels that are not left.
      true: the chance that the label is in q, pi.
      yes: the chance that the answer is yes; without errors the same.
      left: how many labels are left, n.
      if_yes: how many would be after a yes, n+.
      if_no: after a no, n-.
      splits: whether the question tells labels apart that are left.
      errors: of the annotator, if any.
    """

    probs: Float[Array, "item label"]
    true: Scores
    yes: Scores
    left: Float[Array, " item"]
    if_yes: Scores
    if_no: Scores
    splits: Bool[Array, "item question"]
    errors: Errors | None = None


class Strategy(Protocol):
    """Scores questions, [item, question]; the higher is asked."""

    def __call__(self, key: PRNGKey, belief: Belief, /) -> Scores: ...


def posterior(
    log_probs: Float[Array, "item label"], evidence: Float[Array, "item label"]
) -> Float[Array, "item label"]:
    """What is believed of a label, given the network and the answers so far.

    Args:
      log_probs: of the network.
      evidence: log-probability of the answers, by label: 0 for all that is left, if there are no
        errors, and minus infinity for the others.

    Returns:
      The network's distribution on what is left; a uniform one where the network gives all of it
      less than 1e-8.
    """
    joint = log_probs + evidence
    lost = jax.nn.logsumexp(joint, axis=-1, keepdims=True) < jnp.log(NEGLIGIBLE)
    return jax.nn.softmax(jnp.where(lost, evidence, joint))


def believe(
    probs: Float[Array, "item label"],
    left: Bool[Array, "item label"],
    covers: Bool[Array, "question label"],
    errors: Errors | None = None,
) -> Belief:
    """What a posterior says of all questions: two matrix products.

    Args:
      probs: see `posterior`.
      left: which labels are left.
      covers: which labels a question is about.
      errors: of the annotator, if any.
    """
    total = lambda values: jnp.matmul(values, covers.T.astype(probs.dtype), precision="highest")
    true = jnp.clip(total(probs), 0, 1)  # a sum of rounded numbers may be above 1
    if errors is None:
        count = left.sum(-1).astype(probs.dtype)
        if_yes = total(left.astype(probs.dtype))
        if_no = count[:, None] - if_yes
        return Belief(probs, true, true, count, if_yes, if_no, (if_yes > 0) & (if_no > 0))
    alpha, beta, sure = errors
    plogp = -entr(probs)
    inside = total(plogp)
    outside = plogp.sum(-1, keepdims=True) - inside

    def size(of_true, of_false):
        """exp(entropy) of the labels after an answer of such a likelihood."""
        mass = of_true * true + of_false * (1 - true)
        logs = xlogy(of_true, of_true) * true + xlogy(of_false, of_false) * (1 - true)
        mean = (of_true * inside + of_false * outside + logs) / jnp.maximum(mass, 1e-30)
        return jnp.exp(jnp.log(jnp.maximum(mass, 1e-30)) - mean)

    yes = (1 - alpha) * true + beta * (1 - true)
    splits = covers.any(-1)[None] & ~covers.all(-1)[None] & (probs.max(-1, keepdims=True) < sure)
    sizes = jnp.exp(-plogp.sum(-1)), size(1 - alpha, beta), size(alpha, 1 - beta)
    return Belief(probs, true, yes, *sizes, splits, errors)


def eig(key: PRNGKey, belief: Belief, /) -> Scores:
    """Expected information gain, in bits."""
    del key
    gain = _bits(belief.yes)
    if belief.errors is not None:
        alpha, beta = (_bits(jnp.asarray(rate, gain.dtype)) for rate in belief.errors[:2])
        gain = gain - belief.true * alpha - (1 - belief.true) * beta
    return gain


def erc(key: PRNGKey, belief: Belief, /) -> Scores:
    """Minus the expected number of remaining classes."""
    del key
    return -_remaining(belief)


def edc(key: PRNGKey, belief: Belief, /) -> Scores:
    """Expected decrease in the number of classes."""
    del key
    return belief.left[:, None] - _remaining(belief)


def ratio(key: PRNGKey, belief: Belief, /) -> Scores:
    """Information gain over remaining classes."""
    return eig(key, belief) / jnp.maximum(_remaining(belief), 1e-9)


def balanced(key: PRNGKey, belief: Belief, /) -> Scores:
    """How evenly what is left is split, whatever the network thinks of it: at best 1/2."""
    del key
    return jnp.minimum(belief.if_yes, belief.if_no) / belief.left[:, None]


QUESTIONS: dict[str, Strategy] = {f.__name__: f for f in (eig, erc, edc, ratio, balanced)}
PER_COST = ("eig", "edc")  # what a unit of cost buys; the others are no amount of anything


def any_of(
    names: Sequence[str], cost: Float[Array, " question"] | None = None
) -> Callable[..., Scores]:
    """`(index, key, belief) -> scores` by the strategy of that index, of questions that split.

    Args:
      names: in `QUESTIONS`.
      cost: of each question; scores are divided by it. By default all cost 1.

    Raises:
      InputError: no strategy has the name, or it cannot be divided by a cost.
    """
    for name in names:
        lookup(QUESTIONS, name, "question score")
        if cost is not None and name not in PER_COST:
            raise InputError(f"expected {' or '.join(PER_COST)} where costs differ, found {name}")
    price = 1.0 if cost is None else cost[None]
    score = by_index([lambda *a, s=QUESTIONS[name]: s(*a) / price for name in names])

    def of_splitting(index, key, belief):
        return jnp.where(belief.splits, score(index, key, belief), -jnp.inf)

    return of_splitting


def best(scores: Scores) -> tuple[Float[Array, " item"], Int[Array, " item"]]:
    """The best question of each item, the first of several, and its score; NaN is never best.

    Minus infinity if there is none.
    """
    scores = jnp.where(jnp.isnan(scores), -jnp.inf, scores)
    return scores.max(-1), scores.argmax(-1).astype(jnp.int32)


def _remaining(belief: Belief) -> Scores:
    # So written it is exact where both parts are as large: equals stay equal.
    return belief.if_no + belief.yes * (belief.if_yes - belief.if_no)


def _bits(chance):
    return (entr(chance) + entr(1 - chance)) / jnp.log(2.0)

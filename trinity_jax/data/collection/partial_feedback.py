"""Active learning with partial feedback: what a round asks, of which items, and what is then known.

Of an item only a set of labels is left. A question is about an item and a set of labels; whoever
knows the true label says yes or no, and the set shrinks. A round asks until its budget is spent:

    method           items                                     questions       leaves an item
    uniform          at random                                 balanced        when it is labelled
    al_me, al_lc     highest entropy, least confidence first   balanced        when it is labelled
    aq_eig, _erc...  at random                                 eig, erc, edc   when it is labelled
    alpf_eig, ...    whose best question scores highest        eig, erc, edc   after each answer
    random_partial   at random                                 erc             after each answer

alpf is a heap: the best question of all is asked, the posterior of its item is renormalised over
what is left (the network is not asked again), and its item goes back with its next best question.
Here all of a round is done at once. Unroll the questions s_1, s_2, ... that each item would be
asked to the end, and let min(s_1, ..., s_t) be the priority of the t-th: the first B that leave the
heap are the first B by priority, then item, then t. Priorities never rise along an item, so only
the B items with the highest s_1 are concerned. The other methods are the same with other
priorities: constant along an item where it is finished first, and, for `random_partial`, the times
at which a Poisson process of the item fires, which makes every next item uniformly random.

P. Hu, Z. C. Lipton, A. Anandkumar, D. Ramanan. Active learning with partial feedback. ICLR 2019,
section 3. Their code has no question for an item whose best scores zero twice over, and NaN where
the network excludes what is left; see `questions` for what is done here.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, ScalarLike, Shaped, UInt32

from trinity_jax.data.collection import questions
from trinity_jax.data.collection.questions import Errors
from trinity_jax.data.collection.strategies import by_index
from trinity_jax.types import PRNGKey, lookup

ITEMS_AT_ONCE = 8192  # whose scores of all questions are in memory together


class Method(NamedTuple):
    """Which items, which questions, and whether an item is finished once it is begun."""

    items: str
    question: str
    finish: bool


METHODS = {
    "uniform": Method("random", "balanced", True),
    "al_me": Method("entropy", "balanced", True),
    "al_lc": Method("least_confidence", "balanced", True),
    "aq_eig": Method("random", "eig", True),
    "aq_erc": Method("random", "erc", True),
    "aq_edc": Method("random", "edc", True),
    "alpf_eig": Method("question", "eig", False),
    "alpf_erc": Method("question", "erc", False),
    "alpf_edc": Method("question", "edc", False),
    "random_partial": Method("race", "erc", False),
}


class Asked(NamedTuple):
    """Questions about some items in the order they are asked, and the answers.

    Attributes:
      item: which items.
      question: -1 where there is none any more.
      yes: the answers.
      score: of each question; minus infinity where there is none.
      left: how many labels are left before it.
      taken: how many of them are asked.
    """

    item: Int[Array, " n"]
    question: Int[Array, "n step"]
    yes: Bool[Array, "n step"]
    score: Float[Array, "n step"]
    left: Float[Array, "n step"]
    taken: Int[Array, " n"]


def pack(left: Bool[Array, "*item label"]) -> UInt32[Array, "*item word"]:
    """Sets of labels as bits: label k is bit k % 32 of word k // 32."""
    missing = -left.shape[-1] % 32
    bits = jnp.pad(left, [(0, 0)] * (left.ndim - 1) + [(0, missing)])
    bits = bits.reshape(*left.shape[:-1], -1, 32).astype(jnp.uint32)
    weights = jnp.left_shift(jnp.uint32(1), jnp.arange(32, dtype=jnp.uint32))
    return (bits * weights.reshape((1,) * left.ndim + (32,))).sum(-1, dtype=jnp.uint32)


def unpack(words: UInt32[Array, "*item word"], labels: int) -> Bool[Array, "*item label"]:
    """The sets that `pack` packed."""
    label = jnp.arange(labels)
    shift = (label % 32).astype(jnp.uint32).reshape((1,) * (words.ndim - 1) + (-1,))
    return (jnp.right_shift(words[..., label // 32], shift) & 1).astype(bool)


def evidence_of(known: Shaped[Array, "item _"], labels: int) -> Float[Array, "item label"]:
    """Log-probability of the answers by label, from packed sets; evidence is as it is."""
    if known.dtype != jnp.uint32:
        return known
    return jnp.where(unpack(known, labels), 0.0, -jnp.inf)


def reveal(
    known: Shaped[Array, "item _"],
    truth: Int[Array, " item"],
    which: Bool[Array, " item"],
    labels: int,
) -> Shaped[Array, "item _"]:
    """What is known once the labels of some items are: packed sets or evidence, as before."""
    exact = jax.nn.one_hot(truth, labels) > 0
    exact = pack(exact) if known.dtype == jnp.uint32 else jnp.where(exact, 0.0, -jnp.inf)
    return jnp.where(which[:, None], exact, known)


def weigh(
    covered: Bool[Array, "*item label"], yes: Bool[Array, "*item"], errors: Errors | None = None
) -> Float[Array, "*item label"]:
    """Log-probability of an answer by label.

    Args:
      covered: the labels that the question is about.
      yes: the answer.
      errors: of the annotator; without, it is 0 or minus infinity.
    """
    right = covered == yes[..., None]
    if errors is None:
        return jnp.where(right, 0.0, -jnp.inf)
    if_true = jnp.where(yes, 1 - errors.false_negative, errors.false_negative)[..., None]
    if_false = jnp.where(yes, errors.false_positive, 1 - errors.false_positive)[..., None]
    return jnp.log(jnp.where(covered, if_true, if_false))


def score_pool(
    key: PRNGKey,
    score: Callable,
    log_probs: Float[Array, "item label"],
    known: Shaped[Array, "item _"],
    covers: Bool[Array, "question label"],
    errors: Errors | None = None,
    each: Callable[..., Any] = jax.lax.map,
) -> tuple[Float[Array, " item"], Int[Array, " item"]]:
    """The best question of every item, and its score; some thousand items at a time.

    Args:
      key: of the score.
      score: `(key, belief) -> scores`.
      log_probs: of the network.
      known: packed sets of what is left (uint32), or evidence.
      covers: which labels a question is about.
      errors: of the annotator, if any.
      each: maps items, as `jax.lax.map`; it may share them out.

    Returns:
      The scores, minus infinity where no question tells labels apart that are left.
    """
    bits = jax.random.key_data(key)

    def one(row):
        log_probs, known = (leaf[None] for leaf in row)
        belief = _believe(log_probs, evidence_of(known, covers.shape[1]), covers, errors)
        value, question = questions.best(score(jax.random.wrap_key_data(bits), belief))
        return value[0], question[0]

    return each(one, (log_probs, known), batch_size=ITEMS_AT_ONCE)


def unroll(
    key: PRNGKey,
    score: Callable,
    log_probs: Float[Array, "n label"],
    evidence: Float[Array, "n label"],
    truth: Int[Array, " n"],
    covers: Bool[Array, "question label"],
    steps: int,
    errors: Errors | None = None,
) -> Asked:
    """All questions that some items would be asked one after the other, and the oracle's answers.

    Args:
      key: of the score, and of wrong answers.
      score: see `score_pool`, as are `log_probs`, `covers` and `errors`.
      log_probs: of the network, which is not asked again.
      evidence: what is known of these items.
      truth: their labels, which the oracle knows.
      covers: which labels a question is about.
      steps: at most so many questions an item.
      errors: of the oracle.

    Returns:
      The questions, all counted; items are numbered from 0.
    """
    shape = (len(truth), steps)

    def step(carry):
        t, evidence, _, asked = carry
        key_score, key_answer = jax.random.split(jax.random.fold_in(key, t))
        belief = _believe(log_probs, evidence, covers, errors)
        value, question = questions.best(score(key_score, belief))
        going = jnp.isfinite(value)
        covered = covers[question]
        yes = jnp.take_along_axis(covered, truth[:, None], 1)[:, 0]
        if errors is not None:
            rate = jnp.where(yes, errors.false_negative, errors.false_positive)
            yes ^= jax.random.uniform(key_answer, yes.shape) < rate
        told = jnp.where(going[:, None], weigh(covered, yes, errors), 0)
        news = jnp.where(going, question, -1), yes & going, value, belief.left
        asked = [old.at[:, t].set(new) for old, new in zip(asked, news, strict=True)]
        return t + 1, evidence + told, going.any(), asked

    nothing = [jnp.full(shape, -1), jnp.zeros(shape, bool), jnp.full(shape, -jnp.inf)]
    nothing.append(jnp.ones(shape))
    start = (jnp.zeros((), int), evidence, jnp.ones((), bool), nothing)
    *_, asked = jax.lax.while_loop(lambda carry: (carry[0] < steps) & carry[2], step, start)
    question, yes, value, left = asked
    return Asked(jnp.arange(len(truth)), question, yes, value, left, (question >= 0).sum(1))


def ask(
    key: PRNGKey,
    methods: Sequence[str],
    index: Int[Array, ""] | int,
    log_probs: Float[Array, "item label"],
    known: Shaped[Array, "item _"],
    truth: Int[Array, " item"],
    covers: Bool[Array, "question label"],
    budget: ScalarLike,
    most: int,
    *,
    cap: int = 0,
    cost: Float[Array, " question"] | None = None,
    errors: Errors | None = None,
    each: Callable[..., Any] = jax.lax.map,
) -> Asked:
    """A round: questions are asked while what those before cost is less than the budget.

    Args:
      key: of whatever is random.
      methods: in `METHODS`, static.
      index: which of them.
      log_probs: of the network, for every item.
      known: packed sets of what is left (uint32), or evidence.
      truth: the labels, which the oracle knows.
      covers: which labels a question is about.
      budget: of the round. Methods that finish an item finish the last one too.
      most: no more items are asked about, static; questions of the round, if they all cost 1.
      cap: at most so many questions about an item in a round, 0 for any number.
      cost: of each question; by default all cost 1.
      errors: of the oracle.
      each: see `score_pool`.

    Returns:
      The questions, about `most` items (of the pool, ascending), of which `taken` are asked.

    Raises:
      InputError: no method has the name, or its score cannot be divided by a cost.
    """
    how = [lookup(METHODS, name, "method") for name in methods]
    score_of = questions.any_of([method.question for method in how], cost)
    score = lambda key, belief: score_of(index, key, belief)
    key_pool, key_items, key_unroll = jax.random.split(key, 3)
    value, _ = score_pool(key_pool, score, log_probs, known, covers, errors, each)
    rank = by_index([ITEMS[method.items] for method in how])
    first = rank(index, key_items, log_probs, evidence_of(known, covers.shape[1]), value)
    first = jnp.where(jnp.isfinite(value) & ~jnp.isnan(first), first, -jnp.inf)
    item = jnp.sort(jax.lax.top_k(first, min(most, len(first)))[1])
    steps = min(cap, covers.shape[1]) if cap else covers.shape[1]
    evidence = evidence_of(known[item], covers.shape[1])
    asked = unroll(key_unroll, score, log_probs[item], evidence, truth[item], covers, steps, errors)
    along = by_index([ALONG.get(method.items, constant) for method in how])
    priority = along(index, jax.random.fold_in(key_items, 1), first[item], asked.score)
    priority = jnp.where(asked.question >= 0, priority, -jnp.inf)
    count = _take(priority, asked.question, budget, cost)
    finish = jnp.array([method.finish for method in how])[index]
    return asked._replace(item=item, taken=jnp.where(finish & (count > 0), asked.taken, count))


def tell(
    known: Shaped[Array, "item _"],
    asked: Asked,
    covers: Bool[Array, "question label"],
    errors: Errors | None = None,
) -> Shaped[Array, "item _"]:
    """What is known after these answers.

    Args:
      known: before: packed sets of what is left, or evidence.
      asked: the questions, of which `taken` are asked.
      covers: which labels a question is about.
      errors: of the annotator.
    """
    steps = asked.question.shape[1]

    def one(t, evidence):
        told = weigh(covers[asked.question[:, t]], asked.yes[:, t], errors)
        return evidence + jnp.where((t < asked.taken)[:, None], told, 0)

    last = jnp.minimum(asked.taken.max(), steps)
    evidence = evidence_of(known[asked.item], covers.shape[1])
    evidence = jax.lax.fori_loop(0, last, one, evidence)
    if known.dtype != jnp.uint32:
        return known.at[asked.item].set(evidence)
    return known.at[asked.item].set(pack(evidence == 0))


def _believe(log_probs, evidence, covers, errors):
    probs = questions.posterior(log_probs, evidence)
    return questions.believe(probs, evidence > -jnp.inf, covers, errors)


def _take(priority, question, budget, cost):
    """How many questions of each item are among those that the budget pays."""
    flat = priority.ravel()  # items ascend, so a stable sort leaves equals in their order
    order = jnp.argsort(-flat, stable=True)
    price = jnp.ones_like(flat) if cost is None else cost[question.ravel()]
    price = jnp.where(jnp.isfinite(flat), price, 0)[order]
    taken = (jnp.cumsum(price) - price < budget) & (price > 0)
    return jnp.zeros_like(flat, bool).at[order].set(taken).reshape(priority.shape).sum(1)


def random(key, log_probs, evidence, value):
    """In random order."""
    del log_probs, evidence
    return jax.random.uniform(key, value.shape)


def entropy(key, log_probs, evidence, value):
    """The highest entropy of what is believed first."""
    del key, value
    return jax.scipy.special.entr(questions.posterior(log_probs, evidence)).sum(-1)


def least_confidence(key, log_probs, evidence, value):
    """The least probable favourite first."""
    del key, value
    return -questions.posterior(log_probs, evidence).max(-1)


def question(key, log_probs, evidence, value):
    """The best question first."""
    del key, log_probs, evidence
    return value


def race(key, log_probs, evidence, value):
    """The first to fire."""
    del log_probs, evidence
    return -jax.random.exponential(key, value.shape)


def constant(key, first, scores):
    """An item is finished before the next begins."""
    del key
    return jnp.broadcast_to(first[:, None], scores.shape)


def falling(key, first, scores):
    """No question is asked before those that lead to it."""
    del key, first
    return jax.lax.cummin(scores, axis=1)


def arrivals(key, first, scores):
    """Minus the times at which an item fires."""
    waits = jax.random.exponential(key, scores.shape).at[:, 0].set(-first)
    return -jnp.cumsum(waits, axis=1)


ITEMS = {f.__name__: f for f in (random, entropy, least_confidence, question, race)}
ALONG = {"question": falling, "race": arrivals}

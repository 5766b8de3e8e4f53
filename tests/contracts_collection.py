"""Contracts of what chooses: scores of sentences, selectors, scores of questions, whole rounds."""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from contracts import (
    Kind,
    Variant,
    alike,
    close,
    every,
    extreme,
    finite,
    first,
    moved,
    normal,
    same,
)

from trinity_jax.algorithms.decoding import Decoded
from trinity_jax.data.collection import acquisition, partial_feedback, questions, selectors
from trinity_jax.data.collection.passes import Passes, entropy
from trinity_jax.data.collection.selection import Pool

SENTENCES, TOKENS, TAGS, PASSES = 6, 5, 4, 7
BROKEN, OTHERS = 2, np.arange(SENTENCES) != 2


class Tagged(NamedTuple):
    """Logits of a tagger, without dropout and with, and words of each sentence."""

    logits: Any  # [sentence, token, tag]
    dropped: Any  # [sentence, pass, token, tag]
    length: Any


def believe(tagged: Tagged) -> acquisition.Belief:
    """What the passes say, by plain sums over them."""
    log_probs, runs = (jax.nn.log_softmax(jnp.asarray(x)) for x in tagged[:2])
    mask = jnp.arange(log_probs.shape[1])[None] < jnp.asarray(tagged.length)[:, None]
    tags = runs.argmax(-1)
    equal = (tags[:, :, None] == tags[:, None]) | ~mask[:, None, None]
    passes = Passes(
        jax.nn.one_hot(tags, runs.shape[-1], dtype=jnp.int32).sum(1),
        jnp.exp(runs).mean(1),
        entropy(runs).mean(1),
        runs.max(-1).mean(1),
        equal.all(-1).sum(2).max(1),
    )
    decoded = Decoded(log_probs.argmax(-1), log_probs.max(-1), log_probs)
    return acquisition.Belief(mask, decoded, passes)


def sentences() -> Kind:
    """Scores of sentences; a sentence is scored by what its own words are."""
    scores = {name: of.score for name, of in acquisition.ACQUISITIONS.items()}
    logits = normal(SENTENCES, TOKENS, TAGS, scale=2)
    dropped = logits[:, None] + normal(SENTENCES, PASSES, TOKENS, TAGS)
    plain = Tagged(logits, dropped, np.array([5, 3, 4, 1, 2, 5], np.int32))
    turn, names = np.array([3, 0, 5, 1, 4, 2]), np.array([2, 0, 3, 1])
    rows = lambda order: Tagged(*(leaf[order] for leaf in plain))
    both = lambda change: plain._replace(logits=change(logits), dropped=change(dropped))
    masked = np.arange(TOKENS)[:, None] >= plain.length[:, None, None, None]
    beyond = Tagged(
        np.where(masked[:, 0], np.nan, logits), np.where(masked, np.nan, dropped), plain.length
    )
    one = (np.arange(TAGS) == 1) * np.float32(1e4)
    variants = {
        "items in another order": Variant(rows(turn), moved(turn)),
        "classes in another order": Variant(both(lambda x: x[..., names]), same),
        "an item twice": Variant(rows([0, 0, 2, 3, 4, 5]), alike),
        "what has no weight is anything": Variant(beyond, same),
        "nothing is there": Variant(plain._replace(length=0 * plain.length), nothing),
        "one class only": Variant(both(lambda x: 0 * x + one), nothing),
        "extreme logits": Variant(both(lambda x: extreme(*x.shape)), finite),
        "an item is NaN": Variant(rows_nan(plain), not_a_number),
    }
    run = lambda key, tagged, names=None: every(scores, key, believe(tagged), names=names)
    return Kind(tuple(scores), run, plain, variants, Variant(rows([0]), first), ("random",))


def rows_nan(plain: Any) -> Any:
    """With one item that is NaN in all its numbers."""

    def change(leaf):
        if leaf.dtype.kind != "f":
            return leaf
        return np.where(
            (np.arange(len(leaf)) == BROKEN).reshape(-1, *[1] * (leaf.ndim - 1)), np.nan, leaf
        )

    return type(plain)(*map(change, plain))


def nothing(name: str, found: Any, plain: Any) -> None:
    """What is not there, or beyond doubt, scores nothing."""
    del name, plain
    np.testing.assert_allclose(found, 0, atol=1e-6)


def not_a_number(name: str, found: Any, plain: Any) -> None:
    """It is seen in its own score, and in no other."""
    del name
    assert not np.isfinite(found[BROKEN])
    close(found[OTHERS], plain[OTHERS])


class Asked(NamedTuple):
    """A pool, and the words that may be asked."""

    pool: Pool
    budget: Any


NEVER_PASS = ("under", "fit", "facility_location", "sieve_streaming")
WITHOUT_SCORES = ("k_center", "badge", "typiclust")
MOST = np.int32(2**31 - 1)


def pools() -> Kind:
    """Selectors of sentences, under a budget of words."""
    ways = {name: selector.select for name, selector in selectors.SELECTORS.items()}
    ways["typiclust"] = functools.partial(ways["typiclust"], num_clusters=3)
    size = 12
    number = np.arange(size)
    known, able = number < 2, (number >= 2) & (number < 10)  # the last two are neither
    length = np.array([3, 1, 4, 1, 5, 9, 2, 6, 5, 3, 5, 8], np.int32)
    plain = Pool(length, able, known, np.abs(normal(size)), normal(size, 3))
    turn = np.roll(number, 5)
    pool = lambda **parts: Asked(plain._replace(**parts), np.int32(12))
    spend = lambda budget: Asked(plain, np.int32(budget))
    rows = lambda order: Asked(Pool(*(leaf[order] for leaf in plain)), np.int32(12))
    scores, features = np.copy(plain.scores), np.copy(plain.features)
    scores[10:], features[10:] = np.nan, np.inf
    poisoned = rows_nan(plain)
    flat = {"scores": np.ones_like(scores), "features": np.ones_like(features)}
    one = Pool(*(leaf[5:6] for leaf in plain))
    legal = lambda asked: Variant(asked, functools.partial(spent, asked))
    twice = [0, 1, 2, 2, *range(4, size)]
    variants = {
        "items in another order": Variant(
            rows(turn), lambda name, found, plain: close(found.chosen, plain.chosen[turn])
        ),
        "an item twice": legal(rows(twice)),
        "what has no weight is anything": Variant(pool(scores=scores, features=features), same),
        "nothing is there": legal(pool(available=known & False, labelled=~known)),
        "nothing is labelled": legal(pool(labelled=known & False)),
        "one is there": legal(pool(available=number == 4, labelled=number != 4)),
        "the budget is above all": legal(spend(1000)),
        "the budget is the largest number": legal(spend(MOST)),
        "the budget is nothing": legal(spend(0)),
        "the budget is below nothing": legal(spend(-5)),
        "all are alike": legal(pool(**flat)),
        "extreme logits": legal(pool(scores=extreme(size), features=extreme(size, 3))),
        "squares above all numbers": legal(pool(features=1e30 * plain.features)),
        "an item is NaN": legal(Asked(poisoned, np.int32(1000))),
    }
    run = lambda key, asked, names=None: every(ways, key, *asked, names=names)
    alone = Asked(one, np.int32(1000))
    single = Variant(alone, functools.partial(spent, alone))
    random = ("power", "badge", "typiclust")
    return Kind(tuple(ways), run, spend(12), variants, single, random, ("power",))


def spent(asked: Asked, name: str, found: Any, plain: Any) -> None:
    """Only what may be chosen is, for as many words as are paid and there."""
    del plain
    pool, budget = asked.pool, int(asked.budget)
    may = pool.available & (pool.length > 0)
    if name not in WITHOUT_SCORES:
        may &= np.isfinite(pool.scores)
    if selectors.SELECTORS[name].features != "none":
        may &= np.isfinite(pool.features).all(1)
    words = pool.length[found.chosen].sum()
    assert not (found.chosen & ~may).any()
    assert found.words == words
    if budget >= pool.length[may].sum():
        np.testing.assert_array_equal(found.chosen, may)
    elif name in NEVER_PASS:
        assert words <= max(budget, 0)
    else:
        assert words >= budget
        assert words - pool.length[found.chosen].max(initial=0) < max(budget, 1)


class Posed(NamedTuple):
    """What a network says of items, the labels that are left, and what may be asked."""

    logits: Any  # [item, label]
    left: Any
    covers: Any  # [question, label]


LABELS = 5
COVERS = np.vstack([np.eye(LABELS, dtype=bool), [[1, 1, 0, 0, 0], [0, 1, 1, 1, 0]]]).astype(bool)


def posed() -> Posed:
    left = np.array(
        [
            [1, 1, 1, 1, 1],
            [1, 1, 0, 0, 0],
            [0, 1, 1, 1, 0],
            [1, 0, 1, 0, 1],
            [0, 0, 0, 1, 1],
            [1, 1, 1, 0, 0],
        ]
    )
    return Posed(normal(SENTENCES, LABELS), left.astype(bool), COVERS)


def evidence(asked: Posed) -> Any:
    return jnp.where(jnp.asarray(asked.left), 0.0, -jnp.inf)


def ask_questions() -> Kind:
    """Scores of questions about items; those that tell nothing apart score minus infinity."""
    score = {name: questions.any_of([name]) for name in questions.QUESTIONS}
    ways = {name: lambda key, belief, of=of: of(0, key, belief) for name, of in score.items()}
    plain = posed()
    turn, order, names = (
        np.array([3, 0, 5, 1, 4, 2]),
        np.array([6, 1, 0, 5, 3, 2, 4]),
        np.array([4, 2, 0, 1, 3]),
    )
    rows = lambda order: plain._replace(logits=plain.logits[order], left=plain.left[order])
    one = np.eye(LABELS, dtype=bool)[[0, 1, 2, 3, 4, 0]]
    excluded = np.where(plain.left, np.float32(-1e4), np.float32(0))
    other = np.where(plain.left, plain.logits, plain.logits + 1)

    def run(key, asked, names=None):
        log_probs = jax.nn.log_softmax(jnp.asarray(asked.logits))
        probs = questions.posterior(log_probs, evidence(asked))
        belief = questions.believe(probs, jnp.asarray(asked.left), jnp.asarray(asked.covers))
        found = every(ways, key, belief, names=names)
        return {name: (scores, questions.best(scores)[0]) for name, scores in found.items()}

    variants = {
        "items in another order": Variant(rows(turn), moved(turn)),
        "questions in another order": Variant(
            plain._replace(covers=COVERS[order]),
            lambda name, found, plain: close(found[0], plain[0][:, order]),
        ),
        "classes in another order": Variant(Posed(*(x[:, names] for x in plain)), same),
        "an item twice": Variant(rows([0, 0, 2, 3, 4, 5]), alike),
        "what has no weight is anything": Variant(plain._replace(logits=other), same),
        "one class only": Variant(plain._replace(left=one), nothing_to_ask),
        "extreme logits": Variant(plain._replace(logits=extreme(SENTENCES, LABELS)), a_number),
        "what is left is excluded": Variant(plain._replace(logits=excluded), a_number),
        "an item is NaN": Variant(plain._replace(logits=rows_nan(plain).logits), not_asked),
    }
    return Kind(tuple(ways), run, plain, variants, Variant(rows([0]), first), (), ("eig",))


def nothing_to_ask(name: str, found: Any, plain: Any) -> None:
    del name, plain
    assert (found[0] == -np.inf).all()


def a_number(name: str, found: Any, plain: Any) -> None:
    """Each item's best question has a finite score."""
    del name, plain
    assert not np.isnan(found[0]).any()
    assert np.isfinite(found[1]).all()


def not_asked(name: str, found: Any, plain: Any) -> None:
    del name
    assert found[1][BROKEN] == -np.inf
    close(found[1][OTHERS], plain[1][OTHERS])


class Round(NamedTuple):
    """What is asked in a round, of whom, and for how much."""

    posed: Posed
    truth: Any
    budget: Any


def rounds() -> Kind:
    """Whole rounds of partial feedback: what is left of each item's labels after the answers."""
    methods, asked = tuple(partial_feedback.METHODS), posed()
    truth = np.array([1, 0, 3, 2, 4, 1], np.int32)
    turn = np.array([3, 0, 5, 1, 4, 2])
    rows = lambda order: Posed(asked.logits[order], asked.left[order], COVERS)
    of = lambda posed, budget=3: Round(posed, truth, np.float32(budget))
    exact = np.eye(LABELS, dtype=bool)[truth]

    def way(name):
        def ask(key, round_):
            (logits, _, covers), truth, budget = (
                jax.tree.map(jnp.asarray, part) for part in round_
            )
            known, log_probs = evidence(round_.posed), jax.nn.log_softmax(logits)
            more = known, truth, covers, budget, len(truth)
            found = partial_feedback.ask(key, [name], 0, log_probs, *more)
            return partial_feedback.tell(known, found, covers) == 0

        return ask

    ways = {name: way(name) for name in methods}
    run = lambda key, round_, names=None: every(ways, key, round_, names=names)
    answered = lambda left: lambda name, found, plain: np.testing.assert_array_equal(found, left)
    variants = {
        "items in another order": Variant(
            Round(rows(turn), truth[turn], np.float32(3)), moved(turn)
        ),
        "nothing is there": Variant(of(asked._replace(left=exact)), answered(exact)),
        "the budget is above all": Variant(of(asked, 1000), answered(exact)),
        "the budget is nothing": Variant(of(asked, 0), answered(asked.left)),
        "the budget is below nothing": Variant(of(asked, -5), answered(asked.left)),
        "extreme logits": Variant(
            of(asked._replace(logits=extreme(SENTENCES, LABELS))), true_to(truth)
        ),
        "an item is NaN": Variant(
            of(asked._replace(logits=rows_nan(asked).logits), 1000), unasked(asked, exact)
        ),
    }
    single = Round(rows([0]), truth[:1], np.float32(1000))
    one = Variant(
        single, lambda name, found, plain: np.testing.assert_array_equal(found, exact[:1])
    )
    random = tuple(
        n for n, of in partial_feedback.METHODS.items() if of.items in ("random", "race")
    )
    return Kind(methods, run, of(asked), variants, one, random)


def true_to(truth: np.ndarray):
    """The true label is always left, and something was asked."""

    def check(name, found, plain):
        del name, plain
        assert found[np.arange(len(truth)), truth].all()
        assert (found.sum(1) < posed_left().sum(1)).any()

    return check


def posed_left() -> np.ndarray:
    return posed().left


def unasked(asked: Posed, exact: np.ndarray):
    """An item of which the network says nothing is not asked about; all others are."""

    def check(name, found, plain):
        del name, plain
        np.testing.assert_array_equal(found[BROKEN], asked.left[BROKEN])
        np.testing.assert_array_equal(found[OTHERS], exact[OTHERS])

    return check

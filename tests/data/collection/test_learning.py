"""Learning from buckets and reading them: against plain loops over the sentences."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from trinity_jax.algorithms import spans, tagger
from trinity_jax.data.collection import learning, querying, reading
from trinity_jax.data.collection.acquisition import ACQUISITIONS
from trinity_jax.data.collection.corpus import CASES, encode
from trinity_jax.data.collection.diversity import gradient_sketch
from trinity_jax.data.collection.selection import Pool
from trinity_jax.data.sources import Sentence

TYPES = ("PER",)
NAMES = ["Ann", "Bob", "Cyd", "Dan", "Eve"]
BATCH = 4


def made(count, seed):
    """A name is what follows `mr` or is one of those known."""
    random, sentences = np.random.default_rng(seed), []
    for _ in range(count):
        tokens, tags = [], []
        for _ in range(random.integers(1, 4)):
            if random.random() < 0.5:
                tokens += ["mr", str(random.choice(NAMES))]
                tags += ["O", "B-PER"]
            else:
                tokens += ["a", str(random.choice(["dog", "cat"]))]
                tags += ["O", "O"]
        sentences.append(Sentence(tuple(tokens), tuple(tags), ""))
    return sentences


TRAIN, TEST = made(21, 0), made(9, 1)
ENCODED = encode((TRAIN, TEST), TYPES, max_chars=5, num_widths=2, multiple=BATCH)
SIZE = len(TRAIN) + len(TEST)
IN_TRAIN = np.arange(SIZE) < len(TRAIN)
SIZES = tagger.Sizes(*(4, 4, 6, 2, 8), layers=1, hidden=6, tag_embedding=3, dropout=0.2)


def of(sizes):
    known = ENCODED.vocabulary
    counts = (len(known.chars), len(known.words), len(CASES), len(ENCODED.tags))
    return tagger.tagger(sizes, tagger.VocabularySizes(*counts))


@pytest.fixture(scope="module")
def model():
    return of(SIZES)


@pytest.fixture(scope="module")
def arrays():
    return jax.tree.map(jnp.asarray, (ENCODED.forms, ENCODED.buckets))


@pytest.fixture(scope="module")
def trained(model, arrays):
    """`(key, params, labelled) -> (params, loss)` compiled once, and the list of its traces."""
    traces = []
    recipe = learning.Recipe(model, *learning.adam(0.02), BATCH, epochs=30)

    @jax.jit
    def run(key, params, labelled):
        traces.append(1)
        return learning.train(key, recipe, params, *arrays, labelled)

    return run, traces


def test_it_learns_whatever_is_labelled_in_one_program(model, arrays, trained):
    run, traces = trained
    start = model.init(jax.random.key(0))
    params, loss = run(jax.random.key(1), start, jnp.asarray(IN_TRAIN))
    few = jnp.asarray(np.arange(SIZE) == 3)
    _, loss_few = run(jax.random.key(1), start, few)
    assert len(traces) == 1
    assert np.isfinite([loss, loss_few]).all()
    given = (("mnlp",), 0, model, params, *arrays, SIZE)
    found = reading.read(jax.random.key(2), *given, num_types=1, batch_size=BATCH)
    right, got, true = np.array(found.spans)[~IN_TRAIN].sum((0, 2))
    assert true == sum(s.tags.count("B-PER") for s in TEST) > 5
    assert 2 * right / (got + true) > 0.9


def test_unlabelled_sentences_and_tags_are_not_looked_at(model, arrays, trained):
    """Tags that are not known may be anything."""
    forms, buckets = arrays
    labelled = jnp.asarray(IN_TRAIN & (np.arange(SIZE) % 3 == 0))
    recipe = learning.Recipe(model, *learning.adam(0.02), BATCH, epochs=1, min_steps=3)
    run = jax.jit(
        lambda key, buckets: learning.train(
            key, recipe, model.init(jax.random.key(0)), forms, buckets, labelled
        )
    )
    known = [labelled.at[bucket.index].get(mode="fill", fill_value=False) for bucket in buckets]
    other = tuple(
        bucket._replace(tag=jnp.where(mine[:, None], bucket.tag, 2))
        for bucket, mine in zip(buckets, known, strict=True)
    )
    one, two = (run(jax.random.key(1), b) for b in (buckets, other))
    jax.tree.map(np.testing.assert_array_equal, one, two)


def test_an_epoch_takes_every_labelled_sentence_once(arrays):
    _, buckets = arrays
    labelled = jnp.asarray(IN_TRAIN & (np.arange(SIZE) % 4 > 0))
    orders = set()
    for seed in range(3):
        epoch = learning._epoch(jax.random.key(seed), buckets, labelled, BATCH)
        of_bucket, of_slot = learning._slots(buckets, BATCH)
        seen = []
        for batch in epoch.batches[: epoch.number]:
            bucket, slot = int(of_bucket[batch]), int(of_slot[batch])
            places = range(slot * BATCH, min((slot + 1) * BATCH, int(epoch.counts[bucket])))
            seen += [int(buckets[bucket].index[epoch.rows[bucket][place]]) for place in places]
        assert sorted(seen) == np.flatnonzero(labelled).tolist()
        orders.add(tuple(seen))
    assert len(orders) == 3


def test_the_number_of_steps(model, arrays):
    """Passes over what is labelled, or as many as the least number of steps takes."""
    counting = optax.GradientTransformation(
        lambda params: jnp.zeros(()),
        lambda updates, state, params: (jax.tree.map(jnp.zeros_like, updates), state + 1),
    )
    seen = []

    def rate(done):
        jax.debug.callback(lambda d: seen.append(float(d)), done, ordered=True)
        return jnp.zeros(())

    labelled = jnp.asarray(IN_TRAIN)
    number = int(learning._epoch(jax.random.key(0), arrays[1], labelled, BATCH).number)
    for epochs, least, expected in ((2, 0, 2 * number), (1, number + 2, number + 2)):
        recipe = learning.Recipe(model, counting, rate, BATCH, epochs, least)
        start = model.init(jax.random.key(0))
        seen.clear()
        jax.block_until_ready(learning.train(jax.random.key(1), recipe, start, *arrays, labelled))
        jax.effects_barrier()
        np.testing.assert_allclose(seen, np.arange(expected) / expected, atol=1e-6)


@pytest.mark.parametrize("decoder", ["lstm", "crf"])
def test_reading_equals_reading_sentence_by_sentence(decoder, arrays):
    forms, buckets = arrays
    model = of(SIZES._replace(decoder=decoder))
    params = jax.tree.map(lambda leaf: leaf + 0.3, model.init(jax.random.key(3)))
    names = ("random", "mnlp", "least_confidence", "bald")

    @jax.jit
    def read(index):
        given = (names, index, model, params, forms, buckets, SIZE)
        how = {"num_types": 1, "batch_size": BATCH, "num_passes": 4, "chunk": 2}
        return reading.read(jax.random.key(4), *given, **how)

    found = {name: read(index) for index, name in enumerate(names)}
    assert len(set(np.array(found["random"].scores).tolist())) == SIZE
    assert ((found["bald"].scores >= 0) & (found["bald"].scores < 1)).all()
    features = model.encode_forms(params, forms)
    numbers = {string: number for number, string in enumerate(ENCODED.strings)}
    tag_of = {tag: number for number, tag in enumerate(ENCODED.tags)}
    for place, sentence in list(enumerate(itertools.chain(TRAIN, TEST)))[::3]:
        form = jnp.array([[numbers[token] for token in sentence.tokens]])
        length = jnp.array([len(sentence.tokens)])
        encoded = model.encode(params, features, tagger.Tokens(form, length))
        decoded = model.greedy(params, encoded, length)
        loss = -float(model.log_likelihood(params, encoded, decoded.tags, length)[0])
        assert found["least_confidence"].scores[place] == pytest.approx(loss, rel=1e-4)
        assert found["mnlp"].scores[place] == pytest.approx(loss / len(sentence.tokens), rel=1e-4)
        true = jnp.array([[tag_of[tag] for tag in spans.iob2_to_bioes(sentence.tags)]])
        counts = np.stack(spans.span_counts(decoded.tags, true, length, 1))
        np.testing.assert_array_equal(found["mnlp"].spans[place], counts)


def test_features_are_those_of_each_sentence(model, arrays):
    forms, buckets = arrays
    params = model.init(jax.random.key(3))
    given = (model, params, forms, buckets, SIZE, BATCH)
    found = {
        kind: np.array(
            jax.jit(lambda kind=kind: reading.features(jax.random.key(5), kind, *given))()
        )
        for kind in ("encoder", "gradient", "fixed")
    }
    of_form = model.encode_forms(params, forms)
    numbers = {string: number for number, string in enumerate(ENCODED.strings)}
    for place, sentence in list(enumerate(itertools.chain(TRAIN, TEST)))[::3]:
        form = jnp.array([[numbers[token] for token in sentence.tokens]])
        length = jnp.array([len(sentence.tokens)])
        h = model.encode(params, of_form, tagger.Tokens(form, length))
        token_log_probs = model.greedy(params, h, length).token_log_probs
        there = jnp.ones(form.shape, bool)
        sketch = gradient_sketch(jax.random.key(5), token_log_probs, h, there, reading.SKETCH)
        words = np.array(params["words"])[ENCODED.forms.word[form[0]]]
        np.testing.assert_allclose(found["encoder"][place], h[0].mean(0), atol=1e-5)
        np.testing.assert_allclose(found["gradient"][place], sketch[0], atol=1e-4)
        np.testing.assert_allclose(found["fixed"][place, :6], words.mean(0), atol=1e-5)
        assert found["fixed"][place, 6:].sum() == pytest.approx(1)


def test_random_scores_are_all_different_however_long_a_sentence_is(model):
    """And whatever kind of key is given."""
    long = Sentence(("a", "dog") * 1100, ("O",) * 2200, "")
    encoded = encode(([*TRAIN[:5], long], TEST), TYPES, max_chars=5, num_widths=2, multiple=BATCH)
    forms, buckets = jax.tree.map(jnp.asarray, (encoded.forms, encoded.buckets))
    size = 6 + len(TEST)

    @jax.jit
    def read(key):
        given = (model, model.init(jax.random.key(0)), forms, buckets, size, BATCH)
        return reading.read(key, ("random",), 0, *given, num_types=1).scores

    for key in (jax.random.key(4), jax.random.key(4, impl="rbg")):
        assert len(set(np.array(read(key)).tolist())) == size


def test_words_that_nobody_labelled_are_unknown_unless_they_have_vectors(arrays):
    forms, buckets = arrays
    labelled = jnp.asarray(np.arange(SIZE) == 3)
    words = ENCODED.vocabulary.words
    has_vector = jnp.asarray([word == "cat" for word in words])
    found = jax.jit(reading.understood)(forms, buckets, labelled, has_vector).word
    for form, string in enumerate(ENCODED.strings):
        kept = string in {*TRAIN[3].tokens, "cat", ""} and string in words
        assert found[form] == (forms.word[form] if kept else 1), string


def test_words_of_no_labelled_sentence_keep_their_vectors(model, arrays, trained):
    """Their rows are not even read; all others move."""
    start = model.init(jax.random.key(0))
    labelled = np.arange(SIZE) == 3
    params, _ = trained[0](jax.random.key(1), start, jnp.asarray(labelled))
    moved = np.flatnonzero((params["words"] != start["words"]).any(1))
    known = {word: row for row, word in enumerate(ENCODED.vocabulary.words) if word}
    assert {known[token] for token in TRAIN[3].tokens} <= {*moved.tolist()}
    assert {*moved.tolist()} <= {0, 1, *(known[token] for token in TRAIN[3].tokens)}


def test_every_strategy_asks_within_one_program():
    random = np.random.default_rng(0)
    length = jnp.asarray(random.integers(1, 9, 40))
    labelled = jnp.arange(40) < 5
    available = ~labelled & (jnp.arange(40) < 35)
    names, traces = tuple(querying.STRATEGIES), []
    kinds = querying.kinds(names)
    points = {kind: jnp.asarray(random.normal(size=(40, 3)), jnp.float32) for kind in kinds}
    scores = jnp.asarray(random.random(40), jnp.float32)
    pool = Pool(length, available, labelled, scores, jnp.zeros((40, 0)))
    assert set(names) > set(ACQUISITIONS)

    @jax.jit
    def ask(key, index, budget):
        traces.append(1)
        return querying.ask(key, names, index, pool, points, budget)

    for index, name in enumerate(names):
        asked = ask(jax.random.key(index), index, 20)
        assert not (asked.chosen & ~available).any(), name
        assert 0 < asked.words < 20 + 9
        assert asked.words == length[asked.chosen].sum()
    assert len(traces) == 1
    mnlp = names.index("mnlp")
    best = ask(jax.random.key(0), mnlp, 20).chosen
    order = np.argsort(np.where(available, -np.array(pool.scores), np.inf))
    before = np.cumsum(np.array(length)[order]) - np.array(length)[order]
    assert set(np.flatnonzero(best)) == set(order[before < 20])
    under = querying.ask(jax.random.key(0, impl="rbg"), names, mnlp, pool, points, 20, "under")
    assert set(np.flatnonzero(under.chosen)) == set(order[before + np.array(length)[order] <= 20])
    with pytest.raises(KeyError, match="gradient"):
        querying.ask(jax.random.key(0), ["badge"], 0, pool, {"encoder": points["encoder"]}, 20)

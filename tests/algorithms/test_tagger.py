"""What every tagger promises, whatever its decoder; the encoder; and that it learns."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from trinity_jax.algorithms import encoder
from trinity_jax.algorithms.decoding import Rules
from trinity_jax.algorithms.tagger import (
    LAPTOP,
    PAPER,
    Forms,
    Sizes,
    Tokens,
    VocabularySizes,
    tagger,
)
from trinity_jax.types import InputError

SMALL = Sizes(5, 6, 7, 3, 8, hidden=4, tag_embedding=3)
COUNTS = VocabularySizes(chars=20, words=30, cases=5, tags=3)
DECODERS = ("lstm", "crf", "softmax")
TOKENS, NUM_FORMS, CHARS, WIDER = 3, 40, 6, 4
LENGTH = np.array([3, 1, 0, 2], np.int32)
EVERY = np.array(list(itertools.product(range(COUNTS.tags), repeat=TOKENS)), np.int32)
RULES = Rules(
    start=np.array([True, False, True]),
    transition=np.array([[True, True, False], [False, False, True], [True, True, True]]),
    end=np.array([True, True, False]),
)


def there(width=TOKENS):
    return np.arange(width)[None] < LENGTH[:, None]


def legal(sequence):
    return not len(sequence) or (
        RULES.start[sequence[0]]
        and RULES.end[sequence[-1]]
        and all(RULES.transition[step] for step in itertools.pairwise(sequence))
    )


def some_params(functions):
    """Parameters that are not those of the beginning, some of which are 0."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(functions.init, jax.random.key(0))
    return jax.tree.map(lambda leaf: rng.normal(size=leaf.shape).astype(np.float32) / 2, shapes)


def close(left, right, atol=1e-6):
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=atol)


@pytest.fixture(params=DECODERS, scope="module")
def said(request):
    """All that a decoder says of some h, and of the same h in wider padding."""
    functions = tagger(SMALL._replace(decoder=request.param), COUNTS)
    h = np.random.default_rng(1).normal(size=(len(LENGTH), TOKENS, 24)).astype(np.float32)
    wide = np.pad(h, ((0, 0), (0, WIDER), (0, 0)), constant_values=9)

    def say(params, h, wide, length):
        beam = lambda h, width, *rules: functions.beam(params, h, length, width, *rules)
        likelihood = lambda h, y: functions.log_likelihood(params, h, y, length)
        same = lambda y: jnp.tile(y[None], (len(LENGTH), 1))
        greedy = functions.greedy(params, h, length)
        slopes = lambda p: functions.log_likelihood(p, h, same(jnp.array([1, 0, 2])), length)
        return {
            "every": jax.vmap(lambda y: likelihood(h, same(y)))(EVERY),
            "greedy": greedy,
            "beam 1": beam(h, 1),
            "beam 4": beam(h, 4),
            "full beam": beam(h, len(EVERY)),
            "taught": functions.teacher(params, h, greedy.tags, length),
            "legal": functions.greedy(params, h, length, RULES),
            "legal beam": beam(h, len(EVERY), RULES),
            "wide greedy": functions.greedy(params, wide, length),
            "wide beam 4": beam(wide, 4),
            "wide every": likelihood(wide, jnp.pad(same(EVERY[-1]), ((0, 0), (0, WIDER)))),
            "gradient": jax.grad(lambda p: slopes(p).sum())(params)["decoder"],
        }

    got = jax.jit(say)(some_params(functions), h, wide, LENGTH)
    return {"name": request.param} | jax.tree.map(np.asarray, got)


def ranked(said, row):
    """The sequences of a sentence with log P, the most probable first; padding is 0."""
    known = (EVERY[:, LENGTH[row] :] == 0).all(1)
    order = np.argsort(-said["every"][known, row])
    return EVERY[known][order], said["every"][known, row][order]


class TestDecoders:
    def test_probabilities_of_all_sequences_sum_to_one(self, said):
        for row in range(len(LENGTH)):
            np.testing.assert_allclose(np.exp(ranked(said, row)[1]).sum(), 1, rtol=1e-5)

    def test_a_full_beam_is_enumeration(self, said):
        for row in range(len(LENGTH)):
            every, log_prob = ranked(said, row)
            tags, beam_log_prob = (leaf[row] for leaf in said["full beam"])
            np.testing.assert_array_equal(tags[: len(every)], every)
            np.testing.assert_allclose(beam_log_prob[: len(every)], log_prob, atol=1e-5)
            np.testing.assert_array_equal(beam_log_prob[len(every) :], -np.inf)

    def test_a_beam_of_one_is_greedy(self, said):
        np.testing.assert_array_equal(said["beam 1"].tags[:, 0], said["greedy"].tags)
        close(said["beam 1"].log_prob[:, 0], said["greedy"].log_probs.sum(1))

    def test_greedy_is_what_the_teacher_says_of_its_tags(self, said):
        tags, log_probs, token_log_probs = said["greedy"]
        taught = np.take_along_axis(said["taught"], tags[..., None], axis=2)[..., 0]
        close(log_probs, np.where(there(), taught, 0))
        if said["name"] != "crf":  # where every tag's is marginal
            close(token_log_probs[there()], said["taught"][there()])
            np.testing.assert_array_equal(tags, token_log_probs.argmax(2))
        np.testing.assert_allclose(np.exp(token_log_probs[there()]).sum(1), 1, rtol=1e-5)

    def test_beyond_a_sentence_all_is_zero(self, said):
        for leaf in said["greedy"]:
            assert not leaf[~there()].any()
        assert not said["full beam"].tags.swapaxes(1, 2)[~there()].any()

    def test_rules_choose_but_probabilities_stay(self, said):
        for row, length in enumerate(LENGTH):
            every, log_prob = ranked(said, row)
            allowed = [index for index, y in enumerate(every) if legal(y[:length])]
            tags, beam_log_prob = (leaf[row] for leaf in said["legal beam"])
            np.testing.assert_array_equal(tags[: len(allowed)], every[allowed])
            np.testing.assert_allclose(beam_log_prob[: len(allowed)], log_prob[allowed], atol=1e-5)
            np.testing.assert_array_equal(beam_log_prob[len(allowed) :], -np.inf)
            greedy = said["legal"].tags[row]
            assert legal(greedy[:length])
            at = (every == greedy[None]).all(1)
            close(said["legal"].log_probs[row].sum(), log_prob[at][0], atol=1e-5)
            if said["name"] != "lstm":
                np.testing.assert_array_equal(greedy, every[allowed][0])

    def test_padding_does_not_matter(self, said):
        narrow = lambda decoded: [leaf[:, :TOKENS] for leaf in decoded]
        close(said["greedy"], narrow(said["wide greedy"]))
        tags, log_prob = said["wide beam 4"]
        close(said["beam 4"], (tags[..., :TOKENS], log_prob))
        close(said["every"][-1], said["wide every"])

    def test_the_gradient_reaches_every_parameter(self, said):
        for path, leaf in jax.tree.leaves_with_path(said["gradient"]):
            assert np.isfinite(leaf).all(), path
            assert np.abs(leaf).max() > 0, path


def made_of(num_forms=NUM_FORMS):
    """Forms of 0 to 6 characters; form 0 is padding."""
    rng = np.random.default_rng(0)
    kept = np.arange(CHARS)[None] < rng.integers(0, CHARS + 1, (num_forms, 1))
    chars = rng.integers(1, COUNTS.chars, (num_forms, CHARS)) * kept
    word, case = (rng.integers(1, n, num_forms) for n in (COUNTS.words, COUNTS.cases))
    real = np.arange(num_forms) > 0
    return Forms(*(np.int32(leaf) for leaf in (chars * real[:, None], word * real, case * real)))


def padded(width=TOKENS):
    form = np.random.default_rng(1).integers(1, NUM_FORMS, (len(LENGTH), TOKENS)) * there()
    return Tokens(np.int32(np.pad(form, ((0, 0), (0, width - TOKENS)))), LENGTH)


class TestEncoder:
    functions = tagger(SMALL, COUNTS)
    params = some_params(functions)
    forms = made_of()

    @functools.cached_property
    def h(self):
        return self.scored(self.forms, padded())

    def scored(self, forms, tokens, key=None, words=None):
        def score(params, forms, tokens, key):
            features = self.functions.encode_forms(params, forms)
            return self.functions.encode(params, features, tokens, key)

        params = self.params | {"words": self.params["words"] if words is None else words}
        return np.asarray(jax.jit(score)(params, forms, tokens, key))

    def trained(self, **rates):
        functions = tagger(SMALL._replace(**rates), COUNTS)
        return jax.jit(functions.train)(jax.random.key(0), self.params, self.forms, padded())

    def test_layers(self):
        """The formula, in NumPy, of one sentence."""
        net = self.params["encoder"]

        def layer(name, x, window):
            around = np.pad(x, ((window // 2, window // 2), (0, 0)))
            kernel, skip = net[name]["kernel"], net[name].get("skip", np.eye(x.shape[1]))
            conv = [np.tensordot(around[i : i + window], kernel, 2) for i in range(len(x))]
            return np.maximum(np.stack(conv) + net[name]["bias"][0], 0) + x @ skip

        def feature(form):
            chars = self.forms.chars[form][self.forms.chars[form] > 0]
            spelling = np.zeros(SMALL.char_filters)
            if len(chars):
                spelling = layer("char_layer", net["chars"][chars], 5).max(0)
            word, case = self.params["words"][self.forms.word[form]], self.forms.case[form]
            return np.concatenate([spelling, word, net["cases"][case]])

        w = np.stack([feature(form) for form in padded().form[0]])
        h = layer("word_layers_1", layer("word_layers_0", w, 3), 3)
        close(self.h[0], np.concatenate([h, w], axis=1), atol=1e-4)
        assert not self.h[~there()].any()

    @pytest.mark.parametrize("monte_carlo", [False, True])
    def test_padding_does_not_matter(self, monte_carlo):
        """Nor do more characters, or what else is in the batch, with dropout or without."""
        key = jax.random.key(5) if monte_carlo else None
        narrow = self.scored(self.forms, padded(), key)
        forms = self.forms._replace(chars=np.pad(self.forms.chars, ((0, 0), (0, 4))))
        more = jax.tree.map(lambda leaf: np.concatenate([leaf, leaf[::-1]]), padded(TOKENS + WIDER))
        wide = self.scored(forms, more, key)
        close(wide[: len(LENGTH), :TOKENS], narrow)
        close(wide[len(LENGTH) :, :TOKENS], narrow[::-1])
        assert not wide[:, TOKENS:].any()
        assert (np.abs(narrow - self.h).max() > 0.1) == monte_carlo

    def test_a_pass_drops_the_same_units_everywhere(self):
        w = self.scored(self.forms, padded(), jax.random.key(0))[there()][:, SMALL.word_filters :]
        embeddings = w[:, SMALL.char_filters :] == 0  # those of characters may be 0 without it
        np.testing.assert_array_equal(embeddings.any(0), embeddings.all(0))
        assert 0 < embeddings.all(0).sum() < embeddings.shape[1]

    def test_passes_are_a_vmap_over_keys(self):
        keys = jax.random.split(jax.random.key(1), 2)
        features = jax.jit(self.functions.encode_forms)(self.params, self.forms)
        encode = jax.vmap(self.functions.encode, (None, None, None, 0))
        together = jax.jit(encode)(self.params, features, padded(), keys)
        for index in (0, 1):
            close(together[index], self.scored(self.forms, padded(), keys[index]), atol=1e-5)
        assert np.abs(together[0] - together[1]).max() > 0.1

    def test_training_without_dropout_is_scoring(self):
        close(self.trained(input_dropout=0.0, dropout=0.0, unknown=0.0), self.h, atol=1e-5)

    def test_words_are_unknown_in_training(self):
        unknown = self.forms._replace(word=np.minimum(self.forms.word, encoder.UNKNOWN))
        expected = self.scored(unknown, padded())
        got = self.trained(input_dropout=0.0, dropout=0.0, unknown=1.0)
        close(got, expected, atol=1e-5)
        assert np.abs(got - self.h).max() > 0.1

    def test_a_batch_needs_few_rows_of_the_embedding(self):
        """The same network, and the gradient of a row is the sum over where its word stands."""
        words = self.params["words"]
        row, forms, tokens = jax.jit(functools.partial(encoder.used, num_words=len(words)))(
            *jax.tree.map(jnp.asarray, (self.forms, padded()))
        )
        real = row[row < len(words)].tolist()
        assert real == sorted({0, 1, *self.forms.word[padded().form].ravel().tolist()})
        assert (row[len(real) :] == len(words)).all()
        close(self.scored(forms, tokens, words=words[np.minimum(row, len(words) - 1)]), self.h)

    def test_the_gradient_reaches_every_parameter(self):
        def loss(params):
            key = jax.random.key(3)
            return jnp.sin(self.functions.train(key, params, self.forms, padded())).sum()

        gradient = jax.jit(jax.grad(loss))(self.params)
        for path, leaf in jax.tree.leaves_with_path(gradient | {"decoder": {}}):
            assert np.isfinite(leaf).all(), path
            assert np.abs(leaf).max() > 0, path

    def test_lowered_by_platform(self):
        """No device needed: the programs for other platforms are written here and read."""

        def loss(params, tokens):
            h = self.functions.train(jax.random.key(3), params, self.forms, tokens)
            return self.functions.log_likelihood(params, h, tokens.form % 3, tokens.length).sum()

        def convolutions(platform):
            exported = jax.export.export(jax.jit(jax.grad(loss)), platforms=[platform])
            return exported(self.params, padded()).mlir_module().count("stablehlo.convolution")

        assert [convolutions(platform) for platform in ("cpu", "cuda", "tpu")] == [0, 9, 9]

    def test_compiles_once_for_each_shape(self):
        encode = jax.jit(self.functions.encode)
        features = np.zeros((NUM_FORMS, 16), np.float32)
        for shift in range(3):
            tokens = jax.tree.map(lambda leaf, by=shift: np.roll(leaf, by, axis=0), padded())
            encode(jax.tree.map(lambda leaf, by=shift: leaf + by, self.params), features, tokens)
        assert encode._cache_size() == 1
        encode(self.params, features, padded(TOKENS + WIDER))
        assert encode._cache_size() == 2

    def test_begins_with_given_vectors(self):
        vectors = np.random.default_rng(0).normal(size=(COUNTS.words, SMALL.word_dim))
        vectors = vectors.astype(np.float32)
        params = jax.jit(self.functions.init)(jax.random.key(0), vectors)
        np.testing.assert_array_equal(params["words"], vectors)
        forget = params["decoder"]["gates"][0, SMALL.hidden : 2 * SMALL.hidden]
        np.testing.assert_array_equal(forget, 1)
        with pytest.raises(ValueError, match=r"shape \(30, 7\), found \(29, 7\)"):
            self.functions.init(jax.random.key(0), vectors[1:])


@pytest.mark.parametrize("decoder", DECODERS)
def test_learns(decoder):
    """Tags that follow from the word, and from the word before it."""
    sizes = SMALL._replace(decoder=decoder, layers=1, unknown=0.0, dropout=0.1, input_dropout=0.1)
    functions, forms = tagger(sizes, COUNTS), made_of()
    rng = np.random.default_rng(0)
    tokens = Tokens(np.int32(rng.integers(1, NUM_FORMS, (64, 5))), np.int32(rng.integers(2, 6, 64)))
    odd = forms.word[tokens.form] % 2
    tags = np.int32(odd + odd * np.pad(odd, ((0, 0), (1, 0)))[:, :-1])
    optimiser = optax.adam(0.03)

    def loss(params, key):
        h = functions.train(key, params, forms, tokens)
        return -functions.log_likelihood(params, h, tags, tokens.length).mean()

    def step(carry, key):
        params, state = carry
        updates, state = optimiser.update(jax.grad(loss)(params, key), state)
        return (optax.apply_updates(params, updates), state), None

    def learn(key):
        key_init, key_steps = jax.random.split(key)
        params = functions.init(key_init)
        carry = params, optimiser.init(params)
        (params, _), _ = jax.lax.scan(step, carry, jax.random.split(key_steps, 200))
        h = functions.encode(params, functions.encode_forms(params, forms), tokens)
        return functions.greedy(params, h, tokens.length).tags

    real = np.arange(5)[None] < tokens.length[:, None]
    np.testing.assert_array_equal(jax.jit(learn)(jax.random.key(0)), tags * real)


@pytest.mark.parametrize("everywhere", [False, True])
def test_dropout(everywhere):
    x = jnp.ones((2, 500, 3, 101))
    y = np.asarray(encoder.drop(jax.random.key(0), x, 0.4, everywhere))
    keep = (256 - 102) / 256
    np.testing.assert_allclose(np.unique(y), [0, 1 / keep], rtol=1e-6)
    if everywhere:
        np.testing.assert_array_equal(y, np.broadcast_to(y[:1, :1, :1], y.shape))
        np.testing.assert_allclose((y > 0).mean(), keep, atol=0.15)
    else:
        np.testing.assert_allclose((y > 0).mean(), keep, atol=0.005)
        assert np.abs(np.corrcoef(y[0, :, 0].T > 0) - np.eye(101)).max() < 0.3
    np.testing.assert_array_equal(encoder.drop(jax.random.key(0), x, 0.0, everywhere), x)


@pytest.mark.parametrize(
    ("sizes", "features", "previous"),
    [(PAPER, 800 + 50 + 100, (18, 1024)), (LAPTOP, 128 + 32 + 96 + 8, (24, 256))],
)
def test_sizes(sizes, features, previous):
    """The paper's h is the last layer and the input: 950 numbers."""
    functions = tagger(sizes, VocabularySizes(chars=100, words=20_000, cases=8, tags=17))
    params = jax.eval_shape(functions.init, jax.random.key(0))
    assert params["decoder"]["inputs"].shape == (features, 4 * sizes.hidden)
    assert params["decoder"]["previous"].shape == previous
    assert ("cases" in params["encoder"]) == (sizes.case_dim > 0)


def test_unknown_decoder():
    with pytest.raises(InputError, match="unknown decoder 'ltsm': did you mean 'lstm'"):
        tagger(SMALL._replace(decoder="ltsm"), COUNTS)

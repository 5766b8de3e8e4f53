"""The CNN-CNN-LSTM tagger, as pure functions: an encoder of sentences, and a decoder of tags.

    P(y | x) = prod_i P(y_i | y_{<i}, h(x))      LSTM
    P(y | x) = a random field over h(x)          CRF, or, without transitions, independent tags

    tagger(LAPTOP, VocabularySizes(chars=100, words=20_000, cases=8, tags=13))

Y. Shen, H. Yun, Z. C. Lipton, Y. Kronrod, A. Anandkumar. Deep active learning for named entity
recognition. ICLR 2018, section 3.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from trinity_jax.algorithms import crf, lstm
from trinity_jax.algorithms.decoding import Decoded, of_tags
from trinity_jax.algorithms.encoder import (
    EMBEDDING,
    LAPTOP,
    LECUN,
    PAPER,
    ZEROS,
    Encoder,
    Forms,
    Sizes,
    Tokens,
    VocabularySizes,
)
from trinity_jax.types import lookup

__all__ = ["LAPTOP", "PAPER", "Forms", "Sizes", "Tagger", "Tokens", "VocabularySizes", "tagger"]


class Tagger(NamedTuple):
    """Pure functions of params, a dict: "words" (the word embedding), "encoder" and "decoder".

    What is said of sentences, h `[sentence, token, feature]`, goes from the encoder to the decoder.
    `length [sentence]` tells which tokens exist; what is given for others does not matter.

    Attributes:
      init: `(key, vectors=None) -> params`. Vectors `[word, word_dim]` are where the word embedding
        begins; it is random otherwise.
      encode_forms: `(params, forms) -> features [form, feature]`: all there is to know of forms.
      encode: `(params, features, tokens, key=None) -> h`, to score. With a key, of a Monte-Carlo
        pass, that drops the same units in all sentences and positions: neither padding nor the rest
        of a batch matters, and a pass over several batches is one pass.
      train: `(key, params, forms, tokens) -> h`, to learn: each unit is dropped on its own, and
        words are made unknown.
      teacher: `(params, h, tags, length) -> log_probs [sentence, token, tag]` of every tag, given
        the tags before it.
      log_likelihood: `(params, h, tags, length) -> log P(tags | sentence) [sentence]`.
      greedy: `(params, h, length, rules=None) -> Decoded`; the CRF's is the most probable sequence.
      beam: `(params, h, length, width, rules=None) -> Beam`; the CRF's is exact.
    """

    init: Callable
    encode_forms: Callable
    encode: Callable
    train: Callable
    teacher: Callable
    log_likelihood: Callable
    greedy: Callable
    beam: Callable


def tagger(sizes: Sizes, vocabulary: VocabularySizes) -> Tagger:
    """The tagger of these sizes.

    Raises:
      InputError: there is no such decoder.
    """
    network = Encoder(sizes, vocabulary)
    decoder = lookup(DECODERS, sizes.decoder, "decoder")(sizes, vocabulary.tags)
    shape = vocabulary.words, sizes.word_dim

    def init(key, vectors=None):
        if vectors is not None and vectors.shape != shape:
            raise ValueError(f"expected vectors of shape {shape}, found {vectors.shape}")
        key_words, key_encoder, key_decoder = jax.random.split(key, 3)
        words = EMBEDDING(key_words, shape) if vectors is None else jnp.asarray(vectors)
        one = jnp.zeros(1, jnp.int32)
        forms, tokens = Forms(one[None], one, one), Tokens(one[None], one)
        h, variables = network.init_with_output(key_encoder, words, forms, tokens)
        params = variables["params"], decoder.init(key_decoder, h, one)
        return {"words": words, "encoder": params[0], "decoder": params[1]}

    def encoder(params, *arguments, method):
        return network.apply({"params": params["encoder"]}, *arguments, method=method)

    def encode_forms(params, forms):
        return encoder(params, params["words"], _arrays(forms), method="features")

    def encode(params, features, tokens, key=None):
        return encoder(params, features, _arrays(tokens), key, method="score")

    def train(key, params, forms, tokens):
        arrays = _arrays(forms), _arrays(tokens)
        return encoder(params, key, params["words"], *arrays, method="train")

    def teacher(params, h, tags, length):
        return decoder.teacher(params["decoder"], *_arrays((h, tags, length)))

    def log_likelihood(params, h, tags, length):
        log_probs = teacher(params, h, tags, length)
        return of_tags(log_probs, *_arrays((tags, length))).sum(1)

    def greedy(params, h, length, rules=None):
        return decoder.greedy(params["decoder"], *_arrays((h, length)), rules)

    def beam(params, h, length, width, rules=None):
        return decoder.beam(params["decoder"], *_arrays((h, length)), width, rules)

    return Tagger(init, encode_forms, encode, train, teacher, log_likelihood, greedy, beam)


def _arrays(tree):
    """NumPy's cannot be indexed by what is traced."""
    return jax.tree.map(jnp.asarray, tree)


class Decoder(NamedTuple):
    """`init(key, h, length) -> params`, and three functions of `Tagger`."""

    init: Callable
    teacher: Callable
    greedy: Callable
    beam: Callable


class Recurrent(nn.Module):
    """Parameters of the LSTM; the forget gate begins open."""

    sizes: Sizes
    tags: int

    @nn.compact
    def __call__(self, h):
        size, rows = self.sizes.hidden, self.tags + 1
        gates = 4 * size
        if embedding := self.sizes.tag_embedding:
            table = self.param("tags", EMBEDDING, (rows, embedding))
            previous = table @ self.param("previous", LECUN, (embedding, gates))
        else:
            previous = self.param("previous", EMBEDDING, (rows, gates))
        open_forget = jnp.zeros((1, gates)).at[:, size : 2 * size].set(1)
        return lstm.Weights(
            self.param("inputs", LECUN, (h.shape[-1], gates)),
            previous + self.param("gates", lambda _: open_forget),
            self.param("hidden", nn.initializers.orthogonal(), (size, gates)),
            self.param("output", LECUN, (size, self.tags)),
            self.param("bias", ZEROS, (self.tags,)),
        )


def recurrent(sizes: Sizes, tags: int) -> Decoder:
    """The LSTM."""
    module = Recurrent(sizes, tags)

    def weights(params, h) -> Any:
        return module.apply({"params": params}, h)

    def teacher(params, h, tags, length):
        del length
        return lstm.teacher(weights(params, h), h, tags)

    def greedy(params, h, length, rules):
        return lstm.greedy(weights(params, h), h, length, rules)

    def beam(params, h, length, width, rules):
        return lstm.beam(weights(params, h), h, length, width, rules)

    return Decoder(lambda key, h, _: module.init(key, h)["params"], teacher, greedy, beam)


class Field(nn.Module):
    """Parameters of the random field."""

    tags: int
    chained: bool

    @nn.compact
    def __call__(self, h, length):
        scores = h @ self.param("output", LECUN, (h.shape[-1], self.tags))
        scores += self.param("bias", ZEROS, (1, 1, self.tags))
        if not self.chained:
            return crf.Chain(scores, jnp.zeros((self.tags, self.tags)))
        transition = self.param("transition", ZEROS, (self.tags, self.tags))
        start, end = (self.param(name, ZEROS, (self.tags,)) for name in ("start", "end"))
        return crf.condition(scores, transition, start, end, length)


def field(sizes: Sizes, tags: int) -> Decoder:
    """The CRF, or independent tags."""
    module = Field(tags, sizes.decoder == "crf")

    def chain(params, h, length) -> Any:
        return module.apply({"params": params}, h, length)

    def teacher(params, h, tags, length):
        return crf.log_conditional(chain(params, h, length), tags)

    def greedy(params, h, length, rules):
        given = chain(params, h, length)
        tags = crf.best(given, length, 1, rules).tags[:, 0]
        log_probs = of_tags(crf.log_conditional(given, tags), tags, length)
        return Decoded(tags, log_probs, crf.log_marginal(given, length))

    def beam(params, h, length, width, rules):
        return crf.best(chain(params, h, length), length, width, rules)

    return Decoder(lambda *arguments: module.init(*arguments)["params"], teacher, greedy, beam)


DECODERS = {"lstm": recurrent, "crf": field, "softmax": field}

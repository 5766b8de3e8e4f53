"""The encoder of the CNN tagger: a network over the characters of words, and one over words.

    w_i = (max_c conv(characters of word i)_c ; embedding of word i ; embedding of its case)
    h_i = (conv(... conv(w) ...)_i ; w_i)

Every layer is dropout(relu(conv(x) + b) + skip(x)), where the skip is a projection if the sizes
differ, and what it says of padding is set to 0. A token is a number, its form: what forms are made
of is written once, in `Forms`. So to score a corpus the characters of a form are read once, however
often it occurs.

Y. Shen, H. Yun, Z. C. Lipton, Y. Kronrod, A. Anandkumar. Deep active learning for named entity
recognition. ICLR 2018, sections 3.1 and 3.2. They give no sizes of embeddings and decoder: those of
`PAPER` are ours. A capitalisation embedding, in `LAPTOP`, is not theirs.
"""

import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from trinity_jax.algorithms.convolution import conv, conv_embedded
from trinity_jax.algorithms.decoding import exists
from trinity_jax.types import PRNGKey

HE = nn.initializers.variance_scaling(2.0, "fan_in", "normal")
LECUN = nn.initializers.lecun_normal()
ZEROS = nn.initializers.zeros
EMBEDDING = nn.initializers.normal(0.4)  # of 0.1, dropout leaves nothing to learn from
UNKNOWN = 1  # the row of words that were not seen


class Forms(NamedTuple):
    """What tokens are made of, a row for each form; 0 is padding in all of them."""

    chars: Int[Array, "*form char"]
    word: Int[Array, "*form"]  # row of the word embedding; 1 is unknown
    case: Int[Array, "*form"]  # class of capitalisation


class Tokens(NamedTuple):
    """Sentences: the form of each token, and how many tokens there are."""

    form: Int[Array, "sentence token"]
    length: Int[Array, " sentence"]


class VocabularySizes(NamedTuple):
    """How many there are of each, with padding and unknown words."""

    chars: int
    words: int
    cases: int
    tags: int


class Sizes(NamedTuple):
    """The network.

    Attributes:
      char_embedding: size.
      char_filters: of the one layer over characters, 5 wide.
      word_dim: size of the word embedding.
      case_dim: size of the capitalisation embedding, 0 for none.
      word_filters: of each layer over words, 3 wide.
      layers: over words.
      decoder: "lstm", "crf", or "softmax", which decides for each token alone.
      hidden: size of the LSTM.
      tag_embedding: of the tag before, for the LSTM; 0 tells the gates directly, "one-hot".
      input_dropout: rate for w. All rates are rounded to 1/256.
      dropout: rate for the output of a layer.
      unknown: share of words that are unknown in training.
    """

    char_embedding: int
    char_filters: int
    word_dim: int
    case_dim: int
    word_filters: int
    layers: int = 2
    decoder: str = "lstm"
    hidden: int = 256
    tag_embedding: int = 0
    input_dropout: float = 0.5
    dropout: float = 0.5
    unknown: float = 0.5


PAPER = Sizes(25, 50, 100, 0, 800)
LAPTOP = Sizes(
    *(25, 32, 96, 8, 128),
    hidden=64,
    tag_embedding=24,
    input_dropout=0.2,
    dropout=0.4,
    unknown=0.1,
)


class Layer(nn.Module):
    """relu(conv(x) + b) + skip(x), `[batch, width, filters]`, of x or of embedded symbols."""

    filters: int
    window: int

    @nn.compact
    def __call__(self, x, symbols=None):
        size = x.shape[-1]
        kernel = self.param("kernel", HE, (self.window, size, self.filters))
        bias = self.param("bias", ZEROS, (1, 1, self.filters))
        narrow = size != self.filters
        skip = x @ self.param("skip", LECUN, (size, self.filters)) if narrow else x
        if symbols is None:
            return nn.relu(conv(x, kernel) + bias) + skip
        return nn.relu(conv_embedded(symbols, x, kernel) + bias) + skip[symbols]


class Encoder(nn.Module):
    """From forms to features, from the features of tokens to h. `words` is the word embedding."""

    sizes: Sizes
    vocabulary: VocabularySizes

    def setup(self):
        sizes, vocabulary = self.sizes, self.vocabulary
        self.chars = self.param("chars", EMBEDDING, (vocabulary.chars, sizes.char_embedding))
        if sizes.case_dim:
            self.cases = self.param("cases", EMBEDDING, (vocabulary.cases, sizes.case_dim))
        self.char_layer = Layer(sizes.char_filters, 5)
        self.word_layers = [Layer(sizes.word_filters, 3) for _ in range(sizes.layers)]

    def __call__(self, words, forms: Forms, tokens: Tokens):
        """All of it; what initialisation runs."""
        return self.score(self.features(words, forms), tokens)

    def features(self, words: Float[Array, "word feature"], forms: Forms):
        """Characters, word and case of forms, whatever axes they have: `[*form, feature]`."""
        chars = forms.chars.reshape(-1, forms.chars.shape[-1])
        there = (chars > 0)[..., None]
        spelling = jnp.where(there, self.char_layer(self.chars, chars), -jnp.inf).max(1)
        spelling = jnp.where(there.any(1), spelling, 0).reshape(*forms.word.shape, -1)
        case = [self.cases[forms.case]] if self.sizes.case_dim else []
        return jnp.concatenate([spelling, words[forms.word], *case], axis=-1)

    def score(self, features: Float[Array, "form feature"], tokens: Tokens, key=None):
        """h; with a key, of a Monte-Carlo pass, that drops the same units everywhere."""
        return self.sentences(features[tokens.form], tokens.length, key, everywhere=True)

    def train(
        self, key: PRNGKey, words: Float[Array, "word feature"], forms: Forms, tokens: Tokens
    ):
        """h, where words are made unknown and each unit is dropped on its own."""
        key_unknown, key_drop = jax.random.split(key)
        chars, word, case = (leaf[tokens.form] for leaf in forms)
        unknown = jax.random.bernoulli(key_unknown, self.sizes.unknown, word.shape)
        features = self.features(words, Forms(chars, jnp.where(unknown, UNKNOWN, word), case))
        return self.sentences(features, tokens.length, key_drop, everywhere=False)

    def sentences(self, features, length, key, everywhere):
        sizes = self.sizes
        there = exists(length, features.shape[1])[..., None]
        if key is None:
            dropout = lambda layer, x, rate: x
        else:
            dropout = lambda layer, x, rate: drop(
                jax.random.fold_in(key, layer), x, rate, everywhere
            )
        # A filter is dropped for all characters of a word: that may be done after the maximum.
        spelling, others = jnp.split(features, [sizes.char_filters], axis=-1)
        w = jnp.concatenate([dropout(0, spelling, sizes.dropout), others], axis=-1)
        h = w = jnp.where(there, dropout(1, w, sizes.input_dropout), 0)
        for number, layer in enumerate(self.word_layers, 2):
            h = jnp.where(there, dropout(number, layer(h), sizes.dropout), 0)
        return jnp.concatenate([h, w], axis=-1)


def drop(
    key: PRNGKey, x: Float[Array, "*batch feature"], rate: float, everywhere: bool
) -> Float[Array, "*batch feature"]:
    """Sets units to 0, with probability `rate`, and scales the others so that means are kept.

    Args:
      key: for the choice.
      x: units, the last axis.
      rate: rounded to 1/256.
      everywhere: whether a unit is dropped in all of the batch or nowhere; else each on its own.
    """
    keep = 256 - round(256 * rate)
    if keep == 256:
        return x
    shape = (1,) * (x.ndim - 1) + x.shape[-1:] if everywhere else x.shape
    size = math.prod(shape)
    # Four bytes of every random number: most of the time of dropout is spent on making them.
    words = jax.random.bits(key, (-(-size // 4),), jnp.uint32)
    coins = jax.lax.bitcast_convert_type(words, jnp.uint8).ravel()[:size].reshape(shape)
    return jnp.where(coins < keep, x * (256 / keep), 0)


def used(forms: Forms, tokens: Tokens, num_words: int) -> tuple[Int[Array, " row"], Forms, Tokens]:
    """The rows of the word embedding that a batch needs, and the batch in terms of these rows.

    With `words[row]` for the embedding the batch is encoded as before, but the gradient has a row
    for each of its words and not for all there are. On a CPU an optimiser that leaves the others
    alone saves a quarter of a step, for 20,000 words.

    Args:
      forms: of all tokens.
      tokens: some sentences.
      num_words: rows of the word embedding.

    Returns:
      The rows, different and ascending, the first two padding and unknown words, the last ones out
      of range, which JAX drops when it scatters; a form for each token; the sentences.
    """
    chars, word, case = (leaf[tokens.form.ravel()] for leaf in forms)
    all_of_them = jnp.concatenate([jnp.arange(UNKNOWN + 1), word])
    row, place = jnp.unique(
        all_of_them, return_inverse=True, size=len(all_of_them), fill_value=num_words
    )
    form = jnp.arange(tokens.form.size).reshape(tokens.form.shape)
    return row, Forms(chars, place[UNKNOWN + 1 :], case), tokens._replace(form=form)

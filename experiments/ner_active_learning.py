"""Which sentences to annotate? Test F1 of a tagger against the words that were annotated for it.

    python -m experiments.ner_active_learning smoke     the same path, 2 rounds: 40 s on 2 cores
    python -m experiments.ner_active_learning laptop    (or no word) made sentences: 3 minutes
    python -m experiments.ner_active_learning paper     OntoNotes: GPUs, TPUs (2 cores: est. months)
    python -m experiments.ner_active_learning --data iob2:DIR    your corpus: train, dev, test.iob2

A tagger of names (characters and words by convolutions, tags by an LSTM) is trained on 1 % of the
words, asks for the sentences that a strategy scores highest, is trained again, and so on. In the
paper (OntoNotes 5) 99 % of the best model's F1 on all data takes 24.9 % of the words in English and
30.1 % in Chinese, and passing the best shallow model 12.0 % and 16.9 %.
Shen, Yun, Lipton, Kronrod, Anandkumar. Deep active learning for named entity recognition. ICLR 2018
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp

from experiments import ner_corpus, ner_report
from experiments.ner_figure import ALL
from trinity_jax.algorithms import tagger as taggers
from trinity_jax.compute import program, replicas
from trinity_jax.compute.run import Run
from trinity_jax.compute.sweep import Sweep
from trinity_jax.data.collection import corpus, learning, querying, reading, selection
from trinity_jax.types import InputError, Params

# A Chinese word has few characters, and each of them means something.
HANZI = taggers.LAPTOP._replace(char_embedding=50, char_filters=64)
SIZES = {"paper": taggers.PAPER, "laptop": taggers.LAPTOP, "hanzi": HANZI}
STRATEGIES = querying.STRATEGIES | {ALL: querying.Strategy("random")}


@dataclasses.dataclass(frozen=True)
class Config:
    """What the experiment varies; replicas are all strategies times all seeds."""

    seeds: int = 3  # replicas with first sentences, network's start and training drawn anew
    # Who asks: random, least_confidence, mnlp, bald ...; all annotates everything at once.
    strategies: tuple[str, ...] = ("random", "least_confidence", "mnlp", ALL)
    data: str = "grammar:en"  # or grammar:zh, iob2:DIR, conll:DIR, ontonotes:DIR, tfds:NAME
    language: str = ""  # of ontonotes:DIR, where it has several: english or chinese
    vectors: str = ""  # file of word vectors to start from: GloVe, word2vec; empty: random ones
    start: str = "random"  # who asks in the first round, for all strategies: random or typiclust
    # Shares of the words, 0 to 1, that are annotated after each round.
    fractions: tuple[float, ...] = (0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.25, 0.3)
    rule: str = "until"  # the words are reached (until), not passed (under), or packed (fit)
    size: str = "laptop"  # of the network: laptop, hanzi (room for characters) or paper
    decoder: str = "lstm"  # of tags: lstm, crf or softmax
    incremental: bool = False  # go on from the last round's network (paper), not a fresh one
    optimiser: str = "adam"  # adam, or sgd at a constant rate (paper)
    learning_rate: float = 2e-3  # at its highest; adam's rises first, and falls to 0, in each round
    batch_size: int = 16  # sentences a step
    epochs: int = 12  # passes over what is annotated, each round; all has one round
    min_steps: int = 400  # steps of a round, at least
    unknown: float = 0.1  # share of words replaced by the unknown one in training
    dropout: float = 0.4  # share of units, in training and in Monte-Carlo passes
    min_count: int = 1  # words of the pool that are rarer are unknown
    max_chars: int = 20  # characters of a word that are kept, with two marks
    passes: int = 10  # Monte-Carlo passes of bald
    num_widths: int = 4  # lengths, in words, that sentences are padded to
    shallow_seeds: int = 1  # seeds whose random and mnlp sentences a feature-based CRF learns too

    def __post_init__(self):
        whole = dict.fromkeys(("seeds", "batch_size", "epochs", "min_count"), (1, 10**9))
        whole |= dict.fromkeys(("passes", "num_widths"), (1, 10**6))
        whole |= dict.fromkeys(("min_steps", "shallow_seeds"), (0, 10**9))
        program.in_range(self, **whole, learning_rate=(1e-9, 1e9), fractions=(1e-9, 1))
        program.in_range(self, unknown=(0, 1), dropout=(0, 0.99), max_chars=(3, 10**4))
        program.known(self, strategies=STRATEGIES, rule=selection.RULES, size=SIZES)
        program.known(self, decoder=taggers.DECODERS, optimiser=learning.OPTIMISERS)
        program.known(self, start=dict.fromkeys(("random", "typiclust")))
        if len(self.fractions) < 2 or list(self.fractions) != sorted(set(self.fractions)):
            raise InputError(f"--fractions must be several and ascend; they are {self.fractions}")
        own = [name for name in self.strategies if STRATEGIES[name].selector]
        if own and self.rule != "until":
            raise InputError(f"--rule {self.rule} is not for {own[0]}, which has a rule of its own")


PRESETS = {
    "smoke": Config(seeds=2, fractions=(0.05, 0.15), epochs=2, min_steps=100, num_widths=2),
    "laptop": Config(),
    "paper": Config(
        seeds=4,
        strategies=("random", "least_confidence", "mnlp", "bald", ALL),
        data="ontonotes:.",
        # 20,000 words a round, of the 1,088,503 in English (Chinese: 756,063).
        fractions=(0.01, *(round(0.01 + 20_000 / 1_088_503 * n, 4) for n in range(1, 28))),
        size="paper",
        incremental=True,
        optimiser="sgd",
        learning_rate=0.128,  # 0.001 on a loss summed over 128 sentences
        batch_size=128,
        epochs=50,
        min_steps=0,
        unknown=0.5,
        dropout=0.5,
        passes=100,
        num_widths=7,
    ),
}


class State(NamedTuple):
    """One replica between rounds: a tagger, what is annotated, and how much the rest is wanted."""

    params: Params
    labelled: jax.Array  # bool [sentence]
    scores: jax.Array  # [sentence]


def make_round(config: Config, encoded: corpus.Encoded, word_dim: int, size: int, each=jax.lax.map):
    """`init(data, replica) -> state`, `one_round(t, data, state, replica) -> (state, metrics)`,
    pure; `each` maps passes over sentences.
    """
    known = encoded.vocabulary
    counts = (len(known.chars), len(known.words), len(corpus.CASES), len(encoded.tags))
    options = {"decoder": config.decoder, "unknown": config.unknown, "dropout": config.dropout}
    sizes = SIZES[config.size]._replace(**options)
    sizes = sizes._replace(word_dim=word_dim or sizes.word_dim)
    tagger = taggers.tagger(sizes, taggers.VocabularySizes(*counts))
    how = learning.OPTIMISERS[config.optimiser](config.learning_rate)
    recipe = learning.Recipe(tagger, *how, config.batch_size, config.epochs, config.min_steps)
    names = ["random" if name == ALL else name for name in config.strategies]
    scorers = [querying.STRATEGIES[name].acquisition for name in names]
    everything = config.strategies.index(ALL) if ALL in config.strategies else -1
    options = {"num_types": (len(encoded.tags) - 1) // 4, "num_passes": config.passes}
    options |= {"each": each}

    def init(data, replica):
        del replica  # all begin alike
        start = tagger.init(jax.random.key(0), data.vectors)
        return State(start, jnp.zeros(size, bool), jnp.zeros(size))

    def one_round(t, data, state, replica):
        seed = jax.random.fold_in(jax.random.key(0), replica["seed"])
        bits = jax.random.key_data(jax.random.split(jax.random.fold_in(seed, t), 7))
        # Keys are the same for all strategies, so that their differences are paired.
        key = lambda purpose: jax.random.wrap_key_data(bits[purpose])
        strategy, pool_length = replica["strategy"], jnp.where(data.part == 0, data.length, 0)
        total, spent = pool_length.sum(), jnp.where(state.labelled, data.length, 0).sum()
        wanted = jnp.round(jnp.array(config.fractions)[t] * total).astype(jnp.int32)
        budget = jnp.where(strategy == everything, total, wanted) - spent

        available = (data.part == 0) & ~state.labelled
        forms = lambda known: reading.understood(data.forms, data.buckets, known, data.has_vector)
        where = (data.buckets, size, config.batch_size)
        given = (tagger, state.params, forms(state.labelled), *where)
        points = lambda kind: reading.features(key(6), kind, *given, each)
        features = {kind: points(kind) for kind in querying.kinds([*names, config.start])}
        pool = selection.Pool(
            data.length, available, state.labelled, state.scores, jnp.zeros((size, 0))
        )
        lottery = pool._replace(scores=jax.random.uniform(key(0), (size,)))
        ask = lambda n, *what: querying.ask(key(n), *what, features, budget, config.rule)
        first = lambda: ask(1, [config.start], 0, lottery)
        asked = jax.lax.cond(t == 0, first, lambda: ask(2, names, strategy, pool))
        labelled = state.labelled | asked.chosen

        def learn():
            fresh = lambda: tagger.init(key(3), data.vectors)
            go_on = lambda: jax.lax.cond(t == 0, fresh, lambda: state.params)
            params = go_on() if config.incremental else fresh()
            return learning.train(key(4), recipe, params, data.forms, data.buckets, labelled)

        nothing = lambda: (state.params, jnp.zeros(()))  # is learnt where nothing new was asked
        params, loss = jax.lax.cond(asked.chosen.any(), learn, nothing)
        given = (scorers, strategy, tagger, params, forms(labelled), *where)
        read = lambda: reading.read(key(5), *given, **options)
        found = replicas.unless((strategy == everything) & (t > 0), read)
        of_part = lambda part: jnp.where((data.part == part)[:, None, None], found.spans, 0).sum(0)
        metrics = {"dev": of_part(1), "test": of_part(2), "loss": loss, "budget": budget}
        metrics |= {"asked": asked, "scores": jnp.where(t == 0, lottery.scores, state.scores)}
        return State(params, labelled, found.scores), metrics

    return init, one_round


def experiment(config: Config, run: Run) -> None:
    """Reads the corpus, advances all replicas round by round, and reports."""
    with run.phase("load", f"reading {config.data}"):
        found, encoded, data = ner_corpus.read(config)
    run.say(found.note or f"{len(found.train)} sentences")
    length, word_dim = data.length, 0 if data.vectors is None else data.vectors.shape[1]
    rows, replica = replicas.grid(seed=range(config.seeds), strategy=config.strategies)
    pure = make_round(config, encoded, word_dim, len(length), run.each)
    sweep = Sweep(run, len(config.fractions), *pure, data, replica)
    for t, metrics in sweep:
        records = ner_report.records(rows, metrics, length)
        run.commit(t, sweep.state, [row for row in records if t == 0 or row["strategy"] != ALL])
    ner_report.report(config, found, run)


if __name__ == "__main__":
    program.main("ner_active_learning", PRESETS, experiment, __doc__)

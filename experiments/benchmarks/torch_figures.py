"""The replicas of `figure_cases` in PyTorch, one at a time, eager: what each experiment repeats.

`PEERS[experiment][way](config, case, number, kept)` prepares a replica and returns what runs it and
returns how often its network is wrong in the end. Networks, losses, optimisers, batches, and
numbers of steps and of passes over pool and test set are ours. Left out, in favour of PyTorch:
reading data, making labels and aggregating them, choosing sentences and questions (what ours chose
is given, as `kept`); to read words as unknown that no labelled sentence has; counting spans;
renderings of test images, the paths in use, angles between gradients.
"""

import dataclasses
import functools

import jax
import numpy as np
import torch

from experiments import few_labels, generative_augmentation, ner_corpus, neural_rendering
from experiments.benchmarks import torch_few_labels, torch_gan, torch_mlp, torch_tagger
from experiments.benchmarks import torch_rendering as rendering
from experiments.generative_arms import ARMS
from experiments.ner_active_learning import ALL, SIZES
from trinity_jax.algorithms import spans
from trinity_jax.algorithms import tagger as taggers
from trinity_jax.data.augmentation import gan, nrm
from trinity_jax.data.augmentation.nrm import Objective
from trinity_jax.data.collection import corpus

count_spans = jax.jit(spans.span_counts, static_argnums=3)


@functools.cache
def one_width(config):
    """The sentences in their own order."""
    return ner_corpus.read(dataclasses.replace(config, num_widths=1, batch_size=1))[1]


def tagger(config, case, number, kept, way):
    """Trains anew on what is labelled, and decodes all sentences; `all` does so once."""
    encoded, part = case.found
    alone, known = one_width(config), encoded.vocabulary
    sizes = SIZES[config.size]._replace(unknown=config.unknown, dropout=config.dropout)
    counts = len(known.chars), len(known.words), len(corpus.CASES), len(encoded.tags)
    start = taggers.tagger(sizes, taggers.VocabularySizes(*counts)).init(jax.random.key(number))
    schedule = lambda done: config.learning_rate * min(10 * done, (1 - done) / 0.9)
    make = torch_tagger.WAYS[way]
    rounds = kept[:1] if case.rows[number]["strategy"] == ALL else kept
    those = lambda of, index: torch.as_tensor(index[np.append(of, False)[index]])
    groups = [[those(of, bucket.index) for bucket in encoded.buckets] for of in rounds]
    test, (_, tags, length, _) = part == 2, alone.buckets[0]

    def error(decoded):
        counts = (decoded[test], tags[test], length[test], len(encoded.tags) // 4)
        right, found, true = (count.sum().item() for count in count_spans(*counts))
        return 1 - 2 * right / max(found + true, 1)

    def run():
        for of in groups:
            each = sum(-(-len(some) // config.batch_size) for some in of)
            steps = max(config.epochs * each, config.min_steps)
            rate = lambda step, steps=steps: schedule(step / steps)
            how = start, alone, sizes, rate, config.batch_size
            parts = make(*how, [some for some in of if len(some)], b2=0.99)
            for done in range(0, steps, each):
                parts["train"](min(steps - done, each))
            _, decoded = parts["score"]()
        return error(decoded)

    return run


def in_order(config, case, number):
    """Images, the labelled ones of the replica first; the network, and its first parameters."""
    images, seed = case.found, case.rows[number]["seed"]
    order = np.asarray(few_labels.draw_order(seed, images.train_labels, len(images.labels)))
    pixels, labels = images.train_images[order], images.train_labels[order]
    model = few_labels.model(config, images)
    start = nrm.begin(jax.random.key(number), model)
    return images._replace(train_images=pixels, train_labels=labels), model, start


def few(config, case, number, kept):
    """Trains part by part, and tests after each; with a generator, this first."""
    del kept
    images, model, start = in_order(config, case, number)
    name = case.rows[number]["arm"]
    if rival := isinstance(config, generative_augmentation.Config) and ARMS[name].rival:
        keys = jax.random.split(jax.random.key(number))
        rivals = nrm.begin(keys[0], model)[0], gan.begin(keys[1], model)
    objective = None if rival else weights(config, name)

    def run():
        given = rendering.copied(start[0], grad=True), rendering.copied(start[1])
        if rival:
            players = (rendering.copied(tree, grad=True) for tree in rivals)
            learn = torch_gan.learner(*given, *players, model, ARMS[name], config, images)
        else:
            learn = torch_few_labels.learner(*given, model, objective, config, images)
        for t in range(config.rounds):
            learn(range(*(i * config.steps // config.rounds for i in (t, t + 1))))
            error = torch_few_labels.error(*given, model, images)
        return error

    return run


def weights(config, name):
    """Of the terms of an arm's loss."""
    if isinstance(config, generative_augmentation.Config):
        return Objective(ARMS[name].reconstruction, ARMS[name].entropy)
    full = Objective(*(getattr(config, term) for term in neural_rendering.TERMS))
    return neural_rendering.ARMS[name](full)


PEERS = {
    "crowdsourcing": {"eager": torch_mlp.crowdsourcing},
    "ner_active_learning": {way: functools.partial(tagger, way=way) for way in torch_tagger.WAYS},
    "partial_feedback": {"eager": torch_mlp.partial_feedback},
    "neural_rendering": {"eager": few},
    "generative_augmentation": {"eager": few},
}

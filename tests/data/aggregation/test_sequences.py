"""Tags against enumeration of every way to tag a sentence."""

import functools
import itertools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.algorithms.em import fit, fit_until
from trinity_jax.data.aggregation import dawid_skene, sequences
from trinity_jax.data.aggregation.annotations import Annotations, Dims, annotations, purchase
from trinity_jax.data.aggregation.majority import soft_vote

TAGS = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
LENGTHS = [3, 1, 4, 2, 3]
SENTENCE = jnp.asarray(np.repeat(np.arange(len(LENGTHS)), LENGTHS))
PRIOR = dawid_skene.pseudo_counts(Dims(1, 1, 3), 0.2, 1.0)


@functools.partial(jax.jit, static_argnums=(0, 3))
def run(dims, table, sentence, rounds):
    return fit(sequences.hmm_crowd(dims, sentence, PRIOR), jax.random.key(0), table, rounds)


def made(seed, sentence=SENTENCE, labels=3, workers=4):
    """Sentences that two or three workers each tag from end to end."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(labels, size=len(sentence))
    rows = []
    for s in np.unique(sentence):
        for a in rng.choice(workers, 2 + s % 2, replace=False):
            for token in np.flatnonzero(sentence == s):
                right = rng.uniform() < 0.5 + a / 8
                rows.append((token, a, truth[token] if right else rng.integers(labels)))
    return annotations(*np.array(rows).T, Dims(len(sentence), workers, labels))


def test_bio_rules():
    allowed = sequences.bio(TAGS)
    assert allowed.first.tolist() == [True, True, False, True, False]
    forbidden = {(TAGS[j], TAGS[k]) for j, k in zip(*np.nonzero(~allowed.after), strict=True)}
    assert forbidden == {
        ("O", "I-PER"), ("O", "I-LOC"), ("B-PER", "I-LOC"), ("I-PER", "I-LOC"),
        ("B-LOC", "I-PER"), ("I-LOC", "I-PER"),
    }  # fmt: skip


def test_bio_of_inside_tags_without_a_beginning():
    allowed = sequences.bio(("I-A", "O"))
    assert allowed.after.tolist() == [[True, True], [False, True]]
    assert allowed.first.tolist() == [False, True]


@pytest.mark.parametrize("seed", range(3))
def test_viterbi_is_the_best_of_all_allowed_tags(seed):
    rng = np.random.default_rng(seed)
    log_posterior = np.log(rng.dirichlet(np.full(5, 0.5), len(SENTENCE))).astype(np.float32)
    allowed = sequences.bio(TAGS)
    found = sequences.viterbi(jnp.asarray(log_posterior), SENTENCE, allowed)
    expected = []
    for piece in np.split(log_posterior, np.cumsum(LENGTHS)[:-1]):
        scores = {
            path: sum(piece[t, k] for t, k in enumerate(path))
            for path in itertools.product(range(5), repeat=len(piece))
            if allowed.first[path[0]]
            and all(allowed.after[j, k] for j, k in itertools.pairwise(path))
        }
        expected += max(scores, key=lambda path: scores[path])
    assert found.tolist() == expected


def test_viterbi_where_nobody_gave_an_allowed_tag():
    """All say I-PER I-PER; of the four tags that may be there, B-PER I-PER is nearest."""
    log_posterior = jnp.log(jax.nn.one_hot(jnp.array([2, 2]), 5))
    found = sequences.viterbi(log_posterior, jnp.array([0, 0]), sequences.bio(TAGS))
    assert found[1] == 2
    assert TAGS[int(found[0])] == "B-PER"


def test_viterbi_changes_nothing_where_all_is_allowed():
    log_posterior = jnp.asarray(np.random.default_rng(0).normal(size=(13, 4)), jnp.float32)
    free = sequences.Allowed(jnp.ones(4, bool), jnp.ones((4, 4), bool))
    found = sequences.viterbi(log_posterior, SENTENCE, free)
    np.testing.assert_array_equal(found, log_posterior.argmax(1))


def by_enumeration(state, table, dims):
    """One EM round in probabilities: M from the state's expectations, E over every tagging."""
    rows = [np.asarray(column) for column in table[:3]]
    posterior, first = np.exp(state.log_posterior), np.cumsum([0, *LENGTHS[:-1]])
    confusion = np.zeros((dims.workers, dims.labels, dims.labels)) + np.asarray(PRIOR)
    for item, worker, label in zip(*rows, strict=True):
        confusion[worker, :, label] += posterior[item]
    initial, transition = posterior[first].sum(0) + 0.1, np.asarray(state.transitions) + 0.1
    confusion, initial, transition = (
        table / table.sum(-1, keepdims=True) for table in (confusion, initial, transition)
    )
    marginal, steps, log_likelihood = np.zeros(posterior.shape), np.zeros(transition.shape), 0
    for begin, length in zip(first, LENGTHS, strict=True):
        weights = {}
        for path in itertools.product(range(dims.labels), repeat=length):
            weight = initial[path[0]]
            weight *= np.prod([transition[step] for step in itertools.pairwise(path)])
            for item, worker, label in zip(*rows, strict=True):
                if begin <= item < begin + length:
                    weight *= confusion[worker, path[item - begin], label]
            weights[path] = weight
        total = sum(weights.values())
        log_likelihood += np.log(total)
        for path, weight in weights.items():
            for t, label in enumerate(path):
                marginal[begin + t, label] += weight / total
            for step in itertools.pairwise(path):
                steps[step] += weight / total
    return marginal, steps, log_likelihood, (confusion, initial, transition)


def test_hmm_crowd_equals_enumeration():
    table, dims = made(0)
    for rounds in (0, 3):
        before = run(dims, table, SENTENCE, rounds)[0]
        em = sequences.hmm_crowd(dims, SENTENCE, PRIOR)
        state, info = jax.jit(em.step)(jax.random.key(0), before, table)
        marginal, steps, log_likelihood, parameters = by_enumeration(before, table, dims)
        np.testing.assert_allclose(np.exp(state.log_posterior), marginal, atol=1e-5)
        np.testing.assert_allclose(state.transitions, steps, atol=1e-4)
        found = state.log_confusion, state.log_initial, state.log_transition
        chex.assert_trees_all_close([np.exp(p) for p in found], list(parameters), atol=1e-5)
        confusion, initial, transition = (np.log(p) for p in parameters)
        log_density = (np.asarray(PRIOR) * confusion).sum() + 0.1 * (
            initial.sum() + transition.sum()
        )
        expected = (log_likelihood + log_density) / len(table.item)
        np.testing.assert_allclose(info.objective, expected, rtol=1e-4)


def test_hmm_crowd_starts_from_neighbouring_votes():
    table, dims = made(1)
    state = sequences.hmm_crowd(dims, SENTENCE, PRIOR).init(jax.random.key(0), table)
    share = np.asarray(soft_vote(table, dims))
    np.testing.assert_allclose(np.exp(state.log_posterior), share, atol=1e-6)
    expected = sum(
        np.outer(share[t - 1], share[t]) for t in range(1, 13) if SENTENCE[t - 1] == SENTENCE[t]
    )
    np.testing.assert_allclose(state.transitions, expected, atol=1e-5)


def test_no_round_of_hmm_crowd_lowers_the_objective():
    for seed in range(3):
        table, dims = made(seed)
        objective = np.asarray(run(dims, table, SENTENCE, 50)[1].objective)
        assert (np.diff(objective) > -1e-5).all()


def test_sentences_of_one_token_are_dawid_skene():
    table, dims = made(2, sentence=np.arange(30))
    alone = sequences.hmm_crowd(dims, jnp.arange(30), PRIOR, smoothing=0.0)
    chain = fit(alone, jax.random.key(0), table, 5)[0]
    plain = fit(dawid_skene.dawid_skene_map(dims, PRIOR), jax.random.key(0), table, 5)[0]
    np.testing.assert_allclose(chain.log_posterior, plain.log_posterior, atol=1e-4)
    np.testing.assert_allclose(chain.log_initial, plain.log_prior, atol=1e-4)


def test_the_tag_before_tells_what_votes_do_not():
    """0 1 2 0 1 2 ... with a fifth of the tokens tied."""
    rng = np.random.default_rng(0)
    sentence, truth = jnp.asarray(np.repeat(np.arange(60), 6)), np.arange(360) % 3
    item, worker = (axis.ravel() for axis in np.indices((360, 2)))
    spoilt = (rng.uniform(size=len(item)) < 0.2) & (worker == 1)
    label = np.where(spoilt, (truth[item] + 1) % 3, truth[item])
    table, dims = annotations(item, worker, label)
    em = sequences.hmm_crowd(dims, sentence)
    answer = fit_until(em, jax.random.key(0), table).state.log_posterior.argmax(1)
    assert (answer == truth).mean() == 1
    assert (soft_vote(table, dims).max(1) < 1).mean() > 0.15


def test_padding_and_sentences_without_labels_are_invisible():
    table, dims = made(3)
    expected = run(dims, table, SENTENCE, 6)
    sentence = jnp.append(SENTENCE, jnp.array([7, 7, 8]))  # two tokens nobody tagged, one pads
    more = [jnp.append(c, jnp.array([t, t])) for c, t in zip(table[:3], (15, 1, 2), strict=True)]
    padded = Annotations(*more, jnp.append(table.weight, jnp.zeros(2)))
    found = run(Dims(16, 4, 3), padded, sentence, 6)
    np.testing.assert_allclose(found[0].log_posterior[:13], expected[0].log_posterior, atol=1e-4)
    chex.assert_trees_all_close(found[0][1:], expected[0][1:], atol=1e-4)
    np.testing.assert_allclose(found[1].objective, expected[1].objective, atol=1e-5)


def test_order_of_rows_and_of_sentences():
    table, dims = made(4)
    columns = [np.asarray(column) for column in table[:3]]
    order = np.random.default_rng(0).permutation(len(columns[0]))
    shuffled = annotations(*(column[order] for column in columns), dims)[0]
    expected = run(dims, table, SENTENCE, 6)[0]
    found = run(dims, shuffled, SENTENCE, 6)[0]
    np.testing.assert_allclose(found.log_posterior, expected.log_posterior, atol=1e-3)

    tokens = np.concatenate(np.split(np.arange(13), np.cumsum(LENGTHS)[:-1])[::-1])
    place = np.argsort(tokens)
    turned = annotations(place[columns[0]], *columns[1:], dims)[0]
    found = run(dims, turned, SENTENCE[tokens], 6)[0]
    np.testing.assert_allclose(found.log_posterior[place], expected.log_posterior, atol=1e-3)


def test_jit_and_vmap_over_redundancy_and_smoothing():
    table, dims = made(5)

    def once(redundancy, smoothing):
        em = sequences.hmm_crowd(dims, SENTENCE, PRIOR, smoothing)
        log_posterior = fit(em, jax.random.key(0), purchase(table, redundancy), 3)[0].log_posterior
        free = sequences.Allowed(jnp.ones(3, bool), ~jnp.eye(3, dtype=bool))
        return log_posterior, sequences.viterbi(log_posterior, SENTENCE, free)

    rs, smoothings = jnp.array([1, 2, 3]), jnp.array([0.1, 1.0, 0.5])
    mapped = jax.jit(jax.vmap(once))(rs, smoothings)
    for row in range(3):
        one = jax.tree.map(lambda leaf, row=row: leaf[row], mapped)
        chex.assert_trees_all_close(one, once(rs[row], smoothings[row]), atol=1e-4)

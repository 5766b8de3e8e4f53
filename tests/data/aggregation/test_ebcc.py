"""EBCC against loops, against IBCC, and its bound against the evidence itself."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.special import digamma, gammaln

from trinity_jax.algorithms.em import fit, restarts
from trinity_jax.data.aggregation.annotations import Dims, annotations
from trinity_jax.data.aggregation.ebcc import ebcc
from trinity_jax.data.aggregation.ibcc import ibcc

ITEM = [0, 0, 0, 1, 1, 2, 2, 3]
WORKER = [0, 1, 2, 0, 2, 0, 1, 2]
LABEL = [0, 0, 1, 1, 1, 0, 1, 0]
TABLE, DIMS = annotations(ITEM, WORKER, LABEL)
KINDS = list(itertools.product(range(2), range(2)))  # (class, subtype)
PRIOR, CONCENTRATION = 1 + 3 * np.eye(2), 0.2
ROUNDS = 30


@pytest.fixture(scope="module")
def fitted():
    """Start, end and infos."""
    em, key = ebcc(DIMS, 2, CONCENTRATION, class_prior=jnp.ones(1)), lambda: jax.random.key(1)
    start = em.init(jax.random.split(key())[0], TABLE)
    return start, *jax.jit(lambda key: fit(em, key, TABLE, ROUNDS))(key())


def log_beta(counts):
    return gammaln(counts).sum() - gammaln(counts.sum())


def by_loops(joint, rounds):
    """Posterior of pairs (class, subtype), and the bound after each round."""
    bounds = []
    for _ in range(rounds):
        classes, members = np.ones(2), np.full((2, 2), CONCENTRATION / 2)
        confusion = np.array([[PRIOR[k] for k, _ in KINDS] for _ in range(3)]).reshape(3, 2, 2, 2)
        for i, (k, g) in itertools.product(range(4), KINDS):
            classes[k] += joint[i, k, g]
            members[k, g] += joint[i, k, g]
        for (i, a, l), (k, g) in itertools.product(zip(ITEM, WORKER, LABEL, strict=True), KINDS):
            confusion[a, k, g, l] += joint[i, k, g]
        logit = np.zeros((4, 2, 2))
        for i, (k, g) in itertools.product(range(4), KINDS):
            logit[i, k, g] = digamma(classes[k]) - digamma(classes.sum())
            logit[i, k, g] += digamma(members[k, g]) - digamma(members[k].sum())
        for (i, a, l), (k, g) in itertools.product(zip(ITEM, WORKER, LABEL, strict=True), KINDS):
            row = confusion[a, k, g]
            logit[i, k, g] += digamma(row[l]) - digamma(row.sum())
        total = np.exp(logit).sum((1, 2))
        joint = np.exp(logit) / total[:, None, None]
        pairs = [(classes, np.ones(2))]
        pairs += [(members[k], np.full(2, CONCENTRATION / 2)) for k in range(2)]
        pairs += [(confusion[a, k, g], PRIOR[k]) for a in range(3) for k, g in KINDS]
        divergences = [
            log_beta(p) - log_beta(c) + (c - p) @ (digamma(c) - digamma(c.sum())) for c, p in pairs
        ]
        bounds.append(np.log(total).sum() - sum(divergences))
    return joint, bounds


def log_evidence():
    """Of all labels, parameters integrated out: a sum over classes and subtypes of all items."""
    terms = []
    for kinds in itertools.product(KINDS, repeat=4):
        classes, members = np.ones(2), np.full((2, 2), CONCENTRATION / 2)
        confusion = np.zeros((3, 2, 2, 2))
        for k, g in kinds:
            classes[k] += 1
            members[k, g] += 1
        for i, a, l in zip(ITEM, WORKER, LABEL, strict=True):
            confusion[(a, *kinds[i], l)] += 1
        term = log_beta(classes) - log_beta(np.ones(2))
        term += sum(log_beta(row) - log_beta(np.full(2, CONCENTRATION / 2)) for row in members)
        for a, (k, g) in itertools.product(range(3), KINDS):
            term += log_beta(PRIOR[k] + confusion[a, k, g]) - log_beta(PRIOR[k])
        terms.append(term)
    return np.logaddexp.reduce(terms)


def test_equals_loops(fitted):
    start, state, info = fitted
    joint, bounds = by_loops(np.exp(np.array(start.log_joint, float)), ROUNDS)
    np.testing.assert_allclose(info.objective * len(ITEM), bounds, rtol=1e-4)
    np.testing.assert_allclose(jnp.exp(state.log_joint), joint, atol=1e-3)
    np.testing.assert_allclose(jnp.exp(state.log_posterior), joint.sum(2), atol=1e-3)


def test_bound_is_below_the_evidence_and_close(fitted):
    bound = fitted[-1].objective[-1] * len(ITEM)
    assert 0 < log_evidence() - bound < 3


def test_start_divides_the_votes(fitted):
    joint = jnp.exp(fitted[0].log_joint)
    np.testing.assert_allclose(joint.sum(2), np.exp(fitted[0].log_posterior), atol=1e-6)
    starts = jax.jit(jax.vmap(ebcc(DIMS).init, (0, None)))
    shares = starts(jax.random.split(jax.random.key(0), 5), TABLE).log_joint
    assert len(np.unique(np.array(shares).reshape(5, -1), axis=0)) == 5


def test_one_subtype_is_ibcc():
    fits = lambda em: jax.jit(lambda key: fit(em, key, TABLE, 10))(jax.random.key(0))
    (state, info), (other, other_info) = (
        fits(ebcc(DIMS, 1, class_prior=jnp.ones(1))),
        fits(ibcc(DIMS)),
    )
    np.testing.assert_allclose(state.log_posterior, other.log_posterior, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(info.objective, other_info.objective, rtol=1e-5)
    np.testing.assert_allclose(state.confusion, other.confusion, rtol=1e-4)


def test_finds_items_on_which_workers_err_together():
    """Five of nine call a third of class 1 by the wrong name, each time all of them."""
    random, dims = np.random.default_rng(0), Dims(300, 9, 2)
    truth, tricky = random.integers(2, size=300), random.uniform(size=300) < 1 / 3
    item, worker = (column.ravel() for column in np.indices((300, 9)))
    tricky &= truth == 1
    wrong = (random.uniform(size=item.size) < 0.1) ^ (tricky[item] & (worker < 5))
    table, _ = annotations(item, worker, np.where(wrong, 1 - truth[item], truth[item]), dims)
    program = lambda em: jax.jit(lambda keys: restarts(em, keys, table))
    best = lambda em: program(em)(jax.random.split(jax.random.key(0), 20))
    one, three = best(ebcc(dims, 1)), best(ebcc(dims, 3))
    assert three.info.objective > one.info.objective + 0.02
    kind = np.array(three.state.log_joint).reshape(300, 6).argmax(1)
    groups = [kind[tricky], kind[truth == 0], kind[(truth == 1) & ~tricky]]
    commonest = [np.bincount(group).argmax() for group in groups]
    assert len(set(commonest)) == 3
    for group, kind in zip(groups, commonest, strict=True):
        assert np.mean(group == kind) > 0.9

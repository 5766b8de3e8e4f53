"""Contracts of aggregators, of labels alone, and of what a classifier is trained on."""

import functools
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from contracts import RNG, Kind, Variant, alike, close, every, moved, same

from trinity_jax.data.aggregation.aggregators import AGGREGATORS, aggregate
from trinity_jax.data.aggregation.annotations import Annotations, Dims
from trinity_jax.data.aggregation.targets import TARGETS, Evidence

DIMS, ROWS, VOID = Dims(items=8, workers=5, labels=3), 34, 6  # the last item has no label
TURN, SWAPPED = np.array([5, 0, 3, 7, 6, 1, 2, 4]), np.array([1, 0, 2])
WORKERS = np.array([2, 4, 0, 1, 3])


class Crowd(NamedTuple):
    """A table, with rows of weight 0 at its end, and what only a simulation knows."""

    table: Annotations
    truth: Any
    confusion: Any


def table(item: Any, worker: Any, label: Any, weight: Any) -> Annotations:
    """Sorted by item, as tables are."""
    order = np.argsort(item, kind="stable")
    rows = (np.asarray(column, np.int32)[order] for column in (item, worker, label))
    return Annotations(*rows, np.asarray(weight, float)[order])


def crowd() -> Crowd:
    truth = np.array([0, 1, 2, 0, 1, 2, 1, 0], np.int32)
    item = np.append(np.repeat(np.arange(7), 4), np.full(VOID, 7))
    worker = np.append(
        np.concatenate([RNG.permutation(5)[:4] for _ in range(7)]), np.arange(VOID) % 5
    )
    right = RNG.random(ROWS) < np.array([0.9, 0.8, 0.7, 0.6, 0.9])[worker]
    label = np.where(right, truth[item], (truth[item] + RNG.integers(1, 3, ROWS)) % 3)
    confusion = RNG.dirichlet(np.ones(3), (5, 3)).astype(np.float32)
    return Crowd(table(item, worker, label, np.arange(ROWS) < ROWS - VOID), truth, confusion)


def methods(dims: Dims) -> dict[str, Any]:
    """Every way from a crowd to `(probabilities, weight of each item)`."""

    def method(name, key, crowd):
        known, sizes = crowd.table, dims
        if AGGREGATORS[name].binary:  # sees two of the labels
            of_two = known.weight * (known.label < 2)
            known, sizes = Annotations(*known[:2], known.label % 2, of_two), dims._replace(labels=2)
        probs = jnp.exp(aggregate(name, key, known, sizes))
        probs = jnp.pad(probs, ((0, 0), (0, dims.labels - probs.shape[1])))
        return probs, jnp.ones(dims.items)

    def target(of, key, crowd):
        return tuple(of(key, Evidence(crowd.table, dims, crowd.truth, crowd.confusion)))

    found = {name: functools.partial(method, name) for name in AGGREGATORS}
    return found | {
        f"{name} as a target": functools.partial(target, of) for name, of in TARGETS.items()
    }


def aggregation() -> Kind:
    """All of them, on one table in many states."""
    plain = crowd()
    item, worker, label, weight = plain.table
    with_rows = lambda **parts: plain._replace(table=table(**(plain.table._asdict() | parts)))
    place = np.argsort(TURN)
    renamed = Crowd(table(place[item], worker, label, weight), plain.truth[TURN], plain.confusion)
    others = Crowd(
        table(item, np.argsort(WORKERS)[worker], label, weight),
        plain.truth,
        plain.confusion[WORKERS],
    )
    classes = Crowd(
        table(item, worker, SWAPPED[label], weight),
        SWAPPED[plain.truth].astype(np.int32),
        plain.confusion[:, SWAPPED][:, :, SWAPPED],
    )
    shuffled = RNG.permutation(ROWS)
    void = weight == 0
    anything = {"item": RNG.integers(8, size=ROWS), "worker": RNG.integers(5, size=ROWS)}
    anything |= {"label": RNG.integers(3, size=ROWS)}
    junk = {name: np.where(void, x, getattr(plain.table, name)) for name, x in anything.items()}
    copied = [np.where(item == 1, np.tile(x[:4], 9)[:ROWS], x) for x in (worker, label)]
    twice = Crowd(table(item, *copied, weight), plain.truth[[0, 0, *range(2, 8)]], plain.confusion)
    agreed = plain.truth[item]
    variants = {
        "items in another order": Variant(renamed, moved(TURN)),
        "workers in another order": Variant(others, same),
        "classes in another order": Variant(classes, in_turn),
        "rows in another order": Variant(
            plain._replace(table=table(*(x[shuffled] for x in plain.table))), same
        ),
        "an item twice": Variant(twice, alike),
        "what has no weight is anything": Variant(with_rows(**junk), same),
        "nothing is there": Variant(with_rows(weight=0 * weight), distributions),
        "one class only": Variant(with_rows(label=0 * label), agreeing(0 * agreed, item, weight)),
        "all agree": Variant(with_rows(label=agreed), agreeing(agreed, item, weight)),
        "one worker": Variant(with_rows(worker=0 * worker), distributions),
        "weights of 10,000": Variant(with_rows(weight=1e4 * weight), distributions),
        "weights of 0.0001": Variant(with_rows(weight=1e-4 * weight), distributions),
    }
    ways, of_one = methods(DIMS), methods(Dims(1, 1, 3))
    single = Crowd(table([0], [0], [1], [1.0]), np.array([1], np.int32), plain.confusion[:1])

    def run(key, crowd, names=None):
        return every(ways if len(crowd.truth) > 1 else of_one, key, crowd, names=names)

    one = Variant(single, agreeing(np.array([1]), np.array([0]), np.ones(1)))
    random = ("mace", "ebcc", "kos", "majority as a target")
    return Kind(tuple(ways), run, plain, variants, one, random, ("wawa", "kos"), float64=True)


def in_turn(name: str, found: Any, plain: Any) -> None:
    del name
    close(found, (plain[0][:, SWAPPED], plain[1]))


def distributions(name: str, found: Any, plain: Any) -> None:
    """Rows of probabilities that sum to 1, and weights that are none below 0."""
    del name, plain
    probs, weight = found
    assert np.isfinite(probs).all()
    assert (probs >= 0).all()
    np.testing.assert_allclose(probs.sum(1), 1, rtol=1e-3)
    assert ((weight >= 0) & (weight <= 1)).all()


def agreeing(label: Any, item: Any, weight: Any):
    """What all say is believed, of the items that have labels."""

    def check(name, found, plain):
        distributions(name, found, plain)
        of = dict(zip(item[weight > 0].tolist(), label[weight > 0].tolist(), strict=True))
        assert all(found[0][i].argmax() == k for i, k in of.items()), (name, found[0])

    return check

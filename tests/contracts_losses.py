"""Contracts of losses: on labels, on sets of labels, on labels of a crowd, of generated images.

Each gives its value and its gradient by the logits, or by all that is learnt.
"""

from typing import Any, NamedTuple

import jax
import numpy as np
from contracts import RNG, Kind, Variant, close, every, extreme, finite, normal, same

from trinity_jax.algorithms import losses, partial_labels
from trinity_jax.data.aggregation import crowd_layer
from trinity_jax.data.aggregation.annotations import Annotations
from trinity_jax.data.augmentation import nrm
from trinity_jax.data.augmentation.rendering import Layer

BATCH, LABELS, WORKERS, FEATURES = 8, 5, 3, 4
TURN, NAMES = np.array([3, 0, 5, 1, 4, 2, 7, 6]), np.array([4, 2, 0, 1, 3])


class Known(NamedTuple):
    """Logits, what is known of the labels, and how much that counts."""

    logits: Any
    target: Any
    weight: Any


def told() -> dict[str, Any]:
    """Losses by name."""
    known = partial_labels.LOSSES.items()
    found = {name: loss.loss for name, loss in known}
    found |= {f"pseudo {name}": partial_labels.pseudo(loss, 0.4).loss for name, loss in known}
    return found | {"weighted_cross_entropy": losses.weighted_cross_entropy}


def slope(of: Any) -> Any:
    """`(key, *known) -> (value, gradient by the first)`."""
    return lambda key, *known: jax.value_and_grad(of)(*known)


def labels() -> Kind:
    ways = {name: slope(loss) for name, loss in told().items()}
    target = (RNG.random((BATCH, LABELS)) < 0.5).astype(np.float32)
    target[np.arange(BATCH), RNG.integers(LABELS, size=BATCH)] = 1  # something is left
    weight = np.array([1, 0, 1, 0.5, 2, 0, 1, 1], np.float32)
    plain = Known(normal(BATCH, LABELS, scale=2), target, weight)
    void = (weight == 0)[:, None]
    other = lambda logits: np.where(void, logits, plain.logits)
    first = np.tile(np.arange(BATCH // 2), 2)
    twice = Known(plain.logits[first], plain.target[first], np.ones(BATCH, np.float32))
    exact = np.eye(LABELS, dtype=np.float32)[RNG.integers(LABELS, size=BATCH)]
    excluded = np.where(target > 0, np.float32(-1e4), np.float32(0))
    variants = {
        "items in another order": Variant(Known(*(x[TURN] for x in plain)), turned),
        "classes in another order": Variant(
            Known(plain.logits[:, NAMES], target[:, NAMES], weight),
            lambda name, found, plain: close(found, (plain[0], plain[1][:, NAMES])),
        ),
        "all items twice": Variant(twice, doubled),
        "what has no weight is anything": Variant(
            Known(other(extreme(BATCH, LABELS)), np.where(void, 1 - target, target), weight),
            unmoved,
        ),
        "what has no weight has no label": Variant(
            plain._replace(target=np.where(void, 0, target)), unmoved
        ),
        "nothing has weight": Variant(plain._replace(weight=0 * weight), still),
        "all is known": Variant(plain._replace(target=exact), finite),
        "nothing is known": Variant(plain._replace(target=np.ones_like(target)), finite),
        "nothing is left": Variant(plain._replace(target=0 * target), finite),
        "extreme logits": Variant(plain._replace(logits=extreme(BATCH, LABELS)), finite),
        "what is left is excluded": Variant(plain._replace(logits=excluded), finite),
        "logits are higher": Variant(plain._replace(logits=plain.logits + 50), same),
    }
    alone = Known(plain.logits[:1], target[:1], weight[:1])
    run = lambda key, known, names=None: every(ways, key, *known, names=names)
    return Kind(tuple(ways), run, plain, variants, Variant(alone, finite), (), ("cc",))


def turned(name: str, found: Any, plain: Any) -> None:
    close(found, (plain[0], plain[1][TURN]))


def doubled(name: str, found: Any, plain: Any) -> None:
    """Each copy pulls as the other."""
    del name, plain
    close(found[1][: BATCH // 2], found[1][BATCH // 2 :])


def unmoved(name: str, found: Any, plain: Any) -> None:
    """It is as if the rows of weight 0 were not there, and they are not pulled."""
    del name
    close(found, plain)
    assert not found[1][[1, 5]].any()


def still(name: str, found: Any, plain: Any) -> None:
    """There is nothing to learn."""
    del name, plain
    assert found[0] == 0
    assert not found[1].any()


class Answers(NamedTuple):
    """Parameters of a layer, what the network says of each annotation's item, and annotations."""

    params: Any
    logits: Any
    features: Any
    table: Annotations


def answers() -> Kind:
    """Losses on what each worker said, by a layer of its own."""
    conal = lambda params, *rest: crowd_layer.conal_loss(params[1], *rest)
    layer = lambda params, *rest: crowd_layer.crowd_layer_loss(params[0], *rest)
    both = lambda of: lambda key, *known: jax.value_and_grad(of, argnums=(0, 1))(*known)
    ways = {"crowd layer": both(layer), "conal": both(conal)}
    shapes = (WORKERS, LABELS, LABELS), (LABELS, LABELS), (WORKERS, 6), (FEATURES, 6)
    own, common, worker, feature = (normal(*shape) for shape in shapes)
    params = own, crowd_layer.Conal(common, normal(WORKERS, LABELS, LABELS), worker, feature)
    rows = [RNG.integers(size, size=BATCH).astype(np.int32) for size in (BATCH, WORKERS, LABELS)]
    weight = np.array([1, 0, 1, 0.5, 2, 0, 1, 1], np.float32)
    table = Annotations(*rows, weight)
    plain = Answers(params, normal(BATCH, LABELS), normal(BATCH, FEATURES), table)
    void = weight == 0
    at = lambda order: Annotations(*(column[order] for column in table))
    other = np.where(void[:, None], extreme(BATCH, LABELS), plain.logits)
    label = np.where(void, (rows[2] + 1) % LABELS, rows[2]).astype(np.int32)
    pulled = lambda found: (found[0], found[1][0], found[1][1])
    variants = {
        "items in another order": Variant(
            plain._replace(
                logits=plain.logits[TURN], features=plain.features[TURN], table=at(TURN)
            ),
            lambda name, found, plain: close(
                pulled(found), (plain[0], plain[1][0], plain[1][1][TURN])
            ),
        ),
        "what has no weight is anything": Variant(
            plain._replace(logits=other, table=table._replace(label=label)), same
        ),
        "nothing has weight": Variant(
            plain._replace(table=table._replace(weight=0 * weight)), finite
        ),
        "one class only": Variant(plain._replace(table=table._replace(label=0 * rows[2])), finite),
        "extreme logits": Variant(plain._replace(logits=extreme(BATCH, LABELS)), finite),
        "no features": Variant(plain._replace(features=0 * plain.features), finite),
        "parameters without measure": Variant(
            plain._replace(params=jax.tree.map(lambda x: 1e4 * x, params)), finite
        ),
    }
    alone = Answers(params, plain.logits[:1], plain.features[:1], at([0]))
    run = lambda key, known, names=None: every(ways, key, *known, names=names)
    return Kind(tuple(ways), run, plain, variants, Variant(alone, finite))


class Images(NamedTuple):
    """What is learnt, images and their labels, and images without."""

    params: Any
    running: Any
    labelled: Any
    target: Any
    unlabelled: Any


TERMS = ("reconstruction", "entropy", "moments", "paths", "negative")
LAYERS, SHAPE = (Layer(3, pool=2),), (6, 6, 1)


def images() -> Kind:
    """The rendering model's loss, of all terms, where batches are normalised, by what they are."""
    models = {"rendering": nrm.Model(LAYERS, SHAPE, 3)}
    objective = nrm.Objective(**dict.fromkeys(TERMS, 0.5), low=0.25)

    def way(model):
        def of(params, key, known):
            pair = known.labelled, known.target
            return nrm.loss(params, key, known.running, model, objective, pair, known.unlabelled)

        def both(key, known):
            (value, (_, terms)), pull = jax.value_and_grad(of, has_aux=True)(
                known.params, key, known
            )
            return value, terms, pull

        return both

    ways = {name: way(model) for name, model in models.items()}
    begun = nrm.begin(jax.random.key(0), models["rendering"])
    params, running = jax.tree.map(np.asarray, begun)
    x, target = normal(4, *SHAPE), np.eye(3, dtype=np.float32)[[0, 1, 2, 1]]
    plain = Images(params, running, x, target, normal(4, *SHAPE))
    turn = np.array([2, 0, 3, 1])
    dark, grey = 0 * x, 0 * x + np.float32(0.5)
    one = Images(params, running, x[:1], target[:1], x[:1])
    variants = {
        "items in another order": Variant(
            plain._replace(
                labelled=x[turn], target=target[turn], unlabelled=plain.unlabelled[turn]
            ),
            lambda name, found, plain: close(found[:2], plain[:2]),
        ),
        "one class only": Variant(plain._replace(target=target[[0] * 4]), finite),
        "all are alike": Variant(plain._replace(labelled=grey, unlabelled=grey), finite),
        "nothing is there": Variant(plain._replace(labelled=dark, unlabelled=dark), finite),
        "extreme logits": Variant(
            plain._replace(labelled=extreme(*x.shape), unlabelled=extreme(*x.shape)), finite
        ),
    }
    run = lambda key, known, names=None: every(ways, key, known, names=names)
    return Kind(tuple(ways), run, plain, variants, Variant(one, finite))

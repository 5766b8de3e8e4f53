"""Training is a pure function of keys, examples and parts; what it trains gets better."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from trinity_jax.algorithms.losses import weighted_cross_entropy
from trinity_jax.algorithms.networks import Network, network
from trinity_jax.algorithms.training import (
    SCHEDULES,
    Examples,
    Recipe,
    begin,
    nesterov,
    predict,
    train,
)

LABELS = 4


def recipe(batch_size=8, **changes):
    how = {"learning_rate": 0.1, "weight_decay": 1e-3, "batch_size": batch_size, **changes}
    return nesterov(network("softmax", LABELS), **how)


def problem(seed=0, items=30):
    """Features around a centre of their class: the state to begin with, and examples."""
    centres = np.random.default_rng(0).normal(size=(LABELS, 6))
    draw = np.random.default_rng(seed)
    label = draw.integers(0, LABELS, items)
    inputs = jnp.asarray(centres[label] + 0.5 * draw.normal(size=(items, 6)), jnp.float32)
    target = jax.nn.one_hot(label, LABELS)
    order = jnp.asarray(draw.permutation(items))
    return Examples(inputs, order, target[order], jnp.ones(items), jnp.int32(items))


@functools.partial(jax.jit, static_argnames=("how", "parts"))
def run(key, how, state, examples, epochs, first=0, last=1, parts=1):
    return train(key, how, state, examples, epochs, (first, last, parts))


def check_equal(found, expected):
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def check_close(found, expected):
    close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6)
    jax.tree.map(close, found, expected)


HOW, EXAMPLES = recipe(), problem()
START = begin(jax.random.key(1), HOW, EXAMPLES.inputs)


@pytest.mark.parametrize("parts", [3, 7])
def test_parts_in_a_row_are_the_whole(parts):
    """To the bit, also where the epochs do not divide."""
    state = START
    for part in range(parts):
        state, loss = run(jax.random.key(2), HOW, state, EXAMPLES, 5, part, part + 1, parts)
    check_equal((state, loss), run(jax.random.key(2), HOW, START, EXAMPLES, 5))


def test_a_part_of_no_epochs_changes_nothing():
    state, loss = run(jax.random.key(2), HOW, START, EXAMPLES, 5, 3, 3, 7)
    check_equal(state, START)
    assert loss == 0


@pytest.mark.parametrize("existing", [7, 16])
def test_examples_that_do_not_exist_are_as_if_cut_off(existing):
    cut = Examples(EXAMPLES.inputs, *(leaf[:existing] for leaf in EXAMPLES[1:4]), existing)
    poisoned = EXAMPLES._replace(
        target=EXAMPLES.target.at[existing:].set(jnp.nan),
        weight=EXAMPLES.weight.at[existing:].set(jnp.nan),
        existing=jnp.int32(existing),
    )
    found = run(jax.random.key(2), HOW, START, poisoned, 3)
    check_close(found, run(jax.random.key(2), HOW, START, cut, 3))


def test_examples_of_weight_0_have_no_influence():
    without = jnp.arange(30) % 3 == 0
    weight = jnp.where(without, 0.0, 1.0)
    wrong = jnp.where(without[:, None], jnp.roll(EXAMPLES.target, 1, axis=1), EXAMPLES.target)
    found, right = (
        run(jax.random.key(2), HOW, START, EXAMPLES._replace(weight=weight, target=target), 3)
        for target in (wrong, EXAMPLES.target)
    )
    check_equal(found, right)
    all_count = run(jax.random.key(2), HOW, START, EXAMPLES._replace(target=wrong), 3)
    assert (
        jnp.abs(
            all_count[0].params["Dense_0"]["kernel"] - found[0].params["Dense_0"]["kernel"]
        ).max()
        > 1e-3
    )


def ones_where_there_is_gradient():
    """An optimiser that counts: parameters become the number of steps that touched them."""
    update = lambda gradient, state, _: (jax.tree.map(lambda g: 1.0 * (g != 0), gradient), state)
    return optax.GradientTransformation(lambda params: (), update)


TABLE = Network(  # its parameters are the logits of each input, which is its own number
    init=lambda key, x: (jnp.zeros((30, LABELS)), {}),
    apply=lambda params, stats, x: params[x],
    train=lambda params, stats, x: (params[x], stats),
)


@functools.cache
def counting(batch_size):
    """A recipe under which the parameters say how often each input was seen."""
    return Recipe(TABLE, ones_where_there_is_gradient(), lambda progress: 1.0, batch_size)


@pytest.mark.parametrize(("existing", "batch_size"), [(30, 8), (24, 8), (5, 8), (30, 64)])
def test_every_example_is_seen_once_an_epoch(existing, batch_size):
    how = counting(batch_size)
    row = jax.random.permutation(jax.random.key(5), 30)
    examples = EXAMPLES._replace(inputs=jnp.arange(30), row=row, existing=jnp.int32(existing))
    state = begin(jax.random.key(0), how, examples.inputs)
    state, _ = run(jax.random.key(2), how, state, examples, 3)
    seen = state.params.max(axis=1)[row]
    np.testing.assert_array_equal(seen, 3.0 * (np.arange(30) < existing))


def test_the_order_is_another_in_every_epoch_and_for_every_key():
    how = recipe(batch_size=1)._replace(learning_rate=lambda progress: 0.1)
    one = lambda key, e: run(jax.random.key(key), how, START, EXAMPLES, 4, e, e + 1, 4)[0]
    kernels = [one(*which).params["Dense_0"]["kernel"] for which in ((2, 0), (3, 0), (2, 1))]
    for a, b in itertools.combinations(kernels, 2):
        assert jnp.abs(a - b).max() > 1e-4


def test_a_step_is_nesterov_s():
    """The first step, by hand: momentum makes it 1.9 times as long."""
    how = recipe(batch_size=30)

    def loss(params):
        logits = how.network.apply(params, {}, EXAMPLES.inputs[EXAMPLES.row])
        return weighted_cross_entropy(logits, EXAMPLES.target, EXAMPLES.weight)

    start_loss, gradient = jax.jit(jax.value_and_grad(loss))(START.params)
    step = lambda p, g: p - 0.1 * 1.9 * (g + 1e-3 * p)
    found, value = run(jax.random.key(2), how, START, EXAMPLES, 1)
    check_close(found.params, jax.tree.map(step, START.params, gradient))
    np.testing.assert_allclose(value, start_loss, rtol=1e-5)


def test_the_loss_is_the_mean_over_the_last_epoch():
    """Without learning it can be told; a batch that is partly empty counts as a batch."""
    how = recipe(batch_size=8)._replace(learning_rate=lambda progress: 0.0)
    _, found = run(jax.random.key(2), how, START, EXAMPLES, 2)
    logits = how.network.apply(START.params, {}, EXAMPLES.inputs[EXAMPLES.row])
    total = optax.softmax_cross_entropy(logits, EXAMPLES.target).sum()
    np.testing.assert_allclose(found, total / (4 * 8), rtol=1e-5)


def test_the_learning_rate_follows_the_share_of_training_done():
    """Also when training is cut in parts: 3 epochs of 4 steps are 0/12, 1/12 ... 11/12."""
    how = counting(8)._replace(learning_rate=lambda progress: progress)
    examples = EXAMPLES._replace(inputs=jnp.zeros(30, jnp.int32))  # every step touches row 0,
    examples = examples._replace(target=jnp.tile(EXAMPLES.target[:1], (30, 1)))  # all its columns
    state = begin(jax.random.key(0), how, examples.inputs)
    for part in range(3):
        state, _ = run(jax.random.key(2), how, state, examples, 3, part, part + 1, 3)
    np.testing.assert_allclose(state.params[0], sum(range(12)) / 12, rtol=1e-5)


@pytest.mark.parametrize(("existing", "batch_size"), [(30, 8), (10, 8), (5, 8)])
def test_targets_are_revised_once_an_epoch(existing, batch_size):
    """Also those with which the last batch is filled up; a loss need not have a name."""
    sum_of = lambda label, logits, target, weight: (weight * target[:, label]).sum()
    how = counting(batch_size)._replace(
        loss=functools.partial(sum_of, 0), revise=lambda logits, target: target + 1
    )
    examples = EXAMPLES._replace(
        inputs=jnp.arange(30), target=jnp.zeros((30, LABELS)), existing=jnp.int32(existing)
    )
    state = begin(jax.random.key(0), how, examples.inputs)
    _, loss = run(jax.random.key(2), how, state, examples, 4)
    np.testing.assert_allclose(loss, 3 * existing / -(-existing // batch_size), rtol=1e-6)


def test_schedules():
    progress = jnp.array([0.0, 0.5, 0.66, 0.67, 0.83, 0.84, 0.999])
    drops = SCHEDULES["two_drops"](progress)
    np.testing.assert_allclose(drops, [1, 1, 1, 0.1, 0.1, 0.01, 0.01], rtol=1e-6)
    np.testing.assert_allclose(SCHEDULES["linear_decay"](progress), 1 - progress)


def test_replicas_are_a_vmap():
    """Each with its own key, labels and number of examples: loops end when they end."""
    existing = jnp.array([30, 11, 20])
    keys = jax.random.split(jax.random.key(7), 3)
    targets = jnp.stack([jnp.roll(EXAMPLES.target, k, axis=1) for k in range(3)])
    states = jax.jit(jax.vmap(lambda key: begin(key, HOW, EXAMPLES.inputs)))(keys)

    def one(key, state, target, existing, epochs):
        examples = EXAMPLES._replace(target=target, existing=existing)
        return train(key, HOW, state, examples, epochs)

    rows = (keys, states, targets, existing, jnp.array([2, 4, 1]))
    found = jax.jit(jax.vmap(one))(*rows)
    alone = jax.jit(one)
    for i in range(3):
        row = jax.tree.map(lambda leaf, i=i: leaf[i], rows)
        check_close(jax.tree.map(lambda leaf, i=i: leaf[i], found), alone(*row))


def test_logistic_regression_finds_the_labels_frequencies():
    """Its optimum is known: with an input a class, predictions are the soft labels."""
    target = jnp.array([[0.7, 0.1, 0.1, 0.1], [0.25, 0.25, 0.25, 0.25], [0.0, 0.5, 0.5, 0.0]])
    examples = Examples(jnp.eye(3), jnp.arange(3), target, jnp.ones(3), 3)
    how = recipe(batch_size=3, learning_rate=1.0, weight_decay=0.0)
    state, _ = run(
        jax.random.key(0), how, begin(jax.random.key(1), how, jnp.eye(3)), examples, 1000
    )
    found = jax.nn.softmax(predict(how, state, jnp.eye(3)))
    np.testing.assert_allclose(found, target, atol=0.01)


def test_images_are_learnt():
    """Stripes and checks in noise, some mirrored: four kinds, on images not seen."""
    stripes = np.indices((8, 8)) // 2 % 2
    kinds = np.stack([stripes[0], stripes[1], stripes.sum(0) % 2, 0 * stripes[0]])
    draw = np.random.default_rng(0)
    label = draw.integers(0, LABELS, 400)
    images = (110 * kinds[label] + draw.integers(0, 146, (400, 8, 8)))[..., None].astype(np.uint8)
    train_images, test_images = jnp.asarray(images[:200]), jnp.asarray(images[200:])
    target = jax.nn.one_hot(label[:200], LABELS)
    examples = Examples(train_images, jnp.arange(200), target, jnp.ones(200), 200)
    mirror = lambda key, x: jnp.where(jax.random.bernoulli(key), x, x[:, :, ::-1])
    how = nesterov(network("mlp", LABELS), 0.1, 1e-4, 32, augment=mirror)
    state = begin(jax.random.key(1), how, train_images)
    state, _ = run(jax.random.key(0), how, state, examples, 20)
    right = predict(how, state, test_images).argmax(1) == label[200:]
    assert right.mean() > 0.9


@pytest.mark.parametrize("batch_size", [4, 1024])
def test_predictions_do_not_depend_on_the_batches(batch_size):
    row = jax.random.permutation(jax.random.key(4), 30)[:7]
    direct = HOW.network.apply(START.params, START.stats, EXAMPLES.inputs)
    predicted = jax.jit(functools.partial(predict, HOW, batch_size=batch_size))
    check_close(predicted(START, EXAMPLES.inputs), direct)
    check_close(predicted(START, EXAMPLES.inputs, row), direct[row])

"""Whole figures beside PyTorch: peers compute what ours do, and costs are put together rightly."""

import dataclasses
import importlib
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from trinity_jax.algorithms import networks, partial_labels, tagger, training
from trinity_jax.data.augmentation import gan, nrm
from trinity_jax.data.augmentation.nrm import Model, Objective
from trinity_jax.data.augmentation.rendering import Layer
from trinity_jax.data.collection import corpus, learning, reading
from trinity_jax.data.sources import Images, Sentence

pytest.importorskip("sklearn", reason="needs scikit-learn installed")
pytest.importorskip("faker", reason="needs Faker installed")
from experiments import crowdsourcing, generative_arms
from experiments.benchmarks import figure_cases, figure_costs, figure_processes, figures, streaming

MODEL = Model((Layer(4, pool=2), Layer(6)), (8, 8, 2), 3)
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def peer():
    """`peer(name)` is a file of the benchmarks that needs PyTorch."""
    pytest.importorskip("torch", reason="needs PyTorch, of the extra bench, installed")
    return lambda name: importlib.import_module(f"experiments.benchmarks.{name}")


def close(ours, theirs, rtol=1e-3):
    for one, other in zip(*map(jax.tree.leaves, (ours, theirs)), strict=True):
        np.testing.assert_allclose(one, other, rtol=rtol, atol=rtol * np.abs(one).max() + 1e-7)


def images(count):
    pixels = RNG.integers(0, 256, (count, *MODEL.shape), np.uint8)
    labels = np.arange(count, dtype=np.int32) % MODEL.labels
    return Images("noise", pixels, labels, pixels[::-1].copy(), labels[::-1].copy(), tuple("abc"))


@pytest.mark.parametrize(("name", "rate"), [("nesterov", 0.5), ("adam", 0.1)])
def test_a_network_of_one_hidden_layer_learns_as_ours_does(peer, name, rate):
    """Epochs of one batch; soft targets with weights, or what is left of the labels."""
    import torch

    torch_mlp, count, epochs = peer("torch_mlp"), 12, 5
    network, x = networks.network("mlp", 3), RNG.uniform(size=(count, 6)).astype("f")
    target, weight = RNG.dirichlet(np.ones(3), count).astype("f"), np.ones(count, "f")
    if name == "nesterov":
        recipe = training.nesterov(network, rate, 0.1, count)
        weight = RNG.uniform(size=count).astype("f")
    else:
        recipe = training.adam(network, rate, count, "linear_decay")
        recipe = recipe._replace(loss=partial_labels.LOSSES["cc"].loss)
        target = (target >= np.sort(target)[:, 1:2]).astype("f")
    given = jnp.asarray(x), jnp.arange(count), jnp.asarray(target), jnp.asarray(weight), count
    start = training.begin(jax.random.key(0), recipe, given[0])
    examples = training.Examples(*given)
    end, _ = jax.jit(lambda: training.train(jax.random.key(1), recipe, start, examples, epochs))()

    net = torch_mlp.mlp(6, 3)
    layers = {"Dense_0": net[0], "Dense_1": net[2]}
    for key, layer in layers.items():
        layer.weight.data = torch.tensor(np.array(start.params[key]["kernel"].T))
        layer.bias.data = torch.tensor(np.array(start.params[key]["bias"]))
    x, target, weight = map(torch.tensor, (x, target, weight))
    close(network.apply(start.params, {}, given[0]), net(x).detach().numpy())
    loss, optimiser, clip = {
        "nesterov": (torch_mlp.cross_entropy, torch_mlp.nesterov(net, rate, 0.1), 0.0),
        "adam": (torch_mlp.cc, torch.optim.Adam(net.parameters(), fused=True), 2.0),
    }[name]
    config = types.SimpleNamespace(batch_size=count, learning_rate=rate)
    torch_mlp.fit(net, optimiser, loss, config, epochs, x, target, weight, clip)
    for key, layer in layers.items():
        close(end.params[key]["kernel"].T, layer.weight.detach().numpy())
        assert not np.allclose(end.params[key]["kernel"], start.params[key]["kernel"], atol=0.05)


@pytest.fixture(scope="module")
def sentences():
    words = ("mr", "Ann", "Bo", "a", "dog")
    tags = ("O", "B-PER", "B-PER", "O", "O")
    made = []
    for length in [2, 5, 3, 4, 1, 6]:
        picked = RNG.integers(0, 5, length)
        made.append(Sentence(tuple(words[i] for i in picked), tuple(tags[i] for i in picked), ""))
    return corpus.encode([made], ("PER",), max_chars=5, num_widths=1, multiple=6)


@pytest.fixture(scope="module")
def ours(sentences):
    """A tagger that drops nothing, its parameters, what reads MNLP with them, and what learns."""
    sizes = tagger.Sizes(*(4, 5, 6, 2, 8), hidden=6, tag_embedding=3)
    sizes = sizes._replace(dropout=0.0, input_dropout=0.0, unknown=0.0)
    known = sentences.vocabulary
    counts = len(known.chars), len(known.words), len(corpus.CASES), len(sentences.tags)
    made, size = tagger.tagger(sizes, tagger.VocabularySizes(*counts)), 6
    optimiser = optax.chain(optax.clip_by_global_norm(5), optax.scale_by_adam(b2=0.99))
    recipe = learning.Recipe(made, optimiser, lambda done: -0.03 * done, size, epochs=4)
    data = jax.tree.map(jnp.asarray, (sentences.forms, sentences.buckets))
    labelled = jnp.arange(size) < 4

    @jax.jit
    def read(params):
        given = ("mnlp",), 0, made, params, *data, size, size
        return reading.read(jax.random.key(1), *given, num_types=1).scores

    @jax.jit
    def learn(params):
        return learning.train(jax.random.key(2), recipe, params, *data, labelled)[0]

    return sizes, made.init(jax.random.key(0)), read, learn


@pytest.mark.parametrize("way", ["usual", "tuned"])
def test_taggers_read_and_learn_as_ours_does(peer, sentences, ours, way):
    """Steps of one batch, at a rate that rises from 0."""
    import torch

    sizes, params, read, learn = ours
    rate = lambda step: 0.03 * step / 4
    how = params, sentences, sizes, rate, 6, [torch.arange(4)]
    parts = peer("torch_tagger").WAYS[way](*how, b2=0.99)
    if way == "usual":
        fill(parts["model"], params)
    close(read(params), parts["score"]()[0])
    for _ in range(4):
        parts["train"]()
    scores, tags = parts["score"]()
    close(read(learn(params)), scores, rtol=1e-2)
    assert not np.allclose(read(params), scores, rtol=0.1)
    assert tags.shape == sentences.buckets[0].form.shape


def fill(model, params):
    """The parameters of ours in modules."""
    import torch

    tensor = lambda leaf: torch.tensor(np.array(leaf))
    net, decoder = params["encoder"], params["decoder"]
    put = lambda of, value: of.data.copy_(tensor(value).reshape(of.shape))
    put(model.words.weight, params["words"])
    put(model.cases.weight, net["cases"])
    put(model.chars.weight, net["chars"].at[0].set(0))  # padding adds nothing
    put(model.tags.weight, decoder["tags"])
    for number, name in enumerate(("char_layer", "word_layers_0", "word_layers_1")):
        put(model.convolutions[number].weight, net[name]["kernel"].transpose(2, 1, 0))
        put(model.convolutions[number].bias, net[name]["bias"])
        if "skip" in net[name]:
            put(model.skips[number].weight, net[name]["skip"].T)
    put(model.lstm.weight_ih_l0, jnp.concatenate([decoder["inputs"], decoder["previous"]]).T)
    put(model.lstm.weight_hh_l0, decoder["hidden"].T)
    put(model.lstm.bias_ih_l0, decoder["gates"])
    put(model.lstm.bias_hh_l0, 0 * decoder["gates"])
    put(model.output.weight, decoder["output"].T)
    put(model.output.bias, decoder["bias"])


@pytest.fixture(scope="module")
def networks_of_three():
    params, running = nrm.begin(jax.random.key(0), MODEL)
    off = lambda leaf: leaf + 0.1 * RNG.normal(size=leaf.shape).astype(np.float32)
    judge, maker = nrm.begin(jax.random.key(1), MODEL)[0], gan.begin(jax.random.key(2), MODEL)
    return (*(jax.tree.map(off, tree) for tree in (params, judge, maker)), running)


def test_the_game_is_ours(peer, networks_of_three):
    """The losses of both players and of a classifier on made images, and their gradients."""
    import torch
    from torch.nn import functional as F

    torch_gan, copied = peer("torch_gan"), peer("torch_rendering").copied
    params, judge, maker, _ = networks_of_three
    real = RNG.normal(size=(7, *MODEL.shape)).astype(np.float32)
    noise = RNG.normal(size=(7, gan.NOISE)).astype(np.float32)
    named, wanted = RNG.integers(0, MODEL.labels, (2, 7))
    seen, of, ones = *map(jnp.asarray, (real, noise)), lambda label: jnp.eye(MODEL.labels)[label]
    logits = lambda p, x: generative_arms.see(p, MODEL, x).logits + p.bias[None]
    paint = lambda maker: gan.generate(maker, MODEL, of, ones(wanted))
    both = lambda judge: (logits(judge, seen), logits(judge, paint(maker)))
    tell = lambda judge: gan.conditional_discriminator_loss(*both(judge), ones(named), ones(wanted))
    deceive = lambda maker: gan.generator_loss(logits(judge, paint(maker)), ones(wanted))
    share = lambda params: jax.nn.log_softmax(logits(params, paint(maker)))
    name = lambda params: -(ones(wanted) * share(params)).sum(1).mean()
    slope = lambda loss, of: jax.jit(jax.value_and_grad(loss))(of)
    ours = slope(tell, judge), slope(deceive, maker), slope(name, params)

    x, z = torch.tensor(real).permute(0, 3, 1, 2), torch.tensor(noise)
    label, other = torch.tensor(named), torch.tensor(wanted)
    mine = [copied(tree, grad=True) for tree in (judge, maker, params)]
    drawn, still = torch_gan.generate(mine[1], MODEL, z, other), copied(judge)
    close(paint(maker), drawn.detach().permute(0, 2, 3, 1).numpy())
    losses = (
        torch_gan.tell(mine[0], MODEL, x, label, drawn.detach(), other),
        torch_gan.deceive(still, MODEL, drawn, other),
        F.cross_entropy(torch_gan.logits(mine[2], MODEL, drawn.detach()), other),
    )
    for expected, loss, tree in zip(ours, losses, mine, strict=True):
        loss.backward()
        close(expected, (loss.item(), gradients(tree)))


def gradients(tree):
    import torch

    def of(leaf):
        grad = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        return (grad.permute(2, 3, 1, 0) if grad.ndim == 4 else grad).numpy()

    return jax.tree.map(of, tree)


def test_few_labels_are_learnt_as_ours_are(peer, networks_of_three):
    """Loss and gradients of a step, and errors by running moments."""
    params, _, _, running = networks_of_three
    few, rendering = peer("torch_few_labels"), peer("torch_rendering")
    seen = images(8)
    x = RNG.normal(size=(8, *MODEL.shape)).astype(np.float32)
    halves = (x[:4], np.eye(MODEL.labels, dtype=np.float32)[seen.train_labels[:4]]), x[4:]
    objective = Objective(0.5, 0.5)
    loss = lambda p: nrm.loss(p, jax.random.key(0), running, MODEL, objective, *halves)[0]
    theirs = rendering.gradient(params, running, MODEL, objective, *halves)
    halves = jax.tree.map(jnp.asarray, halves)
    close(jax.jit(jax.value_and_grad(loss))(params), theirs)

    moved = jax.tree.map(lambda leaf: leaf + RNG.uniform(size=leaf.shape).astype("f"), running)
    mean, std = seen.train_images.mean((0, 1, 2)), seen.train_images.std((0, 1, 2), ddof=1)
    inputs = ((seen.test_images - mean) / std).astype(np.float32)
    guess = nrm.predict(params, moved, MODEL, 0.0, jnp.asarray(inputs)).argmax(1)
    found = few.error(*map(rendering.copied, (params, moved)), MODEL, seen)
    assert found == pytest.approx((guess != seen.test_labels).mean())
    assert 0 < found < 1


TINY = dataclasses.replace(
    figure_cases.FIGURES["crowdsourcing"], seeds=1, methods=("mbem",), epochs=1, num_workers=5
)


@pytest.fixture(scope="module")
def tiny():
    """A case, and what its replicas find one by one."""
    case = figure_cases.case("crowdsourcing", TINY)
    return case, figure_processes.one_by_one("crowdsourcing", TINY, wanted=True)


def test_one_program_finds_what_replicas_find_alone(tiny):
    found = figures.one_program("crowdsourcing", TINY)()
    figures.check(found, tiny[1])
    metrics, kept = found
    assert metrics["test_error"].shape == (2, 2)
    assert len(np.unique(metrics["test_error"])) > 1
    other = metrics | {"loss": np.nextafter(metrics["loss"], 9)}
    with pytest.raises(SystemExit, match="something else"):
        figures.check((other, kept), tiny[1])


def test_peers_are_given_what_ours_trained_on(peer, tiny):
    case, (metrics, kept) = tiny
    torch_mlp = peer("torch_mlp")
    for number, row in enumerate(case.rows):
        mine = jax.tree.map(lambda leaf, i=number: leaf[i], kept)
        order = torch_mlp.bought(row["seed"], len(mine.probs[0]))
        count = len(order) // row["redundancy"]
        truth = case.found.train_labels[order[:count]]
        right = (mine.probs[-1][:count].argmax(1) == truth).mean()
        assert right == pytest.approx(metrics["label_accuracy"][number, -1])
        assert right > 0.5
        assert 0 <= torch_mlp.crowdsourcing(TINY, case, number, mine)() < 1


def test_costs_are_of_programs_that_are_there_of_compiling_and_from_the_start():
    seconds = {
        figure_costs.ALL: [8.0, 2.0, 4.0, 3.0],
        figure_costs.ONE: [10.0, 4.0],
        "torch": [None, 9.0],
    }
    measured = figure_costs.Measured(6, seconds, 2.0, {})
    found = figure_costs.costs(measured, cores=2)
    assert found[figure_costs.ALL] == (3, 8, 10)
    assert found[figure_costs.ONE] == (4, 10, 12)
    assert found[figure_costs.CORE] == (2, 8, 10)
    assert found[figure_costs.PROCESS][2] == (6 * (2 + 6) + 4) / 2
    assert found["torch"][:2] == (9, 9)  # nothing is compiled
    assert np.isnan([found["torch"][2], *found[figure_costs.PROCESS][:2]]).all()


def test_claims_say_what_is_not_known_and_what_more_work_would_change():
    seconds = {
        figure_costs.ALL: [9.0, 2.0, 4.0, 3.0],
        figure_costs.ONE: [11.0, 3.5, 4.5],
        "torch": [None, 6],
    }
    told = figure_costs.claims(figure_costs.Measured(6, seconds, 2.0, {}), cores=2)
    assert (
        told[0]
        == f"program there, 1.33 times as fast as {figure_costs.ONE}, but their times overlap"
    )
    assert told[1] == f"with compiling, 1.22 times as fast as {figure_costs.ONE}"
    assert told[3] == "program there, 2.00 times as fast as torch"
    slower = "with compiling, 0.67 times as fast as torch"
    assert told[4] == slower + ", faster from 2.0 times the work on"
    slow = {figure_costs.ALL: [9.0, 8.0], figure_costs.ONE: [9.0, 8.0], "torch": [None, 6.0]}
    *_, last = figure_costs.claims(figure_costs.Measured(6, slow, 2.0, {}), cores=2)
    assert last == slower + ", whatever the work"


def test_on_a_gpu_replicas_are_shared_among_nothing():
    seconds = {
        figure_costs.ALL: [9.0, 2.0],
        figure_costs.ONE: [11.0, 4.0],
        figure_costs.TURN: [9.0, 3.0],
    }
    measured = figure_costs.Measured(6, seconds, 2.0, {})
    assert figure_costs.costs(measured, cores=1).keys() == seconds.keys()
    told = [line.split(", ", 1)[1] for line in figure_costs.claims(measured, cores=1)]
    assert told[0] == "1.50 times as fast as one program, in turn"
    assert told[2] == "2.00 times as fast as one by one"
    assert len(told) == 4


def test_every_figure_is_one_of_its_experiment(peer):
    assert set(figure_cases.FIGURES) == set(peer("torch_figures").PEERS) == set(figure_cases.CASES)
    assert isinstance(figure_cases.FIGURES["crowdsourcing"], crowdsourcing.Config)


def test_a_pool_that_is_read_in_two_ways_has_the_same_scores():
    ways = lambda *scores: {
        way: {"mean_score": score} for way, score in zip(streaming.WAYS, scores, strict=True)
    }
    streaming.check(ways(0.25, 0.250001))
    for other in (0.2501, float("nan")):
        with pytest.raises(SystemExit, match=r"mean scores are 0\.25 and"):
            streaming.check(ways(0.25, other))

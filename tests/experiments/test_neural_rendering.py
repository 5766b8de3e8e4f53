"""The rendering model from outside: its files, a run cut short, what is wrong; and its parts."""

import itertools
import json
import math
import shlex
import shutil
import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments import (
    few_labels,
    figures,
    neural_rendering,
    rendering_exact,
    rendering_report,
    step_times,
    talk_report,
)
from experiments import rendering_figure as figure
from trinity_jax.compute import program
from trinity_jax.compute.run import Run
from trinity_jax.data import sources
from trinity_jax.types import InputError

metrics = pytest.importorskip("sklearn.metrics", reason="needs scikit-learn installed")
pytestmark = pytest.mark.usefixtures("small_layers")

EXPERIMENT = neural_rendering
ARMS = ("supervised", "joint", "full")
TINY = shlex.split(
    "smoke --steps 4 --exact-steps 3 --rounds 2 --seeds 2 --labelled 20 10 "
    f"--arms {' '.join(ARMS)} --batch-labelled 20 --batch-unlabelled 20"
)
TERMS = ("label", "reconstruction", "entropy", "moments", "paths", "negative")


@pytest.fixture(scope="module")
def done(call, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    assert call([*TINY, "--out", str(out)]) == 0
    return out


def rows(out):
    return [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]


def once(out):
    lines = map(json.loads, (out / "once.jsonl").read_text().splitlines())
    return {row["name"]: row["value"] for row in lines}


def test_files(done):
    for name in ("figure.png", "renderings.png"):
        assert (done / name).stat().st_size > 20_000
    page = talk_report.page([talk_report.outcome("neural_rendering", done)])
    assert page.count("data:image/png;base64,") == 1
    found = json.loads((done / "summary.json").read_text())["headline"]
    assert 0 < found["identity_max_error"] < 1e-3
    assert set(found["seconds_per_step"]) == set(ARMS)
    assert all(0 < seconds < 5 for seconds in found["seconds_per_step"].values())
    for name, least in (("rendering_error", 0), ("active_paths", 0)):
        assert set(found[name]) == set(ARMS)
        assert all(form["mean"] > least and form["n"] == 2 for form in found[name].values())
    shares = [share for kind in ("R", "prior") for share in found["separation"][kind].values()]
    assert len(shares) == 4
    assert all(0 <= share <= 1 for share in shares)


def test_numbers_are_those_of_the_last_round(done):
    """Gain over the supervised at every number of labels, loss against full at the first."""
    found = json.loads((done / "summary.json").read_text())["headline"]
    last = [row for row in rows(done) if row["round"] == 1]
    error = lambda arm, n: np.array(
        [100 * row["error"] for row in last if (row["arm"], row["labelled"]) == (arm, n)]
    )
    numbers = {"supervised": (20, 10), "joint": (20, 10), "full": (20,)}
    assert {arm: list(map(int, of)) for arm, of in found["error"].items()} == {
        arm: list(of) for arm, of in numbers.items()
    }
    assert set(found["paired_gain"]) == {"joint", "full"}
    assert set(found["ablation"]) == {"supervised", "joint"}
    for arm, n in ((one, n) for one in ARMS for n in numbers[one]):
        form = found["error"][arm][str(n)]
        assert form["mean"] == pytest.approx(error(arm, n).mean())
        assert form["n"] == 2
        if arm != "supervised":
            gain = found["paired_gain"][arm][str(n)]
            assert gain["mean"] == pytest.approx((error("supervised", n) - error(arm, n)).mean())
            assert set(gain) == {"mean", "interval", "n", "p"}
    for arm in ("supervised", "joint"):
        lost = error(arm, 20) - error("full", 20)
        assert found["ablation"][arm]["mean"] == pytest.approx(lost.mean())


def test_every_term_is_recorded(done):
    """Those that an arm does not need are not computed."""
    found = rows(done)
    assert len(found) == 2 * 2 * 5
    for row in found:
        assert all(math.isfinite(row[name]) for name in TERMS)
        assert row["label"] > 0
        assert 0 <= row["error"] <= 1
        assert row["entropy"] < 0
        assert (row["reconstruction"] > 0) == (row["arm"] != "supervised")
        assert (row["paths"] > 0) == (row["arm"] == "full")
    assert len({row["label"] for row in found}) == len(found)


def test_a_run_cut_short_goes_on(done, call, cut_short, tmp_path, monkeypatch):
    words = [*TINY, "--out", str(tmp_path)]
    cut_short(words, 0)
    assert len(rows(tmp_path)) == 10
    shutil.copy(done / "once.jsonl", tmp_path)  # so that this is not measured again
    monkeypatch.setattr(rendering_report, "report", lambda *_: None)  # nor drawn
    assert call(words) == 0
    assert (tmp_path / "records.jsonl").read_bytes() == (done / "records.jsonl").read_bytes()


def test_a_finished_run_is_only_drawn_again(done, call, tmp_path, monkeypatch):
    out = shutil.copytree(done, tmp_path / "run")
    for name in ("summary.json", "figure.png", "renderings.png"):
        (out / name).unlink()

    def never(*_):
        raise AssertionError

    for of, name in ((Run, "commit"), (step_times, "of_arms"), (rendering_exact, "look")):
        monkeypatch.setattr(of, name, never)
    assert call([*TINY, "--out", str(out)]) == 0
    for name in ("records.jsonl", "once.jsonl"):
        assert (out / name).read_bytes() == (done / name).read_bytes()
    before, after = (json.loads((of / "summary.json").read_text()) for of in (done, out))
    assert before["headline"] == after["headline"]
    for name in ("figure.png", "renderings.png"):
        assert (out / name).stat().st_size > 20_000


@pytest.mark.parametrize("seeds", [1, 2])
def test_one_number_of_labels_is_drawn_by_steps(done, tmp_path, monkeypatch, seeds):
    """And one seed has no intervals, and no verdict."""
    shown = []
    words = [*TINY[1:], "--labelled", "20", "--seeds", str(seeds)]
    _, config, _ = program.parse(neural_rendering.PRESETS, ["smoke", *words], "", "")
    mine = [row for row in rows(done) if row["labelled"] == 20 and row["seed"] < seeds]
    measured = once(done)
    numbers = rendering_report.headline(mine, 20, *measured.values())
    figure.draw(numbers, mine, measured["exact"], config, tmp_path)
    assert (tmp_path / "figure.png").stat().st_size > 20_000
    assert list(figure.by_round(mine, config)) == [2, 4]
    assert "less that of full" in (tmp_path / "figure.svg").read_text()
    monkeypatch.setattr(figures, "save", lambda drawn, _: shown.append(drawn.axes[1].axison))
    for ablation in (numbers["ablation"], {}):
        figure.draw(numbers | {"ablation": ablation}, mine, measured["exact"], config, tmp_path)
    assert shown == [True, False]  # nothing is compared with an arm that is not there
    summary = {"headline": numbers, "config": {"labelled": [20]}}
    verdicts = [claim.verdict for claim in rendering_report.claims(summary)]
    assert len(verdicts) == 2
    assert seeds > 1 or verdicts == ["undecided", "undecided"]


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ("--labelled 15", "--labelled is 15; expected a multiple of 10 classes, up to "),
        ("--labelled 20 2000", "--labelled is 2000; expected a multiple of 10 classes, up to "),
        ("--layers allconv13", "--layers allconv13 expects images"),
        ("--arms nonsense", "unknown value of --arms 'nonsense'"),
        ("--arms joint joint", "--arms names joint twice"),
        ("--evaluate x", "unknown value of --evaluate 'x'"),
        ("--inputs norms", "unknown value of --inputs 'norms': did you mean 'norm'?"),
        ("--dropout 1", "--dropout is 1.0; expected a number from 0 to 0.9"),
        ("--paths nan", "--paths is nan; expected a number from 0"),
        ("--exact-steps 0", "--exact-steps is 0; expected a number from 1"),
        ("--chunk -1", "--chunk is -1; expected a number from 0"),
        ("--chunk 5 --data digits", "--chunk is 5 with --data digits; expected 0, or --data tfds:"),
    ],
)
def test_what_is_wrong_is_said(call, tmp_path, capsys, more, sentence):
    assert call([*TINY, *more.split(), "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert sentence in said
    assert said.count("\n") == 1
    assert "Traceback" not in said
    assert not (tmp_path / "records.jsonl").exists()


def test_arms_are_compared_where_they_should_be():
    """At the first number of labels all arms, at others those of the curve; twice nothing."""
    config = types.SimpleNamespace(seeds=2, arms=("untied", "joint"), labelled=(50, 20))
    named, arrays = few_labels.grid(config, ("joint",))
    wanted = [("untied", 50), ("joint", 50), ("joint", 20)]
    expected = set(itertools.product(range(2), wanted))
    assert {(row["seed"], (row["arm"], row["labelled"])) for row in named} == expected
    assert len(named) == len(expected)
    for i, row in enumerate(named):
        assert {name: values[i] for name, values in arrays.items()} == {
            **row,
            "arm": config.arms.index(row["arm"]),
        }


def test_arms_begin_the_same():
    """So that their differences are paired; another seed begins with other weights."""
    config = neural_rendering.PRESETS["smoke"]
    init, _, _ = neural_rendering.make_round(config, made(np.zeros((2, 8, 8, 1), np.uint8)))
    begin = jax.jit(lambda seed, arm: init((), {"seed": seed, "arm": arm, "labelled": 50}).params)
    one, same, other = (jax.tree.leaves(begin(*of)) for of in ((0, 0), (0, 1), (1, 0)))
    assert all(np.array_equal(a, b) for a, b in zip(one, same, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def made(train, test=None):
    """Images of these pixels, in two classes."""
    test = train if test is None else test
    label = lambda pixels: np.arange(len(pixels), dtype=np.int32) % 2
    return sources.Images("", train, label(train), test, label(test), ("0", "1"))


def pixels(seed, *shape):
    """Of every channel another mean and another spread."""
    ends = [(0, 60), (100, 256), (30, 50)]
    parts = [np.random.default_rng(seed).integers(*end, shape, dtype=np.uint8) for end in ends]
    return np.stack(parts, -1)


def test_inputs_are_prepared_by_the_training_part():
    train, test, other = pixels(0, 50, 6, 5), pixels(1, 20, 6, 5), pixels(2, 20, 6, 5) // 2
    standard = few_labels.preparer("standard", made(train, test))
    x = np.asarray(standard(jnp.asarray(train)), float)
    np.testing.assert_allclose(x.mean((0, 1, 2)), 0, atol=1e-5)
    np.testing.assert_allclose(x.var((0, 1, 2)), 1, rtol=1e-4)
    x, by = np.asarray(standard(test)), (0, 1, 2)
    np.testing.assert_allclose(x, (test - train.mean(by)) / train.std(by), rtol=1e-4, atol=1e-5)
    norm = few_labels.preparer("norm", made(train, test))
    for part in (train, test):
        np.testing.assert_allclose((np.asarray(norm(part)) ** 2).sum((1, 2, 3)), 10, rtol=1e-5)
    x = np.asarray(norm(test)) / np.asarray(standard(test))  # a factor an image
    np.testing.assert_allclose(x / x[:, :1, :1, :1], 1, rtol=1e-4)
    plain = few_labels.preparer("plain", made(train, test))
    np.testing.assert_allclose(plain(test), test / 255, rtol=1e-6)
    for inputs, before in (("standard", standard), ("norm", norm), ("plain", plain)):
        again = few_labels.preparer(inputs, made(train, other))
        np.testing.assert_array_equal(again(test), before(test))
        again = few_labels.preparer(inputs, made(other, test))
        assert np.array_equal(again(test), before(test)) == (inputs == "plain")


def test_an_image_without_length_is_left_so():
    ends = np.zeros((2, 4, 4, 1), np.uint8)
    ends[1] = 200
    x = few_labels.preparer("norm", made(ends))(np.full((1, 4, 4, 1), 100, np.uint8))
    np.testing.assert_array_equal(x, 0)


@pytest.mark.parametrize("most", [90, 145, 255])
def test_many_pixels_are_summed_exactly(most):
    """Half of them dark, half of them bright: such sums lose a percent in float32."""
    half = np.zeros((200, 32, 32, 3), np.uint8)
    train = np.concatenate([half, half + np.uint8(most)])
    x = few_labels.preparer("standard", made(train))(train[[0, -1]])
    np.testing.assert_allclose(x[0], -1, rtol=1e-5)
    np.testing.assert_allclose(x[1], 1, rtol=1e-5)


def optimised(config, steps, gradient, params):
    """Parameters after every step."""
    step_by, found = few_labels.optimiser(config), []
    state, step = step_by.init(params), jax.jit(step_by.step)
    for t in range(steps):
        params, state = step(gradient(params), state, params, t / steps)
        found.append(params)
    return found


TOY = types.SimpleNamespace(
    schedule="cosine", learning_rate=0.03, descent_rate=0.2, weight_decay=0.1, clip=0.0
)
START = {"w": jnp.array([[1.0, -2.0], [0.3, 4.0]]), "b": jnp.array([0.5, -0.1])}


def slope(params):
    """Of a valley that is not round, and steep in places."""
    return jax.tree.map(lambda p: 4 * p**3 - p + 0.2, params)


@pytest.mark.parametrize("clip", [0.0, 2.0])
def test_adam_falls_by_a_cosine(clip):
    """As by Optax: the norm is clipped, the weights decay, then Adam, at a rate that falls."""
    steps = 7
    before = [optax.clip_by_global_norm(clip)] if clip else []
    rate = optax.cosine_decay_schedule(TOY.learning_rate, steps)
    rule = optax.chain(*before, optax.add_decayed_weights(TOY.weight_decay), optax.adam(rate))
    config = types.SimpleNamespace(**{**vars(TOY), "clip": clip})
    params, state, update = START, rule.init(START), jax.jit(rule.update)
    for found in optimised(config, steps, slope, START):
        change, state = update(slope(params), state, params)
        params = optax.apply_updates(params, change)
        for name, values in params.items():
            np.testing.assert_allclose(found[name], values, rtol=1e-5, atol=1e-6)
    assert abs(params["w"] - START["w"]).max() > TOY.learning_rate


def test_the_authors_go_over_to_descent():
    """Twenty epochs of 400 at Adam's rate, then descent, at a rate that falls by a power."""
    config = types.SimpleNamespace(**{**vars(TOY), "schedule": "authors"})
    step_by = few_labels.optimiser(config)
    step, state = jax.jit(step_by.step), step_by.init(START)
    decayed = lambda p: slope(p) + config.weight_decay * p
    adam = optax.adam(config.learning_rate)
    change, _ = adam.update(jax.tree.map(decayed, START), adam.init(START), START)
    at = lambda epoch: step(jax.tree.map(slope, START), state, START, epoch / 400)[0]
    for epoch in (0, 10, 19.9):
        for name, values in optax.apply_updates(START, change).items():
            np.testing.assert_allclose(at(epoch)[name], values, rtol=1e-5)
    for epoch, rate in ((20, 0.2), (269, (0.2 * 1e-4) ** 0.5), (518, 1e-4)):
        for name, values in START.items():
            moved = np.asarray(at(epoch)[name] - values, float)
            np.testing.assert_allclose(moved, -rate * decayed(values), rtol=5e-3, atol=1e-6)


@pytest.mark.parametrize(
    ("preset", "shape", "side"),
    [
        ("laptop", (8, 8, 1), 2),
        ("exact", (8, 8, 1), 2),
        ("paper", (32, 32, 3), 6),
        ("paper_mnist", (28, 28, 1), 6),
        ("paper_svhn", (32, 32, 3), 6),
        ("paper_cifar100", (32, 32, 3), 6),
    ],
)
def test_networks_fit_their_images(preset, shape, side):
    config = neural_rendering.PRESETS[preset]
    model = few_labels.model(config, made(np.zeros((2, *shape), np.uint8)))
    assert model.shape == shape
    assert model.normalised == (preset != "exact")
    for layer in model.layers:
        shape = [(n + 2 * layer.pad - layer.window + 1) / layer.pool for n in shape[:2]]
    assert shape == [side, side]


@pytest.mark.parametrize(("name", "shape"), [("small", (8, 9, 1)), ("allconv13", (8, 8, 1))])
def test_networks_that_do_not_fit_say_so(name, shape):
    images = made(np.zeros((2, *shape), np.uint8))
    sentence = f"--layers {name} .* found {'x'.join(map(str, shape))}"
    with pytest.raises(InputError, match=sentence):
        few_labels.model(types.SimpleNamespace(layers=name, mode="exact", dropout=0), images)


def test_higher_is_the_area_under_the_curve():
    rng = np.random.default_rng(0)
    for low, high in ((0, 5), (1, 1000)):  # with many ties, and with few
        one, other = rng.integers(low, high, 30), rng.integers(0, high, 50)
        truth, scores = np.repeat([1, 0], [30, 50]), np.concatenate([one, other])
        area = metrics.roc_auc_score(truth, scores)
        assert rendering_report.higher(one.tolist(), other.tolist()) == pytest.approx(area)
    assert rendering_report.higher([2, 3], [1, 0]) == 1

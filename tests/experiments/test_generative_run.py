"""Generative augmentation from outside: its files, its stages, a run cut short, what is wrong."""

import json
import shlex

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from experiments import (
    few_labels,
    generative_arms,
    generative_augmentation,
    generative_report,
    talk_report,
)
from experiments.generative_arms import ARMS, Batch
from trinity_jax.data import sources
from trinity_jax.data.augmentation import gan, nrm
from trinity_jax.data.augmentation.nrm import Model

pytest.importorskip("sklearn", reason="needs scikit-learn installed")
pytestmark = pytest.mark.usefixtures("small_layers")

EXPERIMENT = generative_augmentation
NAMES = ("supervised", "pseudo_gan", "semi_gan", "joint")
TINY = shlex.split(
    f"smoke --steps 8 --rounds 2 --seeds 2 --labelled 20 --arms {' '.join(NAMES)} "
    "--batch-labelled 20 --batch-unlabelled 20 --samples 40 --judge-steps 4 --held-out 40"
)


@pytest.fixture(scope="module")
def done(call, cut_short, tmp_path_factory):
    """A run that was cut short after its first round, and taken up again."""
    out = tmp_path_factory.mktemp("run")
    cut_short([*TINY, "--out", str(out)], 0)
    assert {row["round"] for row in rows(out)} == {0}
    assert call([*TINY, "--out", str(out)]) == 0
    return out


def rows(out):
    return [json.loads(line) for line in (out / "records.jsonl").read_text().splitlines()]


def test_files(done):
    for name in ("figure.png", "samples.png"):
        assert (done / name).stat().st_size > 10_000
    page = talk_report.page([talk_report.outcome("generative_augmentation", done)])
    assert page.count("data:image/png;base64,") == 1
    summary = json.loads((done / "summary.json").read_text())
    found = summary["headline"]
    assert set(found["error"]) == set(found["error_at_equal_time"]) == set(NAMES)
    makers = {"pseudo_gan", "semi_gan", "joint"}
    assert set(found["cas"]) == set(found["gan_test"]) == makers
    assert set(found["generators"]) == {
        *("real_cas", "realism_probe", "memorised", "duplicates", "high_frequencies")
    }
    assert set(found["gradient_cosine"]) == set(generative_report.TERMS)
    for form in found["gradient_cosine"].values():
        assert -1 <= form["mean"] <= 1
        assert form["n"] == 2
    assert set(found["cas_less_than_real"]) == makers
    lost = found["generators"]["real_cas"]["joint"]["mean"] - found["cas"]["joint"]["mean"]
    assert found["cas_less_than_real"]["joint"]["mean"] == pytest.approx(lost)
    last = [row for row in rows(done) if row["round"] == 1 and row["budget"] == "steps"]
    errors = [100 * row["error"] for row in last if row["arm"] == "joint"]
    assert found["error"]["joint"]["mean"] == pytest.approx(np.mean(errors))
    settings = [
        {one.setting for one in claim.measures} for claim in generative_report.claims(summary)
    ]
    generators = {"GAN of all images, named by the classifier", "semi-supervised GAN"}
    assert settings[:2] == [generators, generators]
    assert settings[3] == {"joint model"}


def test_differences_are_paired_by_seed():
    """What seeds share cancels: here all else but the arm."""
    arms, seeds = ("semi_gan", "joint"), (0.0, 0.2, 0.4)
    records = [
        {"round": t, "seed": seed, "arm": arm, "budget": "steps", "error": 0.5}
        | dict.fromkeys(generative_report.TERMS, shared + 0.3 * (arm == "joint"))
        for t in range(2)
        for seed, shared in enumerate(seeds)
        for arm in arms
    ]
    cas = {"joint": list(seeds)}
    measures = {"cas": cas, "real_cas": {"joint": [seed + 0.1 for seed in seeds]}, "gan_test": {}}
    found = generative_report.headline(records, {}, {"measures": measures})
    assert found["rendering_less_real_or_fake"]["interval"] == pytest.approx([0.3, 0.3])
    assert found["cas_less_than_real"]["joint"]["interval"] == pytest.approx([0.1, 0.1])
    alone = [row for row in records if row["arm"] == "joint"]
    found = generative_report.headline(alone, {}, {"measures": {}})
    assert found["rendering_less_real_or_fake"] is None
    assert found["cas_less_than_real"] == {}


def test_the_joint_model_has_the_same_steps_in_both_budgets(done):
    """And so ends at the same error; seeds are paired."""
    of = lambda budget: [
        row["error"] for row in rows(done) if (row["arm"], row["budget"]) == ("joint", budget)
    ]
    assert of("steps") == of("time")


def test_time_buys_steps():
    config = generative_augmentation.Config(steps=100)
    given = [{"arm": a, "budget": b} for a in ("supervised", "joint") for b in ("steps", "time")]
    steps = generative_augmentation.budgets(config, given, {"supervised": 0.5, "joint": 1.0})
    assert steps.tolist() == [100, 200, 100, 100]


@pytest.mark.parametrize("name", ARMS)
def test_stages(name):
    arm = ARMS[name]
    which = [int(generative_arms.stage(arm, done)[0]) for done in (0.0, 0.2, 0.3, 0.6, 0.99)]
    if arm.rival == 1:
        assert which == ([0, 0] if arm.unlabelled else [1, 1]) + [1, 2, 2]
    else:
        assert which == [3 if arm.rival else 0] * 5
    progress = [float(generative_arms.stage(arm, done)[1]) for done in np.linspace(0, 0.999, 50)]
    assert min(progress) >= 0
    assert max(progress) < 1


@pytest.fixture(scope="module")
def moved(small_layers):
    """`moved(name, done)`: which networks a step of an arm moves; one program for all arms."""
    model, adam = Model(small_layers, (8, 8, 1), 3), optax.adam(1e-3)
    step_by = few_labels.Optimiser(
        lambda params: (), lambda g, s, p, _: (jax.tree.map(lambda a, b: a - 0.1 * b, p, g), s)
    )
    keys = jax.random.split(jax.random.key(0), 5)
    params, running = nrm.begin(keys[0], model)
    judge, maker = nrm.begin(keys[1], model)[0], gan.begin(keys[2], model)
    rivals = (judge, adam.init(judge)), (maker, adam.init(maker))
    state = generative_arms.State(params, running, (), *rivals)
    x, noise = jax.random.normal(keys[3], (6, 8, 8, 1)), jax.random.normal(keys[4], (6, gan.NOISE))
    one_hot = jnp.eye(3)[jnp.arange(6) % 3]
    batch = Batch(x, one_hot, x, one_hot, noise, one_hot)
    step = jax.jit(generative_arms.make_step([*ARMS.values()], model, step_by, adam, 0.5))
    changed = lambda a, b: (
        not all(np.array_equal(u, v) for u, v in zip(*map(jax.tree.leaves, (a, b)), strict=True))
    )
    of = lambda state: (state.params, state.judge[0], state.maker[0])

    def by(name, done):
        arm = jax.tree.map(float, ARMS[name])
        after = step(jax.random.key(1), arm, 10 * done, 10, batch, state)
        return [changed(a, b) for a, b in zip(of(state), of(after), strict=True)]

    return by


@pytest.mark.parametrize(
    ("name", "done", "expected"),
    [
        ("gan", 0.2, [False, True, True]),  # the game
        ("gan", 0.7, [True, False, False]),  # its images are used
        ("pseudo_gan", 0.1, [True, False, False]),  # what names them learns first
        ("semi_gan", 0.1, [True, False, True]),  # the classifier is the discriminator
    ],
)
def test_a_step_moves_whom_it_should(moved, name, done, expected):
    assert moved(name, done) == expected


def test_held_out_images_are_never_learnt_from():
    images = sources.images("digits")
    rest, (pixels, labels) = few_labels.held_out(images, 100)
    assert len(pixels) == len(labels) == 100
    assert len(rest.train_images) == len(images.train_images) - 100
    together = np.concatenate([rest.train_images, pixels]).reshape(len(images.train_images), -1)
    ordered = lambda table: table[np.lexsort(table.T)]
    train = images.train_images.reshape(len(together), -1)
    np.testing.assert_array_equal(ordered(together), ordered(train))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ("--arms gun", "did you mean 'gan'"),
        ("--labelled 20 50", "--labelled"),
        ("--held-out 1000", "--held-out"),
        ("--samples 0", "--samples"),
    ],
)
def test_bad_input(call, tmp_path, capsys, words, told):
    assert call(["smoke", *words.split(), "--out", str(tmp_path)]) == 2
    said = capsys.readouterr().err.strip()
    assert told in said
    assert said.count("\n") == 0

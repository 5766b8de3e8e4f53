"""A sweep goes on where it stopped, and stops where its numbers go bad."""

import dataclasses
import json
import traceback

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax import watch
from trinity_jax.compute import mesh, replicas
from trinity_jax.compute.run import Run
from trinity_jax.compute.sweep import Sweep
from trinity_jax.types import Failure

ROUNDS, FEATURES = 4, 3
SITES = ("nothing", "data", "parameters", "gradient", "scores")


@dataclasses.dataclass(frozen=True)
class Config:
    """Of a regression that scores what it has learnt from."""

    what: str = "nothing"


def init(data, replica):
    del data
    return {"w": jnp.zeros(FEATURES), "seed": replica["seed"], "scores": jnp.zeros(())}


def advance(t, data, state, replica):
    """A step of descent; from round 2 on a number is `bad` at the replica's site."""
    x, y = data
    spoil = lambda site, value: (
        value + jnp.where((t >= 2) & (replica["site"] == SITES.index(site)), replica["bad"], 0)
    )
    x, w = spoil("data", x), spoil("parameters", state["w"])
    loss, slope = jax.value_and_grad(lambda w: ((x @ w - y) ** 2).mean())(w)
    w -= 0.1 * spoil("gradient", slope)
    scores = spoil("scores", jnp.abs(x @ w - y)).max()
    return state | {"w": w, "scores": scores}, {"loss": loss, "score": scores}


def made(t):
    """Data of a round."""
    rng = np.random.default_rng(t)
    return rng.normal(size=(8, FEATURES)).astype(np.float32), np.ones(8, np.float32)


FIRST = made(0)


def go(out, site="nothing", bad=0.0, total=ROUNDS, data=FIRST, **how):
    rows, replica = replicas.grid(seed=range(3), site=SITES)
    there = np.array([row["site"] == site for row in rows])
    replica["bad"] = np.where(there, bad, 0).astype(np.float32)
    with Run(out, "tiny", "laptop", Config(), **how) as run:
        sweep = Sweep(run, total, init, advance, data, replica)
        for t, metrics in sweep:
            assert isinstance(metrics["loss"], np.ndarray)
            run.commit(t, sweep.state, run.measurements(rows, metrics))
    return jax.tree.map(np.asarray, sweep.state)


def records(out):
    return (out / "records.jsonl").read_bytes()


@pytest.mark.parametrize("sizes", [(4, 1), (2, 2), (1, 4)])
def test_it_goes_on_on_other_devices(tmp_path, sizes):
    """15 replicas, which four devices do not divide."""
    expected = go(tmp_path / "whole")
    go(tmp_path / "parts", total=2)
    found = go(tmp_path / "parts", mesh=mesh.make(*sizes))
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert records(tmp_path / "parts") == records(tmp_path / "whole")


def test_data_may_be_those_of_the_round(tmp_path):
    """And those of round 0, whose form is that of all, are at hand wherever it goes on."""
    asked = []

    def data(t):
        asked.append(t)
        return made(t)

    go(tmp_path / "one")
    go(tmp_path / "same", data=lambda t: FIRST)
    assert records(tmp_path / "same") == records(tmp_path / "one")
    expected = go(tmp_path / "whole", data=data)
    assert records(tmp_path / "whole") != records(tmp_path / "one")
    go(tmp_path / "parts", total=2, data=data)
    found = go(tmp_path / "parts", data=data)
    assert asked == [0, 1, 2, 3, 0, 1, 0, 2, 3]
    jax.tree.map(np.testing.assert_array_equal, found, expected)
    assert records(tmp_path / "parts") == records(tmp_path / "whole")


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("site", SITES[1:])
def test_numbers_that_go_bad_stop_the_run(tmp_path, site, bad):
    """In the round in which they do, by name, with the rounds before it kept."""
    with pytest.raises(Failure) as failed:
        go(tmp_path, site, bad)
    sentence = str(failed.value)
    field = {"gradient": "score", "scores": "score"}.get(site, "loss")
    assert sentence.startswith(f"{field} became ")
    assert f"site {site}" in sentence
    assert "checkpoint before round 2 is kept" in sentence
    assert "\n" not in sentence
    assert {json.loads(line)["round"] for line in records(tmp_path).splitlines()} == {0, 1}
    go(tmp_path)  # and mended, it goes on
    go(tmp_path / "whole")
    assert records(tmp_path) == records(tmp_path / "whole")


def test_a_state_that_is_no_number_is_not_kept(tmp_path):
    """Even where no measurement says so."""
    with Run(tmp_path, "tiny", "laptop", Config()) as run, pytest.raises(Failure) as failed:
        run.commit(0, {"w": jnp.array([0.0, jnp.nan])}, [])
    assert "the state's ['w'] became nan" in str(failed.value)
    assert not (tmp_path / "records.jsonl").exists()
    with Run(tmp_path, "tiny", "laptop", Config()) as run:
        run.commit(0, {"scores": jnp.array([-jnp.inf])}, [])  # of what is never to be asked


def descend(t, data, state, replica):
    """Steps of descent that grow; in round 1 those of the replica that is `wild` overflow."""
    x, y = data

    def step(i, carry):
        w, _ = carry
        loss, slope = jax.value_and_grad(lambda w: ((x @ w - y) ** 2).mean())(w)
        watch.tell(i, squares=loss, other=jnp.zeros(()))
        return w - jnp.where((t == 1) & replica["wild"], 1e15, 0.1) * slope, loss

    w, loss = jax.lax.fori_loop(0, 6, step, (state["w"], jnp.zeros(())))
    return {"w": w}, {"loss": loss}


EYE = np.eye(8, FEATURES, dtype=np.float32), np.ones(8, np.float32)


def overflow(out, data=EYE, wild=True, **how):
    rows, replica = replicas.grid(seed=range(3))
    replica["wild"] = np.array([False, wild, wild])
    with Run(out, "tiny", "laptop", Config(), **how) as run:
        begin = lambda data, replica: {"w": jnp.zeros(FEATURES)}
        sweep = Sweep(run, 3, begin, descend, data, replica)
        for t, metrics in sweep:
            run.commit(t, sweep.state, run.measurements(rows, metrics))


@pytest.mark.parametrize("sizes", [(4, 1), (2, 2), (1, 4)])
def test_the_step_and_the_loss_are_named(tmp_path, sizes):
    """1e15 of it, squared, and so on: the third step's loss does not fit in single precision."""
    with pytest.raises(Failure) as failed:
        overflow(tmp_path, mesh=mesh.make(*sizes))
    assert "round 1, seed 1): squares was inf in step 2 of the round; the che" in str(failed.value)


def test_the_step_is_looked_for_in_the_data_of_the_round(tmp_path):
    data = lambda t: (EYE[0] * np.float32(1e30 if t == 1 else 1), EYE[1])
    with pytest.raises(Failure) as failed:
        overflow(tmp_path, data, wild=False)
    assert "round 1, seed 0): squares was inf in step 0 of the round; the che" in str(failed.value)


def test_nans_are_shown_where_they_are_made(tmp_path):
    """By the line of the operation, in the round and the replica in which they first are."""
    with jax.debug_nans(True), pytest.raises(FloatingPointError) as failed:
        overflow(tmp_path, mesh=mesh.make(4, 1))
    assert {json.loads(line)["round"] for line in records(tmp_path).splitlines()} == {0}
    trace = "".join(traceback.format_exception(failed.value))
    assert "loss, slope = jax.value_and_grad" in trace or "* slope, loss" in trace

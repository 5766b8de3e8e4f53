"""The drivers, on an algorithm whose every round is known beforehand."""

import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.algorithms.em import EM, Info, fit, fit_best, fit_until, largest_change


class State(NamedTuple):
    log_posterior: jax.Array
    drawn: jax.Array


def halving(noise=0.0):
    """The state closes half its distance from `observed` in each round; noise joins the draw."""

    def init(key, observed, /):
        return State(jnp.zeros_like(observed), noise * jax.random.normal(key))

    def step(key, state, observed, /):
        new = (state.log_posterior + observed) / 2
        drawn = state.drawn + noise * jax.random.normal(key)
        change = largest_change(new, state.log_posterior)
        return State(new, drawn), Info(-jnp.abs(observed - new).max(), change)

    return EM(init, step)


OBSERVED = np.array([[-1.0, -0.25]], np.float32)  # the objective is -1/2, -1/4, -1/8 ...


def test_largest_change_is_of_probabilities():
    old, new = np.log([[0.25, 0.75], [1, 1e-30]]), np.log([[0.5, 0.5], [1, 1e-20]])
    np.testing.assert_allclose(largest_change(jnp.array(new), jnp.array(old)), 0.25, rtol=1e-6)
    assert largest_change(jnp.array(new), jnp.array(old), jnp.array([False, True])) < 1e-6
    nothing = jnp.array([[-jnp.inf, 0.0]])  # probabilities 0 and 1
    assert largest_change(nothing, nothing) == 0


def test_fit_is_a_loop_with_keys_of_its_own():
    state, infos = fit(halving(noise=1.0), jax.random.key(0), OBSERVED, 5)
    np.testing.assert_allclose(infos.objective, -(0.5 ** np.arange(1, 6)))
    np.testing.assert_allclose(state.log_posterior, OBSERVED * (1 - 0.5**5))

    key_init, key_step = jax.random.split(jax.random.key(0))
    keys = [key_init, *(jax.random.fold_in(key_step, t) for t in range(5))]
    drawn = [jax.random.normal(key) for key in keys]
    assert len(set(map(float, drawn))) == 6
    np.testing.assert_allclose(state.drawn, np.sum(drawn), rtol=1e-6)


def test_fit_until_draws_what_fit_draws():
    state, _ = fit(halving(noise=1.0), jax.random.key(0), OBSERVED, 5)
    fitted = fit_until(halving(noise=1.0), jax.random.key(0), OBSERVED, 0.0, max_steps=5)
    assert fitted.num_steps == 5
    np.testing.assert_allclose(fitted.state.drawn, state.drawn, rtol=1e-6)


# Round t gains 2^-t.
@pytest.mark.parametrize(
    ("tolerance", "max_steps", "max_change", "num_steps", "converged"),
    [
        (0.1, 100, 0.0, 4, True),  # gains 1/16
        (1 / 16, 100, 0.0, 5, True),  # a gain of just the tolerance is enough to go on
        (0.1, 4, 0.0, 4, True),
        (0.1, 3, 0.0, 3, False),
        (0.0, 7, 0.0, 7, False),
        (-jnp.inf, 100, 0.05, 4, True),  # changes by 0.025, after 0.056
        (0.0, 0, 0.0, 0, False),
    ],
)
def test_fit_until_stops(tolerance, max_steps, max_change, num_steps, converged):
    fitted = fit_until(halving(), jax.random.key(0), OBSERVED, tolerance, max_steps, max_change)
    assert fitted.num_steps == num_steps
    assert fitted.converged == converged
    np.testing.assert_allclose(fitted.state.log_posterior, OBSERVED * (1 - 0.5**num_steps))
    np.testing.assert_allclose(fitted.info.objective, -(0.5**num_steps) if num_steps else -np.inf)


def test_lanes_that_have_converged_are_frozen():
    """Over data and tolerances; a lane that ran on would come nearer to its end."""
    scales, tolerances = np.float32([1, 2, 8]), np.float32([0.1, 0.01])
    lanes = list(itertools.product(scales, tolerances))

    def run(scale, tolerance):
        return fit_until(halving(), jax.random.key(0), scale * OBSERVED, tolerance)

    fitted = jax.jit(jax.vmap(run))(*np.float32(lanes).T)
    expected = [np.ceil(np.log2(scale / tolerance)) for scale, tolerance in lanes]
    np.testing.assert_array_equal(fitted.num_steps, expected)
    assert fitted.converged.all()
    distance = 0.5 ** np.array(expected) * np.array(lanes)[:, 0]
    np.testing.assert_allclose(fitted.info.objective, -distance, rtol=1e-6)


def swinging():
    """The objective of round t is the t-th of what is observed."""

    def init(key, observed, /):
        return State(jnp.zeros((1, 1)), jnp.zeros((), int))

    def step(key, state, observed, /):
        new = State(state.log_posterior - 1, state.drawn + 1)
        return new, Info(observed[state.drawn], jnp.ones(()))

    return EM(init, step)


@pytest.mark.parametrize(
    ("objectives", "best", "stands"),
    [((1.0, 3.0, 2.0, 3.0), 2, True), ((2.0, 1.0), 1, True), ((1.0, 2.0), 2, False)],
)
def test_fit_best_keeps_the_first_best_round(objectives, best, stands):
    objectives = np.array(objectives, np.float32)
    run = jax.jit(lambda key, o: fit_best(swinging(), key, o, len(objectives)))
    fitted = run(jax.random.key(0), objectives)
    assert (fitted.num_steps, fitted.state.drawn) == (best, best)
    assert fitted.info.objective == max(objectives)
    assert fitted.converged == stands
    np.testing.assert_allclose(fitted.state.log_posterior, [[-best]])


def test_fit_best_draws_what_fit_draws():
    state, _ = fit(halving(noise=1.0), jax.random.key(0), OBSERVED, 5)
    fitted = fit_best(halving(noise=1.0), jax.random.key(0), OBSERVED, 5)  # each round is better
    np.testing.assert_allclose(fitted.state.drawn, state.drawn, rtol=1e-6)

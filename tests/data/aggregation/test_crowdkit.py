"""The posteriors of crowd-kit 1.4.2 on made tables, round for round."""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.data.aggregation.annotations import annotations
from trinity_jax.data.aggregation.dawid_skene import dawid_skene
from trinity_jax.data.aggregation.one_coin import one_coin

THEIRS = np.load(pathlib.Path(__file__).parents[2] / "fixtures" / "crowdkit.npz")
TABLES = sorted({name.split("/")[0] for name in THEIRS})
METHODS = {
    "dawid_skene": (dawid_skene, 1e-9),
    # Workers who seem always right err with probability 1e-7 here, 1e-10 there.
    "one_coin": (lambda dims: one_coin(dims, estimate_prior=True), 1e-6),
}


def posteriors(em, table, num_rounds):
    """Ours before the first and after each round, [1 + round, item, label]."""

    def run(key, table):
        def step(state, t):
            state, _ = em.step(jax.random.fold_in(key, t), state, table)
            return state, state.log_posterior

        start = em.init(key, table)
        rounds = jax.lax.scan(step, start, jnp.arange(num_rounds))[1]
        return jnp.concatenate([start.log_posterior[None], rounds])

    return np.exp(jax.jit(run)(jax.random.key(0), table))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", TABLES)
def test_posteriors_are_those_of_crowdkit(name, method):
    """Also where workers gave few labels, and the rule for empty cells decides."""
    make, tolerance = METHODS[method]
    with jax.enable_x64(True):
        table, dims = annotations(*THEIRS[f"{name}/rows"])
        ours = posteriors(make(dims), table, 10)
    np.testing.assert_allclose(ours[0], THEIRS[f"{name}/soft"], rtol=0, atol=1e-12)
    for num_rounds in (1, 2, 5, 10):
        theirs = THEIRS[f"{name}/{method}/{num_rounds}"]
        np.testing.assert_allclose(ours[num_rounds], theirs, rtol=0, atol=tolerance)

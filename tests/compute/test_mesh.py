"""All devices, two axes."""

import os

import jax
import pytest
from jax.sharding import AxisType

from trinity_jax.compute import mesh


@pytest.mark.parametrize(
    ("sizes", "shape"),
    [((), (4, 1)), ((1, -1), (1, 4)), ((-1, 2), (2, 2)), ((2, -1), (2, 2)), ((2, 2), (2, 2))],
)
def test_a_mesh_covers_all_devices(sizes, shape):
    made = mesh.make(*sizes)
    assert dict(made.shape) == dict(zip(("replica", "data"), shape, strict=True))
    assert set(made.devices.flat) == set(jax.devices())
    assert made.axis_types == (AxisType.Auto, AxisType.Auto)


@pytest.mark.parametrize("sizes", [(3, 1), (-1, 3), (8, -1), (0, 4), (-1, -1), (1, 1)])
def test_sizes_that_do_not_fit_are_refused(sizes):
    with pytest.raises(ValueError, match="does not cover 4 devices"):
        mesh.make(*sizes)


def test_cores_become_devices_only_before_jax_is_used(monkeypatch):
    before = jax.devices()
    monkeypatch.delenv("JAX_NUM_CPU_DEVICES", raising=False)
    monkeypatch.setenv("XLA_FLAGS", "--of_the_user")
    mesh.use_cores()
    assert jax.devices() == before
    flags = os.environ["XLA_FLAGS"]
    assert flags.endswith(f"terminate_timeout_seconds={mesh.PATIENCE} --of_the_user")
    mesh.use_cores()
    assert os.environ["XLA_FLAGS"] == flags

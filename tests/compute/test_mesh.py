"""All devices, two axes."""

import os

import jax
import pytest
from jax.sharding import AxisType

from trinity_jax.compute import mesh
from trinity_jax.types import InputError


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


def test_sums_are_in_the_same_order_if_asked_for(monkeypatch):
    monkeypatch.setenv("NPROC", "3")
    monkeypatch.setenv("XLA_FLAGS", "")
    mesh.use_cores(deterministic=True)
    assert int(os.environ["NPROC"]) == mesh.THREADS
    assert "--xla_gpu_deterministic_ops=true" in os.environ["XLA_FLAGS"]


@pytest.mark.parametrize(
    ("asked", "shape"),
    [
        ("", (4, 1)),
        ("replica=2,data=2", (2, 2)),
        ("data=4,replica=1", (1, 4)),
        ("data=2", (2, 2)),
        ("replica=2", (2, 2)),
        ("replica=4", (4, 1)),
    ],
)
def test_a_mesh_is_asked_for_in_words(asked, shape):
    assert tuple(mesh.read(asked).shape.values()) == shape


@pytest.mark.parametrize(
    "asked",
    [
        *("replica", "replica=", "replica=x", "2x2", "rows=4", "replica=0,data=4", "data=-4"),
        *("replica=3", "replica=2,data=1", "data=8", "replica=2,replica=2", "data=1e9"),
    ],
)
def test_a_mesh_that_cannot_be_is_refused_in_a_sentence(asked):
    with pytest.raises(InputError, match=f"--mesh is '{asked}'.*replica=2,data=2") as refused:
        mesh.read(asked)
    assert "\n" not in str(refused.value)

"""Sums over parts: the same bits on one device, on four, and on two processes of two."""

import os
import socket
import subprocess
import sys
import textwrap

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.compute import parts
from trinity_jax.data.aggregation import blocks
from trinity_jax.data.aggregation.annotations import Dims

DIMS = Dims(items=400, workers=20, labels=3)


def arranged():
    rng = np.random.default_rng(0)
    item = np.repeat(np.arange(DIMS.items, dtype=np.int32), rng.integers(1, 6, DIMS.items))
    cell = rng.integers(0, DIMS.workers * DIMS.labels, len(item)).astype(np.int32)
    return blocks.blocks(item, cell, DIMS, width=16)[0]


def devices(count, axes=("replica", "data")):
    found = np.array(jax.devices()[:count]).reshape(*(1,) * (len(axes) - 1), count)
    return jax.sharding.Mesh(found, axes)


def three_rounds(mesh):
    """Counts of workers' labels by truth after three rounds of Dawid-Skene."""
    data = parts.place(arranged(), mesh)
    over = lambda f: parts.over_parts(lambda part, *q: f(part, DIMS, *q), mesh, blocks.join)
    vote, advance = over(blocks.vote), over(blocks.advance)

    @jax.jit
    def run(data):
        step = lambda _, sums: advance(data, blocks.parameters(sums, DIMS)[0])
        return jax.lax.fori_loop(0, 3, step, vote(data))

    return np.asarray(run(data).counts)


@pytest.mark.parametrize("count", [2, 4])
def test_the_same_bits_on_any_number_of_devices(count):
    np.testing.assert_array_equal(three_rounds(devices(count)), three_rounds(devices(1)))


def test_results_may_stay_spread():
    mesh = devices(4, ("data",))
    data = parts.place(np.arange(16.0, dtype=np.float32).reshape(8, 2), mesh)
    found = jax.jit(parts.over_parts(lambda part, by: part * by, mesh))(data, jnp.float32(2))
    np.testing.assert_array_equal(found, 2 * np.arange(16.0).reshape(8, 2))
    assert len(found.sharding.device_set) == 4


def test_parts_have_to_divide():
    with pytest.raises(ValueError, match="6 parts do not divide over 4 devices"):
        parts.place(np.zeros((6, 1)), devices(4))


PROCESS = """
    import sys
    import jax
    jax.config.update("jax_num_cpu_devices", 2)
    jax.distributed.initialize("localhost:{port}", 2, int(sys.argv[1]))
    from tests.compute import test_parts
    mesh = jax.sharding.Mesh(jax.devices(), ("data",))
    assert mesh.size == 4, mesh
    counts = test_parts.three_rounds(mesh)
    test_parts.np.save(sys.argv[2], counts)
"""


def test_the_same_bits_in_two_processes(tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    code = textwrap.dedent(PROCESS).replace("{port}", str(port))
    files = [str(tmp_path / f"{number}.npy") for number in range(2)]
    root = os.fspath(__file__).rsplit("/tests/", 1)[0]
    how = {"cwd": root, "env": os.environ | {"PYTHONPATH": root}, "stderr": subprocess.PIPE}
    command = [sys.executable, "-c", code]
    runs = [subprocess.Popen([*command, str(n), file], **how) for n, file in enumerate(files)]
    said = [run.communicate(timeout=120)[1].decode() for run in runs]
    assert [run.returncode for run in runs] == [0, 0], said
    for file in files:
        np.testing.assert_array_equal(np.load(file), three_rounds(devices(1)))

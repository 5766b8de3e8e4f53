"""What other processes do for `figures`: replicas one by one, compiled once, and in PyTorch."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.benchmarks import figure_cases


@functools.cache
def compiled(name: str, config: Any):
    """The program of one replica, and what it is called with."""
    jax.config.update("jax_enable_compilation_cache", False)
    case = figure_cases.case(name, config)
    rows = [{key: of[i] for key, of in case.replica.items()} for i in range(len(case.rows))]
    return jax.jit(case.whole), jax.tree.map(jnp.asarray, case.data), rows


def load(*which) -> None:
    compiled(*which)


def one_by_one(name: str, config: Any, wanted: bool = False):
    one, data, rows = compiled(name, config)
    found = [jax.tree.map(np.asarray, one(data, row)) for row in rows]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *found) if wanted else None


peers: dict = {}  # what runs each replica in PyTorch, by way


def load_torch(name: str, config: Any, kept: list, platform: str) -> list[str]:
    """Prepares all replicas: the ways that there are."""
    import torch

    from experiments.benchmarks import torch_figures

    jax.config.update("jax_platforms", "cpu")  # what prepares them; the device is for PyTorch
    if platform == "gpu":  # a default device would cost a call of Python with every operation
        torch.set_default_tensor_type(torch.cuda.FloatTensor)
        torch.backends.cuda.matmul.allow_tf32 = True  # as XLA does, and PyTorch's convolutions
    case = figure_cases.case(name, config)
    for way, prepare in torch_figures.PEERS[name].items():
        peers[way] = [prepare(config, case, *row) for row in enumerate(kept)]
    return list(peers)


def in_torch(way: str, threads: int, numbers: list[int]) -> list[float]:
    """Runs these replicas: how often their networks are wrong in the end."""
    import torch

    torch.set_num_threads(threads)
    return [peers[way][i]() for i in numbers]

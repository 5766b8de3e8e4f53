"""What a round found, checked before it is kept."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def fault(rows: Sequence[Mapping[str, Any]], state: Any) -> str:
    """The first number that is bad, in words; empty where all are good.

    Args:
      rows: records, of finite numbers.
      state: arrays without NaN; what is never to be asked may have a score of -inf.
    """
    for row in rows:
        for field, value in row.items():
            if isinstance(value, float) and not math.isfinite(value):
                where = ", ".join(f"{k} {v}" for k, v in row.items() if k != field)
                return f"{field} became {value} ({where})"
    for path, leaf in jax.tree_util.tree_leaves_with_path(state):
        if holds_nan(leaf):
            return f"the state's {jax.tree_util.keystr(path)} became nan"
    return ""


def holds_nan(tree: Any) -> bool:
    """Whether any number of the arrays is none."""
    is_nan = lambda x: jnp.issubdtype(x.dtype, jnp.floating) and np.isnan(np.asarray(x)).any()
    return any(is_nan(leaf) for leaf in jax.tree.leaves(tree))

"""Checkpoints that notice damage: Orbax, plus a digest of every array.

Orbax commits a step whole or not at all, but restores flipped bits without a word. So each step
also holds the sha256 of every leaf; a step that cannot be read, or reads as something else, is
reported and the one before it is taken.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy


def digests(tree: Any) -> dict[str, str]:
    """sha256 of each leaf's type, shape and bytes, by path."""
    result = {}
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        array = np.asarray(leaf)
        header = f"{array.dtype} {array.shape} ".encode()
        result[jax.tree_util.keystr(path)] = hashlib.sha256(header + array.tobytes()).hexdigest()
    return result


class Checkpoints:
    """The newest two steps of a run, in one directory. Use it in a `with` block.

    Saving is synchronous: when `save` returns, the step is on disk.
    """

    def __init__(self, directory: Path, say: Callable[[str], None] = lambda sentence: None):
        """Opens or makes `directory`; `say` is told about steps that are passed over."""
        self._say = say
        options = ocp.CheckpointManagerOptions(
            preservation_policy=preservation_policy.LatestN(2),
            enable_async_checkpointing=False,
            cleanup_tmp_directories=True,
        )
        self._manager = ocp.CheckpointManager(Path(directory).resolve(), options=options)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._manager.close()

    def save(self, step: int, tree: Any) -> None:
        """Writes a step, and deletes all but the newest two."""
        arguments = ocp.args.Composite(
            state=ocp.args.StandardSave(tree), digests=ocp.args.JsonSave(digests(tree))
        )
        self._manager.save(step, args=arguments, force=True)

    def restore(self, like: Any) -> tuple[int, Any] | None:
        """The newest undamaged step and its tree, or None where there is none.

        Args:
          like: a tree of arrays or `jax.ShapeDtypeStruct` with the shapes and types expected.
        """
        device = jax.sharding.SingleDeviceSharding(jax.devices()[0])

        def abstract(leaf):
            sharding = getattr(leaf, "sharding", None) or device
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

        arguments = ocp.args.Composite(
            state=ocp.args.StandardRestore(jax.tree.map(abstract, like)),
            digests=ocp.args.JsonRestore(),
        )
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                found = self._manager.restore(step, args=arguments)
            except Exception as error:  # Orbax raises whatever its readers raise
                reason = str(error).strip().splitlines() or [type(error).__name__]
                self._say(f"checkpoint {step} cannot be read ({reason[0][:200]}): passed over")
                continue
            if digests(found["state"]) == found["digests"]:
                return step, found["state"]
            self._say(f"checkpoint {step} is damaged (its digest differs): passed over")
        return None

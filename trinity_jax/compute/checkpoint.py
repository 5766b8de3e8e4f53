"""Checkpoints that notice damage: Orbax, plus a digest of every array and of every file.

Orbax commits a step whole or not at all, but restores flipped bits without a word. So each step
also holds the sha256 of every leaf; a step that cannot be read, or reads as something else, is
reported and the one before it is taken. Files are compared before Orbax reads them, because its
threads go on complaining of a damaged one after it was passed over.
"""

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint.checkpoint_managers import preservation_policy

from trinity_jax.compute import logs
from trinity_jax.compute.signals import held_back
from trinity_jax.types import InputError

FILES = "files.json"  # in the folder of a step: digests of the files beside it


def forms(tree: Any) -> dict[str, str]:
    """Type and shape of each leaf, by path."""
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {jax.tree_util.keystr(path): f"{leaf.dtype} {leaf.shape}" for path, leaf in leaves}


def digests(tree: Any) -> dict[str, str]:
    """Type and shape of each leaf, and the sha256 of these and its bytes; by path."""

    def digest(form, leaf):
        is_key = jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
        array = np.asarray(jax.random.key_data(leaf) if is_key else leaf)
        return f"{form} {hashlib.sha256(form.encode() + array.tobytes()).hexdigest()}"

    with_forms = zip(forms(tree).items(), jax.tree.leaves(tree), strict=True)
    return {path: digest(form, leaf) for (path, form), leaf in with_forms}


def _file_digests(folder: Path) -> dict[str, str]:
    """sha256 of each file of a step, by its path in the step's folder.

    Raises:
      ValueError: something is neither file nor folder, as a pipe, which might never end.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_dir() or path.name.startswith(FILES):
            continue
        if not path.is_file():
            raise ValueError(f"{path.relative_to(folder)} is no file")
        with open(path, "rb") as file:
            found[str(path.relative_to(folder))] = hashlib.file_digest(file, "sha256").hexdigest()
    return found


@contextlib.contextmanager
def _undisturbed() -> Iterator[None]:
    """Calls Orbax: without its log, which repeats at length what it raises, and without signals.

    Ctrl-C in the middle of it would leave threads that complain after the program's last word.
    Signals come when the block is done.
    """
    logger = logging.getLogger("absl")
    before, logger.disabled = logger.disabled, True
    try:
        with held_back(signal.SIGINT, signal.SIGTERM):
            yield
    finally:
        logger.disabled = before


def _check_forms(written: dict[str, str], like: Any) -> None:
    """Raises `ValueError` where a leaf is not what is asked for: Orbax would cast it."""
    expected = forms(like)
    found = {path: digest.rsplit(" ", 1)[0] for path, digest in written.items()}
    for path in sorted(expected.keys() | found.keys()):
        if expected.get(path) != found.get(path):
            raise ValueError(f"{path} is {found.get(path)}, expected {expected.get(path)}")


class Checkpoints:
    """The newest two steps of a run, in one directory. Use it in a `with` block.

    Saving is synchronous: when `save` returns, the step is on disk.
    """

    def __init__(self, directory: Path, say: Callable[[str], None] = lambda sentence: None):
        """Opens or makes `directory`; `say` is told about steps that are passed over.

        Raises:
          InputError: what is called like a step in it is no folder.
          OSError: it is none itself.
        """
        self._say = say
        self._directory = Path(os.path.realpath(directory))
        self._directory.mkdir(parents=True, exist_ok=True)
        for path in self._directory.iterdir():  # Orbax would list it, and could not delete it
            if path.name.isdecimal() and (path.is_symlink() or not path.is_dir()):
                raise InputError(
                    f"{path}: expected the folder of a step; begin anew with --restart"
                )
        several = jax.process_count() > 1  # of which one has the disk
        alone = {"active_processes": {0}, "barrier_sync_key_prefix": "disk"} if several else {}
        options = ocp.CheckpointManagerOptions(
            preservation_policy=preservation_policy.LatestN(2),
            create=False,
            enable_async_checkpointing=False,
            cleanup_tmp_directories=True,
            multiprocessing_options=ocp.options.MultiprocessingOptions(primary_host=0, **alone),
        )
        with _undisturbed():
            self._manager = ocp.CheckpointManager(self._directory, options=options)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._manager.close()

    def save(self, step: int, tree: Any) -> None:
        """Writes a step, and deletes all but the newest two.

        Steps that `restore` passed over are deleted first: they would count as the newest.

        Raises:
          OSError: it cannot be written; the steps before are as they were.
        """
        arguments = ocp.args.Composite(
            state=ocp.args.StandardSave([tree]), digests=ocp.args.JsonSave(digests(tree))
        )
        try:
            with _undisturbed():
                for passed_over in [old for old in self._manager.all_steps() if old >= step]:
                    self._manager.delete(passed_over)
                self._manager.save(step, args=arguments, force=True)
                self._seal(step)
        except Exception as error:
            for unfinished in self._directory.glob("*.orbax-checkpoint-tmp"):
                shutil.rmtree(unfinished, ignore_errors=True)  # a full disk is not kept full
            if code := re.search(r"os_error_code='(\d+)'", str(error)):
                number = int(code[1])
                raise OSError(number, os.strerror(number), str(self._directory)) from error
            raise

    def _seal(self, step: int) -> None:
        """Writes down what the files of a step are."""
        folder = self._directory / str(step)
        logs.replace(folder / FILES, json.dumps(_file_digests(folder)))

    def _check_files(self, step: int) -> None:
        """Raises `ValueError` where a file of a step is not what was written."""
        folder = self._directory / str(step)
        found = _file_digests(folder)
        if os.path.lexists(folder / FILES):  # or a kill came between the step and its digests
            if not (folder / FILES).is_file():
                raise ValueError(f"{FILES} is no file")
            written = json.loads((folder / FILES).read_text())
            for name in sorted(written.keys() | found.keys()):
                if written.get(name) != found.get(name):
                    raise ValueError(f"{name} has changed")

    def restore(self, like: Any) -> tuple[int, Any] | None:
        """The newest undamaged step and its tree, or None where there are no steps.

        Args:
          like: a tree of arrays or `jax.ShapeDtypeStruct` with the shapes and types expected.

        Raises:
          InputError: there are steps, and none can be used.
        """
        device = jax.sharding.SingleDeviceSharding(jax.devices()[0])

        def abstract(leaf):
            sharding = getattr(leaf, "sharding", None) or device
            return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)

        state = ocp.args.StandardRestore([jax.tree.map(abstract, like)])
        for step in sorted(self._manager.all_steps(), reverse=True):
            try:
                self._check_files(step)
                with _undisturbed():
                    written = self._restore(step, digests=ocp.args.JsonRestore())
                    _check_forms(written, like)
                    [tree] = self._restore(step, state=state)  # in a list, as it was saved
                if digests(tree) == written:
                    return step, tree
                reason = "its digest differs"
            except Exception as error:  # Orbax raises whatever its readers raise
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
            self._say(f"checkpoint {step} cannot be used ({reason}): passed over")
        if self._manager.all_steps():
            why = "none of its checkpoints can be used, and nothing was changed"
            raise InputError(f"{self._directory}: {why}; begin anew with --restart")
        return None

    def _restore(self, step: int, **item: ocp.args.CheckpointArgs) -> Any:
        [(name, arguments)] = item.items()
        return self._manager.restore(step, args=ocp.args.Composite(**{name: arguments}))[name]

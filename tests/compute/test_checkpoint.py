"""A checkpoint comes back as it was written, or not at all and in words."""

import os
import pathlib
import resource
import shutil
import signal
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trinity_jax.compute import mesh, replicas
from trinity_jax.compute.checkpoint import FILES, Checkpoints, digests
from trinity_jax.types import InputError


class Learner(NamedTuple):
    """What states are made of."""

    weights: jax.Array
    empty: tuple
    key: jax.Array


def state(step):
    """A tree with something of everything, another one at each step."""
    key = jax.random.key(step)
    return {
        "learner": Learner(jax.random.normal(key, (20, 30)), (), jax.random.fold_in(key, 1)),
        "half": jnp.full((2, 3), step, jnp.bfloat16),
        "asked": jnp.array([True, False]),
        "count": jnp.int32(step),
        "nothing": None,
    }


LIKE = jax.eval_shape(lambda: state(0))


@pytest.fixture(scope="module")
def two_steps(tmp_path_factory):
    """A folder with steps 6 and 7, to be copied before it is changed."""
    folder = tmp_path_factory.mktemp("checkpoints")
    with Checkpoints(folder) as checkpoints:
        for step in (6, 7):
            checkpoints.save(step, state(step))
    return folder


@pytest.fixture
def copy(two_steps, tmp_path):
    shutil.copytree(two_steps, tmp_path / "copy")
    return tmp_path / "copy"


def restore(folder, like=LIKE):
    """What a new process would find: `(step, tree)` or None or "refused", and what was said."""
    said = []
    with Checkpoints(folder, said.append) as checkpoints:
        try:
            return checkpoints.restore(like), said
        except InputError:
            return "refused", said


def check(found, step):
    assert found is not None
    assert found[0] == step
    assert jax.tree.structure(found[1]) == jax.tree.structure(state(step))
    assert digests(found[1]) == digests(state(step))


def test_the_newest_step_comes_back_exactly(copy):
    found, said = restore(copy)
    check(found, 7)
    assert said == []
    assert isinstance(found[1]["learner"], Learner)
    assert found[1]["half"].dtype == jnp.bfloat16
    jax.random.normal(found[1]["learner"].key)  # still a key


@pytest.mark.parametrize("tree", [jnp.arange(3), jnp.float32(2), (), {"a": ()}, jax.random.key(1)])
def test_any_tree_will_do(tmp_path, tree):
    with Checkpoints(tmp_path) as checkpoints:
        checkpoints.save(0, tree)
    found, said = restore(tmp_path, jax.eval_shape(lambda: tree))
    assert said == []
    assert jax.tree.structure(found[1]) == jax.tree.structure(tree)
    assert digests(found[1]) == digests(tree)


def test_nothing_comes_back_from_nothing(tmp_path):
    assert restore(tmp_path / "new") == (None, [])


def test_two_steps_are_kept(copy):
    with Checkpoints(copy) as checkpoints:
        checkpoints.save(8, state(8))
    assert sorted(path.name for path in copy.iterdir()) == ["7", "8"]
    check(restore(copy)[0], 8)


def test_a_relative_path_is_as_good(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with Checkpoints(pathlib.Path("here")) as checkpoints:
        checkpoints.save(0, state(0))
    monkeypatch.chdir("/")
    check(restore(tmp_path / "here")[0], 0)


def test_leaves_are_placed_as_asked(copy):
    devices = mesh.make()
    rows = replicas.spread(jnp.arange(8.0), devices)
    with Checkpoints(copy) as checkpoints:
        checkpoints.save(8, {"rows": rows})
        _, found = checkpoints.restore({"rows": rows})
    assert found["rows"].sharding == rows.sharding
    np.testing.assert_array_equal(found["rows"], rows)


DAMAGES = {
    "a flipped bit": lambda file: file.write_bytes(flip(file.read_bytes())),
    "half of it": lambda file: os.truncate(file, file.stat().st_size // 2),
    "empty": lambda file: os.truncate(file, 0),
    "gone": lambda file: file.unlink(),
}


def flip(data):
    middle = len(data) // 2
    return data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :]


@pytest.mark.parametrize("damage", DAMAGES)
def test_damage_to_any_file_is_noticed(copy, tmp_path, damage, capfd, caplog):
    files = [path.relative_to(copy) for path in sorted((copy / "7").rglob("*")) if path.is_file()]
    assert len(files) > 10
    for file in files:
        work = tmp_path / "work"
        shutil.copytree(copy, work)
        DAMAGES[damage](work / file)
        found, said = restore(work)
        if file.name == FILES and damage == "gone":  # as after a kill: the leaves have digests too
            check(found, 7)
        else:
            check(found, 6)
            assert len(said) == 1, file
            assert said[0].startswith("checkpoint 7 ")
        shutil.rmtree(work)
    assert capfd.readouterr().err == ""  # Orbax has nothing to add,
    assert caplog.records == []  # nor to log


def test_leaves_have_digests_of_their_own(copy):
    """A kill may come before those of the files are written."""
    (copy / "7" / FILES).unlink()
    shutil.rmtree(copy / "7/digests")
    shutil.copytree(copy / "6/digests", copy / "7/digests")
    found, said = restore(copy)
    check(found, 6)
    assert said == ["checkpoint 7 cannot be used (its digest differs): passed over"]


def test_where_all_is_damaged_none_is_used(copy):
    for step in (6, 7):
        (copy / str(step) / "state/_METADATA").write_text("{}")
    found, said = restore(copy)
    assert found == "refused"
    assert [sentence[:12] for sentence in said] == ["checkpoint 7", "checkpoint 6"]


def test_a_run_goes_on_over_damaged_steps(copy):
    (copy / "7/digests/metadata").write_text("{}")
    with Checkpoints(copy) as checkpoints:
        assert checkpoints.restore(LIKE)[0] == 6
        checkpoints.save(7, state(70))
        assert digests(checkpoints.restore(LIKE)[1]) == digests(state(70))
    with Checkpoints(copy) as checkpoints:  # from the start: old steps do not count as newer
        checkpoints.save(0, state(0))
        checkpoints.save(1, state(1))
    check(restore(copy)[0], 1)


@pytest.mark.parametrize(
    ("leaf", "form", "expected"),
    [
        (
            "half",
            jax.ShapeDtypeStruct((2, 3), jnp.float16),
            "bfloat16 (2, 3), expected float16 (2, 3)",
        ),
        ("half", jax.ShapeDtypeStruct((2, 4), jnp.bfloat16), "(2, 3), expected bfloat16 (2, 4)"),
        ("count", jax.ShapeDtypeStruct((), jnp.float32), "int32 (), expected float32 ()"),
        ("more", jax.ShapeDtypeStruct((), jnp.float32), "None, expected float32 ()"),
    ],
    ids=["type", "shape", "whole number", "leaf"],
)
def test_a_tree_of_another_form_is_not_forced_into_ours(copy, leaf, form, expected):
    """Orbax would cast it, to infinity if need be."""
    found, said = restore(copy, {**LIKE, leaf: form})
    assert found == "refused"
    assert len(said) == 2
    assert said[0].startswith("checkpoint 7 ")
    assert expected in said[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_waits_until_the_step_is_on_disk(copy, number):
    """Orbax's threads would otherwise complain of being left alone."""

    def handler(*_):
        raise InterruptedError

    before = signal.signal(number, handler)
    try:
        with Checkpoints(copy) as checkpoints:
            save = checkpoints._manager.save
            checkpoints._manager.save = lambda *a, **k: [signal.raise_signal(number), save(*a, **k)]
            with pytest.raises(InterruptedError):
                checkpoints.save(8, state(8))
        assert signal.getsignal(number) is handler
    finally:
        signal.signal(number, before)
    assert (copy / "8" / FILES).exists()
    check(restore(copy)[0], 8)


def test_a_step_that_does_not_fit_on_the_disk_leaves_the_others(copy):
    big = {"x": jax.random.normal(jax.random.key(0), (2**19,))}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    with Checkpoints(copy) as checkpoints:
        resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, limits[1]))
        try:
            with pytest.raises(OSError, match="File too large"):
                checkpoints.save(8, big)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert sorted(path.name for path in copy.iterdir()) == ["6", "7"]  # nor is the disk kept full
    check(restore(copy)[0], 7)


def test_digests_tell_types_shapes_and_values_apart():
    trees = [
        jnp.zeros(4),
        jnp.zeros((2, 2)),
        jnp.zeros(4, jnp.int32),
        jnp.zeros(4).at[3].set(-0.0),
        jax.random.key(0),
        jax.random.key_data(jax.random.key(0)),
    ]
    assert len({digests(tree)[""] for tree in trees}) == len(trees)

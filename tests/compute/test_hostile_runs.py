"""What may be in the place of a run's files: it is refused in a sentence, or passed over in words.

A run says so before it computes, whatever a pipe, a link or JSON of any form would do to it.
"""

import contextlib
import dataclasses
import io
import shutil
import signal

import jax.numpy as jnp
import pytest
from hostile import BYTES, MARK, PLACES

from trinity_jax.compute.checkpoint import FILES
from trinity_jax.compute.run import Run
from trinity_jax.types import InputError


@dataclasses.dataclass(frozen=True)
class Config:
    """Of a run that counts."""

    data: str = "made"


def go(directory, total=2, restart=False):
    """Takes a run up and ends it; returns the round where it begins and what is said."""
    said = io.StringIO()
    with (
        contextlib.redirect_stdout(said),
        Run(directory, "tiny", "", Config(), restart=restart) as run,
    ):
        run.once("number", lambda: 1)
        run.answers(round=int)
        start, state = run.resume(lambda: jnp.zeros(3))
        for t in run.rounds(start, total):
            state = state + 1
            run.commit(t, state, [{"total": float(state[0])}])
        run.finish({})
    return start, said.getvalue()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of two rounds, to be copied before it is changed."""
    directory = tmp_path_factory.mktemp("finished")
    go(directory)
    (directory / "answers.jsonl").write_text('{"round": 0, "yes": true}\n')
    return directory


@pytest.fixture(autouse=True)
def no_hang():
    """Fails after ten seconds."""

    def hangs(*_):
        raise AssertionError("hangs")

    before = signal.signal(signal.SIGALRM, hangs)
    signal.alarm(10)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def put(path, what):
    """What is at the path in place of what was there."""
    shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    path.write_bytes(what) if isinstance(what, bytes) else what(path)


SPARSE, EMPTY = "100 GB of zeros", "a file that may not be read"  # a superuser may
PLACED = {*PLACES} - {"nothing", SPARSE}
NOWHERE = {
    "a link to itself",
    "two links in a ring",
    "a link to nothing",
}  # as if it were not there
REFUSED = {
    "config.json": PLACED,
    "records.jsonl": PLACED - NOWHERE - {EMPTY},
    "run.lock": PLACED - {"a link to nothing", EMPTY},
    "checkpoints": PLACED - {"a folder", "a link to a folder", "a link to nothing"},
    "checkpoints/1": PLACED - {"a folder"},
}


@pytest.mark.parametrize("file", REFUSED)
def test_what_is_no_file_is_refused_or_is_nothing(finished, tmp_path, file):
    for name in sorted(PLACED):
        run = tmp_path / name
        shutil.copytree(finished, run)
        put(run / file, PLACES[name])
        if name not in REFUSED[file]:
            go(run)
            continue
        refused(run)
        if file != "run.lock" and name == "a pipe":
            assert go(run, restart=True)[0] == 0, name


def refused(run):
    with pytest.raises(InputError) as caught:
        go(run)
    sentence = str(caught.value)
    assert sentence.isprintable()
    assert "/" in sentence  # a path
    assert len(sentence) < 1000


DEEP, DIGITS = b"[" * 1_000_000 + b"\n", b"9" * 5000
JSON = {
    "config.json": (
        *(b"", b"null", b"[]", b"{}", b'{"config": {"data": "made"}}', b'{"experiment": "tiny"}'),
        *(b'{"experiment": "tiny", "config": []}', b'{"experiment": "tiny", "config": {"x": 1}}'),
        *(b'{"experiment": "tiny", "config": null}', b'{"experiment": 1, "config": {}}', DIGITS),
    ),
    "records.jsonl": (b"{}\n", b"\n", b"[]\n", b'{"round": "0"}\n', b'{"round": null}\n', b"7\n"),
    "once.jsonl": (b"{}\n", b'{"name": "number"}\n', b'{"name": [], "value": 1}\n', b"null\n"),
    "answers.jsonl": (b"{}\n", b'{"round": true, "yes"}\n', b'{"round": 0.5}\n', b'"round"\n'),
    "timings.jsonl": (b'{"phase": "x"}\n', b'{"phase": "x", "seconds": "1"}\n', b"{}\n"),
}
ATTACKS = ("a NUL first", "backwards", "UTF-16", "a pickle", "YAML", "deep lists", "deep objects")


@pytest.mark.parametrize("file", JSON)
def test_what_is_not_as_it_was_written_is_refused(finished, tmp_path, file):
    whole = (finished / file).read_bytes()
    contents = [*JSON[file], *(BYTES[name](whole) + b"\n" for name in ATTACKS)]
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    for content in contents:
        (run / file).write_bytes(content)
        refused(run)
    assert not MARK.exists()


STEP = "checkpoints/1"


@pytest.mark.parametrize("file", [f"{STEP}/{FILES}", f"{STEP}/state/_METADATA"])
@pytest.mark.parametrize("name", sorted(PLACED))
def test_a_step_with_something_else_in_it_is_passed_over(finished, tmp_path, file, name):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    put(run / file, PLACES[name])
    start, said = go(run)
    assert start == 1
    assert "checkpoint 1 cannot be used" in said


def test_digests_that_are_none_pass_a_step_over(finished, tmp_path):
    for number, content in enumerate((DEEP, b"[]", b"null", b"{}", DIGITS, BYTES["a pickle"](b""))):
        run = tmp_path / str(number)
        shutil.copytree(finished, run)
        (run / STEP / FILES).write_bytes(content)
        assert go(run)[0] == 1, content[:20]
    assert not MARK.exists()


def test_folders_that_are_no_steps_do_not_matter(finished, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(finished, run)
    for name in ("-1", "x", "1.5", "", "9" * 20, "7.orbax-checkpoint-tmp"):
        (run / "checkpoints" / name).mkdir(exist_ok=True)
    assert go(run)[0] == 2


def test_a_ring_of_links_is_no_place_for_a_run(tmp_path):
    PLACES["two links in a ring"](tmp_path / "run")
    with pytest.raises(InputError, match="cannot write there"):
        go(tmp_path / "run")

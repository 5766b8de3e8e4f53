"""Tables of learning curves: what is read, and what is refused in which words."""

import os

import numpy as np
import pytest
from broken_files import Bad, check_mutations, check_refused

from trinity_jax.data import sources

HEADER = b"strategy,seed,words,score\n"
TABLE = HEADER + b"random,0,100,0.5\nrandom,0,200,0.6\nmnlp,0,100,.5\nmnlp,0,2e2,7e-1\n"


def bad(name, content, pattern):
    return Bad(name, {"f.csv": content}, r"/f\.csv" + pattern, "{}/f.csv")


BAD = [
    bad("empty", b"", ": expected the header strategy,seed,words,score and rows, found no rows"),
    bad("other order", b"seed,strategy,words,score\n", ", line 1: expected the header strategy,"),
    bad("narrow row", TABLE + b"mnlp,1,5\n", ", line 6: .*found 3 fields in 'mnlp,1,5'"),
    bad("no seed", TABLE + b"mnlp,,5,1\n", ", line 6: .*found an empty seed"),
    bad("words", TABLE + b"mnlp,0,x,1\n", ", line 6: expected a finite number, 0 or.*found 'x'"),
    bad("below 0", TABLE + b"mnlp,0,-1,1\n", ", line 6: expected .*0 or more, for words.*'-1'"),
    bad("NaN", TABLE + b"mnlp,0,5,nan\n", ", line 6: expected a finite number for score.*'nan'"),
    bad("infinity", TABLE + b"mnlp,0,5,1e999\n", ", line 6: expected a finite .*'1e999'"),
    bad("1_0", TABLE + b"mnlp,0,1_0,1\n", ", line 6: expected .*'1_0'"),
    bad("spaces", TABLE + b"mnlp,0, 5,1\n", ", line 6: expected .*' 5'"),
    bad("two at once", TABLE + b"mnlp,0,5,x\nmnlp,0,6,y\n", ", line 6: expected .*'x'"),
    bad("other score", TABLE + b"mnlp,0,100.0,1\n", ", line 6: .*score 0.5 .*at 100 .*found 1$"),
    bad("one point", TABLE + b"mnlp,1,5,1\n", ", line 6: .*two points.*'mnlp', seed '1'"),
    bad("a folder", None, ": expected a file, found a folder"),
    bad("a pipe", os.mkfifo, ": expected a file, found a folder or a device"),
    Bad("no file", {}, "/f.csv: cannot be read .'No such file", "{}/f.csv"),
    Bad("not printable", {}, "expected a source in printable", "{}/\n"),
]


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_what_is_wrong_is_said_in_a_sentence(tmp_path, case):
    check_refused(sources.curves, tmp_path, case)


def test_broken_bytes_are_read_or_refused(tmp_path):
    path = tmp_path / "f.csv"
    check_mutations(lambda: sources.curves(str(path)), tmp_path, {"f.csv": TABLE}, "f.csv")


def test_rows_in_any_order_make_the_same_curves(tmp_path):
    rows = [f"{s},{i},{w},{w / 7:.4f}" for s in "ba" for i in (10, 9) for w in (30, 20, 100)]
    rows += rows[:2]
    path = tmp_path / "f.csv"
    path.write_text("\n".join([HEADER.decode().strip(), *rows]))
    curves, repeats = sources.curves(str(path))
    assert repeats == 2
    assert [*curves] == ["b", "a"]
    assert [*curves["a"]] == ["9", "10"]
    for of_strategy in curves.values():
        for words, score in of_strategy.values():
            np.testing.assert_array_equal(words, [20, 30, 100])
            np.testing.assert_allclose(score, words / 7, atol=1e-4)


def test_a_strategy_may_lack_a_seed(tmp_path):
    path = tmp_path / "f.csv"
    path.write_bytes(TABLE + b"random,1,150,0.5\nrandom,1,90,-6\n")
    curves, repeats = sources.curves(str(path))
    assert {name: [*seeds] for name, seeds in curves.items()} == {
        "random": ["0", "1"],
        "mnlp": ["0"],
    }
    assert repeats == 0
    np.testing.assert_array_equal(curves["random"]["1"].words, [90, 150])
    np.testing.assert_array_equal(curves["random"]["1"].score, [-6, 0.5])
    np.testing.assert_array_equal(curves["mnlp"]["0"], [[100, 200], [0.5, 0.7]])

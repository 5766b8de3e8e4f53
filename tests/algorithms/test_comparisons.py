"""Winners that are known, checked against SciPy; reports of whole tables of curves."""

import json

import jax
import numpy as np
import pytest
from scipy import stats

from trinity_jax.algorithms import curves, statistics
from trinity_jax.algorithms.comparisons import checkpoints, gains, summarise, win_matrix
from trinity_jax.algorithms.curves import Curve
from trinity_jax.types import InputError


def test_checkpoints_double_while_the_reference_learns():
    words = np.arange(10.0, 111.0, 10)
    flat_from = lambda end: Curve(words, np.minimum(words, end))
    np.testing.assert_array_equal(checkpoints(flat_from(200), 10), [20, 30, 50, 90])
    np.testing.assert_array_equal(checkpoints(flat_from(200), 100), [110])
    np.testing.assert_array_equal(checkpoints(flat_from(50), 10), [20, 30])
    np.testing.assert_array_equal(checkpoints(flat_from(51), 10), [20, 30, 50])
    np.testing.assert_array_equal(checkpoints(flat_from(5), 10), [20])  # at least once
    np.testing.assert_array_equal(checkpoints(flat_from(50), 10, share=0.5), [20])


def test_the_win_matrix_counts_significant_checkpoints():
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 0.01, (3, 6, 4)) + rng.normal(0, 1, (1, 6, 1))  # seeds differ a lot
    scores[1, :, 1:] += 1  # better at three of four checkpoints
    scores[2, 3:] = np.nan  # a strategy with half of the seeds
    found = win_matrix(scores)
    for i in range(3):
        for j in range(3):
            a, b = (scores[k][: 3 if 2 in (i, j) else 6] for k in (i, j))
            p = stats.ttest_rel(a, b).pvalue if i != j else np.ones(4)
            assert found[i, j] == np.mean((p < 0.05) & (a.mean(axis=0) > b.mean(axis=0)))
    assert found[1, 0] >= 3 / 4
    assert (np.diag(found) == 0).all()
    assert (found + found.T <= 1).all()


def test_the_win_matrix_does_not_test_one_seed():
    scores = np.full((3, 2, 2), np.nan)
    scores[0], scores[1], scores[2, 0] = 1.0, 0.0, 5.0
    expected = [[0, 1, np.nan], [0, 0, np.nan], [np.nan, np.nan, 0]]
    np.testing.assert_array_equal(win_matrix(scores), expected)


@pytest.mark.parametrize("query", [0, -1, 3, np.nan])
def test_a_round_labels_part_of_the_words(query):
    with pytest.raises(ValueError, match="between 0 and 1 words, not"):
        checkpoints(Curve(np.array([1.0, 2.0]), np.ones(2)), query)


def made(slopes, num_seeds=3, last=100):
    """Curves from (0, 0) to (last, slope + seed), so that slopes differ by pairs as given."""
    words = np.linspace(0, last, 11)
    line = lambda slope: Curve(words, slope * words / last)
    return {
        name: {str(seed): line(slope + seed) for seed in range(num_seeds)}
        for name, slope in slopes.items()
    }


def test_summary_of_a_corpus():
    found = summarise(made({"random": 1, "mnlp": 2}), "random", full=2)
    assert found["words"] == [0, 100]
    assert found["checkpoints"] == [10, 20, 40, 80]
    assert found["wins"] == {"random": {"random": 0, "mnlp": 0}, "mnlp": {"random": 1, "mnlp": 0}}
    mnlp, random = (found["strategies"][name] for name in ("mnlp", "random"))
    assert mnlp["areas"] == {"0": 1, "1": 1.5, "2": 2}
    assert mnlp["area"] == statistics.interval([1, 1.5, 2])
    assert mnlp["words_to"]["99%"]["mean_curve"] == pytest.approx(1.98 / 3 * 100)
    assert mnlp["words_to"]["95%"]["seeds"]["mean"] == pytest.approx(
        190 * np.mean([1 / 2, 1 / 3, 1 / 4])
    )
    assert random["words_to"]["95%"]["reached"] == 2
    assert mnlp["savings"]["95%"]["mean_curve"] == pytest.approx(3 / 2)
    assert mnlp["savings"]["reference"]["mean_curve"] == pytest.approx(3 / 2)
    assert random["savings"]["reference"]["mean_curve"] == pytest.approx(1)
    json.dumps(found, allow_nan=False)


def test_summary_of_little():
    """One seed tests nothing, no full score has no shares, and a round may be given."""
    table = made({"random": 1, "mnlp": 2}, num_seeds=1)
    found = summarise(table, "random", query=25)
    assert found["checkpoints"] == [25, 50]
    assert found["wins"]["mnlp"]["random"] is None
    assert found["strategies"]["mnlp"]["area"] == {"mean": 1, "interval": None, "n": 1}
    assert [*found["strategies"]["mnlp"]["words_to"]] == ["reference"]
    json.dumps(found, allow_nan=False)
    with pytest.raises(InputError, match="unknown strategy 'rand': did you mean 'random'"):
        summarise(table, "rand")


def test_gains_pair_seeds_and_pool_corpora():
    rng, key = np.random.default_rng(0), jax.random.key(0)
    areas = [
        {name: {str(s): rng.normal(shift, 1) for s in range(n)} for name, shift in shifts}
        for n, shifts in (
            (5, [("random", 0), ("lc", 3), ("mnlp", 5)]),
            (4, [("random", 0), ("lc", 3)]),
        )
    ]
    del areas[0]["lc"]["2"]
    areas[0]["lc"]["7"] = 100.0  # random has no such seed
    found = gains(key, areas, "random")
    groups = [
        [one["lc"][s] - one["random"][s] for s in one["random"] if s in one["lc"]] for one in areas
    ]
    pairs = np.concatenate(groups)
    assert len(pairs) == 8
    assert found["lc"]["student"] == statistics.interval(pairs)
    assert found["lc"]["bootstrap"] == statistics.bootstrap(key, groups)
    assert found["lc"]["p"] == pytest.approx(stats.wilcoxon(pairs, method="exact").pvalue)
    p = [found[name]["p"] for name in ("lc", "mnlp")]
    assert [found[name]["p_holm"] for name in ("lc", "mnlp")] == statistics.holm(p).tolist()
    assert [*found] == ["lc", "mnlp"]
    assert gains(key, [{"random": {"0": 1.0}, "lc": {"1": 1.0}}], "random") == {}


def test_areas_that_come_from_curves():
    table = made({"random": 1, "mnlp": 2, "worse": -1})
    areas = summarise(table, "random")["strategies"]
    found = gains(jax.random.key(0), [{name: areas[name]["areas"] for name in areas}], "random")
    for name, half in (("mnlp", 0.5), ("worse", -1)):
        np.testing.assert_allclose(found[name]["student"]["mean"], half)
        np.testing.assert_allclose(found[name]["bootstrap"]["interval"], [half, half])
        assert (found[name]["p"], found[name]["p_holm"]) == (0.25, 0.5)
    assert curves.area(*table["mnlp"]["0"]) == areas["mnlp"]["areas"]["0"]

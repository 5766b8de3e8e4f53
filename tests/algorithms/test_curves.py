"""Curves whose areas, crossings and winners are known, and what must hold for all curves."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis.extra import numpy as arrays
from scipy import stats

from trinity_jax.algorithms import curves
from trinity_jax.algorithms.curves import Curve
from trinity_jax.types import InputError

NUMBERS = st.floats(-100, 100, allow_subnormal=False)


@st.composite
def some_curves(draw, least=2):
    words = draw(st.lists(st.integers(0, 10_000), min_size=least, max_size=12, unique=True))
    score = draw(arrays.arrays(np.float64, len(words), elements=NUMBERS))
    return Curve(np.sort(np.array(words, np.float64)), score)


def test_area_is_the_mean_height():
    assert curves.area([0, 1], [0, 1]) == 0.5
    assert curves.area([100, 200, 400], [0.2, 0.4, 0.4]) == pytest.approx((0.3 + 2 * 0.4) / 3)
    x = np.linspace(0, np.pi, 10_001)
    assert curves.area(x, np.sin(x)) == pytest.approx(2 / np.pi)


@hypothesis.given(some_curves(), NUMBERS)
def test_area_of_all_curves(curve, height):
    area = curves.area(*curve)
    assert curve.score.min() - 1e-9 <= area <= curve.score.max() + 1e-9
    expected = np.trapezoid(curve.score, curve.words) / np.ptp(curve.words)
    np.testing.assert_allclose(area, expected, atol=1e-9)
    np.testing.assert_allclose(curves.area(curve.words, np.full_like(curve.score, height)), height)
    shifted = curves.area(3 * curve.words + 7, curve.score + height)
    np.testing.assert_allclose(shifted, area + height, atol=1e-9)


@hypothesis.given(some_curves(), st.floats(0, 1), NUMBERS)
def test_points_on_the_curve_change_nothing(curve, share, target):
    words = curve.words[0] + share * np.ptp(curve.words)
    score = curves.interpolate(curve, [words])[0]
    i = np.searchsorted(curve.words, words)
    more = Curve(np.insert(curve.words, i, words), np.insert(curve.score, i, score))
    twice = Curve(np.repeat(curve.words, 2), np.repeat(curve.score, 2))
    for other in (more, twice):
        np.testing.assert_allclose(curves.area(*other), curves.area(*curve), atol=1e-9)
    found, expected = curves.words_to(*twice, target), curves.words_to(*curve, target)
    assert found == expected
    hypothesis.assume(np.abs(more.score - target).min() > 1e-6)  # where rounding cannot decide
    found = curves.words_to(*more, target)
    assert (found is None) == (expected is None)
    assert found is None or found == pytest.approx(expected, rel=1e-6, abs=1e-6)


@hypothesis.given(some_curves(), NUMBERS)
def test_words_to_is_the_first_crossing(curve, target):
    found = curves.words_to(*curve, target)
    assert (found is None) == bool(curve.score.max() < target)
    best = Curve(curve.words, np.maximum.accumulate(curve.score))
    if found is None:
        assert curves.words_to(*best, target) is None
        return
    assert curve.words[0] <= found <= curve.words[-1]
    assert (curve.score[curve.words < found] < target).all()
    assert curves.interpolate(curve, [found])[0] >= target - 1e-6
    later = curves.words_to(*curve, target + 1)
    assert later is None or later >= found


def test_words_to_by_hand():
    words, score = [100, 200, 300, 400], [0.4, 0.6, 0.5, 0.7]
    assert curves.words_to(words, score, 0.5) == 150
    assert curves.words_to(words, score, 0.6) == 200
    assert curves.words_to(words, score, 0.65) == pytest.approx(375)
    assert curves.words_to(words, score, 0.7) == 400
    assert curves.words_to(words, score, 0.3) == 100  # at most
    assert curves.words_to(words, score, 0.71) is None


def test_utilisation_compares_at_equal_score():
    random = Curve(np.array([0.0, 100.0]), np.array([0.0, 0.5]))
    twice = Curve(np.array([0.0, 100.0]), np.array([0.0, 1.0]))
    assert curves.utilisation(random, twice, 0.4) == pytest.approx(2)
    assert curves.utilisation(twice, random, 0.4) == pytest.approx(1 / 2)
    assert curves.utilisation(random, random, 0.4) == 1
    assert curves.utilisation(random, twice, 0.6) is None
    assert curves.utilisation(twice, random, 0.6) is None


def line(first, last, slope=1.0, points=5):
    words = np.linspace(first, last, points)
    return Curve(words, slope * words)


def test_seeds_that_spend_different_numbers_of_words_are_interpolated():
    mean = curves.mean([line(0, 10), line(2, 8, 3), line(1, 9, 2, points=4)])
    assert (mean.words[0], mean.words[-1]) == (2, 8)
    np.testing.assert_allclose(mean.score, 2 * mean.words)
    np.testing.assert_array_equal(
        curves.shared_words([Curve(np.array(x), np.zeros(3)) for x in ([0, 4, 9], [1, 4, 8])]),
        [1, 4, 8],
    )


@hypothesis.given(some_curves(), some_curves())
def test_the_mean_curve_has_the_mean_area(a, b):
    hypothesis.assume(max(a.words[0], b.words[0]) < min(a.words[-1], b.words[-1]))
    aligned = curves.align({"a": {"0": a}, "b": {"0": b}})
    both = curves.areas(aligned)
    np.testing.assert_allclose(curves.area(*curves.mean([a, b])), both.mean(), atol=1e-9)


def test_align_leaves_out_what_is_not_there():
    found = curves.align(
        {"random": {"0": line(0, 10), "1": line(0, 12)}, "mnlp": {"1": line(1, 11, 2)}}
    )
    assert (found.strategies, found.seeds) == (("random", "mnlp"), ("0", "1"))
    np.testing.assert_allclose(found.scores[0], [found.words] * 2)
    np.testing.assert_allclose(found.scores[1, 1], 2 * found.words)
    assert np.isnan(found.scores[1, 0]).all()
    np.testing.assert_allclose(curves.areas(found), [[5.5, 5.5], [np.nan, 11]])


def test_reach_by_mean_curve_and_by_seed():
    seeds = [line(0, 10, slope) for slope in (1, 2, 4)]
    found = curves.reach(seeds, 7)
    assert found["mean_curve"] == pytest.approx(3)  # the mean slope is 7/3
    words = [7, 3.5, 1.75]
    np.testing.assert_allclose(
        found["seeds"]["interval"], stats.t.interval(0.95, 2, np.mean(words), stats.sem(words))
    )
    assert (found["reached"], found["n"]) == (3, 3)
    some = curves.reach(seeds, 15)
    assert some["mean_curve"] == pytest.approx(15 * 3 / 7)
    assert (some["seeds"], some["reached"]) == (None, 2)
    assert curves.reach(seeds, 50) == {"mean_curve": None, "seeds": None, "reached": 0, "n": 3}


def test_savings_pair_the_seeds():
    random = {seed: line(0, 10, slope) for seed, slope in (("0", 1), ("1", 2), ("2", 1))}
    other = {seed: line(0, 10, slope) for seed, slope in (("1", 3), ("0", 3), ("3", 3))}
    found = curves.savings(random, other, 5)
    assert found["mean_curve"] == pytest.approx(3 * 3 / 4)
    assert found["seeds"]["mean"] == pytest.approx((3 + 3 / 2) / 2)
    assert found["seeds"]["n"] == 2
    far = curves.savings(random, other, 12)  # the first seed of random does not get there
    assert far["seeds"] is None
    assert far["mean_curve"] == pytest.approx(3 * 3 / 4)
    assert curves.savings(random, other, 15) == {"mean_curve": None, "seeds": None}


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: curves.area([1], [1]), "two different numbers of words"),
        (lambda: curves.area([1, 1], [1, 2]), "two different numbers of words"),
        (lambda: curves.area([1, 2], [1]), "a score for each of its words"),
        (lambda: curves.area([], []), "a score for each of its words"),
        (lambda: curves.area([2, 1], [1, 2]), "must not fall"),
        (lambda: curves.area([1, 2], [1, np.nan]), "finite words and scores"),
        (lambda: curves.words_to([1, np.inf], [1, 2], 1), "finite words and scores"),
        (lambda: curves.words_to([1, 2], [1, 2], np.nan), "target must be a finite number"),
        (lambda: curves.interpolate(line(1, 2), [0.5]), "from 1 to 2 words, not at"),
    ],
)
def test_bad_values_are_refused_in_words(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_curves_apart_cannot_be_compared():
    with pytest.raises(InputError, match="begins at 2 and one that ends at 1"):
        curves.align({"a": {"0": line(0, 1)}, "b": {"0": line(2, 3)}})

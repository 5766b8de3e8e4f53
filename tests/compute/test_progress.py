"""Estimates of what is left, and how they are shown."""

import io

import numpy as np
import pytest
from rich.console import Console

from trinity_jax.compute import progress


def test_rounds_that_are_alike():
    assert progress.remaining([3.0], 5) == 15
    assert progress.remaining([3.0] * 7, 5) == pytest.approx(15)
    assert progress.remaining([3.0, 4.0], 0) == 0


@pytest.mark.parametrize("seconds", [[5.0, 1.0], [9.0, 1.0, 2.0, 1.5, 4.0]])
def test_each_round_counts_twice_the_one_before(seconds):
    weights = 2.0 ** np.arange(len(seconds))
    mean = np.average(seconds, weights=weights)
    assert progress.remaining(seconds, 3) == pytest.approx(3 * mean)


def test_rounds_that_grow_go_on_growing():
    """As in active learning, where each round trains on more."""
    grown = [float(n) for n in range(1, 11)]
    assert progress.remaining(grown[:6], 4) == sum(grown[6:])
    assert progress.remaining(grown[:3], 7) < sum(grown[3:])  # three may have grown by chance


def test_a_first_round_that_takes_long_is_soon_forgotten():
    """As in active learning, where the first round also trains on everything."""
    seconds = [40.0, *[10.0] * 9]
    errors = [
        progress.remaining(seconds[:n], 10 - n) / sum(seconds[n:]) for n in range(1, len(seconds))
    ]
    assert errors[0] == 4  # nothing else is known
    assert errors[3] < 1.3
    assert errors == sorted(errors, reverse=True)


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.9, "0:00"), (7, "0:07"), (750, "12:30"), (3723.4, "1:02:03")]
)
def test_the_clock(seconds, text):
    assert progress.clock(seconds) == text


@pytest.fixture
def time_passes(monkeypatch):
    """`time_passes(seconds)` sets the clock that progress looks at."""
    now = [100.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    return lambda seconds: now.append(now.pop() + seconds)


def test_plain_lines(time_passes):
    said = []
    screen = Console(file=io.StringIO(), force_terminal=False)
    with progress.bar(screen, said.append, "tiny", 2, 5) as tick:
        for seconds in (10, 40, 1):
            time_passes(seconds)
            tick()
    assert said == ["round 3/5, 0:20 to go", "round 4/5, 0:30 to go", "round 5/5, 0:00 to go"]


def test_the_bar_counts_down_within_a_round(time_passes):
    screen = io.StringIO()
    terminal = Console(file=screen, force_terminal=True, width=100)

    def shown(bar):
        screen.truncate(0)
        bar.refresh()
        return screen.getvalue()

    with pytest.MonkeyPatch.context() as patch:
        made = []
        start = progress.Progress.start
        patch.setattr(progress.Progress, "start", lambda self: (made.append(self), start(self)))
        with progress.bar(terminal, print, "tiny", 0, 3) as tick:
            assert "to go" not in shown(made[0])
            time_passes(30)
            tick()
            assert "1/3" in shown(made[0])
            assert "1:00 to go" in shown(made[0])
            time_passes(25)
            assert "0:35 to go" in shown(made[0])
            time_passes(50)
            assert "0:00 to go" in shown(made[0])

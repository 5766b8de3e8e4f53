"""What the times of `figures` say: costs of a figure by arm, as a table and in words."""

from typing import NamedTuple

import numpy as np

ALL, ONE, CORE, PROCESS = "one program", "one by one", "one a core", "a process each"
TURN = "one program, in turn"
COLUMNS = "program there", "with compiling", "from the start"


class Measured(NamedTuple):
    """What was found about a figure.

    Attributes:
      replicas: how many.
      seconds: of every call, by arm: the first, with compiling (None where there is nothing to
        compile), then those of what is there.
      start: seconds until a process has its data.
      error: how often networks are wrong in the end, the mean of all replicas, by arm.
    """

    replicas: int
    seconds: dict[str, list]
    start: float
    error: dict[str, float]


def costs(measured: Measured, cores: int) -> dict[str, tuple[float, float, float]]:
    """Seconds of a figure by arm: with its program there, with compiling, and from the start.

    With one core, or an accelerator, there is nothing to share replicas among.
    """
    found, start = {}, measured.start
    for arm, (first, *later) in measured.seconds.items():
        there = float(np.median(later))
        found[arm] = (there, there, np.nan) if first is None else (there, first, start + first)
    if cores == 1:
        return found
    there, first, _ = found[ONE]
    compiling, share = max(first - there, 0), there / cores
    found[CORE] = share, compiling + share, start + compiling + share
    found[PROCESS] = np.nan, np.nan, measured.replicas * (start + compiling) / cores + share
    return found


def show(name: str, measured: Measured, cores: int) -> None:
    """Prints the table of a figure; in brackets, how many times that of one program."""
    there, *heads = COLUMNS
    heads = f"{there:>33}{''.join(f'{head:>18}' for head in heads)}   error"
    print(f"\n{f'{name}, {measured.replicas} replicas':34}{heads}")
    found = costs(measured, cores)
    for arm, cost in found.items():
        later = measured.seconds.get(arm, [])[1:]
        span = f"{min(later):.2f} - {max(later):.2f}" if later else ""
        pairs = [(value, value / best) for value, best in zip(cost, found[ALL], strict=True)]
        cells = ["" if np.isnan(v) else f"{v:.2f} s ({r:.2f})" for v, r in pairs]
        error = f"{measured.error[arm]:.3f}" if arm in measured.error else ""
        print(f"{arm:34}{span:>15}{cells[0]:>18}{cells[1]:>18}{cells[2]:>18}{error:>8}", flush=True)


def claims(measured: Measured, cores: int) -> list[str]:
    """What one program is said to be: never slower than one by one, and faster than PyTorch."""
    found, times, told = costs(measured, cores), measured.seconds, []
    pairs = [(ONE, 0), (ONE, 1), (PROCESS, 2)]
    pairs = [(arm, column) for arm, column in [(TURN, 0), (TURN, 1), *pairs] if arm in found]
    for column in (0, 1):
        peers = {arm: cost[column] for arm, cost in found.items() if "torch" in arm}
        pairs += [(min(peers, key=peers.__getitem__), column)] if peers else []
    for arm, column in pairs:
        ratio, doubt = found[arm][column] / found[ALL][column], ""
        if column == 0 and overlap(times[ALL][1:], times[arm][1:]):
            doubt = ", but their times overlap"
        if column == 1 and ratio < 1:
            doubt = more_work(found[ALL], found[arm])
        told.append(f"{COLUMNS[column]}, {ratio:.2f} times as fast as {arm}{doubt}")
    return told


def overlap(some, others) -> bool:
    return max(some) >= min(others) and max(others) >= min(some)


def more_work(one, other) -> str:
    """With how much more work, as replicas or steps, compiling would have paid."""
    (mine, my_first, _), (theirs, their_first, _) = one, other
    extra, gain = (my_first - mine) - (their_first - theirs), theirs - mine
    return (
        f", faster from {extra / gain:.1f} times the work on" if gain > 0 else ", whatever the work"
    )

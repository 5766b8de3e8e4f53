"""How far a run is, and when it will be done: a live bar on a terminal, lines elsewhere."""

import contextlib
import itertools
import math
import time
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
from rich.progress import TimeElapsedColumn as Elapsed
from rich.text import Text

RISING = 4  # rounds, each longer than the one before, after which they are believed to go on so


def remaining(seconds: Sequence[float], left: int) -> float:
    """How long the rounds that are left will take.

    Rounds are not all alike: the first may learn from everything, and later ones from more and
    more. So each counts twice as much as the one before it; and where the last few have become
    longer every time, they go on to, by as much a round.

    Args:
      seconds: of the rounds that are done, at least one.
      left: rounds to do.
    """
    last = seconds[-RISING:]
    if len(last) == RISING and all(a < b for a, b in itertools.pairwise(last)):
        growth = (last[-1] - last[0]) / (RISING - 1)
        return left * last[-1] + growth * left * (left + 1) / 2
    mean = seconds[0]
    weight = 1.0
    for spent in seconds[1:]:
        weight = 1 + weight / 2
        mean += (spent - mean) / weight
    return left * mean


def clock(seconds: float | int) -> str:
    """As in 0:07, 12:30, 1:02:03."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class _ToGo(ProgressColumn):
    """Counts down, also while a round takes long."""

    def render(self, task: Task) -> Text:
        left = task.fields["ready"] - time.perf_counter()
        return Text("" if math.isinf(left) else f"{clock(max(left, 0))} to go")


@contextlib.contextmanager
def bar(
    console: Console, say: Callable[[str], None], name: str, start: int, total: int
) -> Iterator[Callable[[], None]]:
    """Shows rounds.

    Args:
      console: where to.
      say: prints a line; used where the console is no terminal.
      name: what is done.
      start: rounds that were done before.
      total: of all rounds.

    Yields:
      To be called at the end of each round.
    """
    spent: list[float] = []
    before = time.perf_counter()

    def tick() -> float:
        nonlocal before
        now = time.perf_counter()
        spent.append(now - before)
        before = now
        return remaining(spent, total - start - len(spent))

    if not console.is_terminal:
        yield lambda: say(f"round {start + len(spent) + 1}/{total}, {clock(tick())} to go")
        return
    columns = TextColumn(name), BarColumn(), MofNCompleteColumn(), Elapsed(), _ToGo()
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task(name, total=total, completed=start, ready=math.inf)
        ready = lambda: tick() + time.perf_counter()
        yield lambda: progress.update(task, advance=1, ready=ready())

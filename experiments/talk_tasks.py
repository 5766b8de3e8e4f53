"""The experiments of a talk on their way, and how they are watched."""

import contextlib
import dataclasses
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

WAITING, RUNNING, DONE, FAILED = "waiting", "running", "done", "failed"


@dataclasses.dataclass
class Task:
    """One experiment on its way."""

    name: str
    source: str  # of further data; empty for the preset's own
    directory: pathlib.Path
    state: str = WAITING
    said: str = ""  # the last line
    began: float = 0.0
    seconds: float = 0.0

    @property
    def title(self) -> str:
        return f"{self.name} {self.source}".rstrip()

    @property
    def clock(self) -> str:
        """How long it took, or takes so far."""
        running = self.state == RUNNING
        seconds = int(time.monotonic() - self.began if running else self.seconds)
        return "" if self.state == WAITING else f"{seconds // 60}:{seconds % 60:02d}"


@contextlib.contextmanager
def watched(tasks: Sequence[Task]) -> Iterator[Callable[[Task], None]]:
    """A table that is kept up to date on a terminal, a line for each line said elsewhere."""
    console = Console()
    if console.is_terminal:
        with Live(get_renderable=lambda: table(tasks), console=console):
            yield lambda _: None
    else:
        yield lambda task: print(line(task), flush=True)


def line(task: Task) -> str:
    """What has become of a task, for those who read no tables."""
    if task.state == RUNNING:
        return f"{task.title}: {task.said}" if task.said else f"== {task.title}"
    why = f" ({task.said})" if task.state == FAILED else ""
    return f"{task.title}: {task.state} after {task.clock}{why}"


def table(tasks: Sequence[Task]) -> Table:
    """All tasks, how far they are, and how long they took."""
    made = Table(box=None, pad_edge=False, expand=True)
    made.add_column("experiment", no_wrap=True)
    made.add_column("state", no_wrap=True)
    made.add_column("progress", no_wrap=True, ratio=1)
    made.add_column("time", justify="right", no_wrap=True)
    styles = {WAITING: "dim", RUNNING: "bold", DONE: "green", FAILED: "red"}
    for task in tasks:
        made.add_row(task.title, Text(task.state, styles[task.state]), Text(task.said), task.clock)
    return made

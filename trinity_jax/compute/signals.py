"""Signals that wait until something is done."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def held_back(*numbers: int, told: Callable[[], None] = lambda: None) -> Iterator[list[int]]:
    """Signals come when the block is done, the first of them only.

    Args:
      numbers: of the signals.
      told: called when one arrives.

    Yields:
      Those that came; what is added comes too.
    """
    came: list[int] = []

    def later(number, _):
        came.append(number)
        told()

    main = threading.current_thread() is threading.main_thread()  # no others get signals
    handlers = {n: signal.signal(n, later) for n in numbers} if main else {}
    try:
        yield came
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler or signal.SIG_DFL)
        for number in came[:1]:
            signal.raise_signal(number)

"""Files of lines of JSON, of which a kill costs the last line at most."""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from trinity_jax.types import Failure


def replace(path: Path, text: str) -> None:
    """Writes a file whole or not at all."""
    part = path.with_name(path.name + ".part")
    with open(part, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


def append(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    """Adds lines, which are on the disk when this returns."""
    with open(path, "a") as file:
        file.write("".join(json.dumps(row) + "\n" for row in rows))
        file.flush()
        os.fsync(file.fileno())


def mend(path: Path) -> None:
    """Cuts off half a line, so that nothing is appended to it; a file that is not there may be."""
    if path.exists():
        replace(path, "".join(line + "\n" for line in _whole_lines(path)))


def rows(path: Path) -> list[dict[str, Any]]:
    """What the lines of a file hold; none where there is no file.

    Raises:
      Failure: a line is not what was written.
    """
    found = []
    for number, line in enumerate(_whole_lines(path) if path.exists() else (), 1):
        try:
            found.append(json.loads(line))
        except ValueError as error:
            raise Failure(f"{path}, line {number} is damaged; begin anew with --restart") from error
    return found


def _whole_lines(path: Path) -> list[str]:
    """The lines of a file; one that a kill cut short, and so has no line end, is left out."""
    return path.read_text(errors="replace").split("\n")[:-1]

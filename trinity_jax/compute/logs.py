"""Files of lines of JSON, of which a kill costs the last line at most."""

import json
import os
import stat
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from trinity_jax.types import InputError


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


def rows(path: Path, **kinds: type | tuple[type, ...]) -> list[dict[str, Any]]:
    """What the lines of a file hold; none where there is no file.

    Args:
      path: the file.
      **kinds: types of the fields that every line must have.

    Raises:
      InputError: the file cannot be read, or a line is not what was written.
    """
    found = []
    for number, line in enumerate(_whole_lines(path) if path.exists() else (), 1):
        try:
            row = json.loads(line)
            if not isinstance(row, dict):
                raise TypeError
            if not all(isinstance(row[field], kind) for field, kind in kinds.items()):
                raise TypeError
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            where = f"{path}, line {number}"
            raise InputError(f"{where} is damaged; begin anew with --restart") from error
        found.append(row)
    return found


def read(path: Path) -> str:
    """The text of a file.

    Raises:
      InputError: it is no file, as a pipe, which might never end; or it cannot be read.
    """
    try:
        if not stat.S_ISREG(path.stat().st_mode):
            why = "expected a file, found a folder or a device"
            raise InputError(f"{path}: {why}; begin anew with --restart")
        return path.read_text(errors="replace")
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error


def _whole_lines(path: Path) -> list[str]:
    """The lines of a file; one that a kill cut short, and so has no line end, is left out."""
    return read(path).split("\n")[:-1]

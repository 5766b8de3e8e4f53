"""Opening what a user named: whatever goes wrong is one sentence with the path in it."""

import contextlib
import os
import pathlib
import stat
from collections.abc import Iterator
from io import BufferedReader

from trinity_jax.types import InputError

LARGE, TIMES = 1 << 26, 200  # bytes above which no data are packed to a 200th, but bombs are


def folder(source: str, argument: str) -> pathlib.Path:
    """Returns the folder a user named in KIND:DIR, or raises `InputError`."""
    if not argument:
        raise InputError(f"expected {source.rstrip(':')}:DIR, found {source!r}")
    path = os.path.expanduser(argument)
    if not os.path.isdir(path):
        found = "a file" if os.path.exists(path) else "nothing"
        raise InputError(f"{path}: expected a folder, found {found}")
    if not os.access(path, os.R_OK | os.X_OK):
        raise InputError(f"{path}: expected a folder, found one that may not be read")
    return pathlib.Path(path)


@contextlib.contextmanager
def opened(path: pathlib.Path, *corrupt: type[Exception]) -> Iterator[BufferedReader]:
    """Opens a file for reading bytes, closed when the `with` ends.

    Args:
      path: A regular file; a pipe or a device could block or never end.
      corrupt: What decoders of this kind of file raise, besides `OSError`.

    Raises:
      InputError: Instead of any of these, with the reason in words; but memory that runs out and
        assertions are not the file's fault, and stay what they are.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise InputError(f"{path}: expected a file, found a folder or a device")
        with open(path, "rb") as file:
            yield file
    except (InputError, MemoryError, AssertionError):
        raise
    except (OSError, *corrupt) as error:
        raise InputError(f"{path}: cannot be read ({reason(error)})") from error


def whole(path: pathlib.Path, limit: int) -> bytes:
    """Returns the bytes of a file, of which there may be no more than the limit."""
    with opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > limit or len(held := file.read(limit + 1)) > limit:
            raise InputError(f"{path}: expected at most {limit} bytes, found more")
    return held


def check_packed(where: str | pathlib.Path, promised: int, packed: int) -> None:
    """Refuses what would take far more memory than any data that take so little on a disk."""
    if promised > max(LARGE, TIMES * packed):
        expected = f"at most {TIMES} times the {packed} bytes that are packed"
        raise InputError(f"{where}: expected {expected}, found {promised}")


def reason(error: Exception) -> str:
    """Returns what an error of another library says, in one line."""
    said = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
    return excerpt(said.splitlines()[0], 200)


def excerpt(text: str, length: int = 60) -> str:
    """Returns the start of a text, printable and in quotes."""
    return repr(text if len(text) <= length else text[:length] + "...")


def not_installed(source: str, package: str) -> InputError:
    """Returns the sentence about a package that a source needs."""
    install = "pip install '.[experiments]'"
    return InputError(f"{source}: expected {package} to be installed, found none: {install}")

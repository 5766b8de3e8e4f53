"""What the tests of readers share: files in all states, and what a refusal must look like."""

import pathlib
import re
from typing import Any, NamedTuple

import numpy as np
import pytest

from trinity_jax.types import InputError


class Bad(NamedTuple):
    """Files, how they are read, and a regex for the sentence that refuses them."""

    name: str
    files: dict[str, Any]
    pattern: str
    source: str  # {} is the folder
    arguments: dict[str, str] = {}  # noqa: RUF012


def write(folder, files):
    """Writes bytes, makes folders for None, and lets functions do what they want to the path."""
    for name, content in files.items():
        path = pathlib.Path(folder, name)
        if callable(content):
            content(path)
        elif content is None:
            path.mkdir()
        else:
            path.write_bytes(content)


def check_refused(read, folder, case):
    write(folder, case.files)
    with pytest.raises(InputError) as caught:
        read(case.source.replace("{}", str(folder)), **case.arguments)
    message = str(caught.value)
    assert re.search(case.pattern, message), message
    assert message.isprintable()  # no line break either


def check_mutations(read, folder, files, broken):
    """Reads `files` with 300 versions of the one called `broken`: it works, or is refused."""
    write(folder, files)
    whole = read()
    messages = []
    for content in _mutations(files[broken], 300):
        write(folder, {broken: content})
        try:
            assert type(read()) is type(whole)
        except InputError as error:
            messages.append(str(error))
    assert len(messages) > 150
    assert all(map(str.isprintable, messages))


def _mutations(content, number):
    """Yields versions with bytes changed, cut out, put in, said twice, or all of them random."""
    rng = np.random.default_rng(0)
    for trial in range(number):
        data = bytearray(content)
        for _ in range(rng.integers(1, 4)):
            start, stop = sorted(rng.integers(0, len(data) + 1, 2))
            stop = min(stop, start + int(rng.integers(1, 20)))
            telling = bytes(rng.choice(list(b'",\r\n\0\xff 01a'), 3).tolist())
            kind = trial % 5
            if kind == 0:
                data[start:stop] = rng.bytes(stop - start)
            elif kind == 1:
                del data[start:stop]
            elif kind == 2:
                data[start:start] = telling
            elif kind == 3:
                data += data[start:stop]
            else:
                data = bytearray(rng.bytes(int(rng.integers(1, 200))))
        yield bytes(data)

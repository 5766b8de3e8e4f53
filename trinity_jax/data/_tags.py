"""Tags as they are found in files: which scheme they obey, or where they break it."""

from collections.abc import Sequence
from typing import NamedTuple

from trinity_jax.algorithms import spans
from trinity_jax.data import _files
from trinity_jax.types import InputError

MAX_TYPES = 1_000  # more are a column that holds no tags


class Block(NamedTuple):
    """A sentence as it was found."""

    first: int  # number of its first token in the file; the others follow
    tokens: tuple[str, ...]
    tags: tuple[str, ...]  # of any scheme


class Offence(NamedTuple):
    """A tag that may not stand where it does."""

    number: int  # of its token
    found: str


def scheme(where: str, blocks: list[Block], schemes: Sequence[str]) -> str:
    """Finds the scheme that all tags obey.

    Args:
      where: What the number of a token follows in messages, e.g. "FILE, line".
      blocks: The sentences of a file.
      schemes: Those that may be, of which the first that fits is taken.

    Returns:
      One of the schemes.

    Raises:
      InputError: A tag of no scheme, or where its scheme forbids it.
    """
    closed = bool(_letters(where, blocks, schemes) & {"E", "S"})
    offences = {}
    for name in schemes:
        if closed == (name == "bioes"):
            found = (_offence(block, name) for block in blocks)
            offences[name] = next(filter(None, found), None)
            if not offences[name]:
                return name
    *others, name = offences
    # Tags that are no IOB2 may be IOB1: only both offences together say what is wrong.
    unit = where.rsplit(" ", 1)[-1]
    broken = [f"{unit} {offences[other].number} is not {other.upper()}" for other in others]
    expected = f"tags in {name.upper()}" + (f", as {broken[0]}" if broken else "")
    offence = offences[name]
    raise InputError(f"{where} {offence.number}: expected {expected}, found {offence.found}")


def _offence(block: Block, name: str) -> Offence | None:
    place = spans.first_illegal(block.tags, name)
    if place is None:
        return None
    tags = [*map(_files.excerpt, block.tags), "the end of the sentence"]
    before = f"after {tags[place - 1]}" if place else "first in its sentence"
    return Offence(block.first + min(place, len(block.tags) - 1), f"{tags[place]} {before}")


def _letters(where: str, blocks: list[Block], schemes: Sequence[str]) -> set[str]:
    """Checks each distinct tag where it first stands; returns the letters that are in use."""
    known = max((spans.LETTERS[name] for name in schemes), key=len)
    seen = {"O"}
    for block in blocks:
        for number, tag in enumerate(block.tags, block.first):
            if tag in seen:
                continue
            letter, _, kind = tag.partition("-")
            if letter not in tuple(known) or not kind:
                expected, wrong = spans.IN_WORDS[known], _files.excerpt(tag)
                raise InputError(f"{where} {number}: expected {expected}, found {wrong}")
            seen.add(tag)
            if len(seen) > len(known) * MAX_TYPES:
                expected = f"at most {MAX_TYPES} entity types"
                raise InputError(f"{where} {number}: expected {expected}, found more")
    return {tag[0] for tag in seen} - {"O"}

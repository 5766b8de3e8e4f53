"""What a source holds, made into a set of TensorFlow Datasets, without TensorFlow.

    trinity-prepare iob2:DIR --name my_corpus --to TFDS_DIR      tagged sentences
    trinity-prepare csv:DIR --name my_crowd                      labels by people
    trinity-prepare npz:DIR --prefix cifar10 --name my_images    images

From then on any program that knows TFDS reads it, and so do the experiments:

    TFDS_DATA_DIR=TFDS_DIR python -m experiments.ner_active_learning --data tfds:my_corpus

Files are in array_record. The set is read again and compared before it gets its name. `python -m
trinity_jax.prepare` is the same command. Where it is killed at once (kill -9) a hidden folder
.NAME-... stays beside the set: delete it, or, if a set was to be replaced and is gone, move it back
from `replaced` in that folder.
"""

import dataclasses
import shlex
import sys
from collections.abc import Sequence
from typing import Annotated

import tyro

from trinity_jax.compute import program
from trinity_jax.data import preparing


@dataclasses.dataclass(frozen=True)
class Command:
    """The command line."""

    source: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="SOURCE")]
    """Images: digits, npz:DIR, idx:DIR, tinyimagenet:DIR; sentences: iob2:DIR, conll:DIR,
    ontonotes:DIR, grammar:en, grammar:zh; labels by people: csv:DIR."""
    name: Annotated[str, tyro.conf.arg(metavar="NAME")]
    """What the set is called: lower-case letters, digits and _."""
    to: Annotated[str, tyro.conf.arg(metavar="DIR")] = ""
    """Folder where sets lie (default: TFDS_DATA_DIR, or ~/tensorflow_datasets)."""
    prefix: str = ""
    """How the wanted files start where an npz folder holds several sets."""
    size: int = 0
    """Pixels a side that images of tinyimagenet:DIR are reduced to (0: as they are)."""
    language: str = ""
    """Which language of OntoNotes where the folder holds several."""
    overwrite: bool = False
    """Replace a set of the name."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the command, and exits."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    name = "trinity-prepare"

    def work():
        command = program.read(Command, words, name, str(__doc__))
        _say(f"reading {command.source}, writing it and reading it again")
        made = preparing.prepare(
            command.source,
            command.name,
            command.to,
            prefix=command.prefix,
            size=command.size,
            language=command.language,
            overwrite=command.overwrite,
        )
        counts = ", ".join(f"{count} in {part}" for part, count in made.counts.items())
        _say(f"{made.folder}: records {counts}")
        root = shlex.quote(str(made.folder.parents[1]))
        _say(f"read it by TFDS_DATA_DIR={root} and --data tfds:{command.name}")

    program.ends(name, work, "")


def _say(sentence: str) -> None:
    sys.stdout.write(sentence + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()

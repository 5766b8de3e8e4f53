"""Sets of TensorFlow Datasets made of what sources hold, in array_record, without TensorFlow.

    images     image (its bytes), label, and coarse_label where there are such
    sentences  tokens, ner (classes O, B-X, I-X ...), genre
    crowd      an item a record: item, truth (-1: unknown), workers, labels (as many)

Records keep their order. Others read them by `tfds.data_source(NAME, split=...)`, without this
package. Pixels are raw bytes, not PNG: four times as fast to read, any number of channels.
"""

import contextlib
import io
import itertools
import pathlib
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np

from trinity_jax.data import _files, _sentences, _tfds_files
from trinity_jax.types import InputError

VERSION = "1.0.0"
Examples = Callable[[], Iterable[dict[str, Any]]]


class Contents(NamedTuple):
    """What a set is made of."""

    features: dict[str, Any]  # of TFDS
    parts: Mapping[str, Examples]
    note: dict[str, Any]  # what `_tfds` needs to know besides


def images(
    source: str, parts: Mapping[str, tuple[np.ndarray, ...]], names: list[tuple[str, ...]]
) -> Contents:
    """Images, and labels of one or two kinds.

    Args:
      source: Where they come from.
      parts: Images uint8 `[item, height, width, channel]`, labels `[item]`, and maybe coarse ones.
      names: What the classes of each kind are called.
    """
    make = _features()
    shape = next(iter(parts.values()))[0].shape[1:]
    features = {"image": make.Tensor(shape=shape, dtype=np.uint8, encoding="bytes")}
    for key, of in zip(("label", "coarse_label"), names, strict=False):
        features[key] = _classes(source, of)

    def rows(arrays):
        return (dict(zip(features, row, strict=True)) for row in zip(*arrays, strict=True))

    return Contents(features, {name: lambda of=of: rows(of) for name, of in parts.items()}, {})


def sentences(source: str, corpus: _sentences.Corpus) -> Contents:
    """Tagged sentences of a source, in three parts."""
    make = _features()
    tags = [f"{letter}-{kind}" for kind in corpus.types for letter in "BI"]
    features = {
        "tokens": make.Sequence(make.Text()),
        "ner": make.Sequence(_classes(source, ("O", *tags))),
        "genre": make.Text(),
    }

    def rows(part):
        for tokens, tags, genre in part:
            yield {"tokens": list(tokens), "ner": list(tags), "genre": genre}

    parts = {name: lambda name=name: rows(getattr(corpus, name)) for name in _sentences.SPLITS}
    return Contents(features, parts, {"synthetic": corpus.synthetic, "note": corpus.note})


def crowd(source: str, table: Any) -> Contents:
    """Labels by people of a source, a `sources.Crowd`."""
    make = _features()
    classes = _classes(source, table.labels)
    features = {"item": make.Text(), "truth": classes}
    features |= {"workers": make.Sequence(make.Text()), "labels": make.Sequence(classes)}

    def rows():
        starts = np.searchsorted(table.item, np.arange(len(table.items) + 1))
        for item, (start, stop) in enumerate(itertools.pairwise(starts)):
            who = [table.workers[worker] for worker in table.worker[start:stop]]
            yield {
                "item": table.items[item],
                "truth": int(table.truth[item]),
                "workers": who,
                "labels": table.label[start:stop].tolist(),
            }

    return Contents(features, {"train": rows}, {"duplicates": table.duplicates})


def write(contents: Contents, name: str, about: str, root: pathlib.Path) -> pathlib.Path:
    """Writes a set.

    Args:
      contents: What is in it.
      name: What it is called, in lower-case letters, digits and `_`.
      about: A sentence about it, for `dataset_info.json`.
      root: A folder that has no set of the name.

    Returns:
      The folder of the set, ROOT/NAME/VERSION.
    """
    import tensorflow_datasets as tfds

    class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):
        VERSION = tfds.core.Version(VERSION)

        def _info(self):
            return tfds.core.DatasetInfo(
                builder=self,
                description=about,
                features=tfds.features.FeaturesDict(contents.features),
                metadata=tfds.core.MetadataDict(contents.note),
                disable_shuffling=True,  # else records are ordered by digests of their keys
            )

        def _split_generators(self, dl_manager):
            del dl_manager
            return {part: self._generate_examples(of) for part, of in contents.parts.items()}

        def _generate_examples(self, examples):
            yield from enumerate(examples())

    Builder.name = name
    builder = Builder(data_dir=root, file_format=_tfds_files.FORMAT)
    unheard = io.StringIO()
    with contextlib.redirect_stdout(unheard), contextlib.redirect_stderr(unheard):
        builder.download_and_prepare(
            file_format=_tfds_files.FORMAT, download_dir=root / "downloads"
        )
    return pathlib.Path(builder.data_dir)


def _features() -> Any:
    import tensorflow_datasets as tfds

    return tfds.features


def _classes(source: str, names: Iterable[str]) -> Any:
    """Classes by name; TFDS keeps these a line each, without white space around them."""
    names = list(names)
    for name in names:
        if not name or name != name.strip():
            found = _files.excerpt(name)
            expected = "expected names of classes without white space around them"
            raise InputError(f"{source}: {expected}, found {found}")
    return _features().ClassLabel(names=names)

"""Sets of the public catalogue, in its own layout, with examples of the tests' choice.

TFDS's own classes write them: only where examples come from is ours, for the originals download.
"""

import contextlib
import importlib
import io

import PIL.Image


def png(pixels):
    """TFDS itself encodes pixels by TensorFlow."""
    file = io.BytesIO()
    PIL.Image.fromarray(pixels.squeeze()).save(file, "png")
    return file.getvalue()


def prepare(root, name, parts, names=None, shards=1, **options):
    """Writes a set under a root, with names of classes by feature; returns its folder."""
    import tensorflow_datasets as tfds
    from tensorflow_datasets.core import registered

    with contextlib.suppress(ImportError):
        importlib.import_module(f"tensorflow_datasets.text.{name}")
    official = tfds.builder_cls(name)
    with registered.skip_registration():

        class Local(official):
            __module__ = official.__module__  # beside which lie files about the set

            def _split_generators(self, manager):
                for key, classes in (names or {}).items():
                    self.info.features[key].names = classes
                return {part: self._generate_examples(rows) for part, rows in parts.items()}

            def _generate_examples(self, rows):
                yield from enumerate(rows)

    Local.name = name
    builder = Local(data_dir=root, file_format="array_record", **options)
    how = tfds.download.DownloadConfig(num_shards=shards)
    builder.download_and_prepare(file_format="array_record", download_config=how)
    return builder.data_path

"""The sets of labels by people that the benchmarks measure on, from the folders they lie in.

    label.csv (item,worker,label), truth.csv (item,truth)           plain
    label.csv (sent,tok,worker,tag), truth.csv (sent,tok,tag)       BIO tags of tokens
    answers.txt and features, as LabelMe has them                   plain, with features
    NAME.csv, a row an item and a column a worker, NAME.key         plain
    cifar10n_labels.npz                                             three labels an image

CIFAR-10N's three columns are anonymous: each is taken for one worker, which they are not (the
worker ids published beside them do not fit the labels).
"""

import csv
import pathlib
from typing import NamedTuple

import numpy as np

from trinity_jax.data import sources
from trinity_jax.data.aggregation.annotations import Annotations, Dims, annotations

GROUPS = {  # labels seldom leave these: 1.4 % on LabelMe, 4.3 % on CIFAR-10N
    "labelme": (0, 0, 0, 0, 1, 1, 1, 1),  # in town; in the country
    "cifar10n": (0, 0, 1, 1, 1, 1, 1, 1, 0, 0),  # vehicles; animals
}


class Labelled(NamedTuple):
    """A data set of items, and of tokens where `sentence` says in which sentence each is.

    Attributes:
      table: annotations.
      dims: sizes.
      truth: number of the label, -1 where unknown.
      names: of the labels.
      sentence: number of the sentence of each token.
      features: of each item, standardised.
      groups: the group of each label, where labels seldom leave the group of the truth.
    """

    table: Annotations
    dims: Dims
    truth: np.ndarray
    names: tuple[str, ...]
    sentence: np.ndarray | None = None
    features: np.ndarray | None = None
    groups: tuple[int, ...] | None = None


def read(folder: pathlib.Path) -> Labelled | None:
    """The data set in a folder; None where it holds none of these forms."""
    groups = GROUPS.get(folder.name)
    if (folder / "answers.txt").exists():
        found = sources.crowd_features(f"labelme:{folder}")
        dims = Dims(len(found.train_labels), found.num_workers, len(found.labels))
        table = annotations(found.item, found.worker, found.label, dims)[0]
        x = found.train_features
        features = (x - x.mean(0)) / (x.std(0) + 1e-6)
        return Labelled(table, dims, found.train_labels, found.labels, None, features, groups)
    if (folder / "cifar10n_labels.npz").exists():
        return three_columns(folder / "cifar10n_labels.npz")._replace(groups=groups)
    if (folder / f"{folder.name}.key").exists():
        with open(folder / f"{folder.name}.csv") as file:
            cells = [row for row in csv.reader(file) if row]
        rows = [(i, a, v) for i, row in enumerate(cells) for a, v in enumerate(row) if v]
        truth = enumerate((folder / f"{folder.name}.key").read_text().split())
        return numbered(rows, list(truth))
    if not (folder / "label.csv").exists():
        return None
    texts = ((folder / f"{name}.csv").read_text() for name in ("label", "truth"))
    label, truth = (list(csv.reader(text.splitlines())) for text in texts)
    if label[0] == ["sent", "tok", "worker", "tag"]:
        rows = [((int(sent), int(tok)), worker, tag) for sent, tok, worker, tag in label[1:]]
        tags = sorted(((int(sent), int(tok)), tag) for sent, tok, tag in truth[1:])
        return numbered(rows, tags, np.array([sent for (sent, _), _ in tags]))
    crowd = sources.crowd(f"csv:{folder}")
    dims = Dims(len(crowd.items), len(crowd.workers), len(crowd.labels))
    table = annotations(crowd.item, crowd.worker, crowd.label, dims)[0]
    return Labelled(table, dims, crowd.truth, crowd.labels)


def three_columns(path: pathlib.Path) -> Labelled:
    """CIFAR-10N: three labels an image, and the original ones for truth."""
    with np.load(path) as arrays:
        columns = np.stack([arrays[f"random_label{n}"] for n in (1, 2, 3)], 1).astype(int)
        truth = arrays["clean_label"].astype(int)
    item, worker = (axis.ravel() for axis in np.indices(columns.shape))
    table, dims = annotations(item, worker, columns.ravel())
    return Labelled(table, dims, truth, tuple(map(str, range(dims.labels))))


def numbered(rows: list[tuple], truth: list[tuple], sentence=None) -> Labelled:
    """From (item, worker, label) and (item, label) in names to numbers, in sorted order."""
    items, true = zip(*truth, strict=True)
    given, workers = {row[2] for row in rows}, {row[1] for row in rows}
    ids = [sorted(set(items)), sorted(workers), sorted(given | set(true))]
    number = [{name: n for n, name in enumerate(names)} for names in ids]
    columns = [[of[row[c]] for row in rows] for c, of in enumerate(number)]
    table, dims = annotations(*map(np.array, columns), Dims(*map(len, ids)))
    truth_numbers = np.array([number[2][name] for name in true])
    return Labelled(table, dims, truth_numbers, tuple(ids[2]), sentence)

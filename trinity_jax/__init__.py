"""Label-efficient learning in JAX: collect, aggregate and augment labels.

Three pillars, three folders: `data` (what to ask, whom to believe, what to generate), `algorithms`
(the mathematics they share) and `compute` (devices, checkpoints, runs). No folder re-exports
anything: an import line names a file. Two files, `data/sources.py` and `algorithms/tagger.py`, hand
on a few names of those they are made of.
"""

__version__ = "0.1.0"

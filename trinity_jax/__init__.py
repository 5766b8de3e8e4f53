"""Label-efficient learning in JAX: collect, aggregate and augment labels.

Three pillars, three folders: `data` (what to ask, whom to believe, what to generate), `algorithms`
(the mathematics they share) and `compute` (devices, checkpoints, runs). Nothing is re-exported: an
import line names the file it comes from.
"""

__version__ = "0.1.0"

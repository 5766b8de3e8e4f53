"""Lines of a figure, each some seeds of one arm of one run: how high they are, and by how much."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from experiments.recorded import Kind
from trinity_jax.algorithms import curves, statistics
from trinity_jax.algorithms.curves import Curve

Lines = Mapping[tuple[str, str], Mapping[str, Curve]]  # by run and arm, then by seed


def is_point(seeds: dict[str, Curve]) -> bool:
    """Whether a line was measured at one place only."""
    return all(len(curve.words) == 1 for curve in seeds.values())


def span(lines: Lines) -> tuple[float, float] | None:
    """Where all lines that are not points have measured; None where there is no such range."""
    ends = lambda wanted: [
        curve.words[[0, -1]]
        for seeds in lines.values()
        for curve in seeds.values()
        if is_point(seeds) is wanted
    ]
    if not ends(False):
        return (float(np.max(ends(True))),) * 2
    low, high = np.max(ends(False), axis=0)[0], np.min(ends(False), axis=0)[1]
    return (float(low), float(high)) if low <= high else None


def height(curve: Curve, over: tuple[float, float], whole: bool) -> float:
    """The mean of a curve over this range, or where it then is; a point is where it is."""
    low, high = over
    if not whole or low == high or len(curve.words) == 1:
        return float(np.interp(high, *curve))
    x = np.unique([low, high, *curve.words[(curve.words > low) & (curve.words < high)]])
    return curves.area(x, np.interp(x, *curve))


def weigh(panels: Mapping[str, Lines], kind: Kind, first: str) -> dict[str, dict[str, Any]]:
    """Heights of all lines, and those less the heights of what they are compared with.

    Args:
      panels: lines by panel.
      kind: whether heights are means or ends, and which arm stands in for one that is not there.
      first: the run that others are compared with.

    Returns:
      By panel: `over`, the range that its lines have in common, or None; `lines`, each with its
      `height` (see `statistics.interval`), and with what it is compared to (`less`) the
      `difference`, Student's `p`, and `p_holm` of all panels; None where seeds are too few.
    """
    found = {title: _weigh(lines, kind, first) for title, lines in panels.items()}
    tested = [row for of in found.values() for row in of["lines"] if row.get("p") is not None]
    adjusted = statistics.holm([row["p"] for row in tested]).tolist()
    for row, p in zip(tested, adjusted, strict=True):
        row["p_holm"] = p
    return found


def _weigh(lines: Lines, kind: Kind, first: str) -> dict[str, Any]:
    over = span(lines)
    if over is None:
        return {"over": None, "lines": []}
    heights = {
        line: {seed: height(curve, over, kind.whole) for seed, curve in seeds.items()}
        for line, seeds in lines.items()
    }
    rows = []
    for (run, arm), mine in heights.items():
        row: dict = {"run": run, "arm": arm, "height": statistics.interval([*mine.values()])}
        others = [(first, arm), (first, kind.baseline)]
        less = next((line for line in others if run != first and line in heights), None)
        if less and is_point(lines[less]) == is_point(lines[run, arm]):
            pairs = [mine[seed] - heights[less][seed] for seed in mine if seed in heights[less]]
            p = float(statistics.student(np.array(pairs)[:, None])[0])
            row |= {"less": less, "difference": statistics.interval(pairs)}
            row |= {"p": p if p == p else None, "p_holm": None}
        rows.append(row)
    return {"over": over, "lines": rows}

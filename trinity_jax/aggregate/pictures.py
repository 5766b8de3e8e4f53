"""A page and its pieces: names made safe for HTML, tables, and pictures drawn as SVG.

Pictures place their marks in percent of their size, so that the page decides how wide they are
and text in them is never scaled. Colours are the page's: see `STYLE`.
"""

import html
import itertools
import math
import unicodedata
from collections.abc import Iterable, Sequence
from typing import SupportsFloat

import numpy as np
from jaxtyping import Float, Int

from trinity_jax.aggregate.results import Reliability

LONGEST = 60  # characters of a name
NOTHING = "\u2013"  # what has no value is an en dash
OVERRIDES = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1f24; --soft: #59636e; --line: #d5dae0;
 --blue: #0b4f8a; --gold: #b35900; --box: #fff3dc; --fine: #e9f4ea; --edge: #d98200;
 --low: #000; --mid: #000; --high: #fff }
@media (prefers-color-scheme: dark) { :root { --paper: #14181d; --ink: #e6e8ea; --soft: #9da7b1;
 --line: #353c45; --blue: #7ab8f5; --gold: #f0a35e; --box: #33270f; --fine: #14291a;
 --low: #fff; --mid: #000; --high: #000 } }
* { box-sizing: border-box }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem;
 background: var(--paper); color: var(--ink); overflow-wrap: anywhere }
h1 { font-size: 1.5rem; line-height: 1.25 } h2 { margin: 2.5rem 0 .5rem; font-size: 1.25rem }
section { display: flow-root }
h3 { margin: 1.5rem 0 .3rem; font-size: 1rem } a { color: var(--blue) }
nav a { margin-right: 1rem; white-space: nowrap; line-height: 2 }
.note { color: var(--soft); font-size: .9rem }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr));
 gap: .5rem 1rem }
.facts b { display: block; font-size: 1.5rem; line-height: 1.3 }
.warning, .fine { padding: .6rem 1rem; margin: .5rem 0; border-radius: .3rem }
.warning { background: var(--box); border-left: .3rem solid var(--edge) }
.fine { background: var(--fine) }
.scroll { overflow-x: auto; margin: .8rem 0 } table { border-collapse: collapse; font-size: .9rem }
td, th { padding: .25rem .6rem; text-align: right; border-bottom: 1px solid var(--line);
 font-variant-numeric: tabular-nums; overflow-wrap: normal; white-space: nowrap }
th { color: var(--soft); font-weight: 600; vertical-align: bottom }
td.word, th.word { text-align: left } td.word { white-space: normal }
td:first-child, th:first-child { padding-left: 0 }
td bdi { display: inline-block; max-width: 15rem; overflow-wrap: break-word }
svg { overflow: visible; display: block } text { fill: var(--soft); font-size: 11px }
.strip, .axis { width: clamp(6rem, 26vw, 17rem); height: 1.2rem; margin: 0 .5rem }
.strip.bars { width: clamp(4rem, 20vw, 14rem) }
.grid { stroke: var(--line) } .bar { fill: var(--blue) }
.said, .held { fill: var(--blue) } .range { stroke: var(--blue); stroke-width: 2 }
.other { fill: var(--soft) } .other.range { stroke: var(--soft) }
.truth { fill: var(--paper); stroke: var(--gold); stroke-width: 2 }
.truth.range { stroke-width: 3; opacity: .75 }
.columns { width: calc(100% - 1rem); max-width: 40rem; height: 9rem; margin: 1.5rem .5rem 3.4rem }
.square { width: min(20rem, calc(100% - 4rem)); height: 20rem; margin: 2rem 1rem 3rem 3rem }
.frame { fill: none; stroke: var(--line) } .ideal { stroke: var(--soft); stroke-dasharray: 4 4 }
.many { display: grid; grid-template-columns: repeat(auto-fill, minmax(9.5rem, 1fr)); gap: 1rem }
.many figure { margin: 0; min-width: 0 } figcaption { font-size: .85rem; line-height: 1.35 }
.heat { width: calc(100% - 2.5rem); aspect-ratio: 1; margin: 1.3rem 0 .4rem 2rem }
.cell { fill: var(--blue); stroke: var(--line); stroke-width: .5 } .empty { fill: var(--line) }
@media (max-width: 40rem) { td, th { padding: .25rem .35rem } td bdi { max-width: 8rem }
 .axis text:nth-child(2) { display: none } }
.low { fill: var(--low) } .mid { fill: var(--mid) } .high { fill: var(--high) }
.key { display: inline-block; vertical-align: middle; width: 9rem; height: .9rem; margin: 0 .4rem }
"""


def document(title: str, body: str, style: str = "") -> str:
    """A page complete in itself, on which nothing is fetched and nothing runs.

    Args:
        title: HTML, as the body.
        body: what is on the page.
        style: rules beside those of `STYLE`.
    """
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{STYLE}{style}</style></head>\n"
        f"<body><main>\n{body}</main></body></html>\n"
    )


def plain(text: str) -> str:
    """Text for HTML and SVG: escaped, and without what would steer the text around it."""
    strange = lambda c: c in OVERRIDES or unicodedata.category(c) in ("Cc", "Cs")
    return html.escape("".join("\ufffd" if strange(c) else c for c in text))


def cut(name: str, longest: int = LONGEST) -> str:
    """A name of at most so many characters; of a longer one both ends are kept."""
    if len(name) <= longest:
        return name
    tail = (longest - 1) // 3
    return f"{name[: longest - 1 - tail]}\u2026{name[len(name) - tail :]}"


def named(name: str) -> str:
    """A name in HTML, whose direction of writing is its own."""
    return f"<bdi>{plain(cut(name))}</bdi>"


def spoken(name: str) -> str:
    """A name in a tooltip, where there are no elements: isolated by characters."""
    return f"\u2068{plain(cut(name))}\u2069"


def percent(share: SupportsFloat, digits: int = 1) -> str:
    """A share in words."""
    share = float(share)
    return f"{100 * share:.{digits}f}\u00a0%" if math.isfinite(share) else NOTHING


def number(value: SupportsFloat, digits: int = 0) -> str:
    """A number in words."""
    value = float(value)
    return f"{value:,.{digits}f}" if math.isfinite(value) else NOTHING


def interval(estimate: Iterable[SupportsFloat]) -> str:
    """An (estimate, low, high) in words."""
    mean, low, high = map(float, estimate)
    ends = f" ({100 * low:.1f} to {100 * high:.1f})" if math.isfinite(low + high) else ""
    return percent(mean) + ends * math.isfinite(mean)


def table(head: Sequence[str], rows: Iterable[Sequence[str]], words: Sequence[int] = (0,)) -> str:
    """A table that scrolls where the page is narrow; cells are HTML, numbers but for `words`."""
    kind = lambda n: ' class="word"' if n in words else ""
    line = lambda tag, cells: "".join(
        f"<{tag}{kind(n)}>{cell}</{tag}>" for n, cell in enumerate(cells)
    )
    body = "".join(f"<tr>{line('td', row)}</tr>" for row in rows)
    return (
        f'<div class="scroll"><table><thead><tr>{line("th", head)}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>\n"
    )


def bar(share: SupportsFloat) -> str:
    """A bar from nothing to all, for a row of a table."""
    width = 100 * float(np.clip(np.nan_to_num(float(share)), 0, 1))
    return (
        f'<svg class="strip bars" role="img" aria-label="{percent(share)}">'
        f'<line class="grid" x1="0" x2="100%" y1="50%" y2="50%"/>'
        f'<rect class="bar" y="20%" width="{width:.2f}%" height="60%"/></svg>'
    )


def axis_start(shares: Iterable[SupportsFloat]) -> float:
    """Where an axis up to 1 starts, so that it holds the shares: a tenth, or 0."""
    known = [float(x) for x in shares if math.isfinite(float(x))]
    return min(max(math.floor(10 * min(known, default=0)) / 10, 0), 0.9)


def axis(low: float) -> str:
    """The head of a column of `dots`."""
    ends = (("start", "0", low), ("middle", "50%", (1 + low) / 2), ("end", "100%", 1))
    marks = (
        f'<text x="{x}" y="90%" text-anchor="{anchor}">{percent(value, 0)}</text>'
        for anchor, x, value in ends
    )
    return f'<svg class="axis" aria-hidden="true">{"".join(marks)}</svg>'


def dots(marks: Sequence[tuple[str, Iterable[SupportsFloat]]], low: float = 0) -> str:
    """One row of a dot plot.

    Args:
        marks: the class of each ("said", "held", "other", or "truth", an open circle), and either
            its place or its (place, low, high); a NaN is not drawn.
        low: where the axis starts; it ends at 1.
    """
    x = lambda share: f"{100 * float(np.clip((float(share) - low) / (1 - low), 0, 1)):.2f}%"
    parts = ['<line class="grid" x1="0" x2="100%" y1="50%" y2="50%"/>']
    for kind, (place, *ends) in marks:
        if ends and math.isfinite(float(ends[0]) + float(ends[1])):
            span = f'x1="{x(ends[0])}" x2="{x(ends[1])}"'
            parts.append(f'<line class="{kind} range" {span} y1="50%" y2="50%"/>')
        if math.isfinite(float(place)):
            parts.append(f'<circle class="{kind}" cx="{x(place)}" cy="50%" r="4.5"/>')
    told = ", ".join(interval((p, *e) if e else (p, math.nan, math.nan)) for _, (p, *e) in marks)
    return f'<svg class="strip" role="img" aria-label="{told}">{"".join(parts)}</svg>'


def columns(counts: Int[np.ndarray, " bin"], names: Sequence[str], what: str, below: str) -> str:
    """A histogram; `names` are of the bins, `what` is counted, `below` names the axis."""
    most, width = max(int(counts.max(initial=0)), 1), 100 / max(len(counts), 1)
    parts = ['<line class="grid" x1="0" x2="100%" y1="100%" y2="100%"/>']
    sparse = -(-len(counts) // 10)  # on a phone there is room for ten names
    for n, (count, name) in enumerate(zip(map(int, counts), names, strict=True)):
        height, middle = 100 * count / most, (n + 0.5) * width
        parts.append(
            f'<rect class="bar" x="{(n + 0.06) * width:.2f}%" y="{100 - height:.2f}%" '
            f'width="{0.88 * width:.2f}%" height="{height:.2f}%">'
            f"<title>{plain(name)}: {count:,} {what}</title></rect>"
        )
        if count:
            parts.append(
                f'<text x="{middle:.2f}%" y="{100 - height:.2f}%" dy="-4" '
                f'text-anchor="middle">{short(count)}</text>'
            )
        if n % sparse == 0:
            place = f'x="{middle:.2f}%" y="100%" dy="15" text-anchor="middle"'
            parts.append(f"<text {place}>{plain(name)}</text>")
    parts.append(f'<text x="50%" y="100%" dy="34" text-anchor="middle">{plain(below)}</text>')
    told = f'role="img" aria-label="{plain(what)} by {plain(below)}"'
    return f'<svg class="columns" {told}>{"".join(parts)}</svg>\n'


def short(count: int) -> str:
    """A count in four characters or so."""
    for size, unit in ((10**6, "M"), (1000, "k")):
        if count >= size:
            return f"{count / size:.{1 if count < 10 * size else 0}f}{unit}"
    return str(count)


def heatmap(
    matrix: Float[np.ndarray, "label label"], names: Sequence[str], marks: Sequence[str]
) -> str:
    """A confusion matrix, rows truth and columns said; numbers in it up to six classes.

    Args:
        matrix: shares, each row of which sums to 1.
        names: of the classes, for the tooltips.
        marks: the same, short enough to stand at rows and columns.
    """
    size = 100 / len(names)
    at = lambda n: f"{(n + 0.5) * size:.2f}%"
    parts = [
        f'<text x="0" dx="-5" y="{at(n)}" text-anchor="end" dominant-baseline="central">'
        f'{plain(mark)}</text><text x="{at(n)}" y="0" dy="-5" text-anchor="middle">'
        f"{plain(mark)}</text>"
        for n, mark in enumerate(marks)
    ]
    cells = itertools.product(range(len(names)), repeat=2)
    for (row, column), share in zip(cells, matrix.ravel(), strict=True):
        known = bool(np.isfinite(share))
        shade = f'class="cell" fill-opacity="{share:.3f}"' if known else 'class="empty"'
        parts.append(
            f'<rect {shade} x="{column * size:.2f}%" y="{row * size:.2f}%" width="{size:.2f}%" '
            f'height="{size:.2f}%"><title>truth {spoken(names[row])}, said '
            f"{spoken(names[column])}: {percent(share)}</title></rect>"
        )
        if len(names) <= 6:
            ink = ("low", "mid", "high")[int(share >= 0.6) + int(share >= 0.75)] if known else "low"
            told = f"{100 * share:.0f}" if known else NOTHING
            parts.append(
                f'<text class="{ink}" x="{at(column)}" y="{at(row)}" text-anchor="middle" '
                f'dominant-baseline="central" pointer-events="none">{told}</text>'
            )
    return f'<svg class="heat" role="img" aria-label="confusion matrix">{"".join(parts)}</svg>'


def shades() -> str:
    """The key of a heatmap."""
    steps = "".join(
        f'<rect class="cell" fill-opacity="{n / 10}" x="{100 * n / 11:.2f}%" width="9.1%" '
        'height="100%"/>'
        for n in range(11)
    )
    return f'<svg class="key" aria-hidden="true">{steps}</svg>'


def diagram(bins: Reliability) -> str:
    """A reliability diagram; bins of more items have larger dots."""
    x, y = (lambda share: f"{100 * share:.2f}%"), (lambda share: f"{100 * (1 - share):.2f}%")
    parts = [
        '<rect class="frame" width="100%" height="100%"/>',
        '<line class="ideal" x1="0" y1="100%" x2="100%" y2="0"/>',
        '<text x="50%" y="100%" dy="36" text-anchor="middle">confidence</text>',
        '<text x="0" y="0" dy="-6">share right</text>',
    ]
    for tick in (0, 0.25, 0.5, 0.75, 1):
        parts.append(
            f'<text x="{x(tick)}" y="100%" dy="16" text-anchor="middle">{percent(tick, 0)}</text>'
            f'<text x="0" dx="-6" y="{y(tick)}" text-anchor="end" dominant-baseline="central">'
            f"{percent(tick, 0)}</text>"
        )
    for n in np.flatnonzero(bins.items):
        place, right, low, high = (v[n] for v in bins[1:5])
        size = 3 + 8 * math.sqrt(bins.items[n] / bins.items.sum())
        parts.append(
            f'<line class="range" x1="{x(place)}" x2="{x(place)}" y1="{y(low)}" y2="{y(high)}"/>'
            f'<circle class="held" cx="{x(place)}" cy="{y(right)}" r="{size:.1f}"><title>'
            f"{bins.items[n]:,} items, confidence {percent(place)}, right "
            f"{interval((right, low, high))}</title></circle>"
        )
    told = 'role="img" aria-label="reliability diagram"'
    return f'<svg class="square" {told}>{"".join(parts)}</svg>\n'

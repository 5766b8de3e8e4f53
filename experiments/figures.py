"""What the figures share: colours, curves with bands, and files that look the same everywhere."""

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

COLOURS = plt.get_cmap("tab10").colors
plt.rcParams.update(
    {
        "axes.spines.top": False,
        "axes.spines.right": False,
        "figure.constrained_layout.use": True,
        "font.size": 9,
        "legend.frameon": False,
        "svg.fonttype": "none",  # text stays text
        "svg.hashsalt": "trinity",  # the same figure is the same file
    }
)


def curve(axes: Axes, points: dict, label: str, colour, **style) -> None:
    """A line through means with a band of their intervals; `points` is {x: interval form}."""
    points = {float(x): form for x, form in points.items() if form is not None}
    x, mean = list(points), [form["mean"] for form in points.values()]
    axes.plot(x, mean, color=colour, label=label, **{"marker": "o", "markersize": 3, **style})
    bands = [form["interval"] or [form["mean"]] * 2 for form in points.values()]
    axes.fill_between(x, *zip(*bands, strict=True), color=colour, alpha=0.15, linewidth=0)


def nth(number: int) -> dict:
    """Colour and line style of the n-th line of a figure: ten colours, then in another style."""
    styles = "-", "--", ":", "-."
    return {"colour": COLOURS[number % 10], "linestyle": styles[number // 10 % len(styles)]}


def save(figure, directory) -> None:
    """figure.png to look at and figure.svg to print."""
    figure.savefig(directory / "figure.png", dpi=130)
    figure.savefig(directory / "figure.svg", metadata={"Date": None})
    plt.close(figure)


def dots(axes: Axes, forms: dict, title: str, colour, least: float = 0, **style) -> None:
    """A row a name: mean and interval; `forms` is {name: interval form}, shown from `least` on."""
    mean = [form["mean"] for form in forms.values()]
    ends = [form["interval"] or [form["mean"]] * 2 for form in forms.values()]
    error = [
        [m - low for m, (low, _) in zip(mean, ends, strict=True)],
        [high - m for m, (_, high) in zip(mean, ends, strict=True)],
    ]
    names = [name.replace("_", " ") for name in forms]
    axes.errorbar(mean, names, xerr=error, fmt="o", markersize=4, color=colour, **style)
    axes.set(xlabel=title)
    axes.grid(axis="x", alpha=0.3)
    for name, value in zip(names, mean, strict=True):
        if value < least:  # off the scale, said in words
            axes.text(least, name, f" < {value:.2f}", color=colour, va="center")
            axes.set_xlim(left=least)

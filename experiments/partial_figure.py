"""The picture of a run of partial feedback."""

from experiments import figures

STYLES = {
    "uniform": "-",
    "al_me": ":",
    "al_lc": ":",
    "aq_eig": "--",
    "aq_erc": "--",
    "aq_edc": "--",
}
# Questions that label all of Tiny ImageNet, in the paper's abstract.
PAPER = {"uniform": 827_000, "alpf_edc": 482_000, "alpf_erc": 491_000}
TITLES = {
    "accuracy": "test accuracy",
    "exact": "share of images labelled exactly",
    "remaining": "classes left, on average",
}


def draw(lines: dict, total: float, share: float, title: str, directory) -> None:
    """Accuracy, images labelled exactly and classes left, against questions.

    Args:
      lines: interval forms by what is measured, method, and share of the questions.
      total: questions that labelling at random takes.
      share: of them, where methods are compared.
      title: of the whole.
      directory: where the picture goes.
    """
    figure, axes = figures.plt.subplots(1, 3, figsize=(11, 3.6))
    for panel, (name, label) in zip(axes, TITLES.items(), strict=True):
        for number, (method, forms) in enumerate(lines[name].items()):
            style = {"linestyle": STYLES.get(method, "-"), "markersize": 0}
            of = method.replace("_", "-").upper()
            figures.curve(panel, forms, of, figures.COLOURS[number % 10], **style)
        panel.set(title=label, xlabel=f"questions / {total:,.0f} (uniform, in all)")
        panel.axvline(share, color="grey", linewidth=0.5)
    grey = {"color": "grey", "linewidth": 0.8, "linestyle": ":"}
    for method, label in (("alpf_edc", "paper's ALPF (Tiny ImageNet)"), ("alpf_erc", "")):
        axes[1].axvline(PAPER[method] / PAPER["uniform"], label=label, **grey)
    axes[1].legend(fontsize=7)
    figure.suptitle(title, fontsize=9)
    figures.save(figure, directory)

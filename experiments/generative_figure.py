"""Pictures of a run of generative augmentation."""

import numpy as np

from experiments import figures
from experiments.rendering_figure import show
from trinity_jax.algorithms.statistics import interval


def draw(numbers: dict, angles: dict, config, directory) -> None:
    """Errors, generators' accuracy scores, cosines over the training."""
    figure, (left, middle, right) = figures.plt.subplots(1, 3, figsize=(12, 3.8))
    for colour, (name, label) in zip(
        figures.COLOURS,
        (("error", "equal steps"), ("error_at_equal_time", "equal time")),
        strict=False,
    ):
        title = f"{config.evaluate} error, %"
        figures.dots(left, numbers[name], title, colour, label=label, alpha=0.7)
    left.legend()
    for colour, name in zip(figures.COLOURS, ("cas", "gan_test"), strict=False):
        if numbers[name]:
            title = "accuracy: of made on real (CAS), of real on made (GAN-test)"
            figures.dots(middle, numbers[name], title, colour, label=name, alpha=0.7)
            middle.legend()
    for number, term in enumerate(angles):
        values = angles[term]
        if values.size:
            points = {(t + 1) / config.rounds: interval(v) for t, v in enumerate(values.T)}
            figures.curve(right, points, term.replace("_", " "), figures.COLOURS[number])
            right.legend()
    right.axhline(0, color="grey", linewidth=0.5)
    right.set(title="cosine with the gradient of prediction", xlabel="share of training")
    figure.suptitle(
        f"{config.data.rsplit('/')[-1]}, {config.labelled[0]} labels, {config.seeds} draws",
        fontsize=9,
    )
    figures.save(figure, directory)


def sheet(made: dict, images, config, directory) -> None:
    """A block of made images for each generator, and one of real images, by class."""
    order = np.argsort(images.train_labels, kind="stable")
    count = len(next(iter(made.values()), order[:100]))
    real = images.train_images[order[np.linspace(0, len(order) - 1, count).astype(int)]]
    blocks = {"real": real / 255.0, **{arm: np.array(values) for arm, values in made.items()}}
    figure, axes = figures.plt.subplots(
        1, len(blocks), figsize=(2.6 * len(blocks), 3), squeeze=False
    )
    for axis, (name, values) in zip(axes[0], blocks.items(), strict=True):
        rows = max(1, len(values) // 10)
        height, width, channels = values.shape[1:]
        tiles = values[: 10 * rows].reshape(rows, 10, height, width, channels)
        show(axis, tiles.transpose(0, 2, 1, 3, 4).reshape(rows * height, 10 * width, channels))
        axis.set_title(name.replace("_", " "))
        axis.axis("off")
    figure.suptitle("a row a class", fontsize=8)
    figure.savefig(directory / "samples.png", dpi=130)
    figures.plt.close(figure)

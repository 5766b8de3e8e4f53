"""Pictures of a run of the rendering model."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments import few_labels, figures
from experiments.rendering_exact import KINDS
from trinity_jax.algorithms.statistics import interval
from trinity_jax.data.augmentation import nrm


def draw(numbers: dict, records, exact: dict, config, directory) -> None:
    """Error against labels or steps, ablations, and what the exact model scores."""
    figure, (left, middle, *right) = figures.plt.subplots(1, 4, figsize=(15, 3.8))
    curve = [arm for arm, by_number in numbers["error"].items() if len(by_number) > 1]
    highest = 0.0
    for number, arm in enumerate(curve or numbers["error"]):
        if curve:
            points = dict(sorted((int(n), form) for n, form in numbers["error"][arm].items()))
        else:
            points = by_round([row for row in records if row["arm"] == arm], config)
        figures.curve(left, points, arm.replace("_", " "), figures.COLOURS[number % 10])
        highest = max(highest, *(form["mean"] for form in points.values()))
    left.set(title=f"{config.evaluate} error, %", xlabel="labels" if curve else "steps")
    left.set_ylim(0, 1.2 * max(highest, 1e-3))
    left.legend()
    if numbers["ablation"]:
        title = "error less that of full, points (time of a step)"
        time = lambda arm: f"{arm} ({1e3 * numbers['seconds_per_step'][arm]:.0f} ms)"
        shown = {time(arm): form for arm, form in numbers["ablation"].items()}
        figures.dots(middle, shown, title, figures.COLOURS[0], -np.inf)
        middle.axvline(0, color="grey", linewidth=0.5)
    else:
        middle.set_axis_off()
    titles = "R, price of the path (exact model)", "prior of the latents (exact model)"
    for panel, score, title in zip(right, ("R", "prior"), titles, strict=True):
        for colour, kind in zip(figures.COLOURS, KINDS, strict=False):
            how = {"bins": 30, "alpha": 0.5, "density": True, "label": kind, "color": colour}
            panel.hist(exact[score][kind], **how)
        panel.set(title=title, yticks=[])
    right[0].legend()
    name = config.prefix or config.data.rsplit("/")[-1]
    title = f"{name}, {config.labelled[0]} labels, {config.seeds} draws of labels"
    figure.suptitle(title, fontsize=9)
    figures.save(figure, directory)


def by_round(records, config) -> dict:
    """{steps: interval of the error in percent}."""
    found: dict = {}
    for row in records:
        steps = (row["round"] + 1) * config.steps // config.rounds
        found.setdefault(steps, []).append(100 * row["error"])
    return {steps: interval(errors) for steps, errors in found.items()}


def sheet(config, images, state, arm: str, directory, count: int = 6) -> None:
    """Images; layer by layer what is rendered of them; other classes' renderings; prior modes."""
    model = few_labels.model(config, images)
    prepare = few_labels.preparer(config.inputs, images)
    classes = np.eye(model.labels, dtype=np.float32)
    there = np.unique(images.test_labels)[:count]
    first = [np.flatnonzero(images.test_labels == k)[0] for k in there]
    x = prepare(jnp.asarray(images.test_images[first]))
    truth = images.test_labels[first]
    given = state.params, state.running, model
    paint = jax.jit(lambda x, target: nrm.reconstruct(*given, x, target))
    own = paint(x, classes[truth])
    columns = {"image": x, "rendered": own.image}
    for level in reversed(range(len(model.layers))):
        name = "class template" if level + 1 == len(model.layers) else f"h{level + 1}"
        columns[name] = own.features[level]
        columns[f"u{level + 1}, up and masked"] = own.masked[level]
    for k in range(min(model.labels, 10)):
        columns[f"as {images.labels[k]}"] = paint(x, np.repeat(classes[k : k + 1], len(x), 0)).image
    dark = paint(jnp.zeros((model.labels, *model.shape)), classes).image[: len(columns)]
    figure, axes = figures.plt.subplots(
        len(x) + 1, len(columns), figsize=(0.75 * len(columns), 0.8 * len(x) + 1.2)
    )
    for axis in axes.flat:
        axis.axis("off")
    for number, (name, values) in enumerate(columns.items()):
        axes[0, number].set_title(name, fontsize=5, rotation=30, ha="left")
        for row, value in enumerate(np.asarray(values)):
            show(axes[row, number], value)
    for number, value in enumerate(np.asarray(dark)):
        show(axes[-1, number], value)
        axes[-1, number].set_title(f"prior, {images.labels[number]}", fontsize=5)
    figure.suptitle(f"{arm} model, {config.labelled[0]} labels", fontsize=8)
    figure.savefig(directory / "renderings.png", dpi=130)
    figures.plt.close(figure)


def show(axis, value) -> None:
    """An image, grey or coloured; of more channels, their mean size, or themselves if constant."""
    if np.ptp(value, axis=(0, 1)).max() == 0:  # the template of a class, the same everywhere
        side = next(
            n for n in range(int(len(value[0, 0]) ** 0.5), 0, -1) if not value.shape[-1] % n
        )
        value = value[0, 0].reshape(side, -1, 1)
    elif value.shape[-1] not in (1, 3):
        value = np.abs(value).mean(-1, keepdims=True)
    low, high = value.min(), value.max()
    axis.imshow((value - low) / max(high - low, 1e-9), cmap="gray")

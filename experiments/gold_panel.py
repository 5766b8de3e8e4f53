"""How many known answers does it take to correct an error that most workers share?

    python -m experiments.gold_panel [--out DIR]      half a minute on two cores

Made crowds of twelve workers, of whom eight are biased in the same way and the others better. The
biased give the same wrong answer

    confused    on some items of two of the classes: the class before it
    copied      on some items of any class: a wrong class at random
    none        nowhere; here items have three labels, as otherwise all methods find all answers

Some items are gold. Accuracy is that on the others, with Student's 95 % interval over draws of the
crowd and of its gold. --out has gold_panel.png to look at, and gold_panel.json.
"""

import dataclasses
import json
import pathlib

import jax
import jax.numpy as jnp

from experiments import figures
from trinity_jax.algorithms.statistics import accuracy, interval, paired
from trinity_jax.compute import mesh, program, replicas
from trinity_jax.data.aggregation import gold_only
from trinity_jax.data.aggregation.aggregators import aggregate
from trinity_jax.data.aggregation.annotations import Dims, purchase
from trinity_jax.data.aggregation.one_coin import coin_confusion
from trinity_jax.data.aggregation.workers import annotate, copying
from trinity_jax.types import InputError

PANELS = ("confused", "copied", "none")
METHODS = {
    "majority": "majority vote",
    "untold": "Dawid-Skene, no gold",
    "told": "Dawid-Skene, told gold",
    "weighed": "Dawid-Skene, gold weighed",
    "naive_bayes": "naive Bayes on gold",
    "ridge_vote": "ridge vote",
}


@dataclasses.dataclass(frozen=True)
class Config:
    """The crowds, how much of them is known, and how often they are drawn."""

    out: str = "runs/gold_panel"  # folder of gold_panel.png and gold_panel.json
    items: int = 1000  # items of a crowd, gold ones included
    labels: int = 4  # classes
    workers: int = 12  # who label
    redundancy: int = 12  # labels an item
    few: int = 3  # labels an item where no error is shared
    biased: int = 8  # workers who share the error
    skill: float = 0.9  # accuracy of the others, 0 to 1
    biased_skill: float = 0.8  # accuracy of the biased where the error is not shared, 0 to 1
    confused: float = 0.6  # share of the items of every other class that are confused
    copied: float = 0.5  # share of all items whose wrong answer is copied
    gold: tuple[int, ...] = (5, 10, 20, 50, 100, 200)  # numbers of gold items: the axis
    shown: int = 20  # gold items of the printed table
    ridge: float = 1.0  # penalty of the ridge vote's weights
    draws: int = 20  # crowds of each kind
    seed: int = 0  # of all draws


def crowd(config: Config, key, panel):
    """A table of labels, and the truth."""
    keys = iter(jax.random.split(key, 4))
    truth = jax.random.randint(next(keys), (config.items,), 0, config.labels)
    other = jax.random.randint(next(keys), truth.shape, 1, config.labels)
    draw = jax.random.uniform(next(keys), truth.shape)
    confused = jnp.where((draw < config.confused) & (truth % 2 == 1), truth - 1, -1)
    copied = jnp.where(draw < config.copied, (truth + other) % config.labels, -1)
    shared = jnp.stack([confused, copied, jnp.full_like(truth, -1)])[panel]
    biased = jnp.arange(config.workers) < config.biased
    skill = jnp.where(biased, config.biased_skill, config.skill)
    confusion = jnp.exp(coin_confusion(skill, config.labels))
    table = annotate(next(keys), truth, confusion, config.redundancy)
    bought = jnp.array([config.redundancy, config.redundancy, config.few])[panel]
    return purchase(copying(table, biased, shared), bought), truth


def make_draw(config: Config):
    """`draw(replica) -> {method: accuracy}`: one crowd, one choice of gold, all methods."""
    dims = Dims(config.items, config.workers, config.labels)

    def draw(replica):
        key = jax.random.fold_in(jax.random.key(config.seed), replica["draw"])
        key_crowd, key_gold, key_fit = jax.random.split(key, 3)  # crowds of all sizes of gold agree
        table, truth = crowd(config, key_crowd, replica["panel"])
        order = jax.random.permutation(key_gold, config.items)
        gold = jnp.where(order < replica["gold"], truth, -1)
        dawid_skene = lambda *gold: aggregate("dawid_skene_map", key_fit, table, dims, *gold)
        answers = {
            "majority": aggregate("majority", key_fit, table, dims),
            "untold": dawid_skene(),
            "told": dawid_skene(gold),
            "weighed": dawid_skene(gold, None),
            "naive_bayes": gold_only.naive_bayes(table, dims, gold),
            "ridge_vote": gold_only.ridge_vote(table, dims, gold, config.ridge),
        }
        rest = jnp.where(gold >= 0, -1, truth)
        return {name: accuracy(answer, rest) for name, answer in answers.items()}

    return draw


def measure(config: Config) -> dict:
    """Accuracies: {panel: {method: {gold items: [draw]}}}."""
    rows, replica = replicas.grid(panel=PANELS, gold=config.gold, draw=range(config.draws))
    devices = mesh.make()
    sweep = jax.jit(replicas.over_replicas(make_draw(config), devices, shared=0))
    found = jax.device_get(sweep(replicas.spread(replica, devices)))
    values: dict = {panel: {name: {} for name in METHODS} for panel in PANELS}
    for name, of_replica in found.items():
        for row, value in zip(rows, of_replica.tolist(), strict=True):
            values[row["panel"]][name].setdefault(row["gold"], []).append(value)
    return values


def draw_figure(forms: dict, path: pathlib.Path) -> None:
    """A panel a kind of crowd: accuracy against gold items."""
    figure, axes = figures.plt.subplots(1, len(forms), figsize=(12, 3.8))
    for panel, axis in zip(forms, axes, strict=True):
        for colour, (name, label) in zip(figures.COLOURS, METHODS.items(), strict=False):
            figures.curve(axis, forms[panel][name], label, colour)
        axis.set(xscale="log", xlabel="gold items", title=f"error: {panel}")
    axes[0].set(ylabel="accuracy on the other items")
    axes[0].legend(fontsize=7)
    figure.savefig(path, dpi=130)
    figures.plt.close(figure)


def show(forms: dict, gains: dict, shown: int) -> None:
    """The table of one number of gold items."""
    cell = lambda form: f"{form['mean']:.3f} [{form['interval'][0]:.3f}, {form['interval'][1]:.3f}]"
    print(f"accuracy on the other items, {shown} gold items")
    print(" " * 26, *(f"{panel:21s}" for panel in PANELS))
    for name, label in METHODS.items():
        print(f"{label:26s}", *(cell(forms[panel][name][shown]) for panel in PANELS))
    print(f"{'weighed less told':26s}", *(cell(gains[panel][shown]) for panel in PANELS))


def main(config: Config) -> None:
    """Measures, draws, writes and prints."""
    if config.shown not in config.gold:
        raise InputError(f"--shown is {config.shown}, which is not of --gold {config.gold}")
    program.in_range(config, gold=(1, config.items - 1), draws=(2, 10_000))
    mesh.use_cores()
    program.keep_compiled()
    values = measure(config)
    forms = {
        panel: {name: {n: interval(x) for n, x in by_n.items()} for name, by_n in methods.items()}
        for panel, methods in values.items()
    }
    gains = {
        panel: {n: paired(of["weighed"][n], of["told"][n]) for n in config.gold}
        for panel, of in values.items()
    }
    folder = pathlib.Path(config.out)
    folder.mkdir(parents=True, exist_ok=True)
    draw_figure(forms, folder / "gold_panel.png")
    report = {"config": dataclasses.asdict(config), "accuracy": forms, "weighed_less_told": gains}
    (folder / "gold_panel.json").write_text(json.dumps(report, indent=1) + "\n")
    show(forms, gains, config.shown)
    print(folder / "gold_panel.png")


if __name__ == "__main__":
    program.script("gold_panel", Config, main, str(__doc__))

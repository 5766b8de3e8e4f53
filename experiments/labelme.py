"""Real annotators and a classifier: what is learnt from 2,547 labels by 59 people?

The part of `python -m experiments.crowdsourcing` for `--data labelme:DIR`: photographs of eight
scenes as features, labelled by workers of Amazon Mechanical Turk. A softmax regression is trained
on what each method makes of the labels. And the question of the fixed budget, asked of people: 950
labels for 950 photographs, or two each for 475?

How strongly to regularise matters as much as the method, so the L2 coefficient is chosen on the
clean validation part, for every method alike; accuracies are those on the test part.

F. Rodrigues, F. C. Pereira. Deep learning from crowds. AAAI 2018.
"""

import jax
import jax.numpy as jnp
import numpy as np

from experiments import figures
from trinity_jax.algorithms import networks, training
from trinity_jax.algorithms.em import EM, fit, fit_until
from trinity_jax.algorithms.statistics import interval, paired
from trinity_jax.compute import mesh, replicas
from trinity_jax.compute.run import Run
from trinity_jax.data import sources
from trinity_jax.data.aggregation import crowd_layer
from trinity_jax.data.aggregation.annotations import Dims, annotations, labelled, purchase, shuffle
from trinity_jax.data.aggregation.dawid_skene import dawid_skene, pseudo_counts
from trinity_jax.data.aggregation.ibcc import ibcc
from trinity_jax.data.aggregation.majority import hard_vote, soft_vote
from trinity_jax.data.aggregation.model_bootstrapped import model_bootstrapped, out_of_fold
from trinity_jax.data.aggregation.raykar import raykar
from trinity_jax.types import choose

L2 = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # tried for every method
EPOCHS, BATCH_SIZE, LEARNING_RATE = 20, 50, 0.01  # of the classifier, at 1,000 items
FOLDS = 5  # of the out-of-fold reference
RAYKAR_ROUNDS = 5
BUDGET = 950  # labels
PANELS = {"all": 0, "once": 1, "twice": 2}  # labels an item; 0: every label, no budget
METHODS = (
    "hard_vote",
    "soft_vote",
    "dawid_skene",
    "ibcc",
    "mbem",
    "mbem_out_of_fold",
    "mbem_tau_1",  # the model's prediction in the posterior too
    "raykar",
    "crowd_layer",
    "conal",
    "clean",
)


def make_draw(config, methods: list[str], dims: Dims):
    """`draw(t, data, replica) -> metrics`: one seed of one method, panel and coefficient."""
    network = networks.network(config.network or "softmax", dims.labels)

    def buy(key, table, panel):
        """The first labels of as many items as the budget pays, drawn from those with enough."""
        key_item, key_label = jax.random.split(key)
        redundancy = jnp.array([dims.items * dims.workers, 1, 2])[panel]
        count = jnp.zeros(dims.items).at[table.item].add(table.weight)
        enough = count >= jnp.where(panel == 0, 0, redundancy)
        lottery = jnp.where(enough, jax.random.uniform(key_item, (dims.items,)), 2.0)
        rank = jnp.argsort(jnp.argsort(lottery))
        bought = rank < jnp.where(panel == 0, dims.items, BUDGET // redundancy)
        kept = purchase(shuffle(key_label, table), redundancy)
        return kept._replace(weight=kept.weight * bought[kept.item])

    def draw(t, data, replica):
        table, features, truth, parts = data
        key = jax.random.fold_in(jax.random.key(0), t)  # the same for all: differences are paired
        key_buy, key_method, key_final = jax.random.split(key, 3)
        table = buy(key_buy, table, replica["panel"])
        known = labelled(table, dims)
        count = known.sum()
        first = jnp.argsort(~known)  # items with labels come first
        recipe = training.nesterov(network, LEARNING_RATE, replica["l2"], BATCH_SIZE)

        def learn(key, posterior, weight=None):
            weight = jnp.ones(dims.items) if weight is None else weight
            examples = training.Examples(features, first, posterior[first], weight[first], count)
            state = training.begin(key, recipe, features)
            epochs = EPOCHS * dims.items // count  # as many steps, whatever is labelled
            return training.train(jax.random.fold_in(key, 1), recipe, state, examples, epochs)[0]

        def fit_predict(key, posterior, weight=None):
            return training.predict(recipe, learn(key, posterior, weight), features)

        def supervised(target):
            state = learn(key_final, target)
            return lambda x: training.predict(recipe, state, x)

        def posterior(em: EM, rounds: int = 0):
            if rounds:
                state = fit(em, key_method, table, rounds)[0]
            else:
                state = fit_until(em, key_method, table, max_steps=500).state
            return supervised(jnp.exp(state.log_posterior))

        def mbem(predict, tau=0.0):
            em = model_bootstrapped(dims, predict, strength=config.strength, tau=tau)
            return posterior(em, config.updates)

        def on_labels(start, loss):
            how = {"weight_decay": replica["l2"], "learning_rate": LEARNING_RATE}
            how |= {"batch_size": BATCH_SIZE, "num_steps": 2 * EPOCHS * dims.items // BATCH_SIZE}
            base = crowd_layer.train(key_final, network, features, table, start, loss, **how)
            return lambda x: network.apply(base, {}, x)

        confusions = crowd_layer.conal_start(key_method, dims, features.shape[1])
        one_hot = lambda label: jax.nn.one_hot(label, dims.labels)
        classifiers = {
            "hard_vote": lambda: supervised(one_hot(hard_vote(key_method, table, dims))),
            "soft_vote": lambda: supervised(soft_vote(table, dims)),
            "dawid_skene": lambda: posterior(dawid_skene(dims)),
            "ibcc": lambda: posterior(ibcc(dims)),
            "mbem": lambda: mbem(fit_predict),
            "mbem_out_of_fold": lambda: mbem(out_of_fold(fit_predict, FOLDS)),
            "mbem_tau_1": lambda: mbem(out_of_fold(fit_predict, FOLDS), tau=1.0),
            "raykar": lambda: posterior(
                raykar(dims, fit_predict, pseudo_counts(dims)), RAYKAR_ROUNDS
            ),
            "crowd_layer": lambda: on_labels(
                crowd_layer.matrix_weights(dims), crowd_layer.crowd_layer_loss
            ),
            "conal": lambda: on_labels(confusions, crowd_layer.conal_loss),
            "clean": lambda: supervised(one_hot(truth)),
        }

        def accuracies(name):
            classify = classifiers[name]()
            return {part: (classify(x).argmax(1) == y).mean() for part, (x, y) in parts.items()}

        return jax.lax.switch(replica["method"], [lambda n=n: accuracies(n) for n in methods])

    return draw


def experiment(config, run: Run) -> None:
    """Draws as often as there are seeds, and reports."""
    methods = choose(dict.fromkeys(METHODS), config.methods, "method")
    with run.phase("load", f"reading {config.data}"):
        found = sources.crowd_features(config.data)
    dims = Dims(len(found.train_labels), found.num_workers, len(found.labels))
    table, dims = annotations(found.item, found.worker, found.label, dims)
    mean, scale = found.train_features.mean(0), found.train_features.std(0) + 1e-6
    standard = lambda x: jnp.asarray((x - mean) / scale)
    parts = {
        "valid_accuracy": (standard(found.valid_features), jnp.asarray(found.valid_labels)),
        "test_accuracy": (standard(found.test_features), jnp.asarray(found.test_labels)),
    }
    data = (table, standard(found.train_features), jnp.asarray(found.train_labels), parts)

    rows, replica = replicas.grid(panel=tuple(PANELS), method=methods, l2=L2)
    devices = mesh.make()
    replica, data = replicas.spread(replica, devices), replicas.share(data, devices)
    draw = jax.jit(replicas.over_replicas(make_draw(config, methods, dims), devices, shared=2))
    start, state = run.resume(lambda: {"nothing": jnp.zeros(())})  # draws are independent
    advance = run.compile(draw, start, config.seeds, np.int32(0), data, replica)
    for t in run.rounds(start, config.seeds):
        run.commit(t, state, run.measurements(rows, advance(np.int32(t), data, replica)))
    report(methods, run)


def selected(records) -> dict:
    """Test accuracies at the coefficient that is best on validation: {(panel, method): [seed]}."""
    values: dict = {}
    for row in records:
        of_l2 = values.setdefault((row["panel"], row["method"]), {}).setdefault(row["l2"], [])
        of_l2.append((row["valid_accuracy"], row["test_accuracy"]))
    best = {
        key: max(by_l2.values(), key=lambda v: np.mean(v, 0)[0]) for key, by_l2 in values.items()
    }
    return {key: [test for _, test in draws] for key, draws in best.items()}


def report(methods: list[str], run: Run) -> None:
    """Writes the figure and the summary."""
    values = selected(run.records())
    accuracy = {method: interval(values["all", method]) for method in methods}
    budget = {
        method: {
            "once": interval(values["once", method]),
            "twice": interval(values["twice", method]),
            "paired": paired(values["once", method], values["twice", method]),
        }
        for method in methods
    }
    figure, (left, right) = figures.plt.subplots(1, 2, figsize=(9, 3.5), sharey=True)
    figures.dots(left, accuracy, "accuracy, all labels", figures.COLOURS[0])
    for colour, panel in zip(figures.COLOURS, ("once", "twice"), strict=False):
        forms = {method: budget[method][panel] for method in methods}
        figures.dots(right, forms, f"accuracy, {BUDGET} labels", colour, label=panel)
    right.legend()
    figures.save(figure, run.directory)
    run.finish({"labelme": accuracy, "labelme_budget": budget})

"""Real annotators and a classifier: what is learnt from 2,547 labels by 59 people?

The part of `python -m experiments.crowdsourcing` for `--data labelme:DIR`: photographs of eight
scenes as features, labelled on Amazon Mechanical Turk. A softmax regression is trained on what each
method makes of the labels. And the fixed budget, with people: one label each, or two for half?

How strongly to regularise matters as much as the method, so the L2 coefficient is chosen on the
clean validation part, for every method alike; accuracies are those on the test part.

F. Rodrigues, F. C. Pereira. Deep learning from crowds. AAAI 2018.
"""

import jax
import jax.numpy as jnp
import numpy as np

from experiments import crowdsourcing_report, figures, verdicts
from trinity_jax.algorithms import networks, training
from trinity_jax.algorithms.em import EM, fit, fit_best, fit_until
from trinity_jax.algorithms.statistics import interval, paired
from trinity_jax.compute import replicas
from trinity_jax.compute.run import Run
from trinity_jax.compute.sweep import Sweep
from trinity_jax.data import sources
from trinity_jax.data.aggregation import crowd_layer
from trinity_jax.data.aggregation import model_bootstrapped as mb
from trinity_jax.data.aggregation.annotations import Dims, annotations, labelled, purchase, shuffle
from trinity_jax.data.aggregation.crowd_layer import matrix_weights
from trinity_jax.data.aggregation.dawid_skene import dawid_skene, pseudo_counts
from trinity_jax.data.aggregation.ibcc import ibcc
from trinity_jax.data.aggregation.majority import hard_vote, soft_vote
from trinity_jax.data.aggregation.raykar import raykar
from trinity_jax.types import InputError, choose

L2 = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)  # tried for every method
EPOCHS, BATCH_SIZE, LEARNING_RATE = 20, 50, 0.01  # of the classifier, at 1,000 items
FOLDS, ROUNDS = 5, 5  # of the out-of-fold reference; of Raykar's EM, and under the guard
HELD_OUT, BUDGET = 0.2, 950  # share of the labels for the guard; labels, by default
PANELS = {"all": 0, "once": 1, "twice": 2}  # labels an item; 0: every label, no budget
USES = ("seeds", "methods", "data", "budget", "network", "updates", "strength")  # options
METHODS = (
    *("hard_vote", "soft_vote", "dawid_skene", "ibcc", "mbem", "mbem_soft", "mbem_authors"),
    *("mbem_out_of_fold", "mbem_guarded", "mbem_tau_1", "raykar", "crowd_layer", "conal", "clean"),
)


def make_draw(config, methods: list[str], dims: Dims, budget: int):
    """`draw(t, data, replica) -> metrics`: one seed of one method, panel and coefficient."""
    network = networks.network(config.network or "softmax", dims.labels)

    def buy(key, table, panel):
        """The first labels of as many items as the budget pays, drawn from those with enough."""
        key_item, key_label = jax.random.split(key)
        redundancy = jnp.array([dims.items * dims.workers, 1, 2])[panel]
        count = jnp.zeros(dims.items).at[table.item].add(table.weight)
        enough = (count >= redundancy) | (panel == 0)
        lottery = jnp.where(enough, jax.random.uniform(key_item, (dims.items,)), 2.0)
        rank = jnp.argsort(jnp.argsort(lottery))
        bought = rank < jnp.where(panel == 0, dims.items, budget // redundancy)
        kept = purchase(shuffle(key_label, table), redundancy)
        return kept._replace(weight=kept.weight * bought[kept.item])

    def draw(t, data, replica):
        table, features, truth, parts = data
        keys = jax.random.split(jax.random.fold_in(jax.random.key(0), t), 6)  # the same for all:
        key_buy, key_method, key_final, key_guard, key_layer, key_again = keys  # hence paired
        table = buy(key_buy, table, replica["panel"])
        count = labelled(table, dims).sum()
        first = jnp.argsort(~labelled(table, dims))  # items with labels come first
        recipe = training.nesterov(network, LEARNING_RATE, replica["l2"], BATCH_SIZE)

        def learn(key, posterior, weight=None):
            weight = jnp.ones(dims.items) if weight is None else weight
            examples = training.Examples(features, first, posterior[first], weight[first], count)
            epochs = EPOCHS * dims.items // count  # as many steps, whatever is labelled
            key_start, key_train = jax.random.split(key)
            start = training.begin(key_start, recipe, features)
            return training.train(key_train, recipe, start, examples, epochs)[0]

        def fit_predict(key, posterior, weight=None):
            return training.predict(recipe, learn(key, posterior, weight), features)

        def supervised(target):
            state = learn(key_final, target)
            return lambda x: training.predict(recipe, state, x)

        def posterior(em: EM, rounds: int = 0, again: bool = False):
            how = (em, key_method, table)
            state = fit(*how, rounds)[0] if rounds else fit_until(*how, max_steps=500).state
            target = jnp.exp(state.log_posterior)
            answers = lambda: mb.hard_reference(fit_predict(key_again, target))
            return supervised(answers() if again else target)

        def mbem(predict=fit_predict, **options):
            em = mb.model_bootstrapped(dims, predict, strength=config.strength, **options)
            return posterior(em, config.updates)

        def guarded():  # keeps the round that predicts held-out labels best
            held = jax.random.bernoulli(key_guard, HELD_OUT, table.weight.shape)
            seen, unseen = (table._replace(weight=table.weight * h) for h in (~held, held))
            with_labels = lambda key, p, weight: fit_predict(key, p, weight * labelled(seen, dims))
            predict = mb.out_of_fold(with_labels, FOLDS)
            em = mb.model_bootstrapped(dims, predict, config.strength, held_out=unseen)
            best = fit_best(em, key_method, seen, ROUNDS).state
            state = mb.update(table, dims, best.log_probs, config.strength)
            return supervised(jnp.exp(state.log_posterior))

        def on_labels(start, loss):
            how = {"weight_decay": replica["l2"], "learning_rate": LEARNING_RATE}
            how |= {"batch_size": BATCH_SIZE, "num_steps": 2 * EPOCHS * dims.items // BATCH_SIZE}
            base = crowd_layer.train(key_final, network, features, table, start, loss, **how)
            return lambda x: network.apply(base, {}, x)

        authors = mb.model_bootstrapped(dims, mb.distilled(fit_predict))
        unfolded = mb.out_of_fold(fit_predict, FOLDS)
        confusions = crowd_layer.conal_start(key_layer, dims, features.shape[1])
        one_hot = lambda label: jax.nn.one_hot(label, dims.labels)
        classifiers = {
            "clean": lambda: supervised(one_hot(truth)),
            "hard_vote": lambda: supervised(one_hot(hard_vote(key_method, table, dims))),
            "soft_vote": lambda: supervised(soft_vote(table, dims)),
            "dawid_skene": lambda: posterior(dawid_skene(dims)),
            "ibcc": lambda: posterior(ibcc(dims)),
            "mbem": mbem,
            "mbem_soft": lambda: mbem(reference=mb.soft_reference),
            "mbem_authors": lambda: posterior(authors, 1, again=True),  # the last model too
            "mbem_out_of_fold": lambda: mbem(unfolded),
            "mbem_guarded": guarded,
            "mbem_tau_1": lambda: mbem(unfolded, tau=1.0),
            "raykar": lambda: posterior(raykar(dims, fit_predict, pseudo_counts(dims)), ROUNDS),
            "crowd_layer": lambda: on_labels(matrix_weights(dims), crowd_layer.crowd_layer_loss),
            "conal": lambda: on_labels(confusions, crowd_layer.conal_loss),
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
    count = np.bincount(found.item, minlength=dims.items)
    most = int(min((count >= 1).sum(), 2 * (count >= 2).sum()))
    if (budget := config.budget or min(BUDGET, most)) > most:
        raise InputError(
            f"--budget is {budget}; {most} labels can be bought once and twice an item"
        )
    mean, scale = found.train_features.mean(0), found.train_features.std(0) + 1e-6
    standard = lambda x: jnp.asarray((x - mean) / scale)
    valid = (standard(found.valid_features), jnp.asarray(found.valid_labels))
    test = (standard(found.test_features), jnp.asarray(found.test_labels))
    parts = {"valid_accuracy": valid, "test_accuracy": test}
    data = (table, standard(found.train_features), jnp.asarray(found.train_labels), parts)

    rows, replica = replicas.grid(panel=tuple(PANELS), method=methods, l2=L2)
    draw = make_draw(config, methods, dims, budget)
    sweep = Sweep.of_draws(run, config.seeds, draw, data, replica)
    for t, metrics in sweep:
        run.commit(t, sweep.state, run.measurements(rows, metrics))
    report(methods, budget, run)


def selected(records) -> dict:
    """Test accuracies at the coefficient that is best on validation: {(panel, method): [seed]}."""
    values: dict = {}  # {(panel, method): {l2: [(validation, test)]}}
    for row in records:
        draws = values.setdefault((row["panel"], row["method"]), {}).setdefault(row["l2"], [])
        draws.append((row["valid_accuracy"], row["test_accuracy"]))
    best = lambda by_l2: max(by_l2.values(), key=lambda draws: np.mean(draws, 0)[0])
    return {key: [test for _, test in best(by_l2)] for key, by_l2 in values.items()}


def report(methods: list[str], budget: int, run: Run) -> None:
    """Writes the figure and the summary."""
    values = selected(run.records())
    accuracy = {method: interval(values["all", method]) for method in methods}
    forms = lambda a, b: {"once": interval(a), "twice": interval(b), "paired": paired(a, b)}
    budgets = {m: forms(values["once", m], values["twice", m]) for m in methods}
    gains = crowdsourcing_report.gains_over_votes({m: values["all", m] for m in methods})
    figure, (left, right) = figures.plt.subplots(1, 2, figsize=(9, 3.5), sharey=True)
    figures.dots(left, accuracy, "accuracy, all labels", figures.COLOURS[0])
    for colour, panel in zip(figures.COLOURS, ("once", "twice"), strict=False):
        shown = {method: budgets[method][panel] for method in methods}
        least = 0.8 * float(np.median([form["mean"] for form in shown.values()]))
        figures.dots(right, shown, f"accuracy, {budget} labels", colour, least, label=panel)
    right.legend()
    figures.save(figure, run.directory)
    found = {"labelme": accuracy, "labelme_budget": budgets, "labelme_gain": gains}
    summary = run.finish(found)
    verdicts.say(run, summary, crowdsourcing_report.claims(summary))

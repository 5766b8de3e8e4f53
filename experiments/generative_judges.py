"""Generators judged: by classifiers of made and of real images, as copies and as repetitions."""

import jax
import jax.numpy as jnp
import numpy as np

from experiments import few_labels
from experiments.generative_arms import ARMS
from trinity_jax.algorithms import training
from trinity_jax.compute import hosts, replicas
from trinity_jax.data.augmentation import gan, nrm, samples
from trinity_jax.data.augmentation.nrm import Objective

SHOWN = 10  # made images a class that are kept to be looked at


def judged_arms(arms) -> list[str]:
    """Those that make images; the weight of made images does not change the generator."""
    wanted = [arm for arm in arms if ARMS[arm].rival or ARMS[arm].reconstruction]
    return [arm for arm in wanted if arm not in ("gan_half", "gan_double")]


def judge(config, images, rows, state, run) -> dict:
    """{measure: {arm: [seed]}} of the generators after all steps, and images of the first seed."""
    chosen = [
        (i, row)
        for i, row in enumerate(rows)
        if row["budget"] == "steps" and row["arm"] in judged_arms(config.arms)
    ]
    if not chosen:
        return {"measures": {}, "sheet": {}}
    arms = [ARMS[row["arm"]] for _, row in chosen]
    replica = {
        "seed": np.array([row["seed"] for _, row in chosen], np.int32),
        "renders": np.array([arm.rival == 0 for arm in arms]),
        "named": np.array([arm.rival == 2 for arm in arms]),
        "unlabelled": np.array([arm.unlabelled > 0 for arm in arms]),
        "untied": np.array([arm.untied for arm in arms], np.float32),
    }
    place = np.array([i for i, _ in chosen])
    some = jax.tree.map(lambda leaf: np.asarray(leaf)[place], hosts.fetch(state))
    function = run.over_replicas(make_judge(config, images), shared=1)
    data, rows = replicas.share(images[1:5], run.mesh), (some, replica)
    found = jax.jit(function)(data, *replicas.spread(rows, run.mesh))
    measures, sheets = jax.tree.map(np.asarray, hosts.fetch(found))
    result: dict = {"measures": {}, "sheet": {}}
    for name, values in measures.items():
        for (_, row), value in zip(chosen, np.asarray(values, float).tolist(), strict=True):
            result["measures"].setdefault(name, {}).setdefault(row["arm"], []).append(value)
    for (_, row), sheet in zip(chosen, np.asarray(sheets), strict=True):
        if row["seed"] == 0:
            result["sheet"][row["arm"]] = sheet.round(2).tolist()
    return result


def make_judge(config, images):
    """A pure `judge(data, state, replica) -> (measures, images to look at)`."""
    model, prepare = few_labels.model(config, images), few_labels.preparer(config.inputs, images)
    count = min(config.samples, len(images.train_labels) // 2)
    step_by = few_labels.optimiser(config)
    one_hot = lambda label: jax.nn.one_hot(label, model.labels)

    def make(key, state, replica, x):
        """Images and their classes, as many of each where a generator is asked for them."""
        wanted = one_hot(jnp.arange(count) % model.labels)
        noise = jax.random.normal(key, (count, gan.NOISE))
        guess = lambda x: one_hot(nrm.predict(state.params, state.running, model, 0.0, x).argmax(1))

        def rendered():
            given = state.params, state.running, model, x, guess(x), replica["untied"]
            return nrm.reconstruct(*given).image, guess(x)

        def painted():
            made = gan.generate(state.maker[0], model, noise, wanted)
            return made, jnp.where(replica["named"], guess(made), wanted)

        return jax.lax.cond(replica["renders"], rendered, painted)

    def fit(given):
        """A classifier of these images."""
        key, x, y = given
        key_begin, key_batch = jax.random.split(key)
        params, running = nrm.begin(key_begin, model)

        def step(number, carry):
            params, running, optimiser = carry
            key_row, key = jax.random.split(jax.random.fold_in(key_batch, number))
            row = jax.random.randint(key_row, (config.batch_labelled,), 0, len(x))
            halves = (x[row], y[row]), x[row]
            given = params, key, running, model, Objective(), *halves
            gradient, (running, _) = nrm.gradient(*given)
            done = number / config.judge_steps
            params, optimiser = step_by.step(gradient, optimiser, params, done)
            return params, running, optimiser

        start = params, running, step_by.init(params)
        return jax.lax.fori_loop(0, config.judge_steps, step, start)[:2]

    def judge(data, state, replica):
        pixels, truth, test_pixels, test_labels = data
        key = jax.random.fold_in(jax.random.key(2), replica["seed"])
        keys = jax.random.split(key, 3)
        order = jax.random.permutation(keys[0], len(truth))[: 2 * count]
        real, unseen = prepare(pixels[order[:count]]), prepare(pixels[order[count:]])
        made, named = make(keys[1], state, replica, real)
        test = prepare(test_pixels)
        half = count // 2  # of a probe: real images are of class 0, made ones of class 1
        probe = jnp.concatenate([unseen[:half], made[: count - half]])
        is_made = (jnp.arange(count) >= half).astype(jnp.int32)
        x, y = [made, real, probe], [named, one_hot(truth[order[:count]]), one_hot(is_made)]
        given = jax.random.split(keys[2], 3), jnp.stack(x), jnp.stack(y)
        networks = jax.lax.map(fit, given)
        of = lambda i: jax.tree.map(lambda leaf: leaf[i], networks)
        classes = lambda i, x: training.in_batches(
            lambda rows: nrm.predict(*of(i), model, 0.0, rows), x, 500
        ).argmax(1)
        seen_real, seen_made = classes(2, unseen[half:]) == 0, classes(2, made[count - half :]) == 1
        share = min(count, len(test))
        rank = jnp.argsort(few_labels.draw_order(replica["seed"], truth, model.labels))
        seen = rank < jnp.where(replica["unlabelled"], len(truth), config.labelled[0])
        measures = {
            "cas": (classes(0, test) == test_labels).mean(),
            "real_cas": (classes(1, test) == test_labels).mean(),
            "gan_test": (classes(1, made) == named.argmax(1)).mean(),
            "realism_probe": (seen_real.mean() + seen_made.mean()) / 2,
            "memorised": samples.memorised(made, prepare(pixels), test, seen),
            "duplicates": samples.duplicates(made[:share], test[:share]),
            "high_frequencies": samples.high_frequencies(made) / samples.high_frequencies(test),
        }
        first = jnp.argsort(named.argmax(1), stable=True)  # by class
        shown = first[jnp.linspace(0, count - 1, SHOWN * min(model.labels, 10)).astype(jnp.int32)]
        return measures, made[shown]

    return judge

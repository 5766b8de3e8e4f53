"""A person answers: an image, a question in words, and y, n, s(kip) or q(uit).

Answers are in answers.jsonl beside the run, one a line, kept as soon as they are given; the same
command goes on after the last one. The image is drawn in the terminal and is in question.png.
"""

import heapq

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console
from rich.text import Text

from experiments import partial_data, partial_report
from trinity_jax.algorithms import training
from trinity_jax.data.collection import hierarchy, partial_feedback, questions
from trinity_jax.types import InputError

ANSWERS = {"y": True, "yes": True, "n": False, "no": False}


def experiment(config, found, data, init, learn, run) -> None:
    """Asks the questions of each round, learns from the answers, and reports."""
    several = len(config.methods) != 1 or config.seeds != 1
    if several or config.errors or config.cap or config.leaf_cost != 1 or config.calibrate:
        told = "expected one method, --seeds 1, and no errors, cap, costs or calibration"
        raise InputError(f"--oracle ask: {told}: a person answers once")
    replica = {"seed": np.int32(0), "method": np.int32(0)}
    start, state = run.resume(init, data, replica)
    learn = jax.jit(learn)
    for t in range(start, 1 + config.rounds):
        answers = ask(t, config, found, data, state, run) if t else []
        if answers is None:
            kept = len(run.answers())
            run.say(f"{kept} answers are kept; the same command goes on with the next question")
            return
        run.say("learning")
        asked = as_asked(answers, found, state)
        state, metrics = learn(np.int32(t), data, state, replica, asked)
        metrics = jax.tree.map(lambda leaf: np.asarray(leaf)[None], metrics)
        row = {"seed": 0, "method": config.methods[0]}
        run.commit(t, state, partial_report.records([row], metrics, found))
        run.say(f"round {t}: test accuracy {metrics['accuracy'][0]:.3f}")
        if t and not answers:
            break  # there is nothing left to be asked
    partial_report.report(config, found, run)


def ask(t: int, config, found, data, state, run) -> list | None:
    """The answers of a round, `[(item, question, yes)]`, or None if the person leaves.

    A heap, as published: who is first is asked about, and goes back with its next best question.
    """
    method = partial_feedback.METHODS[config.methods[0]]
    covers, rng = found.covers, np.random.default_rng(t)
    score = lambda key, belief: questions.any_of([method.question])(0, key, belief)
    recipe = partial_data.recipe(config, covers.shape[1])

    @jax.jit
    def best(log_probs, known):
        return partial_feedback.score_pool(jax.random.key(0), score, log_probs, known, data[4])

    learner = training.State(state.params, state.stats, ())
    logits = jax.jit(lambda learner: training.predict(recipe, learner, data[0]))(learner)
    log_probs, known = jax.nn.log_softmax(logits), np.array(state.known)
    kept = run.answers(round=int, item=int, question=int, yes=bool)
    answers = [(a["item"], a["question"], a["yes"]) for a in kept if a["round"] == t]
    for item, question, yes in answers:
        known[item] &= _bits(covers[question] == yes)
    value, question = map(np.asarray, best(log_probs, known))
    rank = partial_feedback.ITEMS[method.items]
    evidence = partial_feedback.evidence_of(jnp.asarray(known), covers.shape[1])
    first = rank(jax.random.key(t), log_probs, evidence, jnp.asarray(value))
    queue = [(-float(first[i]), i, question[i]) for i in np.flatnonzero(np.isfinite(value))]
    heapq.heapify(queue)
    wanted = int(np.ceil(config.round_share * found.uniform_cost))
    while queue and len(answers) < wanted:
        priority, item, asked = heapq.heappop(queue)
        item, asked = int(item), int(asked)
        yes = put(run, found, item, asked, f"{len(answers) + 1} of {wanted} in round {t}")
        if yes is None:
            return None
        if yes == "skip":
            continue
        run.keep({"round": t, "item": item, "question": asked, "yes": yes})
        answers.append((item, asked, yes))
        known[item] &= _bits(covers[asked] == yes)
        value, question = map(np.asarray, best(log_probs, known))
        if np.isfinite(value[item]):
            again = {"question": -value[item], "race": priority + rng.exponential()}
            heapq.heappush(queue, (again.get(method.items, priority), item, question[item]))
    return answers


def put(run, found, item: int, question: int, place: str):
    """True, False, "skip", or None: what the person says."""
    image = found.images.train_images[item]
    picture(image, run.directory / "question.png")
    run.say(f"\nquestion {place}, image {item} (also in {run.directory / 'question.png'}):")
    while True:
        run.say(hierarchy.in_words(found.asked, question))
        try:
            said = input("y, n, s(kip) or q(uit)? ").strip().lower()
        except EOFError:
            return None
        if said in ANSWERS:
            return ANSWERS[said]
        if said in ("s", "skip"):
            return "skip"
        if said in ("q", "quit"):
            return None


def picture(image: np.ndarray, path) -> None:
    """Draws an image in the terminal, two pixels a character, and writes it to a file."""
    from PIL import Image

    colours = np.repeat(image, 3, 2) if image.shape[2] == 1 else image
    size = max(1, 256 // max(colours.shape[:2]))
    Image.fromarray(colours.repeat(size, 0).repeat(size, 1)).save(path)
    console = Console(highlight=False)
    if console.is_terminal:
        even = colours[: len(colours) // 2 * 2]
        for above, below in zip(even[::2], even[1::2], strict=True):
            line = Text()
            for top, bottom in zip(above, below, strict=True):
                over, under = (f"rgb({','.join(map(str, pixel))})" for pixel in (top, bottom))
                line.append("▀", style=f"{over} on {under}")
            console.print(line)


def as_asked(answers: list, found, state) -> partial_feedback.Asked:
    """The answers in the form of a round: a row an item, padded with items not asked about."""
    labels = found.covers.shape[1]
    items = sorted({item for item, *_ in answers})
    others = np.setdiff1d(np.arange(len(state.touched)), items)
    item = np.concatenate([np.array(items, int), others])
    shape = (len(item), labels)
    question, yes, left = np.full(shape, -1), np.zeros(shape, bool), np.ones(shape, np.float32)
    count = np.zeros(len(item), int)
    sets = np.asarray(partial_feedback.unpack(state.known, labels)).copy()
    for number, asked, said in answers:
        row = items.index(number)
        place = (row, count[row])
        question[place], yes[place], left[place] = asked, said, sets[number].sum()
        sets[number] &= found.covers[asked] == said
        left[row, count[row] + 1 : count[row] + 2] = sets[number].sum()
        count[row] += 1
    score = np.where(question >= 0, 0, -np.inf).astype(np.float32)
    return partial_feedback.Asked(*map(jnp.asarray, (item, question, yes, score, left, count)))


def _bits(left: np.ndarray) -> np.ndarray:
    return np.asarray(partial_feedback.pack(jnp.asarray(left)))

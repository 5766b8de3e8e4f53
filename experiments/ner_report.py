"""What an active-learning run says: records, learning curves, the headline."""

import jax
import numpy as np

from experiments import ner_claims, ner_figure, shallow_tagger, verdicts
from experiments.curves import write
from experiments.ner_figure import ALL
from trinity_jax.algorithms import comparisons, curves, spans
from trinity_jax.algorithms.statistics import interval, paired
from trinity_jax.compute.run import Run

SHALLOW = ("random", "mnlp")  # strategies whose sentences the shallow tagger learns too


def records(rows, metrics, length: np.ndarray) -> list[dict]:
    """A record a replica: what was asked, with which scores, and what was then found."""
    asked, made = metrics["asked"], []
    for i, row in enumerate(rows):
        chosen = np.flatnonzero(asked.chosen[i])
        scores = metrics["scores"][i][chosen]
        words, budget = int(length[chosen].sum()), int(metrics["budget"][i])
        made.append(
            {
                **row,
                "budget": budget,  # in words, less what earlier rounds overshot
                "asked_words": words,
                "overshoot": words - budget,
                "asked": chosen.tolist(),
                "scores": [float(f"{score:.6g}") for score in scores],
                "refused": int(asked.refused[i]),
                "loss": float(metrics["loss"][i]),
                "dev": metrics["dev"][i].tolist(),  # right, found and true spans by type
                "test": metrics["test"][i].tolist(),
                "dev_f1": f1(metrics["dev"][i]),
                "f1": f1(metrics["test"][i]),
            }
        )
    return made


def f1(counts) -> float:
    """Micro-average of right, found and true spans by type."""
    right, found, true = np.sum(counts, axis=1)
    return float(2 * right / max(found + true, 1))


def learning_curves(rows, part: str) -> curves.Curves:
    """Words annotated and F1, {strategy: {seed: curve}}."""
    points: dict = {}
    for row in rows:
        of_seed = points.setdefault(row["strategy"], {}).setdefault(str(row["seed"]), [])
        before = of_seed[-1][0] if of_seed else 0
        of_seed.append((before + row["asked_words"], f1(row[part])))
    return {
        strategy: {
            seed: curves.Curve(*(np.array(column, float) for column in zip(*of_seed, strict=True)))
            for seed, of_seed in of_strategy.items()
        }
        for strategy, of_strategy in points.items()
    }


def shallow(config, corpus, run: Run) -> dict:
    """Test F1 of the feature-based CRF on all sentences and on those that strategies asked for.

    Returns:
      `{strategy: {seed: [[words, F1] of each round]}}`.
    """
    truth = [sentence.tags for sentence in corpus.test]

    def measure(words, sentences, name):
        tagger = shallow_tagger.train(sentences)
        score = spans.strict_f1(shallow_tagger.predict(tagger, corpus.test), truth).micro.f1
        run.say(f"shallow tagger on {words} words ({name}): F1 {score:.3f}")
        return [words, score]

    def point(name, seed, number, ids):
        sentences = [corpus.train[i] for i in sorted(ids)]
        words = sum(len(sentence.tokens) for sentence in sentences)
        of = f"shallow tagger, {name}, seed {seed}, round {number}"
        found.setdefault(name, {}).setdefault(str(seed), []).append(
            run.once(of, lambda: measure(words, sentences, name))
        )

    found: dict = {}
    labelled: dict = {}
    with run.phase("shallow"):
        point(ALL, 0, 0, range(len(corpus.train)))
        for row in run.records():
            ids = labelled.setdefault((row["strategy"], row["seed"]), [])
            ids += row["asked"]
            if row["strategy"] in SHALLOW and row["seed"] < config.shallow_seeds:
                point(row["strategy"], row["seed"], row["round"], ids)
    return found


def report(config, corpus, run: Run) -> None:
    """Writes the figure, the curves and the summary."""
    rows = run.records()
    total = sum(len(sentence.tokens) for sentence in corpus.train)
    test = learning_curves(rows, "test")
    f1_full = interval([curve.score[-1] for curve in test.pop(ALL, {}).values()])
    best = f1_full["mean"] if f1_full and f1_full["mean"] > 0 else None
    crf = shallow(config, corpus, run)
    f1_shallow = crf[ALL]["0"][0][1]

    def words_to(target):
        """How many words each strategy needs to a score; None without a score to reach."""
        reach = lambda of_seed: curves.reach([*of_seed.values()], target) if target else None
        return {name: reach(of_seed) for name, of_seed in test.items()}

    def fraction_to(reached):
        """Share of the words at which each strategy's mean curve first reaches the score."""
        words = {name: found and found["mean_curve"] for name, found in reached.items()}
        return {name: None if count is None else count / total for name, count in words.items()}

    targets = {"words_to_99pct": best and 0.99 * best, "words_to_beat_shallow": f1_shallow}
    reached = {name: words_to(target) for name, target in targets.items()}
    aligned = curves.align(test) if test else None
    of_seed = {} if aligned is None else dict(zip(test, curves.areas(aligned), strict=True))
    areas = {name: {s: float(of_seed[name][i]) for i, s in enumerate(test[name])} for name in test}
    random = areas.get("random", {})
    headline = {
        "f1_full": f1_full,
        "f1_shallow_full": interval([f1_shallow]),
        **{name: fraction_to(of) for name, of in reached.items()},
        "aubc": {name: interval(list(of.values())) for name, of in areas.items()},
        "aubc_minus_random": {
            name: paired([of[s] for s in random], [random[s] for s in random])
            for name, of in areas.items()
            if random and name != "random"
        },
    }
    more = {"synthetic": corpus.synthetic, "note": corpus.note, "words": total}
    more |= {"by_type": by_type(rows, corpus.types), "shallow": crf}
    more |= {"chinese": chinese(corpus.train), "words_to": reached}
    more["sentence_length"] = ner_figure.lengths(rows)
    more["genres"] = ner_figure.genres(corpus, rows)
    if random:
        more["statistics"] = comparisons.summarise(test, "random", best)
        more["gains"] = comparisons.gains(jax.random.key(ner_figure.SEED), [areas], "random")
    write(test, run.directory / "curves.csv")
    ner_figure.draw(test, headline, more, config.data, run.directory)
    summary = run.finish(headline, **more)
    verdicts.say(run, summary, ner_claims.claims(summary))


def chinese(sentences) -> bool:
    """Whether most words have Hanzi."""
    first = [token[:1] for sentence in sentences for token in sentence.tokens]
    return 2 * sum("\u4e00" <= character <= "\u9fff" for character in first) > len(first)


def by_type(rows, types) -> dict:
    """Test scores of each type after the last round, over all seeds of a strategy."""
    last = {(row["strategy"], row["seed"]): np.array(row["test"]) for row in rows}
    totals: dict = {}
    for (strategy, _), counts in last.items():
        totals[strategy] = totals.get(strategy, 0) + counts
    return {
        strategy: {
            kind: score._asdict()
            for kind, score in spans.report(spans.Counts(*counts), types).types.items()
        }
        for strategy, counts in totals.items()
    }

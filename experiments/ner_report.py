"""What the active-learning figure shows: curves, lines to reach, words they take, the claims."""

import json

import numpy as np

from experiments import figures, shallow_tagger
from trinity_jax.algorithms import comparisons, curves, spans
from trinity_jax.algorithms.statistics import interval, paired
from trinity_jax.compute.run import Run
from trinity_jax.data import sources

ALL = "all"
SHALLOW = ("random", "mnlp")  # strategies whose sentences the shallow tagger learns too


def initial_vectors(config, encoded) -> np.ndarray | None:
    """The word embedding to begin with, noise where a word has no vector; None for all random."""
    if not config.vectors:
        return None
    words = encoded.vocabulary.words
    table, known = sources.rows(sources.vectors(config.vectors, only=words), words)
    spread = np.sqrt((table[known] ** 2).mean()) if known.any() else 1.0
    noise = np.random.default_rng(0).normal(0, 0.4, table.shape).astype(np.float32)
    start = np.where(known[:, None], table * (0.5 / spread), noise)
    start[0] = 0
    return start.astype(np.float32)


def records(rows, metrics, length: np.ndarray) -> list[dict]:
    """A record a replica: what was asked, with which scores, and what was then found."""
    asked, made = metrics["asked"], []
    for i, row in enumerate(rows):
        chosen = np.flatnonzero(asked.chosen[i])
        scores = metrics["scores"][i][chosen]
        made.append(
            {
                **row,
                "asked_words": int(length[chosen].sum()),
                "asked": chosen.tolist(),
                "scores": [float(f"{score:.6g}") for score in scores],
                "refused": int(asked.refused[i]),
                "loss": float(metrics["loss"][i]),
                "dev": metrics["dev"][i].tolist(),  # right, found and true spans by type
                "test": metrics["test"][i].tolist(),
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
    """Test F1 of the feature-based CRF: on all sentences, and on those some strategies asked for.

    Trained once; what was measured is kept beside the records.
    """
    path = run.directory / "shallow.jsonl"
    known = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    done = {(row["strategy"], row["seed"], row["round"]) for row in known}
    truth = [sentence.tags for sentence in corpus.test]

    def measure(name, seed, number, words, sentences):
        if (name, seed, number) in done:
            return
        tagger = shallow_tagger.train(sentences)
        score = spans.strict_f1(shallow_tagger.predict(tagger, corpus.test), truth).micro.f1
        row = {"strategy": name, "seed": seed, "round": number, "words": words, "f1": score}
        with open(path, "a") as file:
            file.write(json.dumps(row) + "\n")
        known.append(row)
        run.say(f"shallow tagger on {words} words ({name}): F1 {score:.3f}")

    with run.phase("shallow"):
        words = sum(len(sentence.tokens) for sentence in corpus.train)
        measure(ALL, 0, 0, words, corpus.train)
        labelled: dict = {}
        for row in run.records():
            ids = labelled.setdefault((row["strategy"], row["seed"]), [])
            ids += row["asked"]
            if row["strategy"] in SHALLOW and row["seed"] < config.shallow_seeds:
                sentences = [corpus.train[i] for i in sorted(ids)]
                words = sum(len(sentence.tokens) for sentence in sentences)
                measure(row["strategy"], row["seed"], row["round"], words, sentences)
    return {(row["strategy"], row["seed"], row["round"]): row for row in known}


def report(config, corpus, run: Run) -> None:
    """Writes the figure and the summary."""
    rows = run.records()
    total = sum(len(sentence.tokens) for sentence in corpus.train)
    test, dev = learning_curves(rows, "test"), learning_curves(rows, "dev")
    full = {seed: curve.score[-1] for seed, curve in test.pop(ALL, {}).items()}
    dev.pop(ALL, None)
    f1_full = interval(list(full.values()))
    crf = shallow(config, corpus, run)
    f1_shallow = crf[ALL, 0, 0]["f1"]

    def fraction_to(target):
        """Share of the words at which each strategy's mean curve first reaches a score."""
        if target is None or not test:
            return {}
        mean = {name: curves.mean(list(of_seed.values())) for name, of_seed in test.items()}
        words = {name: curves.words_to(*curve, target) for name, curve in mean.items()}
        return {name: None if count is None else count / total for name, count in words.items()}

    areas = {n: {s: curves.area(*c) for s, c in of.items()} for n, of in test.items()}
    random = areas.get("random", {})
    best = f1_full["mean"] if f1_full else None
    headline = {
        "f1_full": f1_full,
        "f1_shallow_full": f1_shallow,
        "words_to_99pct": fraction_to(best and 0.99 * best),
        "words_to_beat_shallow": fraction_to(f1_shallow),
        "aubc": {name: interval(list(of.values())) for name, of in areas.items()},
        "aubc_minus_random": {
            name: paired([of[s] for s in random], [random[s] for s in random])
            for name, of in areas.items()
            if random and name != "random"
        },
    }
    more = {"synthetic": corpus.synthetic, "note": corpus.note, "words": total}
    more["by_type"] = by_type(rows, corpus.types)
    if random:
        more["statistics"] = comparisons.summarise(test, "random", best)
    draw(corpus, rows, test, crf, f1_full, f1_shallow, total, config.data, run)
    run.finish(headline, **more)


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


def draw(corpus, rows, test, crf, f1_full, f1_shallow, total, title, run: Run) -> None:
    """Test F1 against words; beside it the length and the genre of what each strategy asks."""
    genres = sorted({sentence.genre for sentence in corpus.train})
    columns = 3 if len(genres) > 1 else 2
    figure, axes = figures.plt.subplots(1, columns, figsize=(4.3 * columns, 3.8))
    names = list(test)
    colour = dict(zip(names, figures.COLOURS, strict=False))
    for name, of_seed in test.items():
        grid = curves.mean(list(of_seed.values())).words
        scores = np.array([curves.interpolate(curve, grid) for curve in of_seed.values()])
        points = {100 * w / total: interval(scores[:, i]) for i, w in enumerate(grid)}
        figures.curve(axes[0], points, name.replace("_", " "), colour[name])
        found = [(r["words"], r["f1"]) for key, r in crf.items() if key[:2] == (name, 0)]
        if found:
            words, score = np.array(found).T
            axes[0].plot(100 * words / total, score, ":", color=colour[name], linewidth=1)
    if f1_full:
        axes[0].axhline(f1_full["mean"], color="black", linewidth=1)
        axes[0].annotate(
            "deep, all words",
            (0.98, f1_full["mean"]),
            xycoords=("axes fraction", "data"),
            ha="right",
            va="bottom",
        )
    axes[0].axhline(f1_shallow, color="black", linewidth=1, linestyle="--")
    axes[0].annotate(
        "shallow, all words",
        (0.98, f1_shallow),
        xycoords=("axes fraction", "data"),
        ha="right",
        va="top",
    )
    kind = "synthetic: " if corpus.synthetic else ""
    axes[0].set(
        xlabel="% of words annotated (dotted: shallow)", ylabel="test F1", title=kind + title
    )
    axes[0].legend(loc="lower right")
    lengths(axes[1], rows, names, colour)
    if columns == 3:
        genre_shares(axes[2], corpus, rows, names, genres)
    figures.save(figure, run.directory)


def lengths(axes, rows, names, colour) -> None:
    """Mean number of words of the sentences asked in each round: the bias of least confidence."""
    for name in names:
        values: dict = {}
        for row in rows:
            if row["strategy"] == name and row["asked"]:
                mean = row["asked_words"] / len(row["asked"])
                values.setdefault(row["round"] + 1, []).append(mean)
        points = {number: interval(means) for number, means in values.items()}
        figures.curve(axes, points, name.replace("_", " "), colour[name])
    axes.set(xlabel="round", ylabel="words a sentence asked")


def genre_shares(axes, corpus, rows, names, genres) -> None:
    """Which genre the words are of that each strategy asks for, after the common first round."""
    of_sentence = np.array([genres.index(sentence.genre) for sentence in corpus.train])
    length = np.array([len(sentence.tokens) for sentence in corpus.train])
    left = np.zeros(len(names) + 1)
    chosen = {
        name: [i for r in rows if r["strategy"] == name and r["round"] for i in r["asked"]]
        for name in names
    }
    bars = [np.arange(len(length)), *(np.array(chosen[name], int) for name in names)]
    for number, genre in enumerate(genres):
        share = [
            length[ids][of_sentence[ids] == number].sum() / max(length[ids].sum(), 1)
            for ids in bars
        ]
        labels = ["pool", *(name.replace("_", " ") for name in names)]
        axes.barh(labels, share, left=left, label=genre, color=figures.COLOURS[number % 10])
        left += share
    axes.set(xlabel="share of the words asked, by genre")
    axes.legend(ncols=3, fontsize=7, loc="upper center", bbox_to_anchor=(0.5, 1.15))


def claims(summary: dict) -> list[tuple[str, bool | None, str]]:
    """The talk's claims: what is claimed, whether it was shown again (None: undecided), numbers."""
    found, verdicts = summary["headline"], []
    for name, limit in (("words_to_99pct", 0.25), ("words_to_beat_shallow", 0.12)):
        value = found[name].get("mnlp")
        shown = "not reached" if value is None else f"{100 * value:.1f} % of the words"
        goal = "99 % of the best deep model" if "99" in name else "the best shallow model"
        verdict = value is not None and value <= limit
        verdicts.append(
            (f"MNLP reaches {goal} with {100 * limit:.0f} % of the words", verdict, shown)
        )
    gain = found["aubc_minus_random"].get("mnlp")
    if gain:
        low, high = gain["interval"] or (-np.inf, np.inf)
        verdict = True if low > 0 else False if high < 0 else None
        shown = (
            f"area under the curve, MNLP minus random: {gain['mean']:.3f} [{low:.3f}, {high:.3f}]"
        )
        verdicts.append(("MNLP beats random choice", verdict, shown))
    return verdicts

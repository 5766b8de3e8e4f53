"""What the talk claims of asking for sentences, and what a run says to it."""

from collections.abc import Sequence

from experiments.verdicts import (
    NOT_SHOWN,
    PARTLY,
    SHOWN,
    UNDECIDED,
    UNMEASURED,
    Claim,
    Measure,
    at_most,
    effect,
    rest,
    told,
)

ASKS = "mnlp"  # the strategy that the claims are of
TARGETS = {  # shares of the words, on OntoNotes 5
    "English": {"words_to_99pct": 0.249, "words_to_beat_shallow": 0.12},
    "Chinese": {"words_to_99pct": 0.301, "words_to_beat_shallow": 0.169},
}
TEXTS = {
    "words_to_99pct": "99 % of the best deep F1",
    "words_to_beat_shallow": "the best shallow F1",
}


def claims(summary: dict) -> list[Claim]:
    """What the slide claims of the run's language, and what the run says to it."""
    found, made = summary["headline"], []
    language = "Chinese" if summary["chinese"] else "English"
    for key, text in _texts(language):
        made.append(Claim(text, [_share(summary, key, TARGETS[language][key])]))
    gain = effect("", found["aubc_minus_random"].get(ASKS), "of area", digits=3)
    made.append(Claim(f"{language}: its curve is above that of random choice", [gain]))
    if not summary["synthetic"]:
        return made
    return [at_most(claim, PARTLY, "It is so on made sentences only.") for claim in made]


def unread(summaries: Sequence[dict]) -> list[Claim]:
    """Claims of a language that no run was of."""
    read = {"Chinese" if summary["chinese"] else "English" for summary in summaries}
    why = "No sentences in this language were read; --also ner_active_learning=SOURCE adds some."
    measure = lambda paper: Measure("", UNMEASURED, _percent(paper), UNDECIDED, why)
    return [
        Claim(text, [measure(TARGETS[language][key])])
        for language in TARGETS
        if language not in read
        for key, text in _texts(language)
    ]


def _texts(language: str) -> list[tuple[str, str]]:
    """What the slide claims of a language, by the headline's keys."""
    say = lambda key: f"{_percent(TARGETS[language][key])} of the words, asked for by MNLP"
    return [(key, f"{language}: {say(key)}, give {text}") for key, text in TEXTS.items()]


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _share(summary: dict, key: str, claimed: float) -> Measure:
    """The share of the words at which the mean curve is there, with an interval over seeds."""
    share, reached = summary["headline"][key].get(ASKS), summary["words_to"][key].get(ASKS)
    paper, asked = _percent(claimed), summary["config"]["fractions"][-1]
    measure = Measure("", UNMEASURED, paper, UNDECIDED, "It was not measured.")
    if reached is None:
        return measure
    if share is None:
        verdict = NOT_SHOWN if asked > claimed - 0.005 else UNDECIDED
        why = f"Asking ended at {100 * asked:.0f} % of the words, and it was not reached."
        return measure._replace(here="not reached", verdict=verdict, why=why)
    seeds = reached["seeds"]
    if seeds is None:
        why = f"{reached['reached']} of {reached['n']} seeds get there: there is no interval."
        return measure._replace(here=f"{_percent(share)} of the words", why=why)
    ends = seeds["interval"] and [end / summary["words"] for end in seeds["interval"]]
    form = {"mean": share, "interval": ends, "n": reached["n"]}
    saved = effect("", rest(form), "% fewer words", paper, 100 * (1 - claimed), 100)
    why = {
        SHOWN: f"It takes no more than the claimed {paper}.",
        PARTLY: f"It takes fewer words than all there are, but more than the claimed {paper}.",
    }.get(saved.verdict, saved.why)
    return saved._replace(here=told(form, "% of the words", 100), why=why)

"""What a run says to a claim: rules that make verdicts of numbers and their intervals.

A number is turned so that it is positive where the claim holds. With its 95 % interval it makes the
claim `shown` if the interval excludes zero and the number is as large as claimed, `partly` if it is
smaller, `not shown` if the interval is below zero, and `undecided` if zero is within. Of several
settings some may show a claim and others not; then it is `partly` shown. A property of a program,
which no interval is of, is `shown` by construction.
"""

import collections
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

SHOWN, PARTLY, NOT_SHOWN, UNDECIDED = "shown", "partly", "not shown", "undecided"
NOT_BUILT = "not built"
VERDICTS = {
    SHOWN: "the 95 % interval excludes zero, and the number is as large as claimed; or, of a "
    "program's property, it is so by construction",
    PARTLY: "the interval excludes zero, but the number is smaller than claimed, or it is so in "
    "some settings only",
    NOT_SHOWN: "the interval is on the other side of zero, or the target was not reached",
    UNDECIDED: "the interval contains zero, or there is none",
    NOT_BUILT: "no system here is about it yet",
}
UNMEASURED = "not measured"
Form = dict[str, Any]  # an interval form, see `trinity_jax.algorithms.statistics.interval`


class Measure(NamedTuple):
    """What one setting says to a claim.

    Attributes:
      setting: which; empty where there is one only.
      here: our number with its interval.
      paper: the paper's number for it, if there is one.
      verdict: one of `VERDICTS`.
      why: a sentence.
    """

    setting: str
    here: str
    paper: str
    verdict: str
    why: str


class Claim(NamedTuple):
    """A claim of the talk, and what was measured of it.

    Attributes:
      text: the claim, which may be true or not.
      measures: of all settings.
      paper: the paper's number, where it is not one for each setting.
    """

    text: str
    measures: Sequence[Measure]
    paper: str = ""

    @property
    def verdict(self) -> str:
        """Of all settings together."""
        return combine(measure.verdict for measure in self.measures)

    @property
    def why(self) -> str:
        """The reason of the only setting, or how many settings say what."""
        reasons = {measure.why: None for measure in self.measures}
        if len(reasons) == 1:
            return next(iter(reasons))
        counts = collections.Counter(measure.verdict for measure in self.measures)
        parts = [f"{verdict} in {counts[verdict]}" for verdict in VERDICTS if counts[verdict]]
        told = ", ".join(parts)
        return f"{told[:1].upper()}{told[1:]} of {len(self.measures)} settings."


def combine(verdicts: Iterable[str]) -> str:
    """One verdict of several; nothing at all is undecided."""
    found = set(verdicts)
    if len(found) == 1:
        return found.pop()
    if found & {SHOWN, PARTLY}:
        return PARTLY
    return NOT_SHOWN if NOT_SHOWN in found else UNDECIDED


def told(form: Form, unit: str, scale: float = 1, digits: int = 1) -> str:
    """A number with its interval, in words."""
    say = lambda x: f"{scale * x:.{digits}f}"
    ends = f" [{', '.join(map(say, form['interval']))}]" if form["interval"] else ""
    return f"{say(form['mean'])}{ends} {unit}".rstrip()


def effect(
    setting: str,
    form: Form | None,
    unit: str,
    paper: str = "",
    size: float = 0,
    scale: float = 1,
    digits: int = 1,
) -> Measure:
    """What a number says that is positive where the claim holds.

    Args:
      setting: see `Measure`, as for `paper`.
      form: the number; None where it was not measured.
      unit: of the number once it is scaled, as in "points".
      size: how large the claim says it is, in the same unit; 0 where it only says which is better.
      scale: what the number is multiplied by.
      digits: after the point.
    """
    if form is None:
        return Measure(setting, UNMEASURED, paper, UNDECIDED, "It was not measured.")
    here = told(form, unit, scale, digits)
    if not form["interval"]:
        return Measure(setting, here, paper, UNDECIDED, "One replica has no interval.")
    mean, low, high = (scale * x for x in (form["mean"], *form["interval"]))
    claimed = f"the claimed {size:g} {unit}"
    if high < 0:
        return Measure(
            setting, here, paper, NOT_SHOWN, "The interval is on the other side of zero."
        )
    if low <= 0:
        short = f" and stays below {claimed}" if high < size else ""
        return Measure(setting, here, paper, UNDECIDED, f"The interval contains zero{short}.")
    if mean < size:
        why = f"The interval excludes zero, but the number is less than {claimed}."
        return Measure(setting, here, paper, PARTLY, why)
    reach = f", and the number reaches {claimed}" if size else ""
    return Measure(setting, here, paper, SHOWN, f"The interval excludes zero{reach}.")


def minus(form: Form) -> Form:
    """The same number counted the other way."""
    ends = form["interval"]
    return {**form, "mean": -form["mean"], "interval": ends and [-ends[1], -ends[0]]}


def rest(form: Form) -> Form:
    """What a share leaves of the whole."""
    ends = form["interval"]
    return {**form, "mean": 1 - form["mean"], "interval": ends and [1 - ends[1], 1 - ends[0]]}


def at_most(claim: Claim, limit: str, why: str) -> Claim:
    """The claim, with no verdict above `limit`, `partly` or `undecided`, and why that is so."""
    above = (SHOWN,) if limit == PARTLY else tuple(VERDICTS)
    lower = lambda m: m._replace(verdict=limit, why=why) if m.verdict in above else m
    return claim._replace(measures=[lower(measure) for measure in claim.measures])


def judged(claims: Iterable[Claim], summary: dict) -> list[Claim]:
    """Claims as the report prints them: a smoke run decides nothing."""
    if summary["preset"] != "smoke":
        return list(claims)
    why = "A smoke run only shows that the path works."
    return [at_most(claim, UNDECIDED, why) for claim in claims]


def say(run, summary: dict, claims: Iterable[Claim]) -> None:
    """Tells who watches the run."""
    for claim in judged(claims, summary):
        numbers = "; ".join(
            f"{measure.setting}: {measure.here}" if measure.setting else measure.here
            for measure in claim.measures
        )
        run.say(f"{claim.text}: {claim.verdict} ({numbers})")

"""What each slide of the talk claims, and what the runs there are say to it."""

import collections
import json
import pathlib
from collections.abc import Callable, Mapping, Sequence

from experiments import (
    crowdsourcing_report,
    generative_report,
    ner_claims,
    partial_report,
    rendering_report,
)
from experiments.talk_slides import Slide
from experiments.verdicts import NOT_BUILT, NOT_SHOWN, SHOWN, Claim, Measure, judged

CLAIMS: Mapping[str, Callable[[dict], list[Claim]]] = {
    "ner_active_learning": ner_claims.claims,
    "partial_feedback": partial_report.claims,
    "crowdsourcing": crowdsourcing_report.claims,
    "generative_augmentation": generative_report.claims,
    "neural_rendering": rendering_report.claims,
}
COMPUTE = "All strategies and seeds of a figure are one compiled program"
# Claims beside those of the runs there are.
UNREAD: Mapping[str, Callable[[Sequence[dict]], list[Claim]]] = {
    "ner_active_learning": ner_claims.unread
}


def said(name: str, summary: dict) -> list[Claim]:
    """What a run says to the claims of its slide."""
    return judged(CLAIMS[name](summary), summary)


def unbuilt(slide: Slide) -> list[Claim]:
    """Claims that nothing here can say anything to."""
    measure = lambda paper: Measure("", "", paper, NOT_BUILT, "There is no system for it yet.")
    return [Claim(text, [measure(paper)]) for text, paper in slide.unbuilt]


def compute(runs: Sequence[tuple[str, pathlib.Path, dict]]) -> list[Claim]:
    """How many replicas each figure's program had, where they ran, and how long it took.

    Args:
      runs: name, directory and summary of each.
    """
    claims = [judged([Claim(COMPUTE, [_compiled(*run)])], run[-1])[0] for run in runs]
    return [Claim(COMPUTE, [measure for claim in claims for measure in claim.measures])]


def _compiled(name: str, directory: pathlib.Path, summary: dict) -> Measure:
    """What one run was compiled to."""
    lines = (directory / "records.jsonl").read_text().splitlines()
    replicas = sum(json.loads(line)["round"] == 0 for line in lines)
    title, seconds = name.replace("_", " "), summary["seconds"]
    here = f"{replicas:,} replicas on {devices(summary)}"
    if "compile" not in seconds:
        why = "Nothing says that its replicas were compiled as one program."
        return Measure(title, here, "", NOT_SHOWN, why)
    here += f", compiled in {seconds['compile']:.1f} s, ran in {seconds['rounds']:.1f} s"
    why = "All of its replicas are rows of one array that one program takes through a round."
    return Measure(title, here, "", SHOWN if replicas > 1 else NOT_SHOWN, why)


def devices(summary: dict) -> str:
    """How many devices there were, of which kind."""
    counts = collections.Counter(summary["devices"])
    name = lambda device: " ".join(dict.fromkeys(device.split()))  # platform and kind may agree
    return ", ".join(f"{count} {name(device)}" for device, count in counts.items())

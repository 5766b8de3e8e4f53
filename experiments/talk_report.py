"""The report of the talk: one page that lies beside it, slide by slide."""

import base64
import html
import json
import pathlib
import shlex
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from experiments import talk_claims
from experiments.talk_slides import PILLARS, SHEETS, SLIDES, Slide
from experiments.verdicts import VERDICTS, Claim, combine
from trinity_jax.aggregate.pictures import NOTHING, document, plain, table

NOT_RUN, FAILED = "not run", "failed"  # in place of a verdict
TITLE = "Trinity of AI: data, algorithms, compute"
SMOKE = "A smoke run only shows that the path works. Its numbers say nothing about the claims."
DETAILS = ("headline", "config", "versions")
STYLE = """
h1 { margin-bottom: .3rem } h2 { margin-top: 3rem; line-height: 1.3 }
h2 small { display: block; color: var(--soft); font-size: .85rem; font-weight: 600 }
h3 { margin: 1.5rem 0 0 } article p { margin: .3rem 0 } article .scroll { margin: .3rem 0 }
figure { margin: 1rem 0 } figure img { display: block; width: 100%; height: auto; background: #fff;
 border-radius: .3rem; padding: .3rem } figcaption { color: var(--soft); padding-top: .3rem }
.verdict { display: inline-block; padding: 0 .5rem; border-radius: .8rem; font-size: .85rem;
 font-weight: 600; line-height: 1.5; white-space: nowrap; border: 1px solid var(--line) }
.shown { background: var(--fine); border-color: var(--good); color: var(--good) }
.partly { background: var(--box); border-color: var(--edge); color: var(--gold) }
.not-shown, .failed { border-color: var(--bad); color: var(--bad) }
.undecided, .not-built, .not-run { color: var(--soft) }
:root { --good: #1c6b2c; --bad: #a32020 }
@media (prefers-color-scheme: dark) { :root { --good: #7fd08f; --bad: #ff9a92 } }
details { margin: .5rem 0 } summary { cursor: pointer; color: var(--blue) }
pre, code { font: .85rem/1.45 ui-monospace, monospace } pre { overflow-x: auto; max-height: 30rem }
th.word { white-space: normal } td.word:first-child { min-width: 5rem }
td.word:nth-child(2) { min-width: 7rem } td.word:nth-child(5) { min-width: 12rem }
td .verdict { font-size: .8rem; padding: 0 .4rem }
dl { display: flex; flex-wrap: wrap; gap: .3rem 2rem; margin: .4rem 0 } dd { margin: 0 }
dt { color: var(--soft); font-size: .9rem; font-weight: 600 }
"""


class Outcome(NamedTuple):
    """What became of one experiment.

    Attributes:
      name: of the experiment.
      directory: of its run.
      command: that runs it alone.
      summary: what it found; None where there is none.
      failure: why there is none.
    """

    name: str
    directory: pathlib.Path
    command: str
    summary: dict | None
    failure: str = ""


def outcome(name: str, directory: pathlib.Path, source: str = "") -> Outcome:
    """What a finished run left in its directory; `source` is data other than the preset's."""
    summary = json.loads((directory / "summary.json").read_text())
    return Outcome(name, directory, command(name, summary["preset"], source), summary)


def command(name: str, preset: str, source: str = "") -> str:
    """What runs an experiment alone."""
    data = ["--data", source] if source else []
    return shlex.join(["python", "-m", f"experiments.{name}", preset, *data])


def page(outcomes: Sequence[Outcome]) -> str:
    """The whole page, with what there is so far."""
    runs = [one for one in outcomes if one.summary]
    rows, sections = [], []
    for slide in SLIDES:
        verdict, body = _slide(slide, outcomes)
        link = f'<a href="#{slide.place}">{plain(slide.title)}</a>'
        rows.append((plain(slide.pillar), link, _badge(verdict)))
        says = f"<p>{plain(slide.says)}</p>\n"
        says += f'<p class="note">{plain(slide.source)}</p>\n' if slide.source else ""
        title = f"{plain(slide.title)} {_badge(verdict)}"
        sections.append(_section(slide.place, slide.pillar, title, says + body))
    smoke = any(one.summary["preset"] == "smoke" for one in runs)
    key = "".join(f"<li>{_badge(word)} {meaning}</li>" for word, meaning in VERDICTS.items())
    pillars = f"<p>{PILLARS}</p>\n" + table(("pillar", "slide", "here"), rows, (0, 1, 2))
    return document(
        TITLE,
        f"<header><h1>{TITLE}</h1>\n<p>What the talk claims, and what was measured again.</p>\n"
        + (f'<p class="warning" role="note">{SMOKE}</p>\n' if smoke else "")
        + "</header>\n"
        + _section("pillars", "Trinity of AI", "The three pillars", pillars)
        + f'<details><summary>What the verdicts mean</summary><ul class="key-list">{key}</ul>'
        "</details>\n" + "".join(sections),
        STYLE,
    )


def _section(place: str, above: str, title: str, body: str) -> str:
    head = f"<h2><small>{plain(above)}</small>{title}</h2>"
    return f'<section id="{place}">{head}\n{body}</section>\n'


def _slide(slide: Slide, outcomes: Sequence[Outcome]) -> tuple[str, str]:
    """The verdict of a slide, and what is below what it says."""
    runs = [(one.name, one.directory, one.summary) for one in outcomes if one.summary]
    if slide.unbuilt or (not slide.experiment and runs):
        claims = talk_claims.unbuilt(slide) or talk_claims.compute(runs)
        return combine(claim.verdict for claim in claims), _articles(claims)
    mine = [one for one in outcomes if one.name == slide.experiment]
    if not mine:
        subset = f" --experiments {slide.experiment}" * bool(slide.experiment)
        talk = f"<code>python -m experiments.talk{subset}</code>"
        return NOT_RUN, f"<p>{_badge(NOT_RUN)} {talk} runs it.</p>\n"
    claims, parts = [], []
    for one in mine:
        found = talk_claims.said(one.name, one.summary) if one.summary else []
        parts.append(_run(slide, one, found) if one.summary else _failure(one))
        claims += found
    summaries = [one.summary for one in mine if one.summary]
    if not summaries:
        return FAILED, "".join(parts)
    more = talk_claims.UNREAD.get(slide.experiment, lambda _: [])(summaries)
    return combine(claim.verdict for claim in [*claims, *more]), "".join(parts) + _articles(more)


def _failure(one: Outcome) -> str:
    return (
        f'<p class="warning" role="note">{_badge(FAILED)} {plain(one.failure)}</p>\n'
        f'<p class="note">Alone: <code>{plain(one.command)}</code></p>\n'
    )


def _run(slide: Slide, one: Outcome, claims: Sequence[Claim]) -> str:
    """Figure, claims and facts of a run."""
    summary = one.summary or {}
    pictures = {"figure.svg": slide.picture, **SHEETS}
    figures = "".join(
        _figure(one.directory / name, told)
        for name, told in pictures.items()
        if (one.directory / name).exists()
    )
    time = f"{summary['seconds_in_all']:,.0f} s on {talk_claims.devices(summary)}"
    facts = [f"Data: {summary['data']}", time]
    facts += [summary["note"]] if summary.get("note") else []
    all_of_it = json.dumps({key: summary[key] for key in DETAILS}, indent=1)
    said = _articles(claims) or "<p>These data say nothing about the slide's claims.</p>\n"
    return (
        f'<p class="note"><code>{plain(one.command)}</code><br>{plain(". ".join(facts))}</p>\n'
        f"{figures}{said}<details><summary>All numbers, configuration, versions</summary>"
        f"<pre>{html.escape(all_of_it)}</pre></details>\n"
    )


def _figure(path: pathlib.Path, told: str) -> str:
    kind = {".svg": "svg+xml", ".png": "png"}[path.suffix]
    data = base64.b64encode(path.read_bytes()).decode()
    image = f'<img alt="{plain(told)}" src="data:image/{kind};base64,{data}">'
    return f"<figure>{image}<figcaption>{plain(told)}</figcaption></figure>\n"


def _articles(claims: Iterable[Claim]) -> str:
    """Claims with their numbers, ours beside the paper's, the verdict, and why."""
    return "".join(
        f"<article><h3>{plain(claim.text)} {_badge(claim.verdict)}</h3>\n"
        f"<p>{plain(claim.why)}</p>\n{_numbers(claim)}</article>\n"
        for claim in claims
    )


def _numbers(claim: Claim) -> str:
    """Ours beside the paper's; of several settings a row each, with reasons where they differ."""
    paper = f'<p class="note">Paper: {plain(claim.paper)}</p>\n' if claim.paper else ""
    if len(claim.measures) == 1:
        (one,) = claim.measures
        named = f" ({plain(one.setting)})" if one.setting else ""
        pairs = [(f"here, 95 % interval{named}", one.here), ("paper", one.paper)]
        told = "".join(f"<div><dt>{term}</dt><dd>{plain(x)}</dd></div>" for term, x in pairs if x)
        return (f"<dl>{told}</dl>\n" if told else "") + paper
    known = any(one.paper for one in claim.measures)
    reasons = len({one.why for one in claim.measures}) > 1
    rows = [
        [
            *(plain(one.setting), plain(one.here), *[plain(one.paper or NOTHING)] * known),
            *(_badge(one.verdict), *[plain(one.why)] * reasons),
        ]
        for one in claim.measures
    ]
    head = ["setting", "here, 95 % interval", *["paper"] * known, "verdict", *["why"] * reasons]
    return table(head, rows, range(len(head))) + paper


def _badge(verdict: str) -> str:
    return f'<span class="verdict {verdict.replace(" ", "-")}">{verdict}</span>'

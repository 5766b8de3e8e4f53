"""The page of a talk: slide by slide, safe to open, and readable on a phone."""

import base64
import html.parser
import itertools
import re

import browser
import pytest
from made_runs import FIGURE, MADE, form, people, write

from experiments import talk_report
from experiments.talk_slides import SLIDES

VOID = {"meta", "img", "br"}
HOSTILE = "</script><script>alert(1)</script><img src=http://x onerror=y>&\u202e"


class Page(html.parser.HTMLParser):
    """Reads a page, holds that its tags balance, and keeps the text of each slide."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.slides = [], [], [], {}
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag == "section":
            self.slides[dict(attrs)["id"]] = ""
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag

    def handle_data(self, data):
        if "section" in self.open:
            self.slides[list(self.slides)[-1]] += data + " "

    def words(self, slide):
        return re.sub(r"\s+", " ", self.slides[slide])


def runs(folder, preset="laptop", leave_out=(), **more):
    """What a talk of made runs has found."""
    return [
        talk_report.outcome(name, write(folder / name, name, preset, **more))
        for name in MADE
        if name not in leave_out
    ]


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    """The page of a whole talk, one experiment of which failed, and one read other data too."""
    folder = tmp_path_factory.mktemp("talk")
    found = runs(folder, leave_out=["partial_feedback"])
    command = talk_report.command("partial_feedback", "laptop")
    why = "python -m experiments.partial_feedback: --data npz:x: no such folder"
    found.append(talk_report.Outcome("partial_feedback", folder, command, None, why))
    other = write(folder / "other", "crowdsourcing", made=people, data="labelme:DIR")
    found.append(talk_report.outcome("crowdsourcing", other, "labelme:DIR"))
    return talk_report.page(found)


def test_slides_are_in_the_order_of_the_talk(text):
    slides = Page(text).slides
    assert list(slides) == ["pillars", *(slide.place for slide in SLIDES)]
    for slide, words in zip(SLIDES, list(slides.values())[1:], strict=True):
        assert words.startswith(f"{slide.pillar} {slide.title}")  # which are numbered otherwise
        assert slide.says in words


def test_a_slide_has_the_claim_our_number_the_papers_the_verdict_and_why(text):
    page = Page(text)
    names, crowd = page.words("names"), page.words("crowd")
    assert "24.9 % of the words, asked for by MNLP, give 99 % of the best deep F1 partly" in names
    assert "26.0 [24.0, 28.0] % of the words" in names
    assert "paper 24.9 %" in names
    assert "It takes fewer words than all there are, but more than the claimed 24.9 %." in names
    assert "hammer-spammer workers, quality 0.2 12.9 [9.6, 16.2] points 6.8 points shown" in crowd
    assert "Shown in 2, partly in 1, undecided in 1 of 4 settings." in crowd
    assert "python -m experiments.crowdsourcing laptop --data labelme:DIR" in crowd
    assert "52 s on 2 cpu" in crowd


def test_the_first_slide_sums_up(text):
    words = Page(text).words("pillars")
    for title, verdict in (
        ("Deep active learning for named entities", "partly"),
        ("Active learning with partial feedback", "failed"),
        ("The neural rendering model", "partly"),
        ("Symbolic expressions", "not built"),
        ("Optimisation, scalability, multi-dimensionality", "not built"),
        ("One compiled program for a whole figure", "shown"),
    ):
        assert f"{title} {verdict}" in words
    links = [value for _, name, value in Page(text).attributes if name == "href"]
    assert links == [f"#{slide.place}" for slide in SLIDES]


def test_what_is_not_built_says_so(text):
    page = Page(text)
    assert page.words("symbols").count("not built") == 2  # the slide, and its claim
    assert page.words("algorithms").count("There is no system for it yet.") == 3
    assert "25 % less time to train ResNet-50" in page.words("algorithms")


def test_a_failure_says_why_and_how_to_run_it_alone(text):
    words = Page(text).words("questions")
    assert "failed python -m experiments.partial_feedback: --data npz:x: no such folder" in words
    assert "Alone: python -m experiments.partial_feedback laptop" in words


def test_what_was_not_run_says_how(tmp_path):
    page = Page(talk_report.page(runs(tmp_path, leave_out=["crowdsourcing"])))
    assert "python -m experiments.talk --experiments crowdsourcing runs it." in page.words("crowd")
    empty = Page(talk_report.page([]))
    assert empty.words("pillars").count("not run") == 6
    assert "not run python -m experiments.talk runs it." in empty.words("compute")


def test_a_language_that_was_not_read_is_undecided(tmp_path):
    assert "Chinese: 30.1 % of the words" in Page(talk_report.page(runs(tmp_path / "a"))).words(
        "names"
    )
    chinese = write(tmp_path / "zh", "ner_active_learning", chinese=True)
    both = [
        *runs(tmp_path / "b"),
        talk_report.outcome("ner_active_learning", chinese, "grammar:zh"),
    ]
    assert "No sentences in this language" not in Page(talk_report.page(both)).words("names")


def test_a_smoke_run_says_that_it_shows_nothing(tmp_path, text):
    page = Page(talk_report.page(runs(tmp_path, "smoke")))
    assert "A smoke run only shows that the path works." in page.words("crowd")
    words = page.words("pillars")
    assert words.count("undecided") == 6
    assert "shown" not in words
    assert "partly" not in words
    assert 'role="note">A smoke run' in talk_report.page(runs(tmp_path / "again", "smoke"))
    assert "smoke" not in text


def test_words_from_files_are_text(tmp_path):
    made = runs(tmp_path, data=HOSTILE, note=HOSTILE, versions={"jax": HOSTILE})
    made.append(made[0]._replace(summary=None, failure=HOSTILE, command=HOSTILE))
    text = talk_report.page(made)
    page = Page(text)
    assert "script" not in page.tags
    assert text.count("onerror") > 5
    assert all(name != "onerror" for _, name, _ in page.attributes)
    assert "\u202e" not in re.sub(r"<pre>.*?</pre>", "", text, flags=re.DOTALL)


def test_the_page_is_complete_in_itself(text):
    page = Page(text)
    sources = [value for _, name, value in page.attributes if name in ("src", "href")]
    assert all(value.startswith(("#", "data:image/")) for value in sources)
    assert {"script", "link", "iframe", "object"}.isdisjoint(page.tags)
    assert not re.search(r"url\(|@import", text)
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in text
    assert ("html", "lang", "en") in page.attributes
    assert "prefers-color-scheme: dark" in text
    assert ("meta", "content", "width=device-width, initial-scale=1") in page.attributes


def test_figures_are_in_the_page_and_said_in_words(text):
    page = Page(text)
    pictures = [value for tag, name, value in page.attributes if (tag, name) == ("img", "src")]
    assert len(pictures) == 5
    head, _, data = pictures[0].partition(",")
    assert head == "data:image/svg+xml;base64"
    assert base64.b64decode(data).decode() == FIGURE
    told = [value for tag, name, value in page.attributes if (tag, name) == ("img", "alt")]
    assert len(told) == 5
    assert all(len(words) > 30 for words in told)


SCROLLS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
PICTURES = "[...document.images].map(x => [x.complete && x.naturalWidth, x.clientWidth])"
PAPER = "getComputedStyle(document.body).backgroundColor"
OUTSIDE = """[...document.querySelectorAll("main *")].filter(
    x => x.getBoundingClientRect().right > innerWidth + 1 && !x.closest(".scroll, pre")).length"""


def test_on_a_phone_and_a_desk_nothing_is_out_of_sight(text, tmp_path):
    path = tmp_path / "report.html"
    path.write_text(text)
    papers = set()
    with browser.opened() as chromium:
        for width, dark in itertools.product((390, 1200), (False, True)):
            chromium.open(path, width, dark)
            assert chromium.value("innerWidth") == width
            assert chromium.value(SCROLLS) == 0
            assert chromium.value(OUTSIDE) == 0
            shown = chromium.value(PICTURES)
            assert len(shown) == 5
            assert all(loaded and 300 < wide < width for loaded, wide in shown)
            papers.add(chromium.value(PAPER))
    assert papers == {"rgb(255, 255, 255)", "rgb(20, 24, 29)"}


def test_a_verdict_is_never_in_words_that_the_legend_lacks(text):
    classes = [
        value for tag, name, value in Page(text).attributes if (tag, name) == ("span", "class")
    ]
    assert {value.removeprefix("verdict ") for value in classes} == {
        *("shown", "partly", "not-shown", "undecided", "not-built", "failed")
    }


def test_numbers_without_intervals_are_undecided(tmp_path):
    alone = {"mean": 5.0, "interval": None, "n": 1}
    made = MADE["neural_rendering"]()
    made["headline"]["paired_gain"] = {"joint": {"50": alone}}
    made["headline"]["error"]["joint"] = {"50": form(1, 1)}
    out = write(tmp_path / "one", "neural_rendering", made=lambda: made)
    words = Page(talk_report.page([talk_report.outcome("neural_rendering", out)])).words(
        "rendering"
    )
    assert "undecided One replica has no interval." in words

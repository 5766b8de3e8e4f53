"""The page of an aggregation: what it says is right, whole and safe to open."""

import html.parser
import re

import numpy as np
import pytest

from trinity_jax.aggregate import pictures
from trinity_jax.aggregate.report import page
from trinity_jax.aggregate.results import (
    Answer,
    Dependence,
    Reliability,
    Trust,
    choose_label,
    disagreement,
    reliability,
)

VOID = {"meta"}
SHAPES = {"rect", "line", "circle"}  # written <rect .../>
HOSTILE = ['</script><script>alert("1")</script>', "a&b<'\">", "</title><img src=x onerror=y>"]
OVERRIDE = "\u202eevil\u2066"
MAY = {
    *("html", "head", "meta", "title", "style", "body", "main", "nav", "section", "h1", "h2", "h3"),
    *("p", "b", "a", "br", "ul", "li", "div", "table", "thead", "tbody", "tr", "th", "td", "bdi"),
    *("svg", "text", "figure", "figcaption", *SHAPES),
}


class Page(html.parser.HTMLParser):
    """Reads a page and holds that its tags balance."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []
        self.sections = {}
        self.feed(text)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        assert tag in MAY, tag
        if tag == "section":
            self.sections[dict(attrs)["id"]] = []
        if tag not in VOID | {"br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        assert tag in SHAPES, tag
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, tag

    def handle_data(self, data):
        self.text.append(data)
        if self.sections and "section" in self.open:
            list(self.sections.values())[-1].append(data)

    def words(self, section=None):
        return "\n".join(self.text if section is None else self.sections[section])

    def titles(self):
        return [t for t in self.text if t.startswith("truth ") and ", said " in t]


def made(items=40, workers=6, labels=3, seed=0, **other):
    rng = np.random.default_rng(seed)
    answer = Answer(
        method="dawid-skene",
        source="annotations.csv",
        items=[f"item {i}" for i in range(items)],
        workers=[f"worker {w}" for w in range(workers)],
        labels=[f"class {k}" for k in range(labels)],
        posterior=rng.dirichlet(np.full(labels, 0.3), items),
        redundancy=rng.integers(1, 6, items),
        given=rng.integers(1, 50, workers),
        skill=rng.random(workers),
        confusion=rng.dirichlet(np.ones(labels), (workers, labels)),
        rounds=17,
        converged=True,
        alpha=0.7123,
        warnings=(),
    )
    return answer._replace(**other)


def trusted(answer, seed=1):
    rng = np.random.default_rng(seed)
    items, labels = answer.posterior.shape
    gold = np.where(rng.random(items) < 0.6, rng.integers(labels, size=items), -1)
    gold[0] = 0
    accuracy = rng.random((len(answer.workers), 1)) * 0.8 + np.array([0.1, 0, 0.2])
    accuracy[0] = np.nan
    held_out = rng.dirichlet(np.full(labels, 0.3), (gold >= 0).sum())
    baselines = {"majority": (0.8, 0.7, 0.9), "ridge <vote>": (0.6, np.nan, np.nan)}
    return Trust(gold, (0.85, 0.75, 0.91), baselines, accuracy, held_out)


def compared(answer, seed=2):
    rng = np.random.default_rng(seed)
    items, labels = answer.posterior.shape
    return {name: rng.integers(-1, labels, items) for name in ("majority", "glad", "mace")}


def everything(answer):
    dependence = Dependence(3.21, len(answer.workers), [[0, len(answer.workers) - 1], [0]])
    settings = [("command", "trinity-aggregate 'a & b.csv'"), ("seconds", "1.5")]
    return page(answer, trusted(answer), dependence, compared(answer), settings)


def test_a_page_says_what_was_found():
    answer = made()
    read = Page(everything(answer))
    words = read.words()
    total = int(answer.redundancy.sum())
    assert f"{total} labels of 40 items by 6 workers, 3 classes" in words
    assert "converged after 17 rounds" in words
    assert "No warnings." in words
    confidence = answer.posterior.max(1)
    assert pictures.percent(confidence.mean()) in words
    assert pictures.percent((confidence < 0.7).mean()) in words
    assert "0.712" in read.words("agreement")
    assert "tentative conclusions only" in read.words("agreement")
    assert "3.2" in read.words("dependence")
    assert "worker 0" in read.words("dependence")
    assert "trinity-aggregate 'a & b.csv'" in read.words("settings")
    assert len(read.titles()) == 6 * 3 * 3
    hardest = np.argsort([(p * np.log(p)).sum() for p in answer.posterior])[:25]
    rows = re.findall(r"item \d+", read.words("hardest"))
    assert rows == [f"item {i}" for i in hardest]


def test_what_was_not_looked_at_has_no_section():
    assert set(Page(page(made())).sections) == {"workers", "hardest", "agreement"}
    assert {"gold", "dependence", "methods", "settings"} < set(Page(everything(made())).sections)


def test_nothing_leaves_the_page():
    text = everything(made())
    read = Page(text)
    attributes = [name for name, _ in read.attributes]
    assert {"src", "xlink:href", "onclick", "onerror"}.isdisjoint(attributes)
    assert all(value.startswith("#") for name, value in read.attributes if name == "href")
    assert "http" not in text.replace("http-equiv", "")
    assert not re.search(r"url\(|@import|<script", text)
    assert "default-src 'none'; style-src 'unsafe-inline'; img-src data:" in text
    assert '<meta name="viewport"' in text
    assert "prefers-color-scheme: dark" in text


def test_names_are_text():
    names = [*HOSTILE, OVERRIDE, "", "long " * 500, "\u05e2\u05d5\u05d1\u05d3\u200f 12"]
    count = len(names)
    answer = made(items=count, workers=count, labels=count)
    answer = answer._replace(
        items=names, workers=names, labels=names, source=HOSTILE[0], warnings=names, method="<b>&"
    )
    text = everything(answer)
    read = Page(text)  # holds that tags are ours and balance
    assert "alert(" in read.words()
    assert HOSTILE[0] in read.text
    assert HOSTILE[1] in read.text
    assert "<script" not in text
    assert not set("\u202a\u202b\u202c\u202d\u202e") & set(text)
    assert "\ufffdevil\ufffd" in text
    assert text.count("\u2068") == text.count("\u2069") > 0
    for section in read.sections.values():
        assert max(map(len, section)) < 400
    text.encode()


def test_of_a_long_name_both_ends_are_kept():
    name = "https://example.org/" + "x" * 100 + "/0001.png"
    assert len(pictures.cut(name)) == 60
    assert pictures.cut(name).startswith("https://example.org/xx")
    assert pictures.cut(name).endswith("xx/0001.png")
    assert "\u2026" in pictures.cut(name)
    assert pictures.cut("y" * 60) == "y" * 60
    assert pictures.plain("a\x00\udcffb") == "a\ufffd\ufffdb"


@pytest.mark.parametrize("form", [(1, 1, 1), (1, 1, 4), (5, 1, 1), (3, 70, 13), (300, 30, 40)])
def test_pages_of_any_size(form):
    answer = made(*form)
    read = Page(everything(answer))
    words = read.words("workers")
    assert len(read.titles()) == (min(form[1], 24) * form[2] ** 2 if form[2] <= 12 else 0)
    assert ("too many for pictures" in words) == (form[2] > 12)
    assert ("busiest" in words) == (form[1] > 60 or (form[1] > 24 and form[2] <= 12))
    shown = re.findall(r"^worker \d+$", words, re.MULTILINE)
    assert len(shown) == min(form[1], 60) + (min(form[1], 24) if form[2] <= 12 else 0)
    Page(page(answer._replace(confusion=None)))


def test_workers_are_sorted_by_skill():
    answer = made(workers=5, confusion=None)
    read = Page(page(answer))
    shown = re.findall(r"^worker (\d+)$", read.words("workers"), re.MULTILINE)
    assert list(map(int, shown)) == list(np.argsort(-answer.skill))
    assert "no confusion matrices" in read.words("workers")


def test_the_busiest_workers_are_those_shown():
    answer = made(workers=100, confusion=None, given=np.arange(100))
    read = Page(page(answer))
    shown = set(map(int, re.findall(r"^worker (\d+)$", read.words("workers"), re.MULTILINE)))
    assert shown == set(range(40, 100))


def test_what_has_no_value_is_a_dash():
    answer = made()
    posterior = answer.posterior.copy()
    posterior[3] = np.nan
    confusion = answer.confusion.copy()
    confusion[0, 1] = np.nan
    skill = np.full(6, np.nan)
    answer = answer._replace(
        posterior=posterior, confusion=confusion, skill=skill, alpha=float("nan")
    )
    trust = trusted(answer)
    trust.held_out[0] = np.nan
    text = page(answer, trust, Dependence(float("nan"), 6, []), compared(answer))
    assert not re.search(r"\bnan", text)
    read = Page(text)
    assert len([t for t in read.titles() if t.endswith(": \u2013")]) == 3
    assert "It has no value" in read.words("agreement")
    assert "item 3" not in re.findall(r"item \d+", read.words("hardest"))
    nothing = made(posterior=np.full((40, 3), np.nan))
    assert not re.search(r"\bnan", page(nothing))
    assert "No item is in doubt" in page(nothing)


def test_without_gold_items_nothing_is_judged():
    answer = made()
    nan = (float("nan"),) * 3
    trust = Trust(np.full(40, -1), nan, {}, np.full((6, 3), np.nan), np.zeros((0, 3)))
    read = Page(page(answer, trust))
    assert "0 items with a known label" in read.words("gold")
    assert "No worker labelled enough" in read.words("gold")
    assert "right on gold" not in read.words("workers")
    with pytest.raises(ValueError, match="expected posteriors of 0 gold items, not 2"):
        page(answer, trust._replace(held_out=np.zeros((2, 3))))


def test_warnings_come_first_and_in_words():
    answer = made(warnings=("Half the items have one label.", "a < b"), converged=False)
    read = Page(page(answer))
    words = read.words()
    assert words.index("Half the items") < words.index("Workers")
    assert "a < b" in words
    assert "No warnings" not in words
    assert "stopped before it converged" in words


@pytest.mark.parametrize(
    ("alpha", "meaning"),
    [(0.8, "well enough to rely"), (0.667, "tentative"), (0.1, "too little"), (-0.1, "less than")],
)
def test_alpha_in_words(alpha, meaning):
    assert meaning in Page(page(made(alpha=alpha))).words("agreement")


def test_comparison_against_brute_force():
    answer = made(items=60)
    answers = compared(answer)
    names, rows = list(answers), list(answers.values())
    shares, spread = disagreement(answers)
    for a in range(3):
        for b in range(3):
            wanted = sum(x != y for x, y in zip(rows[a], rows[b], strict=True)) / 60
            assert shares[a, b] == pytest.approx(wanted)
    for i in range(60):
        pairs = [(a, b) for a in range(3) for b in range(a)]
        wanted = sum(rows[a][i] != rows[b][i] for a, b in pairs) / 3
        assert spread[i] == pytest.approx(wanted)
    read = Page(page(answer, comparison=answers))
    words = read.words("methods")
    for a in range(3):
        assert words.count(pictures.percent(shares[a, (a + 1) % 3])) >= 2
    same = int((spread == 0).sum())
    assert f"All methods agree on {same} of 60 items" in words
    shown = [int(i) for i in re.findall(r"^item (\d+)$", words, re.MULTILINE)]
    assert shown == list(np.argsort(-spread, kind="stable")[:20])
    alone = Page(page(answer, comparison={names[0]: rows[0]})).words("methods")
    assert "All methods agree on 60 of 60" in alone


def test_reliability_against_loops():
    rng = np.random.default_rng(3)
    posterior = rng.dirichlet(np.full(4, 0.4), 200)
    posterior[0], posterior[1], posterior[2] = [1, 0, 0, 0], np.nan, [0, 0.5, 0.5, 0]
    truth = rng.integers(4, size=200)
    bins = reliability(posterior, truth)
    found = [[] for _ in range(10)]
    for p, t in zip(posterior, truth, strict=True):
        if not np.isnan(p).any():
            found[min(int(p.max() * 10), 9)].append((p.max(), p.argmax() == t))
    error = 0
    for n, pairs in enumerate(found):
        assert bins.items[n] == len(pairs)
        if pairs:
            sure, right = np.mean(pairs, axis=0)
            assert (bins.confidence[n], bins.right[n]) == pytest.approx((sure, right))
            error += len(pairs) / 199 * abs(sure - right)
        else:
            assert np.isnan([bins.confidence[n], bins.right[n], bins.low[n]]).all()
    assert bins.error == pytest.approx(error)


def test_a_calibrated_aggregate_has_the_error_of_chance():
    rng = np.random.default_rng(4)
    posterior = rng.dirichlet(np.full(3, 0.7), 400)
    errors = []
    for _ in range(200):
        truth = (rng.random((400, 1)) > posterior.cumsum(1)[:, :2]).sum(1)
        errors.append(reliability(posterior, truth).error)
    assert reliability(posterior, truth).chance == pytest.approx(np.mean(errors), rel=0.05)


def test_choices():
    posterior = np.array([[0.2, 0.8], [0.5, 0.5], [np.nan, 0.1]], np.float32)
    choice = choose_label(posterior)
    assert choice.label.tolist() == [1, 0, -1]
    assert choice.runner_up.tolist() == [0, 1, -1]
    assert np.isnan(choice.confidence[2])
    assert choose_label(np.ones((2, 1))).runner_up.tolist() == [-1, -1]


def test_the_numbers_of_calibration_stand_in_the_page():
    answer = made()
    trust = trusted(answer)
    bins = reliability(trust.held_out, trust.gold[trust.gold >= 0])
    words = Page(page(answer, trust)).words("gold")
    assert pictures.percent(bins.error) in words
    for n in np.flatnonzero(bins.items):
        assert pictures.interval((bins.right[n], bins.low[n], bins.high[n])) in words
    assert "85.0\u00a0% (75.0 to 91.0)" in words
    assert "ridge <vote>" in words
    worst = re.findall(r"^worker (\d+)$", words, re.MULTILINE)
    assert list(map(int, worst)) == list(np.argsort(trust.worker_accuracy[:, 0])[:5])


def test_marks_lie_where_the_numbers_say():
    row = pictures.dots([("held", (0.75, 0.5, 1.0))], low=0.5)
    assert 'x1="0.00%" x2="100.00%"' in row
    assert 'cx="50.00%"' in row
    assert "<circle" not in pictures.dots([("said", (np.nan,))])
    assert pictures.axis_start([0.83, 0.99, np.nan]) == pytest.approx(0.8)
    assert pictures.axis_start([]) == pictures.axis_start([np.nan]) == 0
    assert pictures.axis_start([1.0]) == pytest.approx(0.9)
    drawn = pictures.columns(np.array([0, 5, 10]), ["a", "b", "<c>"], "items", "labels")
    assert re.findall(r'height="([\d.]+)%"', drawn) == ["0.00", "50.00", "100.00"]
    assert "&lt;c&gt;: 10 items" in drawn
    empty = Reliability(*np.zeros((5, 10)), error=0.0, chance=0.0)
    assert "<circle" not in pictures.diagram(empty)


def test_redundancy_of_many_values_is_binned():
    answer = made(items=200, redundancy=np.arange(200) + 3)
    words = Page(page(answer)).words("agreement")
    assert "3-12: 10 items" in words
    assert "193-202: 10 items" in words
    assert pictures.short(999) == "999"
    assert pictures.short(1500) == "1.5k"
    assert pictures.short(23_400_000) == "23M"


def test_shades_are_the_shares():
    answer = made(workers=2)
    text = page(answer)
    for share in answer.confusion.ravel():
        assert f'fill-opacity="{share:.3f}"' in text

"""From numbers to verdicts: the rules, and each slide's claims of made runs."""

import json

import pytest
from made_runs import MADE, form, names, people, questions, write

from experiments import ner_claims, talk_claims
from experiments.verdicts import (
    Claim,
    at_most,
    combine,
    effect,
    minus,
    rest,
)


@pytest.mark.parametrize(
    ("mean", "half", "size", "verdict"),
    [
        (1.0, 0.5, 0, "shown"),
        (6.0, 2.0, 5, "shown"),  # as large as claimed, if not surely so
        (4.0, 2.0, 5, "partly"),
        (6.0, 7.0, 5, "undecided"),
        (0.3, 1.0, 5, "undecided"),
        (1.0, 1.0, 0, "undecided"),  # zero is the end of the interval
        (0.0, 0.0, 0, "undecided"),
        (-1.0, 0.5, 0, "not shown"),
    ],
)
def test_a_verdict_is_that_of_the_interval_then_of_the_size(mean, half, size, verdict):
    found = effect("", form(mean, half), "points", size=size)
    assert found.verdict == verdict
    assert found.why.endswith(".")
    scaled = effect("", form(mean / 100, half / 100), "points", size=size, scale=100)
    assert scaled == found


def test_reasons():
    why = lambda *numbers: effect("", form(*numbers), "points", size=5).why
    assert why(6, 2) == "The interval excludes zero, and the number reaches the claimed 5 points."
    assert (
        why(4, 2) == "The interval excludes zero, but the number is less than the claimed 5 points."
    )
    assert why(1, 2) == "The interval contains zero and stays below the claimed 5 points."
    assert why(1, 9) == "The interval contains zero."
    assert effect("", form(6, 2), "points").here == "6.0 [4.0, 8.0] points"
    assert effect("", None, "points").verdict == "undecided"
    one = effect("", {"mean": 9.0, "interval": None, "n": 1}, "points")
    assert (one.here, one.verdict) == ("9.0 points", "undecided")


@pytest.mark.parametrize(
    ("verdicts", "together"),
    [
        ([], "undecided"),
        (["shown", "shown"], "shown"),
        (["shown", "undecided"], "partly"),
        (["shown", "not shown"], "partly"),
        (["partly", "partly"], "partly"),
        (["not shown", "undecided"], "not shown"),
        (["not built"], "not built"),
    ],
)
def test_several_settings(verdicts, together):
    assert combine(verdicts) == together


def test_a_claim_says_in_how_many_settings():
    forms = form(6, 1), form(2, 1), form(0, 1), form(7, 1)
    claim = Claim("", [effect("", one, "points", size=5) for one in forms])
    assert claim.verdict == "partly"
    assert claim.why == "Shown in 2, partly in 1, undecided in 1 of 4 settings."
    lower = at_most(claim, "partly", "Only here.")
    assert [one.verdict for one in lower.measures] == ["partly", "partly", "undecided", "partly"]
    assert {one.verdict for one in at_most(claim, "undecided", "").measures} == {"undecided"}


def test_arithmetic_of_intervals():
    assert minus(form(2, 1))["interval"] == [-3, -1]
    assert rest(form(0.25, 0.125)) == {"mean": 0.75, "interval": [0.625, 0.875], "n": 5}
    alone = {"mean": 1.0, "interval": None, "n": 1}
    assert minus(alone)["interval"] is rest(alone)["interval"] is None


def said(tmp_path, name, **more):
    directory = write(tmp_path / name, name, **more)
    return talk_claims.said(name, json.loads((directory / "summary.json").read_text()))


@pytest.mark.parametrize(
    ("name", "verdicts"),
    [
        ("ner_active_learning", ["partly", "shown", "shown"]),
        ("partial_feedback", ["partly", "shown"]),
        ("crowdsourcing", ["partly", "partly"]),
        ("generative_augmentation", ["partly", "shown", "undecided", "shown"]),
        ("neural_rendering", ["shown", "undecided", "undecided"]),
    ],
)
def test_claims_of_made_runs(tmp_path, name, verdicts):
    assert [claim.verdict for claim in said(tmp_path, name)] == verdicts


@pytest.mark.parametrize("name", MADE)
def test_a_smoke_run_decides_nothing(tmp_path, name):
    for claim in said(tmp_path, name, preset="smoke"):
        assert claim.verdict == "undecided"
        assert claim.why == "A smoke run only shows that the path works."


def test_words_are_compared_with_those_of_the_language(tmp_path):
    english = said(tmp_path, "ner_active_learning")[0]
    assert english.measures[0].here == "26.0 [24.0, 28.0] % of the words"
    assert english.measures[0].paper == "24.9 %"
    assert "more than the claimed 24.9 %" in english.why
    chinese = names() | {"chinese": True}
    claims = ner_claims.claims(chinese)
    assert claims[0].verdict == "shown"
    assert claims[0].measures[0].paper == "30.1 %"
    assert [claim.text[:7] for claim in ner_claims.unread([chinese])] == ["English"] * 2
    assert ner_claims.unread([chinese, names()]) == []


def test_made_sentences_show_a_claim_in_part():
    claims = ner_claims.claims(names() | {"synthetic": True})
    assert [claim.verdict for claim in claims] == ["partly"] * 3
    assert claims[1].why == "It is so on made sentences only."


@pytest.mark.parametrize(("asked", "verdict"), [(0.3, "not shown"), (0.15, "undecided")])
def test_a_target_that_was_not_reached(asked, verdict):
    made = names()
    made["config"]["fractions"] = [0.01, asked]
    made["headline"]["words_to_99pct"]["mnlp"] = None
    claim = ner_claims.claims(made)[0]
    assert (claim.verdict, claim.measures[0].here) == (verdict, "not reached")


def test_a_target_that_some_seeds_do_not_reach_has_no_interval():
    made = names()
    made["words_to"]["words_to_99pct"]["mnlp"] |= {"seeds": None, "reached": 3}
    claim = ner_claims.claims(made)[0]
    assert claim.verdict == "undecided"
    assert "3 of 5 seeds" in claim.why


def test_questions(tmp_path):
    more, fewer = said(tmp_path, "partial_feedback")
    assert more.measures[0].here == "1.4 [0.4, 2.4] points, 1.5 [0.5, 2.5] % relative"
    assert [one.paper for one in fewer.measures] == ["42 % fewer", "41 % fewer", ""]
    assert fewer.measures[0].here == "69 [69, 69] % fewer"


@pytest.mark.parametrize(("rounds", "verdict"), [(20, "not shown"), (11, "undecided")])
def test_not_everything_was_labelled(rounds, verdict):
    made = questions()
    made["config"]["rounds"] = rounds
    made["headline"]["questions_to_full"] = {"alpf_erc": None}
    _, fewer = talk_claims.CLAIMS["partial_feedback"](made)
    assert fewer.verdict == verdict
    assert f"with {5 * rounds} % of the questions" in fewer.why


def test_people(tmp_path):
    once, gain = said(tmp_path, "crowdsourcing", made=people)
    assert once.verdict == "partly"
    assert gain.measures[0].here == "6.0 [4.0, 8.0] points"
    assert talk_claims.CLAIMS["crowdsourcing"]({"headline": {"label_accuracy": {}}}) == []


def test_one_program(tmp_path):
    directory = write(tmp_path / "crowdsourcing", "crowdsourcing")
    summary = json.loads((directory / "summary.json").read_text())
    (claim,) = talk_claims.compute([("crowdsourcing", directory, summary)])
    assert claim.verdict == "shown"
    told = "12 replicas on 2 cpu, compiled in 9.3 s, ran in 41.6 s"
    assert claim.measures[0].here == told
    smoke = ("crowdsourcing", directory, summary | {"preset": "smoke"})
    (claim,) = talk_claims.compute([smoke, ("crowdsourcing", directory, summary)])
    assert [one.verdict for one in claim.measures] == ["undecided", "shown"]
    del summary["seconds"]["compile"]
    (claim,) = talk_claims.compute([("crowdsourcing", directory, summary)])
    assert claim.verdict == "not shown"

"""From records to headline, claims, figure and report, without training anything."""

import json
import shutil

import jax.numpy as jnp
import numpy as np
import pytest

from experiments import crowdsourcing, crowdsourcing_report, talk_report
from trinity_jax.compute.run import Run

CONFIG = crowdsourcing.Config(
    seeds=3, workers=("hammer_spammer",), qualities=(0.2,), redundancies=(1, 3)
)
ERRORS = {("majority", 1): 0.3, ("majority", 3): 0.4, ("mbem", 1): 0.1, ("mbem", 3): 0.2}


def rows(round_number):
    """Measurements whose paired differences are known; early ones are worse."""
    for match in CONFIG.budget_match:
        for seed in range(CONFIG.seeds):
            for (method, redundancy), error in ERRORS.items():
                yield {
                    "seed": seed,
                    "workers": "hammer_spammer",
                    "quality": 0.2,
                    "redundancy": redundancy,
                    "budget_match": match,
                    "method": method,
                    "label_accuracy": 0.5,
                    "loss": 1.0,
                    "test_error": error + 0.01 * seed + 0.2 * (round_number == 0),
                }


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Not to be changed."""
    out = tmp_path_factory.mktemp("report") / "crowdsourcing"
    with Run(out, "crowdsourcing", "smoke", CONFIG) as run:
        run.resume(lambda: {"nothing": jnp.zeros(())})
        for t in (0, 1):
            run.commit(t, {"nothing": jnp.zeros(())}, rows(t))
        crowdsourcing_report.report(CONFIG, 10, run)
    return out


@pytest.fixture
def copied(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "crowdsourcing")


def test_headline_takes_the_last_round_and_pairs_by_seed(finished):
    found = json.loads((finished / "summary.json").read_text())["headline"]
    once = found["once_against_thrice"]["hammer_spammer"]["0.2"]
    np.testing.assert_allclose([once["mean"], *once["interval"]], [-0.1] * 3, atol=1e-9)
    gain = found["gain_over_majority_points"]["hammer_spammer"]["0.2"]
    np.testing.assert_allclose([gain["mean"], *gain["interval"]], [20.0] * 3, atol=1e-7)
    assert found["best_redundancy"]["hammer_spammer"]["0.2"] == {"majority": 1, "mbem": 1}
    error = found["error"]["hammer_spammer"]["0.2"]["mbem"]["1"]
    assert error["n"] == 3
    assert error["mean"] == pytest.approx(0.11)


def test_the_second_way_of_matching_is_reported_too(finished):
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["headline_by_epochs"].keys() == summary["headline"].keys()


def test_claims_are_shown_again_or_not(finished):
    summary = json.loads((finished / "summary.json").read_text())
    verdicts = lambda: [claim.verdict for claim in crowdsourcing_report.claims(summary)]
    found = summary["headline"]
    assert verdicts() == ["shown", "shown"]
    once = found["once_against_thrice"]["hammer_spammer"]["0.2"]
    gain = found["gain_over_majority_points"]["hammer_spammer"]["0.2"]
    once.update(mean=0.1, interval=[0.05, 0.15])
    gain.update(mean=4.0, interval=[3.0, 6.0])
    assert verdicts() == ["not shown", "partly"]
    once.update(mean=-0.1, interval=[-0.3, 0.1])
    gain.update(mean=6.0, interval=[-1.0, 13.0])
    assert verdicts() == ["undecided", "undecided"]
    once.update(interval=[-0.3, -0.1])
    found["best_redundancy"]["hammer_spammer"]["0.2"]["mbem"] = 5
    claim, _ = crowdsourcing_report.claims(summary)
    assert (claim.verdict, claim.measures[0].paper) == ("partly", "9.2 points")
    assert "r = 5 has the lowest error" in claim.why


def test_the_talk_has_the_figure(finished):
    page = talk_report.page([talk_report.outcome("crowdsourcing", finished)])
    assert "data:image/svg+xml;base64," in page
    assert "10.0 [10.0, 10.0] points" in page  # error at r = 3 less that at r = 1
    assert "20.0 [20.0, 20.0] points" in page


def test_figures_are_the_same_bytes_again(copied):
    before = (copied / "figure.svg").read_bytes()
    with Run(copied, "crowdsourcing", "smoke", CONFIG) as run:
        crowdsourcing_report.report(CONFIG, 10, run)
    assert (copied / "figure.svg").read_bytes() == before

"""Finished runs of every experiment, made up: what a report reads of them.

Real runs are put into a report where they are tested, which holds that they have this shape.
"""

import json

SECONDS = {"load": 0.5, "restore": 0.1, "compile": 9.3, "rounds": 41.6, "checkpoint": 7.2}
IN_ALL = 51.5  # checkpoints are within rounds
FIGURE = (
    '<svg xmlns="http://www.w3.org/2000/svg" width="792" height="260" viewBox="0 0 792 260">'
    '<rect width="792" height="260" fill="#fff"/><path d="M9 250L780 9" stroke="#07c"/></svg>'
)


def form(mean, half, n=5):
    """An interval form."""
    return {"mean": mean, "interval": [mean - half, mean + half], "n": n}


def names():
    """English: one target as claimed, one with more words, and a curve above chance."""
    reach = lambda mean, half: {"mean_curve": mean, "seeds": form(mean, half), "reached": 5, "n": 5}
    return {
        "config": {"fractions": [0.01, 0.1, 0.3]},
        "synthetic": False,
        "note": "",
        "chinese": False,
        "words": 1000,
        "words_to": {
            "words_to_99pct": {"mnlp": reach(260.0, 20.0), "random": None},
            "words_to_beat_shallow": {"mnlp": reach(38.0, 5.0), "random": None},
        },
        "headline": {
            "words_to_99pct": {"mnlp": 0.26, "random": None},
            "words_to_beat_shallow": {"mnlp": 0.038, "random": None},
            "aubc_minus_random": {"mnlp": form(0.059, 0.005)},
        },
    }


def questions():
    """Less than 8 points, and more than 40 % fewer questions."""
    methods = ("alpf_edc", "alpf_erc", "alpf_eig")
    return {
        "config": {"rounds": 20, "round_share": 0.05},
        "headline": {
            "gain_in_points_at_30pct": {
                "al_me": form(2, 1),
                **dict.fromkeys(methods, form(1.4, 1)),
            },
            "relative_gain_at_30pct": dict.fromkeys(methods, form(0.015, 0.01)),
            "questions_to_full": {
                "uniform": form(0.95, 0.0),
                **dict.fromkeys(methods, form(0.31, 0)),
            },
        },
    }


def crowd():
    """Two settings show it, two do not; one gain is large, one small, two are in the noise."""
    errors, gains = (form(-0.069, 0.025), form(-0.01, 0.011)), (form(12.9, 3.3), form(2.0, 1.5))
    by_quality = lambda forms: dict(zip(("0.2", "0.6"), forms, strict=True))
    workers = ("hammer_spammer", "class_wise")
    return {
        "config": {"seeds": 10},
        "headline": {
            "once_against_thrice": {kind: by_quality(errors) for kind in workers},
            "gain_over_majority_points": {
                "hammer_spammer": by_quality(gains),
                "class_wise": by_quality((form(11.1, 1.9), form(0.3, 1.2))),
            },
            "best_redundancy": {kind: by_quality(({"mbem": 1}, {"mbem": 1})) for kind in workers},
        },
    }


def people():
    """Labels that people gave."""
    return {
        "config": {"seeds": 10},
        "headline": {
            "labelme": {"hard_vote": form(0.8, 0.01), "mbem": form(0.86, 0.01)},
            "labelme_budget": {
                "mbem": {"paired": form(0.01, 0.01)},
                "hard_vote": {"paired": form(0.02, 0.01)},
                "clean": {"paired": form(0.1, 0.01)},
            },
            "labelme_gain": {"hard_vote": form(0.06, 0.02)},
        },
    }


def adversaries():
    """A GAN that does not help and one that does; poor images; gradients in the noise."""
    return {
        "config": {"seeds": 5},
        "headline": {
            "paired_gain": {
                "steps": {
                    "gan": form(-2.3, 4.6),
                    "semi_gan": form(5.0, 1.9),
                    "joint": form(7.3, 2.8),
                }
            },
            "cas_less_than_real": {
                "gan": form(0.25, 0.05),
                "semi_gan": form(0.67, 0.09),
                "joint": form(0.02, 0.03),
            },
            "rendering_less_real_or_fake": form(-0.02, 0.06),
        },
    }


def rendering():
    """The joint model helps, rendering alone does not."""
    gains = {"20": form(10.5, 3.6), "50": form(5.4, 1.4), "100": form(3.0, 1.1)}
    errors = {"20": form(23.9, 1.6), "50": form(11.3, 2.2), "100": form(7.0, 1.3)}
    alone = {"20": form(2.0, 3.0), "50": form(0.1, 2.0), "100": form(0.2, 1.0)}
    return {
        "config": {"labelled": [50, 20, 100]},
        "headline": {
            "error": dict.fromkeys(("supervised", "joint", "reconstruction", "full"), errors),
            "paired_gain": {
                "joint": gains,
                "reconstruction": alone,
                "full": {"50": form(1.7, 2.2)},
            },
        },
    }


MADE = {
    "ner_active_learning": names,
    "partial_feedback": questions,
    "crowdsourcing": crowd,
    "generative_augmentation": adversaries,
    "neural_rendering": rendering,
}


def write(directory, name, preset="laptop", made=None, **more):
    """A run's directory."""
    directory.mkdir(parents=True)
    summary = {
        "experiment": name,
        "preset": preset,
        "data": "digits",
        "versions": {"jax": "0.10.2"},
        "devices": ["cpu cpu", "cpu cpu"],
        "seconds": SECONDS,
        "seconds_in_all": IN_ALL,
        **(made or MADE[name])(),
        **more,
    }
    (directory / "summary.json").write_text(json.dumps(summary))
    rows = [{"round": t, "seed": seed} for t in range(2) for seed in range(12)]
    (directory / "records.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (directory / "figure.svg").write_text(FIGURE)
    return directory

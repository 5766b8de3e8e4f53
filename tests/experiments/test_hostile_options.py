"""Options that can have no meaning: status 2, one sentence, and nothing is computed."""

import dataclasses
import importlib
import re
import signal

import jax
import pytest

from trinity_jax.aggregate import command
from trinity_jax.compute import program
from trinity_jax.types import InputError

IMAGES = ("partial_feedback", "crowdsourcing", "neural_rendering", "generative_augmentation")
NAMES = ("ner_active_learning", *IMAGES)
MODULES = {name: importlib.import_module(f"experiments.{name}") for name in NAMES}
CONFIGS = {name: module.PRESETS["smoke"] for name, module in MODULES.items()}
CONFIGS["aggregate"] = command.Config(annotations=("a.csv",))
WITHOUT = {int: (10**400, -(10**400), 2**63, -2), float: (float("nan"), 1e400, -1e400, -1e300)}
NUMBERS = [
    (name, field.name, value)
    for name, config in CONFIGS.items()
    for field in dataclasses.fields(config)
    for kind, values in WITHOUT.items()
    for value in values
    if type(next(iter(of), None) if type(of := getattr(config, field.name)) is tuple else of)
    is kind
]


def test_numbers_without_measure_are_refused():
    for name, field, value in NUMBERS:
        held = getattr(CONFIGS[name], field)
        other = (value, *held[1:]) if isinstance(held, tuple) else value
        with pytest.raises(InputError) as caught:
            dataclasses.replace(CONFIGS[name], **{field: other})
        assert f"--{field.replace('_', '-')} is " in str(caught.value), (name, field)
    assert len(NUMBERS) > 200


SOURCE = "unknown source"
FOLDER = "nowhere: expected a folder, found nothing"
WORDS = [
    *((name, "--data nope", SOURCE) for name in NAMES),
    *((name, "--data=", SOURCE) for name in NAMES),
    *((name, "--data a\tb", "source in printable characters") for name in NAMES),
    *((name, "--data npz:nowhere", FOLDER) for name in IMAGES),
    *((name, "--data digits:x", "expected 'digits' alone") for name in IMAGES),
    *((name, "--prefix x", "a prefix with npz:DIR only") for name in IMAGES),
    *((name, "--out file", "cannot write there") for name in NAMES),
    *((name, "--seeds 1e3", "--seeds") for name in NAMES),
    ("crowdsourcing", "--data csv:nowhere", FOLDER),
    ("crowdsourcing", "--data labelme:nowhere", FOLDER),
    ("crowdsourcing", "--network nope", "unknown network 'nope'"),
    ("crowdsourcing", "--methods nope", "unknown method 'nope'"),
    ("crowdsourcing", "--budget 1", "--budget is 1; expected"),
    ("ner_active_learning", "--data iob2:nowhere", FOLDER),
    ("ner_active_learning", "--data conll:file", "file: expected a folder, found a file"),
    ("ner_active_learning", "--data ontonotes:.", "expected files .gold_conll.*found none"),
    ("ner_active_learning", "--data grammar:xx", "expected grammar:en or grammar:zh"),
    ("ner_active_learning", "--language x", "a language with ontonotes:DIR only"),
    ("ner_active_learning", "--vectors nowhere", "nowhere: cannot be read"),
    ("ner_active_learning", "--vectors file", "file: expected lines of a word and numbers"),
    ("ner_active_learning", "--fractions 0.5 0.1", "--fractions must be several and ascend"),
    ("partial_feedback", "--hierarchy nope", "unknown hierarchy 'nope'"),
    ("partial_feedback", "--hierarchy nowhere.json", "nowhere.json: cannot be read"),
    ("partial_feedback", "--hierarchy wordnet:nowhere", FOLDER),
    ("partial_feedback", "--train-size 7", "--train-size is 7; expected a multiple"),
    ("partial_feedback", "--target nope", "expected no target"),
    ("partial_feedback", "--network nope", "unknown network 'nope'"),
    ("neural_rendering", "--labelled 7", "--labelled is 7; expected a multiple"),
    ("neural_rendering", "--rounds 1000", "--rounds is 1000; expected at most"),
    ("generative_augmentation", "--arms nope", "unknown value of --arms 'nope'"),
    ("generative_augmentation", "--schedule authors", "--schedule"),
]


@pytest.mark.parametrize(("name", "words", "sentence"), WORDS, ids=lambda of: of)
def test_what_is_wrong_is_said_in_a_sentence(name, words, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", jax.config.jax_compilation_cache_dir)
    (tmp_path / "file").touch()
    handler, module = signal.getsignal(signal.SIGTERM), MODULES[name]
    given = ["smoke", *words.split(" ")]
    try:
        with pytest.raises(SystemExit) as stop:
            program.main(name, module.PRESETS, module.experiment, module.__doc__, given)
    finally:
        signal.signal(signal.SIGTERM, handler)
    said = capsys.readouterr().err
    assert stop.value.code == 2
    assert re.search(sentence, said), said
    assert said.count("\n") == 1
    assert not list(tmp_path.rglob("records.jsonl"))

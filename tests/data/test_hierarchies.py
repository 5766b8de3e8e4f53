"""Hierarchies from files: the tables of the package, JSON, CSV, WordNet's nouns."""

import json
import pathlib
import sys

import numpy as np
import pytest
from broken_files import Bad, check_mutations, check_refused, write

from trinity_jax.data import _wordnet, sources
from trinity_jax.data.collection import hierarchy

sys.path.append(str(pathlib.Path(__file__).parents[1] / "fixtures"))
import make_hierarchies

DEBIAN = pathlib.Path(_wordnet.DEBIAN)
GOOD = {"labels": ["cat", "dog", "car"], "parents": {"cat": ["pet"], "dog": ["pet"], "car": []}}
NUMBERS = ["0", "1", "2"]
# label count, distinct questions, what labelling at random costs: those of the paper's baselines
TABLES = {
    "cifar10": (10, 26, 50_000, 170_000),
    "cifar100": (100, 261, 50_000, 336_500),
    "tinyimagenet": (200, 304, 100_000, 826_500),
}
KEYS = {
    "cifar10": "cifar10_hierarchy_authors.json",
    "cifar100": "cifar100_hierarchy_authors.json",
    "tinyimagenet": "tinyimagenet200_hierarchy.json",
}
MINI = {  # eight synsets, as in the real files: entity > animal > {dog, cat}, a bus, and person
    "entity": (["entity"], []),
    "animal": (["animal", "beast"], ["entity"]),
    "person": (["person"], ["entity"]),
    "dog": (["dog", "domestic_dog"], ["animal"]),
    "cad": (["cad", "dog"], ["person"]),
    "cat": (["cat"], ["animal"]),
    "Rex": (["Rex"], ["dog"]),
    "bus": (["bus"], ["entity"]),
}


def numbers(count):
    return list(map(str, range(count)))


def wordnet(version="3.0"):
    """The three files of a small WordNet."""
    head = f"  1 This software and database. WordNet {version} Copyright 2006  \n"
    offsets, data = {}, ""
    for _ in range(2):  # first for the offsets
        data = head
        for name, (words, above) in MINI.items():
            offsets[name] = len(data)
            pointers = [("@i" if name == "Rex" else "@", offsets.get(one, 0)) for one in above]
            pointers += [("~", 0)]
            told = "".join(f" {kind} {to:08d} n 0000" for kind, to in pointers)
            text = "".join(f" {word} 0" for word in words)
            data += (
                f"{offsets[name]:08d} 03 n {len(words):02x}{text} {len(pointers):03d}{told} | x\n"
            )
    senses = {}
    for name, (words, _) in MINI.items():
        for word in words:
            senses.setdefault(word.lower(), []).append(offsets[name])
    index = head + "".join(
        f"{word} n {len(own)} 1 @ {len(own)} 0 {' '.join(f'{o:08d}' for o in own)}  \n"
        for word, own in sorted(senses.items())
    )
    files = {"data.noun": data, "index.noun": index, "noun.exc": "beasties beast\n"}
    return {name: text.encode() for name, text in files.items()}, offsets


@pytest.mark.parametrize("name", TABLES)
def test_tables_ask_what_the_paper_asks(name, real_data):
    labels, count, images, cost = TABLES[name]
    asked = hierarchy.questions(*sources.hierarchy(name, numbers(labels)))
    assert asked.covers.shape == (count, labels)
    assert hierarchy.alike(asked.covers) == []
    assert hierarchy.balanced_cost(asked.covers).mean() * images == cost
    key = json.loads(real_data("images", KEYS[name]).read_text())
    wanted = {frozenset(node["leaves"]) for node in key["composites"]}
    wanted |= {frozenset([k]) for k in range(labels)}
    assert {frozenset(np.flatnonzero(row)) for row in asked.covers} == wanted
    names = {node["name"] for node in key["composites"]}
    found = {*asked.names, *(alias for of in asked.aliases for alias in of)}
    assert names <= found


def test_costs_of_tables():
    """The numbers of the test above that need nothing but the package."""
    for name, (labels, count, images, cost) in TABLES.items():
        asked = hierarchy.questions(*sources.hierarchy(name, numbers(labels)))
        assert len(asked.covers) == count
        assert hierarchy.balanced_cost(asked.covers).mean() * images == cost


@pytest.mark.parametrize("name", TABLES)
def test_tables_are_made_from_wordnet(name):
    if not DEBIAN.exists():
        pytest.skip(f"needs {DEBIAN} (Debian's package wordnet-base)")
    made = make_hierarchies.table(name, _wordnet.read(DEBIAN))
    held = json.loads((make_hierarchies.FOLDER / f"{name}.json").read_text())
    assert json.loads(json.dumps(made)) == held


def test_shapes_of_digits():
    asked = hierarchy.questions(*sources.hierarchy("digits", numbers(10)))
    loop = asked.covers[asked.names.index("digit with a loop")]
    assert np.flatnonzero(loop).tolist() == [0, 6, 8, 9]


def test_files(tmp_path):
    text = json.dumps(GOOD | {"notice": "x"})
    csv = b"parent,child\npet,cat\npet,dog\nthing,pet\nthing,car\n"
    write(tmp_path, {"h.json": text.encode(), "h.csv": csv})
    found = sources.hierarchy(f"{tmp_path}/h.json", NUMBERS)
    assert found.labels == ("cat", "dog", "car")
    assert found.parents == {"cat": ("pet",), "dog": ("pet",), "car": ()}
    assert sources.hierarchy(f"{tmp_path}/h.json", ["car", "dog", "cat"]).labels[0] == "car"
    found = sources.hierarchy(f"{tmp_path}/h.csv", ["dog", "car", "cat"])
    asked = hierarchy.questions(*found)
    assert asked.labels == ("dog", "car", "cat")
    assert asked.names[3:] == ("pet",)


def test_a_hierarchy_that_asks_nothing_is_named_by_its_file(tmp_path):
    write(tmp_path, {"h.csv": b"parent,child\na,b\nb,a\na,c\n"})
    found = sources.hierarchy(f"{tmp_path}/h.csv", ["c"])
    with pytest.raises(sources.InputError, match=r"/h\.csv: .*without cycles, found a > b > a$"):
        hierarchy.questions(*found)


def bad(name, content, pattern):
    file = "h.csv" if name.startswith("csv") else "h.json"
    content = content if isinstance(content, bytes) else json.dumps(content).encode()
    return Bad(name, {file: content}, pattern, f"{{}}/{file}", {"labels": NUMBERS})


BAD = [
    bad("no json", b"{", r"h\.json: expected JSON, found"),
    bad("not UTF-8", b'"\xe9"', r"h\.json: expected JSON, found"),
    bad("deep", b"[" * 100_000, r"h\.json: expected JSON, found"),
    bad("a list", [], r"expected an object with labels"),
    bad("no labels", {"parents": {}}, r"expected an object with labels"),
    bad("no parents", {"labels": ["a"]}, r"expected an object with labels"),
    bad("empty", {"labels": [], "parents": {}}, r"expected an object with labels"),
    bad("numbers", {"labels": [1, 2, 3], "parents": {}}, r"expected an object with labels"),
    bad("a string of parents", GOOD | {"parents": {"cat": "pet"}}, "expected an object with"),
    bad("not printable", GOOD | {"labels": ["a", "b", "\n"]}, "expected an object with"),
    bad("a name twice", b'{"labels": ["a"], "parents": {"a": [], "a": []}}', "found 'a' twice"),
    bad("other number", GOOD | {"labels": ["cat"]}, "a hierarchy of 3 labels.*found 1"),
    bad("csv header", b"child,parent\n", r"line 1: expected the header parent,child"),
    bad("csv width", b"parent,child\na\n", r"line 2"),
    bad("csv cycle", b"parent,child\na,b\nb,a\n", "expected a node without children"),
    bad("csv other names", b"parent,child\nx,a\nx,b\nx,c\n", "the data's label '0', found none"),
    Bad("nothing", {}, "gone.json: cannot be read", "{}/gone.json", {"labels": NUMBERS}),
    Bad(
        "typo", {}, "unknown hierarchy 'cifar1o'.*did you mean 'cifar10'", "cifar1o", {"labels": []}
    ),
    Bad("no wordnet", {}, "x: expected a folder", "wordnet:{}/x", {"labels": ["cat"]}),
    Bad("empty wordnet", {}, "wordnet-base", "wordnet:{}", {"labels": ["cat"]}),
]


@pytest.mark.parametrize("case", BAD, ids=lambda case: case.name)
def test_what_is_wrong_is_said_in_a_sentence(tmp_path, case):
    check_refused(sources.hierarchy, tmp_path, case)


def test_broken_json_ends_in_sentences_only(tmp_path):
    files = {"h.json": json.dumps(GOOD).encode()}
    read = lambda: sources.hierarchy(f"{tmp_path}/h.json", NUMBERS)
    check_mutations(read, tmp_path, files, "h.json")


def test_wordnet_by_name(tmp_path):
    files, _ = wordnet()
    write(tmp_path, files)
    names = ["Dogs", "cat", "buses", "maple"]
    found = sources.hierarchy(f"wordnet:{tmp_path}", names)
    assert found.parents["Dogs"] == ("dog.n.01", "cad.n.01")
    assert found.parents["buses"] == ("bus.n.01",)
    assert found.parents["maple"] == ()  # WordNet does not know all names
    assert found.parents["cad.n.01"] == ("person.n.01",)
    assert found.parents["entity.n.01"] == ()
    first = sources.hierarchy(f"wordnet-first:{tmp_path}", names)
    assert first.parents["Dogs"] == ("dog.n.01",)
    net = _wordnet.read(tmp_path)
    assert _wordnet.lemmas(net, "beasties") == ["beast"]
    assert _wordnet.lemmas(net, "bus") == ["bus"]
    assert _wordnet.lemmas(net, "Domestic Dogs") == ["domestic_dog"]


def test_wordnet_by_wnid(tmp_path):
    files, offsets = wordnet()
    write(tmp_path, files)
    wnids = [f"n{offsets[name]:08d}" for name in ("Rex", "cat", "bus")]
    found = sources.hierarchy(f"wordnet:{tmp_path}", wnids)
    assert found.parents[wnids[0]] == ("rex.n.01",)
    assert found.parents["rex.n.01"] == ("dog.n.01",)  # by an instance pointer
    asked = hierarchy.questions(*found)
    assert hierarchy.in_words(asked, 3) == "is it an animal (rex or cat)?"
    for labels, sentence in {
        ("n00000001",): "expected the wnid of a noun, found 'n00000001'",
        ("0", "1"): "found only numbers",
    }.items():
        with pytest.raises(sources.InputError, match=sentence):
            sources.hierarchy(f"wordnet:{tmp_path}", labels)
    write(tmp_path, wordnet("3.1")[0])
    with pytest.raises(sources.InputError, match=r"expected version 3\.0"):
        sources.hierarchy(f"wordnet:{tmp_path}", wnids)


@pytest.mark.parametrize("broken", ["data.noun", "index.noun"])
def test_broken_wordnet_ends_in_sentences_only(tmp_path, broken):
    files, _ = wordnet()
    read = lambda: sources.hierarchy(f"wordnet:{tmp_path}", ["dog", "cat", "bus"])
    check_mutations(read, tmp_path, files, broken)

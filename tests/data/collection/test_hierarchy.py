"""Questions from hierarchies: any directed acyclic graph, its costs, and what is refused."""

import time

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest

from trinity_jax.data.collection import hierarchy
from trinity_jax.types import InputError

LABELS = ("cat", "dog", "car", "toy dog")
PARENTS = {
    "cat": ["pet"],
    "dog": ["pet"],
    "pet": ["animal", "thing"],
    "animal": ["thing"],
    "car": ["vehicle", "thing"],
    "toy dog": ["dog-like", "thing"],
    "dog": ["pet", "dog-like"],  # noqa: F601
}


def sets(asked):
    return {frozenset(np.flatnonzero(row)) for row in asked.covers}


def test_labels_come_first_and_equal_sets_are_one_question():
    asked = hierarchy.questions(LABELS, PARENTS)
    assert asked.labels == LABELS
    np.testing.assert_array_equal(asked.covers[:4], np.eye(4, dtype=bool))
    assert sets(asked) == {frozenset(s) for s in [[0], [1], [2], [3], [0, 1], [1, 3]]}
    assert asked.names[4:] == ("pet", "dog-like")
    assert asked.aliases[4] == ("animal",)
    assert asked.aliases[2] == ("vehicle",)  # of one label: another name for it
    assert "thing" not in asked.names  # is everything


def test_a_label_above_others_is_asked_both_ways():
    asked = hierarchy.questions(["dog", "poodle", "cat"], {"poodle": ["dog"], "dog": [], "cat": []})
    assert sets(asked) == {frozenset(s) for s in [[0], [1], [2], [0, 1]]}
    assert asked.names[0] == "dog"
    assert asked.names[3] == "dog and below"


@pytest.mark.parametrize(
    ("labels", "parents", "sentence"),
    [
        (["a", "b"], {"a": ["b"], "b": ["c"], "c": ["a"]}, "without cycles, found a > c > b > a"),
        (["a"], {"a": ["a"]}, "without cycles, found a > a"),
        (
            ["a", "x"],
            {"a": ["r"]},
            "^hierarchy: expected label 'x' in a hierarchy that begins",
        ),
        (["a", "a"], {"a": []}, "different, found 'a' twice"),
        (["a"], {"a": [], "z": ["a"]}, "every node to be above a label, found 'z'"),
    ],
)
def test_what_is_wrong_is_named(labels, parents, sentence):
    with pytest.raises(InputError, match=sentence):
        hierarchy.questions(labels, parents)


def test_a_long_chain_takes_no_long_time():
    """By the square of its length it would be minutes."""
    parents = {f"n{n}": [f"n{n + 1}"] for n in range(20_000)} | {"a": ["n0"], "b": []}
    began = time.process_time()
    asked = hierarchy.questions(["a", "b"], parents)
    assert time.process_time() - began < 5
    assert asked.covers.tolist() == [[True, False], [False, True]]
    assert len(asked.aliases[0]) == 20_001


def test_labels_that_nothing_tells_apart():
    covers = np.array([[1, 1, 0, 0, 0], [0, 0, 1, 1, 0]], bool)
    assert hierarchy.alike(covers) == [(0, 1), (2, 3)]
    assert hierarchy.alike(np.eye(4, dtype=bool)) == []


def test_balanced_splits_of_a_binary_tree():
    covers = np.array([[k < 4, k % 4 < 2, k % 2] for k in range(8)], bool).T
    np.testing.assert_array_equal(hierarchy.balanced_cost(covers), [3] * 8)
    leaves = np.eye(5, dtype=bool)  # one at a time: 1, 2, 3, 4 and 4 questions
    np.testing.assert_array_equal(hierarchy.balanced_cost(leaves), [1, 2, 3, 4, 4])


@hypothesis.settings(max_examples=80, deadline=None)
@hypothesis.given(st.data())
def test_any_graph(data):
    """Sets are unions over what is below, and every label can be found out."""
    labels = [f"l{k}" for k in range(data.draw(st.integers(1, 6)))]
    inner = [f"n{k}" for k in range(data.draw(st.integers(0, 6)))]
    parents = {}
    for place, node in enumerate(inner):  # later nodes are above earlier ones: no cycles
        parents[node] = data.draw(
            st.lists(st.sampled_from(inner[place + 1 :] or [None]), max_size=3)
        )
        parents[node] = [p for p in parents[node] if p]
    for label in labels:
        parents[label] = data.draw(st.lists(st.sampled_from(inner or [None]), max_size=3))
        parents[label] = [p for p in parents[label] if p]
    reached, left = set(), [p for label in labels for p in parents[label]]
    while left:
        node = left.pop()
        if node not in reached:
            reached.add(node)
            left += parents[node]
    parents = {n: p for n, p in parents.items() if n in labels or n in reached}
    asked = hierarchy.questions(labels, parents)
    assert len(sets(asked)) == len(asked.covers)

    def below(node):
        own = {k for k, label in enumerate(labels) if label == node}
        return own.union(*(below(n) for n, of in parents.items() if node in of))

    wanted = {frozenset([k]) for k in range(len(labels))}
    wanted |= {frozenset(below(node)) for node in reached} - {frozenset(range(len(labels)))}
    if len(labels) == 1:
        wanted = {frozenset([0])}
    assert sets(asked) == wanted
    cost = hierarchy.balanced_cost(asked.covers)
    assert (cost >= (len(labels) > 1)).all()
    assert cost.max() <= max(len(labels) - 1, 0)


def test_a_learned_hierarchy_puts_together_what_is_mixed_up():
    names = ["a", "b", "c", "d"]
    confusion = np.array([[9, 6, 0, 0], [5, 9, 1, 0], [0, 0, 9, 4], [0, 1, 5, 9]])
    asked = hierarchy.questions(names, hierarchy.learned(confusion, names))
    assert {frozenset([0, 1]), frozenset([2, 3])} <= sets(asked)
    with pytest.raises(InputError, match="expected a confusion of 4 x 4"):
        hierarchy.learned(confusion[:3], names)
    with pytest.raises(InputError, match="none of them below zero"):
        hierarchy.learned(-confusion, names)


def test_questions_in_words():
    asked = hierarchy.questions(LABELS, PARENTS)
    assert hierarchy.in_words(asked, 0) == "is it a cat?"
    assert hierarchy.in_words(asked, 4) == "is it a pet (cat or dog)?"
    many = [f"n{k:08d}" for k in range(9)]
    parents = {wnid: (f"apple_{k}.n.01",) for k, wnid in enumerate(many)}
    parents |= {f"apple_{k}.n.01": ("edible_fruit.n.02",) for k in range(8)}
    asked = hierarchy.questions(many, parents)
    assert hierarchy.in_words(asked, 8) == "is it an apple 8?"
    words = "is it an edible fruit (apple 0, apple 1, apple 2, apple 3, apple 4 or 3 more)?"
    assert hierarchy.in_words(asked, 9) == words

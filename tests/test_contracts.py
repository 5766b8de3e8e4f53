"""Contracts: every algorithm of the package times every promise of its kind."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from contracts import close
from contracts_aggregation import DIMS, aggregation
from contracts_collection import BROKEN, ask_questions, pools, rounds, sentences
from contracts_losses import answers, images, labels

from trinity_jax.algorithms.em import Info
from trinity_jax.data.aggregation.aggregators import AGGREGATORS
from trinity_jax.data.collection import partial_feedback

KINDS = {"sentences": sentences, "pools": pools, "questions": ask_questions, "rounds": rounds}
KINDS |= {"aggregation": aggregation, "losses": labels, "answers": answers, "images": images}
OTHERS = ("another key", "a third key")


@functools.cache
def kind(name):
    return KINDS[name]()


# What an algorithm does not promise, and why.
NO_MATTER = "it is drawn, whatever the sentences are"
PLACES = "what is drawn is drawn for places and names, which change hands"
KNOWN = "it knows the truth, which the labels then contradict"
IGNORED = "it does not read what the network says"
EXCEPT = {
    **{
        ("random", variant): NO_MATTER
        for variant in ("items in another order", "an item twice", "nothing is there")
    },
    **{("random", variant): NO_MATTER for variant in ("one class only", "an item is NaN")},
    **{(name, "items in another order"): PLACES for name in kind("pools").random},
    **{(name, "items in another order"): PLACES for name in kind("rounds").random},
    ("kos", "items in another order"): PLACES,
    ("ebcc", "items in another order"): PLACES,
    ("kos", "workers in another order"): PLACES,
    ("majority as a target", "items in another order"): PLACES,
    ("majority as a target", "classes in another order"): PLACES,
    ("balanced", "an item is NaN"): IGNORED,
    ("uniform", "an item is NaN"): IGNORED,
    ("kos", "an item twice"): PLACES,
    ("mace", "workers in another order"): PLACES,
    ("mace", "classes in another order"): PLACES,
    ("kos", "all agree"): "it takes two labels, and here there are three",
    **{(f"{name} as a target", "one class only"): KNOWN for name in ("clean", "oracle_correct")},
    ("oracle_weighted as a target", "one class only"): KNOWN,
    ("oracle_weighted as a target", "all agree"): KNOWN,
    ("oracle_weighted as a target", "a batch of one"): KNOWN,
}


@functools.cache
def program(name):
    return jax.jit(jax.vmap(lambda seed, x: kind(name).run(jax.random.key(seed), x)))


def run(name):
    """Outputs for the plain input, with one key and with two others, and for the variants."""
    of = kind(name)
    inputs = [*[of.plain] * 3, *(variant.input for variant in of.variants.values())]
    seeds = np.array([0, 1, 2, *[0] * len(of.variants)], np.uint32)
    with jax.enable_x64(of.float64):
        out = program(name)(seeds, jax.tree.map(lambda *leaves: np.stack(leaves), *inputs))
    at = lambda place: jax.tree.map(lambda leaf: np.asarray(leaf[place]), out)
    return {lane: at(place) for place, lane in enumerate(["plain", *OTHERS, *of.variants])}


found = functools.cache(run)


PROMISES = [
    pytest.param(of, variant, name, id=f"{of}-{name}-{variant}")
    for of in KINDS
    for variant in kind(of).variants
    for name in kind(of).names
]
every_kind = pytest.mark.parametrize("of", KINDS)


@pytest.mark.parametrize(("of", "variant", "name"), PROMISES)
def test_promises(of, variant, name):
    check, outputs = kind(of).variants[variant].check, found(of)
    given = name, outputs[variant][name], outputs["plain"][name]
    if (name, variant) not in EXCEPT:
        check(*given)
        return
    with pytest.raises(AssertionError):  # or it promises more than is said
        check(*given)


def test_there_are_as_many_as_is_said():
    """And exceptions are of promises that there are."""
    pairs = {(name, variant) for _, variant, name in (promise.values for promise in PROMISES)}
    pairs |= {(name, "a batch of one") for of in KINDS for name in kind(of).names}
    assert set(EXCEPT) <= pairs
    assert len({variant for _, variant in pairs}) >= 30
    assert len({name for name, _ in pairs}) >= 60
    assert len(PROMISES) > 700


@pytest.mark.parametrize(
    "of", [pytest.param(of, marks=[pytest.mark.slow] * (of == "images")) for of in KINDS]
)
def test_a_batch_of_one(of):
    kind_, plain = kind(of), found(of)["plain"]
    with jax.enable_x64(kind_.float64):
        alone = jax.jit(lambda x: kind_.run(jax.random.key(0), x))(kind_.one.input)
    for name in kind_.names:
        if (name, "a batch of one") not in EXCEPT:
            kind_.one.check(name, jax.tree.map(np.asarray, alone[name]), plain[name])


@pytest.mark.parametrize("of", [of for of in KINDS if kind(of).plainly])
def test_plain_calls_are_as_compiled_lanes_and_leave_their_input_alone(of):
    kind_, expected = kind(of), found(of)["plain"]
    with jax.enable_x64(kind_.float64):
        given = jax.tree.map(jnp.asarray, kind_.plain)
        plain = kind_.run(jax.random.key(0), given, kind_.plainly)
    jax.tree.map(np.testing.assert_array_equal, given, kind_.plain)
    close(plain, {name: expected[name] for name in kind_.plainly})


@every_kind
def test_a_key_tells_the_output_and_only_of_what_is_random(of):
    again, outputs = run(of)["plain"], found(of)
    for name in kind(of).names:
        first = outputs["plain"][name]
        jax.tree.map(np.testing.assert_array_equal, again[name], first)
        others = [outputs[key][name] for key in OTHERS]
        equal = [jax.tree.map(np.array_equal, first, other) for other in others]
        assert all(jax.tree.leaves(equal)) == (name not in kind(of).random), name


@pytest.mark.parametrize("name", AGGREGATORS)
def test_a_round_keeps_the_form_of_the_state(name):
    method = AGGREGATORS[name]
    dims = DIMS._replace(labels=2) if method.binary else DIMS
    em, key = method.make(dims), jax.random.key(0)
    table = jax.tree.map(jnp.asarray, kind("aggregation").plain.table)
    state = jax.eval_shape(em.init, key, table)
    after, info = jax.eval_shape(em.step, key, state, table)
    form = lambda tree: jax.tree.map(lambda leaf: (leaf.shape, leaf.dtype), tree)
    assert form(after) == form(state)
    assert form(info) == Info(((), table.weight.dtype), ((), table.weight.dtype))


@pytest.mark.parametrize("name", ["al_me", "al_lc"])
def test_what_is_not_a_number_takes_no_place(name):
    """Of one item that is asked about."""
    of = kind("rounds").variants["an item is NaN"].input
    log_probs = jax.nn.log_softmax(jnp.asarray(of.posed.logits))
    left, truth, covers = map(jnp.asarray, (of.posed.left, of.truth, of.posed.covers))
    known = jnp.where(left, 0.0, -jnp.inf)
    ask = lambda *given: partial_feedback.ask(jax.random.key(0), [name], 0, *given, 9, most=1)
    asked = jax.jit(ask)(log_probs, known, truth, covers)
    assert asked.item[0] != BROKEN
    assert asked.taken[0] > 0

"""Running an aggregator to its end: rounds kept as they go, on all devices there are."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from trinity_jax.aggregate.start import EarlierRun
from trinity_jax.compute import parts, replicas
from trinity_jax.compute.run import Run
from trinity_jax.data.aggregation import aggregators, blocks
from trinity_jax.data.aggregation.annotations import Annotations, Dims, confusion_counts
from trinity_jax.data.aggregation.dawid_skene import pseudo_counts
from trinity_jax.data.aggregation.gold import LEAD
from trinity_jax.data.sources import Crowd

IN_BLOCKS = ("dawid-skene", "dawid-skene-map")  # methods for tables of any length
LONG = 10_000_000  # annotations from which on every round is kept
ROWS = 1 << 20  # annotations looked at together on the host
CELL = 128  # bytes that a number of the confusions takes, of sums of parts and on its way to a file
ROOM = 1 << 33  # bytes that all of them may take


class Fit(NamedTuple):
    """What a method found, on the host.

    Attributes:
      posterior: of the items, [item, label].
      counts: expected number of labels, each item once: [worker, truth, label]. None where they
        would not fit into memory, and where nobody asks: of `by_name`, after the first method.
      prior: of the labels.
      rounds: taken.
      converged: whether a further one would have gained nothing, or there is none.
    """

    posterior: np.ndarray
    counts: np.ndarray | None
    prior: np.ndarray
    rounds: int
    converged: bool


class Progress(NamedTuple):
    """Dawid-Skene between two rounds: what the last one added up, and from which parameters."""

    sums: blocks.Sums
    parameters: blocks.Parameters
    objective: Any
    rounds: Any
    converged: Any


def sizes(crowd: Crowd) -> Dims:
    """How many items, workers and labels there are."""
    return Dims(len(crowd.items), len(crowd.workers), len(crowd.labels))


def table(crowd: Crowd) -> Annotations:
    """The annotations on the device."""
    columns = map(jnp.asarray, (crowd.item, crowd.worker, crowd.label))
    return Annotations(*columns, weight=jnp.ones(len(crowd.item)))


def confusions_fit(dims: Dims, copies: float | int = 1) -> bool:
    """Whether so many times the workers' confusions, [worker, truth, label], fit into memory."""
    return CELL * copies * dims.workers * dims.labels**2 <= ROOM


def skill(crowd: Crowd, posterior: np.ndarray) -> np.ndarray:
    """Mean posterior mass on what each worker said, [worker]; gold items count as all others."""
    count = len(crowd.workers)
    right, given = np.zeros(count), np.bincount(crowd.worker, minlength=count)
    for first in range(0, len(crowd.item), ROWS):
        rows = slice(first, first + ROWS)
        belief = posterior[crowd.item[rows], crowd.label[rows]]
        right += np.bincount(crowd.worker[rows], belief, count)
    return right / np.maximum(given, 1)


def by_blocks(
    run: Run,
    crowd: Crowd,
    maximum_likelihood: bool,
    gold_weight: float,
    rounds: int,
    tolerance: float,
    start: EarlierRun | None,
) -> Fit:
    """Dawid-Skene, of a table of any length; see `blocks`.

    Args:
      run: keeps rounds: each of a long table, else all at once.
      crowd: the table; what it knows of truths is gold.
      maximum_likelihood: if not, a posteriori.
      gold_weight: how much an item of known label counts.
      rounds: most.
      tolerance: a round that gains less, in nats an annotation, is the last.
      start: parameters to begin from; None: the vote.
    """
    dims, devices, number = sizes(crowd), run.mesh, len(crowd.item)
    with run.phase("arrange", f"{number} annotations in blocks"):
        count = devices.size * -(-blocks.PARTS // devices.size)
        cell = crowd.worker * np.int32(dims.labels) + crowd.label
        gold = crowd.truth if (crowd.truth >= 0).any() else None
        arranged = crowd.item, cell, dims, gold, gold_weight
        columns, where = blocks.blocks(*arranged, parts=count)
        data = parts.place(columns, devices)
    prior = None if maximum_likelihood else pseudo_counts(dims)
    over = lambda function: parts.over_parts(
        lambda part, *common: function(part, dims, *common), devices, blocks.join
    )
    vote, advance = over(blocks.vote), over(blocks.advance)

    def begin(data):
        if start is not None:
            sums = advance(data, blocks.Parameters(*start.parameters(crowd)))
        elif gold_weight == 1 or data.gold is None:
            sums = vote(data)
        else:  # as `gold.led`
            loud = jnp.where(data.gold >= 0, LEAD * data.weight, data.weight)
            lead = vote(data._replace(weight=loud))
            sums = advance(data, blocks.parameters(lead, dims, prior)[0])
        parameters = blocks.parameters(sums, dims, prior)[0]
        nothing = jnp.full((), -jnp.inf), jnp.int32(0), jnp.bool_(False)
        return Progress(sums, parameters, *nothing)

    def once(data, state):
        parameters, density = blocks.parameters(state.sums, dims, prior)
        sums = advance(data, parameters)
        objective = (sums.log_likelihood.sum() + density) / number
        converged = objective - state.objective < tolerance
        return Progress(sums, parameters, objective, state.rounds + 1, converged)

    each = 1 if number > LONG else rounds

    def several(data, state):
        last = jnp.minimum(state.rounds + each, rounds)
        unfinished = lambda state: (state.rounds < last) & ~state.converged
        return jax.lax.while_loop(unfinished, lambda state: once(data, state), state)

    total = -(-rounds // each)
    first, state = run.resume(begin, data)
    state = replicas.share(state, devices)
    converged = lambda: bool(state.converged)
    todo = total if converged() else first
    step = run.compile(jax.jit(several), todo, total, data, state)
    for t in run.rounds(first, total, converged):
        state = step(data, state)
        gained = {"objective": float(state.objective), "em_round": int(state.rounds)}
        run.commit(t, state, [gained])
    with run.phase("posterior"):
        find = parts.over_parts(lambda part, q: blocks.posterior(part, dims, q), devices)
        found = np.asarray(jax.jit(find)(data, state.parameters))
        posterior = found.reshape(-1, dims.labels)[where]
        sums = state.sums
        if data.gold is not None and gold_weight != 1:  # the sums of the rounds are weighted
            once_each = lambda data, q: advance(data._replace(weight=jnp.sign(data.weight)), q)
            sums = jax.jit(once_each)(data, state.parameters)
    counts = np.asarray(sums.counts.sum(0)).reshape(dims.workers, dims.labels, -1)
    prior_of = np.exp(np.asarray(state.parameters.log_prior))
    return Fit(posterior, counts.swapaxes(1, 2), prior_of, int(state.rounds), bool(state.converged))


def by_name(
    run: Run, crowd: Crowd, methods: list[str], seed: int, options: dict[str, dict[str, Any]]
) -> dict[str, Fit]:
    """Any other aggregators, each a round of the run.

    Args:
      run: keeps what each found.
      crowd: the table.
      methods: names of `aggregators.AGGREGATORS`.
      seed: of random starts.
      options: of `aggregators.run`, by method.
    """
    dims, data, count = sizes(crowd), table(crowd), len(methods)

    def one(name, key, data):
        fitted = aggregators.run(name, key, data, dims, **options[name])
        ended = fitted.converged | aggregators.AGGREGATORS[name].fixed_rounds
        return jnp.exp(fitted.state.log_posterior), fitted.num_steps, ended

    empty = lambda: (
        jnp.zeros((count, dims.items, dims.labels)),
        jnp.zeros(count, jnp.int32),
        jnp.zeros(count, bool),
    )
    first, state = run.resume(empty)
    for t in run.rounds(first, count):
        name = methods[t]
        find = jax.jit(lambda key, data, name=name: one(name, key, data))
        found = find(jax.random.key(seed), data)
        state = tuple(old.at[t].set(new) for old, new in zip(state, found, strict=True))
        run.commit(t, state, [{"method": name, "em_round": int(state[1][t])}])
    counts = None
    if confusions_fit(dims):
        counted = jax.jit(lambda data, posterior: confusion_counts(data, dims, posterior))
        counts = np.asarray(counted(data, state[0][0]))
    posterior, taken, ended = map(np.asarray, state)
    share = posterior.mean(1)
    return {
        name: Fit(posterior[n], None if n else counts, share[n], int(taken[n]), bool(ended[n]))
        for n, name in enumerate(methods)
    }

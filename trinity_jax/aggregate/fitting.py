"""Running an aggregator to its end: rounds kept as they go, on all devices there are."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from trinity_jax.aggregate.start import Start
from trinity_jax.compute import mesh, parts, replicas
from trinity_jax.compute.run import Run
from trinity_jax.data.aggregation import aggregators, blocks
from trinity_jax.data.aggregation.annotations import Annotations, Dims, confusion_counts
from trinity_jax.data.aggregation.dawid_skene import pseudo_counts
from trinity_jax.data.aggregation.gold import LEAD
from trinity_jax.data.sources import Crowd

IN_BLOCKS = ("dawid-skene", "dawid-skene-map")  # methods for tables of any length
LONG = 10_000_000  # annotations from which on every round is kept


class Fit(NamedTuple):
    """What a method found, on the host.

    Attributes:
      posterior: of the items, [item, label].
      counts: expected, [worker, truth, label].
      prior: of the labels.
      rounds: taken.
      converged: whether a further one would have gained nothing.
    """

    posterior: np.ndarray
    counts: np.ndarray
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


def by_blocks(
    run: Run,
    crowd: Crowd,
    ml: bool,
    gold_weight: float,
    rounds: int,
    tolerance: float,
    start: Start | None,
) -> Fit:
    """Dawid-Skene, of a table of any length; see `blocks`.

    Args:
      run: keeps rounds: each of a long table, else all at once.
      crowd: the table; what it knows of truths is gold.
      ml: whether by maximum likelihood, or a posteriori.
      gold_weight: how much an item of known label counts.
      rounds: most.
      tolerance: a round that gains less, in nats an annotation, is the last.
      start: parameters to begin from; None: the vote.
    """
    dims, devices, number = sizes(crowd), mesh.make(), len(crowd.item)
    with run.phase("arrange", f"{number} annotations in blocks"):
        count = devices.size * -(-blocks.PARTS // devices.size)
        cell = crowd.worker * np.int32(dims.labels) + crowd.label
        gold = crowd.truth if (crowd.truth >= 0).any() else None
        arranged = crowd.item, cell, dims, gold, gold_weight
        columns, where = blocks.blocks(*arranged, parts=count)
        data = parts.place(columns, devices)
    prior = None if ml else pseudo_counts(dims)
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
    first, state = run.resume(lambda: begin(data))
    state = replicas.share(state, devices)
    with run.phase("compile", "compiling"):
        step = jax.jit(several).lower(data, state).compile()
    for t in run.rounds(first, total):
        if not bool(state.converged):
            state = step(data, state)
        gained = {"objective": float(state.objective), "em_round": int(state.rounds)}
        run.commit(t, state, [gained])
        if bool(state.converged):
            break
    with run.phase("posterior"):
        find = parts.over_parts(lambda part, q: blocks.posterior(part, dims, q), devices)
        found = np.asarray(jax.jit(find)(data, state.parameters))
        posterior = found.reshape(-1, dims.labels)[where]
    counts = np.asarray(state.sums.counts.sum(0)).reshape(dims.workers, dims.labels, -1)
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
    dims, data = sizes(crowd), table(crowd)

    def one(name, key, data):
        fitted = aggregators.run(name, key, data, dims, **options[name])
        posterior = jnp.exp(fitted.state.log_posterior)
        counts = confusion_counts(data, dims, posterior)
        return posterior, counts, fitted.num_steps, fitted.converged

    count, truths = len(methods), (dims.labels, dims.labels)
    empty = lambda: (
        jnp.zeros((count, dims.items, dims.labels)),
        jnp.zeros((count, dims.workers, *truths)),
        jnp.zeros(count, jnp.int32),
        jnp.zeros(count, bool),
    )
    first, state = run.resume(empty)
    for t in run.rounds(first, count):
        name = methods[t]
        find = jax.jit(lambda key, data, name=name: one(name, key, data))
        found = find(jax.random.key(seed), data)
        state = tuple(old.at[t].set(new) for old, new in zip(state, found, strict=True))
        run.commit(t, state, [{"method": name, "em_round": int(state[2][t])}])
    posterior, counts, taken, still = map(np.asarray, state)
    share = posterior.mean(1)
    return {
        name: Fit(posterior[n], counts[n], share[n], int(taken[n]), bool(still[n]))
        for n, name in enumerate(methods)
    }

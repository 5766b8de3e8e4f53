"""The program of every experiment is one for CUDA and for TPU: vectorised replicas, spread items.

It is lowered for these on whatever there is, and not run.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from experiments import (
    crowdsourcing,
    few_data,
    generative_augmentation,
    generative_report,
    ner_active_learning,
    ner_corpus,
    neural_rendering,
    partial_data,
    partial_feedback,
    step_times,
)
from trinity_jax.compute import mesh, program, replicas
from trinity_jax.data import sources
from trinity_jax.data.aggregation.annotations import Dims
from trinity_jax.data.collection import hierarchy

pytest.importorskip("sklearn", reason="needs scikit-learn installed")
pytestmark = pytest.mark.usefixtures("small_layers")
EXPERIMENT = crowdsourcing  # any: for the fixtures


def config_of(experiment, words):
    return program.parse(experiment.PRESETS, ["smoke", *words.split()], "", "")[1]


def digits(count=20):
    return partial_data.balanced(sources.images("digits"), count)


def crowd(each):
    config = config_of(crowdsourcing, "--methods majority weighted_em mbem --qualities 0.2")
    data, methods = digits(), list(config.methods)
    dims = Dims(20, config.num_workers, 10)
    grid = {"seed": range(2), "workers": config.workers, "quality": config.qualities}
    grid |= {"redundancy": (1, 3), "budget_match": config.budget_match, "method": methods}
    pure = crowdsourcing.make_round(config, dims, methods, 20, each)
    return *pure, data[1:5], replicas.grid(**grid)[1]


def names(each):
    config = config_of(ner_active_learning, "--strategies random bald mnlp --num-widths 1")
    _, encoded, data = ner_corpus.read(config)
    pure = ner_active_learning.make_round(config, encoded, 0, len(data.length), each)
    return *pure, data, replicas.grid(seed=range(2), strategy=config.strategies)[1]


def questions(each):
    config = config_of(partial_feedback, "--network convnet --methods uniform alpf_erc")
    found = digits()
    asked = hierarchy.questions(*sources.hierarchy("digits", found.labels))
    problem = partial_data.Problem(found, asked, asked.covers, np.ones(len(asked.covers)), 80.0)
    init, ask, learn = partial_feedback.make_round(config, problem, each)
    one_round = lambda *now: learn(*now, ask(*now))
    data = (*found[1:5], asked.covers)
    return init, one_round, data, replicas.grid(seed=range(2), method=config.methods)[1]


def rendering(each):
    config = config_of(neural_rendering, "--labelled 20")
    found = digits()
    init, _, advance = neural_rendering.make_round(config, found, each)
    replica = replicas.grid(seed=range(2), arm=config.arms, labelled=config.labelled)[1]
    data = few_data.arrays(config, found)
    return init, advance, data, replica | step_times.columns(6, config.steps)


def generation(each):
    config = config_of(generative_augmentation, "--labelled 20 --arms supervised gan")
    found = digits()
    measure = generative_report.measurer(config, found, (found[3][:10], found[4][:10]), each)
    pure = generative_augmentation.make_round(config, found, measure)
    replica = replicas.grid(seed=range(2), arm=config.arms)[1]
    return *pure, found[1:5], replica | step_times.columns(4, config.steps)


LONG = pytest.param(generation, marks=pytest.mark.slow)


@pytest.mark.parametrize("problem", [crowd, names, questions, rendering, LONG])
def test_one_program_for_accelerators(problem, monkeypatch):
    monkeypatch.setattr(replicas, "platform", lambda mesh: "gpu")
    devices = mesh.make(2, 2)
    init, advance, data, replica = problem(replicas.each_of(devices))
    sweep = replicas.over_replicas(advance, devices, shared=2)
    data = jax.tree.map(jnp.asarray, data)
    begin = replicas.over_replicas(init, devices, shared=1)
    with jax.debug_key_reuse(False):  # of branches all run, and one is taken
        state = jax.eval_shape(begin, data, replica)
        given = jnp.int32(0), data, state, replica
        exported = jax.export.export(jax.jit(sweep), platforms=["cuda", "tpu"])(*given)
    module = exported.mlir_module()
    assert exported.nr_devices == 4
    assert ("stablehlo.convolution" in module) == (problem is not crowd)  # native ones
    assert "stablehlo.all_gather" in module  # of the items' shares

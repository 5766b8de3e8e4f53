"""How fast the tagger learns and scores a pool, beside the same network in PyTorch.

    python -m experiments.benchmarks.tagger [--data iob2:DIR] [--sentences 4000]   minutes

Real words a second of training (`laptop` sizes, Adam) and of greedy decoding with MNLP, as one
replica or one a core; PyTorch as one process or one a core, with as many threads as cores in all,
as it is usually written (modules, Conv1d, nn.LSTM, Adam) and tuned by hand, see `torch_tagger`.
Each is called once to compile, then all in turn, `repeats` times. Floor: the products of word
layers and decoder, no more.
"""

import dataclasses
import functools
import importlib.util
import json
import multiprocessing
import pathlib

import jax
import numpy as np

from experiments.benchmarks.convolution import seconds
from trinity_jax.algorithms import tagger as taggers
from trinity_jax.compute import mesh, program, replicas
from trinity_jax.data import sources
from trinity_jax.data.collection import corpus, learning, reading

SIZES, RATE, PAPER = taggers.LAPTOP, 2e-3, {4: "11 and 12", 10: "-", 18: "22 and 44"}  # on 8 K80s


@dataclasses.dataclass(frozen=True)
class Config:
    data: str = "grammar:en"  # sentences to read: grammar:en, iob2:DIR, conll:DIR, ...
    batch: int = 32  # sentences a step
    sentences: int = 4000  # the first ones of the training part, or all there are
    widths: int = 4  # lengths that ours are padded to
    repeats: int = 3  # measurements of each program
    out: pathlib.Path | None = None  # file for the seconds as JSON, first calls first


def problem(config, num_widths, multiple, decoder="lstm", num_types=0):
    """The tagger, its first parameters, and sentences; with so many types, of random tags."""
    found, how = sources.sentences(config.data), {"num_widths": num_widths, "multiple": multiple}
    encoded = corpus.encode([found.train[: config.sentences]], found.types, **how)
    known, num_tags = encoded.vocabulary, 1 + 4 * (num_types or len(found.types))
    for bucket in encoded.buckets if num_types else ():
        bucket.tag[:] = np.random.default_rng(0).integers(num_tags, size=bucket.tag.shape)
    counts = len(known.chars), len(known.words), len(corpus.CASES), num_tags
    tagger = taggers.tagger(SIZES._replace(decoder=decoder), taggers.VocabularySizes(*counts))
    return tagger, tagger.init(jax.random.key(0)), encoded


def jax_program(config, count, work, decoder, num_types):
    """Words of a run, operations a word, and the run, of so many replicas, each on a device."""
    tagger, params, encoded = problem(config, config.widths, config.batch, decoder, num_types)
    recipe = learning.Recipe(tagger, *learning.adam(RATE), batch_size=config.batch, epochs=1)
    length = np.concatenate([bucket.length for bucket in encoded.buckets])
    size, how = sum(length > 0), {"num_types": len(encoded.tags) // 4, "batch_size": config.batch}

    def replica(data, seed, params):
        key, everything = jax.random.key(seed), jax.numpy.ones(size, bool)
        if work == "train":
            return learning.train(key, recipe, params, *data, everything)
        return reading.read(key, ("mnlp",), 0, tagger, params, *data, size, **how).scores

    devices = jax.sharding.Mesh(np.reshape(jax.devices()[:count], (-1, 1)), ("replica", "data"))
    program = jax.jit(replicas.over_replicas(replica, devices, shared=1))
    data = replicas.share((encoded.forms, encoded.buckets), devices)
    start = replicas.spread((np.arange(count), replicas.stack(params, count)), devices)
    parts = params["decoder"], *(of for name, of in params["encoder"].items() if "word" in name)
    products = (6 if work == "train" else 2) * sum(leaf.size for leaf in jax.tree.leaves(parts))
    return count * length.sum(), products, lambda: jax.block_until_ready(program(data, *start))


@functools.cache
def torch_program(config, threads, work):
    """The same network and loss in PyTorch, from the same parameters: the run."""
    from experiments.benchmarks import torch_tagger

    _, params, encoded = problem(config, num_widths=1, multiple=1)
    return torch_tagger.program(params, encoded, SIZES, RATE, config.batch, threads, work)


def torch_run(*given):
    return torch_program(*given)()


def main(config: Config):
    jax.config.update("jax_enable_compilation_cache", False)  # the first call is to compile
    mesh.use_cores()
    cores, programs, x = jax.device_count(), {}, jax.numpy.ones((2048, 2048))
    speed = 2 * 2048**3 / min(seconds(lambda: (x @ x).block_until_ready()) for _ in range(6))
    works = ("score", "lstm", 0), ("train", "lstm", 0), ("train", "crf", 0)
    plan = [(count, *work) for work in works for count in dict.fromkeys((1, cores))]
    plan += [(1, "train", decoder, types) for types in PAPER for decoder in ("lstm", "crf")]
    for count, work, decoder, types in plan:
        program = jax_program(config, count, work, decoder, types)
        programs[work, decoder, f"{types} types" if types else f"ours, {count}"] = program
        if importlib.util.find_spec("torch") and (decoder, types) == ("lstm", 0):
            ask = multiprocessing.get_context("spawn").Pool(count).starmap
            for name in ("usual", "tuned") if work == "train" else ("tuned",):
                given = [(config, cores // count, f"{work}, {name}")] * count
                run = functools.partial(ask, torch_run, given, 1)
                programs[work, decoder, f"torch {name}, {count}"] = *program[:2], run
    if not importlib.util.find_spec("torch"):
        print("PyTorch is not installed; to compare with it: pip install '.[bench]'")
    times = {name: [] for name in programs}
    for name in list(programs) * (1 + config.repeats):
        times[name].append(seconds(programs[name][-1]))
    rates = {name: programs[name][0] / np.array(spent[1:]) for name, spent in times.items()}
    mid = {name: np.median(rate) for name, rate in rates.items()}
    print(f"{program[0]} words, {cores} cores, {speed / 1e9:.0f} GFLOP/s; /1: to torch tuned, 1")
    print(f"{'words/s':>38}{'min - max':>18}{'floor':>9}{'/1':>7}{f'/{cores}':>7}   first call")
    for key, rate in rates.items():
        peer = lambda n, key=key: mid.get((*key[:2], f"torch tuned, {n}"), np.nan)
        one, many = mid[key] / peer(1), mid[key] / peer(cores)
        span = f"{mid[key]:10.0f}{min(rate):9.0f} -{max(rate):7.0f}{speed / programs[key][1]:9.0f}"
        print(f"{', '.join(key):28}{span}{one:7.2f}{many:7.2f}{times[key][0]:10.1f} s")
    print("\nseconds a pass  LSTM     CRF   ratio   in the paper")
    for types, paper in PAPER.items():
        lstm, crf = (program[0] / mid["train", name, f"{types} types"] for name in ("lstm", "crf"))
        print(f"{types:6} types{lstm:8.2f}{crf:8.2f}{crf / lstm:8.2f}   {paper}")
    if config.out:
        config.out.write_text(json.dumps({", ".join(name): spent for name, spent in times.items()}))


if __name__ == "__main__":
    program.script("benchmarks.tagger", Config, main, str(__doc__))

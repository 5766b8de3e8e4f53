"""How fast the tagger learns and scores a pool, beside the same network in PyTorch.

    python -m experiments.benchmarks.tagger [--data iob2:DIR] [--batch 32] [--sentences 4000]

Real words a second of training (`laptop` sizes, Adam) and of greedy decoding with MNLP, as one
replica or one a core; PyTorch as one process or one a core, with as many threads as cores in all.
Each is called once to compile, then all in turn, `repeats` times. Floor: the products of word
layers and decoder, no more. PyTorch, eager, has what is fastest on one core: word windows as one
product (5 % faster than conv1d), characters as sums of rows (4 %), once for each distinct word of a
batch or pool (25 %), sparse Adam for words (15 %).
"""

import dataclasses
import functools
import importlib.util
import json
import multiprocessing
import pathlib

import jax
import numpy as np
import tyro

from experiments.benchmarks.convolution import seconds
from trinity_jax.algorithms import tagger as taggers
from trinity_jax.compute import mesh, replicas
from trinity_jax.data import sources
from trinity_jax.data.collection import corpus, learning, reading

SIZES, RATE, PAPER = taggers.LAPTOP, 2e-3, {4: "11 and 12", 10: "-", 18: "22 and 44"}  # on 8 K80s


@dataclasses.dataclass(frozen=True)
class Config:
    data: str = "grammar:en"  # or iob2:DIR, conll:DIR, ...
    batch: int = 32
    sentences: int = 4000  # the first ones of the training part, or all there are
    widths: int = 4  # that ours are padded to
    repeats: int = 3
    out: pathlib.Path | None = None  # also write the seconds there, as JSON, first calls first


def problem(config, num_widths, multiple, decoder="lstm", num_types=0):
    """The tagger, its first parameters, and sentences; with so many types, of random tags."""
    found, how = sources.sentences(config.data), {"num_widths": num_widths, "multiple": multiple}
    encoded = corpus.encode([found.train[: config.sentences]], found.types, **how)
    known, num_tags = encoded.vocabulary, 1 + 4 * (num_types or len(found.types))
    for bucket in encoded.buckets if num_types else ():
        bucket.tag[:] = np.random.default_rng(0).integers(num_tags, size=bucket.tag.shape)
    counts = len(known.chars), len(known.words), len(corpus.CASES), num_tags
    tagger = taggers.tagger(SIZES._replace(decoder=decoder), taggers.Vocabulary(*counts))
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
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(threads)
    _, params, encoded = problem(config, num_widths=1, multiple=1)
    letters, word, case = (torch.from_numpy(leaf).long() for leaf in encoded.forms)
    forms, tags, length, _ = (torch.from_numpy(leaf.T).long() for leaf in encoded.buckets[0])
    new = jax.tree.map(lambda leaf: torch.tensor(np.array(leaf)), params)
    words, net, decoder = new["words"], new["encoder"], new["decoder"]
    letters[0, 0], net["chars"][0] = 1, 0  # padding has a maximum, and adds nothing
    inputs = torch.cat([decoder.pop("inputs"), decoder.pop("previous")]).T.contiguous()
    decoder["lstm"] = [inputs, decoder.pop("hidden").T.contiguous(), decoder.pop("gates")[0]]
    *dense, _ = leaves = [leaf.requires_grad_() for leaf in jax.tree.leaves(new)]
    assert sum(x.numel() for x in leaves) == sum(x.size for x in jax.tree.leaves(params))
    adams = torch.optim.Adam(dense, RATE, fused=True), torch.optim.SparseAdam([words], RATE)
    gates, begin = [*decoder["lstm"], torch.zeros(4 * SIZES.hidden)], len(encoded.tags)

    def batches():
        order = (length + torch.rand(len(length))).argsort().split(config.batch)
        for some in [order[number] for number in torch.randperm(len(order))]:
            form = forms[: length[some].max(), some]
            yield some, form, (form > 0).float(), tags[: len(form), some]

    def spell(letters):  # [form, feature]
        kernel, bias, skip = (net["char_layer"][name] for name in ("kernel", "bias", "skip"))
        windows = F.pad(letters, (2, 2)).unfold(1, letters.shape[1], 1).unbind(1)  # one a tap
        x = sum(map(F.embedding, windows, net["chars"] @ kernel, [0] * 5)) + bias
        x = torch.relu(x) + F.embedding(letters, net["chars"] @ skip)
        return x.masked_fill((letters == 0)[..., None], -torch.inf).amax(1)

    def encode(spelling, others, there, drop):  # [token, sentence, feature]
        w = drop(torch.cat([drop(spelling, SIZES.dropout), *others], -1), SIZES.input_dropout)
        h = w = w * there[..., None]
        for of in (net["word_layers_0"], net["word_layers_1"]):
            padded, skip = F.pad(h, (0, 0, 0, 0, 1, 1)), h @ of["skip"] if "skip" in of else h
            windows = torch.cat([padded[:-2], h, padded[2:]], -1)
            x = F.linear(windows, of["kernel"].flatten(0, 1).T, of["bias"].flatten())
            h = drop(torch.relu(x) + skip, SIZES.dropout) * there[..., None]
        return torch.cat([h, w], -1)

    def train():
        for some, form, there, tag in batches():
            distinct, place = form.unique(return_inverse=True)
            chars = letters[distinct, : (letters[distinct] > 0).sum(1).max()]
            seen = torch.where(torch.rand(form.shape) < SIZES.unknown, 1, word[form])
            others = F.embedding(seen, words, sparse=True), F.embedding(case[form], net["cases"])
            h = encode(spell(chars)[place], others, there, F.dropout)
            before = F.pad(tag[:-1], (0, 0, 1, 0), value=begin)
            x = torch.cat([h, F.embedding(before, decoder["tags"])], -1)
            zero = torch.zeros(1, len(some), SIZES.hidden)  # what nn.LSTM does:
            states, *_ = torch.lstm(x, [zero, zero], gates, True, 1, 0.0, True, False, False)
            scores = torch.addmm(decoder["bias"], states[form > 0], decoder["output"])
            (F.cross_entropy(scores, tag[form > 0], reduction="sum") / config.batch).backward()
            words.grad = words.grad.coalesce()
            grads = [words.grad.values(), *(leaf.grad for leaf in dense)]
            torch._foreach_mul_(grads, (5 / torch.nn.utils.get_total_norm(grads)).clamp(max=1))
            for adam in adams:
                adam.step()
                adam.zero_grad()

    @torch.inference_mode()
    def score():
        of_form = spell(letters), words[word], net["cases"][case]
        scores = torch.zeros(len(length))
        for some, form, there, _ in batches():
            spelling, *others = (features[form] for features in of_form)
            found, before = [], torch.full_like(some, begin)
            s, c = torch.zeros(2, len(some), SIZES.hidden)
            for x in encode(spelling, others, there, lambda x, rate: x):
                s, c = torch.lstm_cell(torch.cat([x, decoder["tags"][before]], 1), (s, c), *gates)
                found.append(torch.addmm(decoder["bias"], s, decoder["output"]))
                before = found[-1].argmax(1)
            best = torch.stack(found).log_softmax(-1).amax(-1)
            scores[some] = -(best * there).sum(0) / length[some]
        return scores.numpy()

    return {"score": score, "train": train}[work]


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
            run = functools.partial(ask, torch_run, [(config, cores // count, work)] * count, 1)
            programs[work, decoder, f"torch, {count}"] = *program[:2], run
    if not importlib.util.find_spec("torch"):
        print("PyTorch is not installed; to compare with it: pip install 'trinity_jax[bench]'")
    times = {name: [] for name in programs}
    for name in list(programs) * (1 + config.repeats):
        times[name].append(seconds(programs[name][-1]))
    rates = {name: programs[name][0] / np.array(spent[1:]) for name, spent in times.items()}
    mid = {name: np.median(rate) for name, rate in rates.items()}
    print(f"{program[0]} words, {cores} cores, {speed / 1e9:.0f} GFLOP/s; /1: to torch, 1")
    print(f"{'words/s':>32}{'min - max':>18}{'floor':>9}{'/1':>7}{f'/{cores}':>7}   first call")
    for key, rate in rates.items():
        one, many = (mid[key] / mid.get((*key[:2], f"torch, {n}"), np.nan) for n in (1, cores))
        span = f"{mid[key]:10.0f}{min(rate):9.0f} -{max(rate):7.0f}{speed / programs[key][1]:9.0f}"
        print(f"{', '.join(key):22}{span}{one:7.2f}{many:7.2f}{times[key][0]:10.1f} s")
    print("\nseconds a pass  LSTM     CRF   ratio   in the paper")
    for types, paper in PAPER.items():
        lstm, crf = (program[0] / mid["train", name, f"{types} types"] for name in ("lstm", "crf"))
        print(f"{types:6} types{lstm:8.2f}{crf:8.2f}{crf / lstm:8.2f}   {paper}")
    if config.out:
        config.out.write_text(json.dumps({", ".join(name): spent for name, spent in times.items()}))


if __name__ == "__main__":
    main(tyro.cli(Config, description=__doc__))

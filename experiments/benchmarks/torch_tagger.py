"""The tagger in PyTorch, from the parameters of ours, tuned by hand: what is fastest on one core.

Word windows as one product (5 % faster than Conv1d), characters as sums of rows (4 %), once for
each distinct word of a batch or pool (25 %), sparse Adam for words (15 %). The tagger as it is
usually written is in `torch_usual_tagger`.
"""

import itertools

import jax
import numpy as np
import torch
from torch.nn import functional as F

from experiments.benchmarks.torch_usual_tagger import arrays, batches, usual


def program(params, encoded, sizes, rate, batch, threads, work):
    """The run of one pass: "train, usual", "train, tuned" or "score, tuned"."""
    torch.set_num_threads(threads)
    part, way = work.split(", ")
    return WAYS[way](params, encoded, sizes, lambda step: rate, batch)[part]


def tuned(params, encoded, sizes, rate, batch, groups=None, b2=0.999):
    """One pass of training, on these groups of sentences or on all, or so many steps of it, at the
    rate of each; and one of decoding all of them, for their MNLP and their tags [sentence, token].
    """
    letters, word, case, forms, tags, length = arrays(encoded)
    new = jax.tree.map(lambda leaf: torch.tensor(np.array(leaf)), params)
    words, net, decoder = new["words"], new["encoder"], new["decoder"]
    letters[0, 0], net["chars"][0] = 1, 0  # padding has a maximum, and adds nothing
    inputs = torch.cat([decoder.pop("inputs"), decoder.pop("previous")]).T.contiguous()
    decoder["lstm"] = [inputs, decoder.pop("hidden").T.contiguous(), decoder.pop("gates")[0]]
    *dense, _ = leaves = [leaf.requires_grad_() for leaf in jax.tree.leaves(new)]
    assert sum(x.numel() for x in leaves) == sum(x.size for x in jax.tree.leaves(params))
    betas, steps = (0.9, b2), itertools.count()
    adams = (
        torch.optim.Adam(dense, betas=betas, fused=True),
        torch.optim.SparseAdam([words], betas=betas),
    )
    gates, begin = [*decoder["lstm"], torch.zeros(4 * sizes.hidden)], len(encoded.tags)

    def parts(groups=None):
        for some in batches(length, batch, groups):
            form = forms[: length[some].max(), some]
            yield some, form, (form > 0).float(), tags[: len(form), some]

    def spell(letters):  # [form, feature]
        kernel, bias, skip = (net["char_layer"][name] for name in ("kernel", "bias", "skip"))
        windows = F.pad(letters, (2, 2)).unfold(1, letters.shape[1], 1).unbind(1)  # one a tap
        x = sum(map(F.embedding, windows, net["chars"] @ kernel, [0] * 5)) + bias
        x = torch.relu(x) + F.embedding(letters, net["chars"] @ skip)
        return x.masked_fill((letters == 0)[..., None], -torch.inf).amax(1)

    def encode(spelling, others, there, drop):  # [token, sentence, feature]
        w = drop(torch.cat([drop(spelling, sizes.dropout), *others], -1), sizes.input_dropout)
        h = w = w * there[..., None]
        for of in (net["word_layers_0"], net["word_layers_1"]):
            padded, skip = F.pad(h, (0, 0, 0, 0, 1, 1)), h @ of["skip"] if "skip" in of else h
            windows = torch.cat([padded[:-2], h, padded[2:]], -1)
            x = F.linear(windows, of["kernel"].flatten(0, 1).T, of["bias"].flatten())
            h = drop(torch.relu(x) + skip, sizes.dropout) * there[..., None]
        return torch.cat([h, w], -1)

    def train(most=None):
        for some, form, there, tag in itertools.islice(parts(groups), most):
            distinct, place = form.unique(return_inverse=True)
            chars = letters[distinct, : (letters[distinct] > 0).sum(1).max()]
            seen = torch.where(torch.rand(form.shape) < sizes.unknown, 1, word[form])
            others = F.embedding(seen, words, sparse=True), F.embedding(case[form], net["cases"])
            h = encode(spell(chars)[place], others, there, F.dropout)
            before = F.pad(tag[:-1], (0, 0, 1, 0), value=begin)
            x = torch.cat([h, F.embedding(before, decoder["tags"])], -1)
            zero = torch.zeros(1, len(some), sizes.hidden)  # what nn.LSTM does:
            states, *_ = torch.lstm(x, [zero, zero], gates, True, 1, 0.0, True, False, False)
            scores = torch.addmm(decoder["bias"], states[form > 0], decoder["output"])
            (F.cross_entropy(scores, tag[form > 0], reduction="sum") / batch).backward()
            words.grad = words.grad.coalesce()
            grads = [words.grad.values(), *(leaf.grad for leaf in dense)]
            torch._foreach_mul_(grads, (5 / torch.nn.utils.get_total_norm(grads)).clamp(max=1))
            now = rate(next(steps))
            for adam in adams:
                adam.param_groups[0]["lr"] = now
                adam.step()
                adam.zero_grad()

    @torch.inference_mode()
    def score():
        of_form = spell(letters), words[word], net["cases"][case]
        scores, decoded = torch.zeros(len(length)), torch.zeros_like(forms)
        for some, form, there, _ in parts():
            spelling, *others = (features[form] for features in of_form)
            found, before = [], torch.full_like(some, begin)
            s, c = torch.zeros(2, len(some), sizes.hidden)
            for x in encode(spelling, others, there, lambda x, rate: x):
                s, c = torch.lstm_cell(torch.cat([x, decoder["tags"][before]], 1), (s, c), *gates)
                found.append(torch.addmm(decoder["bias"], s, decoder["output"]))
                before = found[-1].argmax(1)
                decoded[len(found) - 1, some] = before
            best = torch.stack(found).log_softmax(-1).amax(-1)
            scores[some] = -(best * there).sum(0) / length[some]
        return scores.cpu().numpy(), decoded.T.cpu().numpy()

    return {"score": score, "train": train}


WAYS = {"usual": usual, "tuned": tuned}

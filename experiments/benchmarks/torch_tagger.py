"""The tagger in PyTorch, from the parameters of ours: as it is usually written, and tuned by hand.

usual   modules: an embedding and Conv1d over the characters of every token, Conv1d over words,
        nn.LSTM, Adam for all parameters
tuned   what is fastest on one core: word windows as one product (5 % faster than Conv1d),
        characters as sums of rows (4 %), once for each distinct word of a batch or pool (25 %),
        sparse Adam for words (15 %)
"""

import jax
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F


def program(params, encoded, sizes, rate, batch, threads, work):
    """The run of one pass: "train, usual", "train, tuned" or "score, tuned"."""
    torch.set_num_threads(threads)
    if work == "train, usual":
        return usual(params, encoded, sizes, rate, batch)
    return tuned(params, encoded, sizes, rate, batch)[work.partition(",")[0]]


def arrays(encoded):
    """Characters, words and cases of forms; forms and tags [token, sentence]; lengths."""
    made = tuple(torch.from_numpy(leaf).long() for leaf in encoded.forms)
    return *made, *(torch.from_numpy(leaf.T).long() for leaf in encoded.buckets[0][:3])


def batches(length, batch):
    """Sentences of like lengths together, in random order."""
    order = (length + torch.rand(len(length))).argsort().split(batch)
    return [order[number] for number in torch.randperm(len(order))]


class Usual(nn.Module):
    """The same layers, one after the other."""

    def __init__(self, params, sizes):
        super().__init__()
        self.sizes, net, decoder = sizes, params["encoder"], params["decoder"]
        table = lambda of: nn.Embedding(*of.shape)
        self.words, self.cases = table(params["words"]), table(net["cases"])
        self.chars, self.tags = table(net["chars"]), table(decoder["tags"])
        convolution = lambda kernel: nn.Conv1d(*kernel.shape[1:], len(kernel), padding="same")
        layers = [net["char_layer"], net["word_layers_0"], net["word_layers_1"]]
        self.convolutions = nn.ModuleList(convolution(of["kernel"]) for of in layers)
        skips = [
            nn.Linear(*of["skip"].shape, bias=False) if "skip" in of else None for of in layers
        ]
        self.skips = nn.ModuleList(nn.Identity() if skip is None else skip for skip in skips)
        wide = len(decoder["inputs"]) + decoder["tags"].shape[1]
        self.lstm = nn.LSTM(wide, sizes.hidden, batch_first=True)
        self.output = nn.Linear(*decoder["output"].shape)

    def layer(self, number, x):
        return torch.relu(self.convolutions[number](x.mT).mT) + self.skips[number](x)

    def forward(self, letters, word, case, before):
        sizes, there = self.sizes, (word > 0)[..., None]
        flat = letters.flatten(0, 1)
        spelling = self.layer(0, self.chars(flat)).masked_fill((flat == 0)[..., None], -1e9)
        spelling = F.dropout(spelling.amax(1).unflatten(0, word.shape), sizes.dropout)
        word = word.masked_fill((torch.rand(word.shape) < sizes.unknown) & (word > 0), 1)
        w = torch.cat([spelling, self.words(word), self.cases(case)], -1)
        h = w = F.dropout(w, sizes.input_dropout) * there
        for number in (1, 2):
            h = F.dropout(self.layer(number, h), sizes.dropout) * there
        states, _ = self.lstm(torch.cat([h, w, self.tags(before)], -1))
        return self.output(states)


def usual(params, encoded, sizes, rate, batch):
    """One pass of training."""
    letters, word, case, forms, tags, length = arrays(encoded)
    model, begin = Usual(params, sizes), len(encoded.tags)
    adam = torch.optim.Adam(model.parameters(), rate)

    def train():
        for some in batches(length, batch):
            form, tag = (leaf[: length[some].max(), some].T for leaf in (forms, tags))
            before = F.pad(tag[:, :-1], (1, 0), value=begin)
            scores = model(letters[form], word[form], case[form], before)
            loss = F.cross_entropy(scores[form > 0], tag[form > 0], reduction="sum") / batch
            adam.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5)
            adam.step()

    return train


def tuned(params, encoded, sizes, rate, batch):
    """One pass of training, and one of scoring by MNLP."""
    letters, word, case, forms, tags, length = arrays(encoded)
    new = jax.tree.map(lambda leaf: torch.tensor(np.array(leaf)), params)
    words, net, decoder = new["words"], new["encoder"], new["decoder"]
    letters[0, 0], net["chars"][0] = 1, 0  # padding has a maximum, and adds nothing
    inputs = torch.cat([decoder.pop("inputs"), decoder.pop("previous")]).T.contiguous()
    decoder["lstm"] = [inputs, decoder.pop("hidden").T.contiguous(), decoder.pop("gates")[0]]
    *dense, _ = leaves = [leaf.requires_grad_() for leaf in jax.tree.leaves(new)]
    assert sum(x.numel() for x in leaves) == sum(x.size for x in jax.tree.leaves(params))
    adams = torch.optim.Adam(dense, rate, fused=True), torch.optim.SparseAdam([words], rate)
    gates, begin = [*decoder["lstm"], torch.zeros(4 * sizes.hidden)], len(encoded.tags)

    def parts():
        for some in batches(length, batch):
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

    def train():
        for some, form, there, tag in parts():
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
            for adam in adams:
                adam.step()
                adam.zero_grad()

    @torch.inference_mode()
    def score():
        of_form = spell(letters), words[word], net["cases"][case]
        scores = torch.zeros(len(length))
        for some, form, there, _ in parts():
            spelling, *others = (features[form] for features in of_form)
            found, before = [], torch.full_like(some, begin)
            s, c = torch.zeros(2, len(some), sizes.hidden)
            for x in encode(spelling, others, there, lambda x, rate: x):
                s, c = torch.lstm_cell(torch.cat([x, decoder["tags"][before]], 1), (s, c), *gates)
                found.append(torch.addmm(decoder["bias"], s, decoder["output"]))
                before = found[-1].argmax(1)
            best = torch.stack(found).log_softmax(-1).amax(-1)
            scores[some] = -(best * there).sum(0) / length[some]
        return scores.numpy()

    return {"score": score, "train": train}

"""The tagger in PyTorch as it is usually written.

Modules: an embedding and Conv1d over the characters of every token, Conv1d over words, nn.LSTM; and
Adam for all parameters.
"""

import itertools

import torch
from torch import nn
from torch.nn import functional as F


def arrays(encoded):
    """Characters, words and cases of forms; forms and tags [token, sentence]; lengths."""
    made = tuple(torch.as_tensor(leaf).long() for leaf in encoded.forms)
    return *made, *(torch.as_tensor(leaf.T).long() for leaf in encoded.buckets[0][:3])


def batches(length, batch, groups=None):
    """Sentences of like lengths together, in random order; of each of these groups, or of all."""
    order = []
    for group in [torch.arange(len(length))] if groups is None else groups:
        order += group[(length[group] + torch.rand(len(group))).argsort()].split(batch)
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

    def encode(self, letters, word, case):
        sizes, there = self.sizes, (word > 0)[..., None]
        drop = lambda x, rate: F.dropout(x, rate, self.training)
        flat = letters.flatten(0, 1)
        spelling = self.layer(0, self.chars(flat)).masked_fill((flat == 0)[..., None], -1e9)
        spelling = drop(spelling.amax(1).unflatten(0, word.shape), sizes.dropout)
        if self.training:
            word = word.masked_fill((torch.rand(word.shape) < sizes.unknown) & (word > 0), 1)
        w = torch.cat([spelling, self.words(word), self.cases(case)], -1)
        h = w = drop(w, sizes.input_dropout) * there
        for number in (1, 2):
            h = drop(self.layer(number, h), sizes.dropout) * there
        return torch.cat([h, w], -1)

    def forward(self, letters, word, case, before):
        states, _ = self.lstm(torch.cat([self.encode(letters, word, case), self.tags(before)], -1))
        return self.output(states)

    def decode(self, letters, word, case, begin):
        """Scores of tags, after those that were chosen before."""
        h, state, found = self.encode(letters, word, case).unbind(1), None, []
        before = torch.full_like(word[:, :1], begin)
        for x in h:
            x = torch.cat([x[:, None], self.tags(before)], -1)
            states, state = self.lstm(x, state)
            found.append(self.output(states))
            before = found[-1].argmax(-1)
        return torch.cat(found, 1)


def usual(params, encoded, sizes, rate, batch, groups=None, b2=0.999):
    """See `tuned`; of the parameters, only sizes count."""
    letters, word, case, forms, tags, length = arrays(encoded)
    model, begin, steps = Usual(params, sizes), len(encoded.tags), itertools.count()
    adam = torch.optim.Adam(model.parameters(), betas=(0.9, b2))

    def train(most=None):
        for some in itertools.islice(batches(length, batch, groups), most):
            form, tag = (leaf[: length[some].max(), some].T for leaf in (forms, tags))
            before = F.pad(tag[:, :-1], (1, 0), value=begin)
            scores = model(letters[form], word[form], case[form], before)
            loss = F.cross_entropy(scores[form > 0], tag[form > 0], reduction="sum") / batch
            adam.param_groups[0]["lr"] = rate(next(steps))
            adam.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5)
            adam.step()

    @torch.inference_mode()
    def score():
        scores, decoded = torch.zeros(len(length)), torch.zeros_like(forms)
        model.eval()
        for some in batches(length, batch):
            form = forms[: length[some].max(), some].T
            best, tag = (
                model.decode(letters[form], word[form], case[form], begin).log_softmax(-1).max(-1)
            )
            scores[some] = -(best * (form > 0)).sum(1) / length[some]
            decoded[: form.shape[1], some] = tag.T
        model.train()
        return scores.cpu().numpy(), decoded.T.cpu().numpy()

    return {"score": score, "train": train, "model": model}

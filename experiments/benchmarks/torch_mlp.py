"""Crowdsourcing and partial feedback in PyTorch: a network of one hidden layer, on soft targets."""

import math

import jax
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from experiments.crowdsourcing import MATCHES
from trinity_jax.data.collection.partial_feedback import unpack


def mlp(pixels, labels, width=64):
    return nn.Sequential(nn.Linear(pixels, width), nn.ReLU(), nn.Linear(width, labels))


def cross_entropy(scores, target):
    """Against soft labels, of each example."""
    return F.cross_entropy(scores, target, reduction="none")


def cc(scores, target):
    """Minus the log-probability of what is left, of each example."""
    return scores.logsumexp(1) - (scores + target.log()).logsumexp(1)


def fit(net, optimiser, loss, config, epochs, x, target, weight=None, clip=0.0):
    """Epochs of batches, at a rate that falls to zero."""
    total, step = epochs * math.ceil(len(x) / config.batch_size), 0
    for _ in range(epochs):
        for some in torch.randperm(len(x)).split(config.batch_size):
            optimiser.param_groups[0]["lr"] = config.learning_rate * (1 - step / total)
            each = loss(net(x[some]), target[some])
            each = each if weight is None else weight[some] * each
            optimiser.zero_grad()
            (each.sum() / config.batch_size).backward()
            if clip:
                nn.utils.clip_grad_value_(net.parameters(), clip)
            optimiser.step()
            step += 1


def flat(images):
    """Images in [0, 1] to learn from and to test on, and the classes of the latter."""
    train, test = (torch.as_tensor(x).flatten(1).float() / 255 for x in (images[1], images[3]))
    return train, test, torch.as_tensor(images.test_labels)


@torch.inference_mode()
def read(net, x):
    return net(x).log_softmax(1)


def wrong(net, x, label):
    return (read(net, x).argmax(1) != label).float().mean().item()


def nesterov(net, rate, decay):
    how = {"momentum": 0.9, "weight_decay": decay, "nesterov": True, "fused": True}
    return torch.optim.SGD(net.parameters(), rate, **how)


def bought(seed, count):
    """The items in the experiment's order, of which the first are bought."""
    key = jax.random.fold_in(jax.random.key(0), seed)
    return np.array(jax.random.permutation(jax.random.split(key, 6)[0], count))


def crowdsourcing(config, case, number, kept):
    """Trains on targets; MBEM reads all images with its network, and trains again on new ones."""
    row, (x, test, label) = case.rows[number], flat(case.found)
    x = x[torch.as_tensor(bought(row["seed"], len(x)))]
    count = (config.budget or len(x)) // row["redundancy"]
    epochs = config.epochs * (row["redundancy"] if MATCHES[row["budget_match"]] else 1)
    times = 1 + config.updates * (row["method"] == "mbem")
    probs, weights = (torch.as_tensor(np.array(leaf))[:: config.rounds] for leaf in kept)

    def run():
        net = None
        for time in range(times):
            if time:
                read(net, x)
            net = mlp(x.shape[1], len(case.found.labels))
            sgd = nesterov(net, config.learning_rate, config.weight_decay)
            examples = x[:count], probs[time, :count], weights[time, :count]
            fit(net, sgd, cross_entropy, config, epochs, *examples)
            error = wrong(net, test, label)
        return error

    return run


def partial_feedback(config, case, number, kept):
    """Reads all images, and trains anew on those of which something is known."""
    del number
    x, test, label = flat(case.found)
    labels, (known, touched) = len(case.found.labels), kept
    target = torch.as_tensor(np.array(unpack(known, labels))).float()
    seen = [torch.as_tensor(np.flatnonzero(of)) for of in touched]

    def run():
        net = None
        for t, some in enumerate(seen):
            if t:
                read(net, x)
                if np.array_equal(known[t], known[t - 1]):
                    continue
            net = mlp(x.shape[1], labels)
            adam = torch.optim.Adam(net.parameters(), fused=True)
            fit(net, adam, cc, config, config.epochs, x[some], target[t, some], clip=2.0)
            error = wrong(net, test, label)
        return error

    return run

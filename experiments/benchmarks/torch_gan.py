"""Adversarial networks in PyTorch, from the parameters of ours, as they are usually written.

The conditional game of `generative_arms`: for half of the training a step of the discriminator and
one of the generator, then the classifier learns from images that are made. Kernels and norms are
those of `torch_rendering`.
"""

import math

import jax
import torch
from torch.nn import functional as F

from experiments.benchmarks import torch_few_labels as few_labels
from experiments.benchmarks import torch_rendering as rendering
from trinity_jax.data.augmentation import gan
from trinity_jax.data.augmentation.nrm import Objective


def learner(params, running, judge, maker, model, arm, config, images):
    """`learn(steps)`: these of `config.steps` steps; what is learnt changes in place."""
    draw = few_labels.sampler(config, images, among=config.labelled[0])
    classify = few_labels.stepper(params, config)
    how = {"lr": config.gan_rate, "betas": (0.5, 0.999), "fused": True}
    players = [torch.optim.Adam(jax.tree.leaves(tree), **how) for tree in (judge, maker)]

    def descend(player, loss):
        player.zero_grad()
        loss.backward()
        player.step()

    def learn(steps):
        for step in steps:
            x, label, other, named = draw()
            noise = torch.randn(len(other), gan.NOISE)
            wanted = torch.randint(model.labels, (len(other),))
            if 2 * step < config.steps:
                made = generate(maker, model, noise, wanted)
                descend(players[0], tell(judge, model, other, named, made.detach(), wanted))
                descend(players[1], deceive(judge, model, made, wanted))
                continue
            with torch.no_grad():
                made = generate(maker, model, noise, wanted)
            loss = rendering.both_halves(params, running, model, Objective(), x, label, other)
            loss = loss + arm.ratio * F.cross_entropy(logits(params, model, made), wanted)
            classify(loss, 2 * step / config.steps - 1)

    return learn


def generate(maker, model, noise, wanted):
    """Images of these classes, which are square."""
    source = torch.cat([noise, F.one_hot(wanted, model.labels).to(noise.dtype)], 1)
    top = model.layers[-1].channels
    side = math.isqrt(maker.base.shape[1] // top)
    h = rendering.image((source @ maker.base).view(len(noise), side, side, top))
    norm = _by_batch(maker.affine)
    for level in reversed(range(len(model.layers))):
        layer = model.layers[level]
        h = F.leaky_relu(norm(level, h), model.slope)
        h = F.interpolate(h, scale_factor=layer.pool) if layer.pool > 1 else h
        h = F.conv_transpose2d(h, maker.kernels[level], padding=layer.pad)
    return h + maker.bias[:, None, None]


def tell(judge, model, real, named, made, wanted):
    """The discriminator's loss."""
    real, made = (score(judge, model, *pair) for pair in ((real, named), (made, wanted)))
    return F.softplus(-real).mean() + F.softplus(made).mean()


def deceive(judge, model, made, wanted):
    """The generator's loss."""
    return F.softplus(-score(judge, model, made, wanted)).mean()


def score(judge, model, x, label):
    """The logit of the class that an image is said to be of."""
    return logits(judge, model, x).gather(1, label[:, None])[:, 0]


def logits(params, model, x):
    """Of a network whose numbers are normalised by the batch."""
    h, _ = rendering.look(params, model, x, _by_batch(params.up))
    return h.mean((2, 3)) @ params.weights.templates + params.bias


def _by_batch(affine):
    norm, _ = rendering.by_batch(affine, [(None, None)] * len(affine), moments=False)
    return norm

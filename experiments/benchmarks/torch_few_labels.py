"""Training with few labels in PyTorch, from the parameters of ours: what `few_labels` is to it.

Batches are drawn as it is usually done, from images as bytes, and Adam is fused.
"""

import math

import jax
import torch
from torch.nn import functional as F

from experiments.benchmarks import torch_rendering as rendering
from trinity_jax.data.augmentation import normalisation


def trainer(params, running, model, objective, config, images):
    """`run(threads)`: `config.steps` steps of Adam, going on from where the last run ended."""
    tensors = rendering.copied(params, grad=True), rendering.copied(running)
    learn = learner(*tensors, model, objective, config, images)

    def run(threads):
        torch.set_num_threads(threads)
        learn(range(config.steps))

    return run


def learner(params, running, model, objective, config, images):
    """`learn(steps)`: these of `config.steps` steps; parameters and moments change in place."""
    draw, step_by = sampler(config, images), stepper(params, config)

    def learn(steps):
        for step in steps:
            x, label, other, _ = draw()
            rise = min(step / max(config.ramp * config.steps, 1e-9), 1)
            now = objective._replace(entropy=rise * objective.entropy)
            loss = rendering.both_halves(params, running, model, now, x, label, other)
            step_by(loss, step / config.steps)

    return learn


def stepper(params, config):
    """`step(loss, progress)`: a step of Adam under half a cosine."""
    rate, decay = config.learning_rate, config.weight_decay
    adam = torch.optim.Adam(jax.tree.leaves(params), rate, weight_decay=decay, fused=True)

    def step(loss, progress):
        adam.param_groups[0]["lr"] = rate * 0.5 * (1 + math.cos(math.pi * progress))
        adam.zero_grad()
        loss.backward()
        adam.step()

    return step


def sampler(config, images, among=0):
    """`draw()`: labelled images and others, each with their classes; others among the first ones,
    or all. The first `config.labelled[0]` are labelled.
    """
    prepare, count = preparer(images), config.labelled[0]
    pixels = torch.as_tensor(images.train_images)
    truth = torch.as_tensor(images.train_labels).long()

    def draw():
        known = torch.randperm(count)[: config.batch_labelled]
        others = torch.randint(among or len(truth), (config.batch_unlabelled,))
        return prepare(pixels[known]), truth[known], prepare(pixels[others]), truth[others]

    return draw


def preparer(images):
    """What makes the network's input of bytes."""
    pixels = torch.as_tensor(images.train_images).float()
    mean, std = pixels.mean((0, 1, 2)), pixels.std((0, 1, 2)) + 1e-6
    return lambda pixels: rendering.image((pixels.float() - mean) / std)


@torch.inference_mode()
def error(params, running, model, images):
    """Share of the test images whose class is not predicted, by running moments."""

    def norm(level, a, bias):
        scale, shift = params.up[level]
        return F.batch_norm(a, *running.up[level], scale, shift + bias, eps=normalisation.EPSILON)

    x = preparer(images)(torch.as_tensor(images.test_images))
    h, _ = rendering.look(params, model, x, norm)
    guess = (h.mean((2, 3)) @ params.weights.templates + params.bias).argmax(1)
    return (guess != torch.as_tensor(images.test_labels)).float().mean().item()

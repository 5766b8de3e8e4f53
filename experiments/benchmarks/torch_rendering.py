"""The rendering model in PyTorch, from the parameters of ours, as it is usually written.

Batch and instance norm are a call each, to whose shift the network's bias is added; pooling notes
its places, and rendering unpools to them; the template is normalised before it is spread over
positions; terms without weight are left out, with all that only they need. Channels come last,
which is faster here, and Adam is fused.
"""

import jax
import numpy as np
import torch
from torch.nn import functional as F

from trinity_jax.data.augmentation import normalisation, nrm


def gradient(params, running, model, objective, labelled, unlabelled):
    """The loss, and its gradient as a tree like ours, in the precision of the parameters."""
    x, target, other = map(torch.tensor, (*labelled, unlabelled))
    torch.set_default_dtype(x.dtype)
    params, running = copied(params, grad=True), copied(running)
    loss = both_halves(params, running, model, objective, image(x), target.argmax(1), image(other))
    loss.backward()
    torch.set_default_dtype(torch.float32)

    def of(leaf):
        grad = torch.zeros_like(leaf) if leaf.grad is None else leaf.grad
        return (grad.permute(2, 3, 1, 0) if grad.ndim == 4 else grad).numpy()

    return loss.item(), jax.tree.map(of, params)


def copied(tree, grad=False):
    """The same tree of tensors; kernels as PyTorch has them, [out, in, height, width]."""

    def copy(leaf):
        leaf = torch.tensor(np.array(leaf))
        if leaf.ndim == 4:
            leaf = leaf.permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)
        return leaf.requires_grad_(grad)

    return jax.tree.map(copy, tree)


def image(x):
    """[batch, channel, height, width], where channels still come last in memory."""
    return x.permute(0, 3, 1, 2)


def both_halves(params, running, model, objective, x, label, other):
    given = params, running, model, objective
    return half(*given, x, label) + half(*given, other, None)


def half(params, running, model, objective, x, label):
    """The weighted terms on some images, with labels or without."""
    moments = bool(objective.moments)
    up, seen = by_batch(params.up, running.up, moments)
    h, latents = look(params, model, x, up)
    logits = h.mean((2, 3)) @ params.weights.templates + params.bias
    total = torch.zeros(()) if label is None else F.cross_entropy(logits, label)
    if objective.entropy:
        probs = logits.softmax(1)
        entropy = -(probs * torch.log(model.labels * probs + 1e-8)).sum(1).mean()
        total = total + objective.entropy * entropy
    if not (objective.reconstruction or objective.moments or objective.paths):
        return total
    target = F.one_hot(logits.argmax(1) if label is None else label, model.labels).to(x.dtype)
    down, drawn = by_batch(params.down, running.down, moments)
    template = (target @ params.weights.templates.T)[:, :, None, None] / h[0, 0].numel()
    rendered, _ = render(params, model, down(len(model.layers), template), latents, down)
    total = total + objective.reconstruction * 0.5 * F.mse_loss(rendered, x)
    if objective.moments:
        pairs = zip(drawn[-2::-1], seen, strict=True)  # from h_1 upwards
        total = total + objective.moments * sum(divergence(*pair) for pair in pairs)
    if objective.paths:
        total = total + objective.paths * paths(params, model, latents)
    return total


def look(params, model, x, norm):
    """The last features, and the places and gates of every layer."""
    latents = []
    for level, layer in enumerate(model.layers):
        a = F.conv2d(x, params.weights.kernels[level], padding=layer.pad)
        x, place = norm(level, a, params.weights.biases[level]), None
        if layer.pool > 1:
            x, place = F.max_pool2d(x, layer.pool, return_indices=True)
        latents.append((place, torch.where(x.detach() > 0, 1.0, model.slope)))
        x = F.leaky_relu(x, model.slope)
    return x, latents


def render(params, model, h, latents, norm, to_image=True):
    """The image (or h_1), and what is rendered at every level times its gate, from the top."""
    gated = []
    for level in reversed(range(len(model.layers))):
        layer, (place, gate) = model.layers[level], latents[level]
        gated.append(gate * h)
        if level == 0 and not to_image:
            break
        u = gated[-1] if place is None else F.max_unpool2d(gated[-1], place, layer.pool)
        h = norm(level, F.conv_transpose2d(u, params.weights.kernels[level], padding=layer.pad))
    return h, gated


def paths(params, model, latents):
    """How far the paths of some images are from those of a dark one, rendered from all classes."""
    up, down = (by_image(shifts) for shifts in params.dark)
    with torch.no_grad():
        _, dark = look(params, model, torch.zeros(1, model.shape[2], *model.shape[:2]), up)
    pairs = zip(latents, dark, strict=True)
    of_prior = [(place, mine.expand_as(gate)) for (place, gate), (_, mine) in pairs]
    template = params.weights.templates.sum(1)[None, :, None, None] / latents[-1][1][0, 0].numel()
    given = params, model, template
    _, gated = render(*given, latents, down, to_image=False)
    _, of_dark = render(*given, of_prior, down, to_image=False)
    biases = (b.detach()[:, None, None] for b in reversed(params.weights.biases))
    triples = zip(biases, gated, of_dark, strict=True)
    return sum((bias * (one - other)).abs().mean() for bias, one, other in triples)


def divergence(one, other):
    """KL(one || other) of Gaussians of these variances and means, the mean of channels."""
    (variance, mean), (variance_other, mean_other) = one, other
    ratio = (variance + 1e-8) / (variance_other + 1e-8)
    shift = (mean - mean_other) ** 2 / (variance_other + 1e-8)
    return 0.5 * (shift + ratio - torch.log(ratio) - 1).mean()


def by_batch(affine, running, moments):
    """What normalises by the batch, and the list of moments that it adds to if they are wanted."""
    seen = []

    def norm(level, a, bias=0):
        if moments:
            seen.append(torch.var_mean(a, (0, 2, 3), correction=0))
        scale, shift = affine[level]
        how = {"training": True, "momentum": 1 - nrm.MOMENTUM, "eps": normalisation.EPSILON}
        return F.batch_norm(a, *running[level], scale, shift + bias, **how)

    return norm, seen


def by_image(shifts):
    """What normalises each image by itself; the gate's bias goes with the shift."""

    def norm(level, a, bias=0):
        return F.instance_norm(a, bias=shifts[level] + bias, eps=normalisation.EPSILON)

    return norm

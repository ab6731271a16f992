"""The losses as their formulas say, in numpy's float64: of logits (N, H, W, C) and masks (N, H, W).

VOID pixels are left out before anything is computed; the losses of the package keep them in.
"""

import numpy as np

from fcn_tf.classes import VOID


def labelled(logits, masks):
    """The labels (P,) of the labelled pixels, and their probabilities (P, C)."""
    kept = masks != VOID
    powers = np.exp(logits[kept].astype(np.float64))
    return masks[kept].astype(int), powers / powers.sum(-1, keepdims=True)


def dice(logits, masks, weights=None):
    labels, chances = labelled(logits, masks)
    found, counted = 0.0, 0.0
    for number in np.unique(labels):
        own = labels == number
        overlap = 2 * chances[own, number].sum() / (own.sum() + chances[:, number].sum())
        weight = 1.0 if weights is None else weights[number]
        found, counted = found + weight * (1 - overlap), counted + weight
    return found / counted


def focal(logits, masks, weights=None, gamma=2.0):
    labels, chances = labelled(logits, masks)
    own = chances[np.arange(len(labels)), labels]
    weight = np.ones(len(labels)) if weights is None else np.array(weights)[labels]
    return (weight * (1 - own) ** gamma * -np.log(own)).sum() / weight.sum()


def cross_entropy(logits, masks, weights=None):
    return focal(logits, masks, weights, gamma=0.0)


def ohem(logits, masks, weights=None, *, share=None, threshold=0.0, reduction="mean"):
    total, divisor = 0.0, 0.0
    for image, mask in zip(logits, masks, strict=True):
        labels, chances = labelled(image, mask)
        own = chances[np.arange(len(labels)), labels]
        hard = own < threshold
        if share and len(own):
            hard[np.argsort(own)[: max(1, round(share * len(own)))]] = True
        weight = np.ones(len(labels)) if weights is None else np.array(weights)[labels]
        total += (weight * -np.log(own))[hard].sum()
        divisor += {"mean": weight[hard].sum(), "pixels": hard.sum(), "sum": 1}[reduction]
    return total / divisor


def slope(function, logits, step=1e-5):
    """The gradient of a function of the logits by central differences."""
    found = np.zeros(logits.shape)
    for place in np.ndindex(logits.shape):
        more, less = logits.astype(np.float64), logits.astype(np.float64)
        more[place] += step
        less[place] -= step
        found[place] = (function(more) - function(less)) / (2 * step)
    return found

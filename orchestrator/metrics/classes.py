"""Quality and diversity of generated images from the classes that a classifier predicts."""

from __future__ import annotations

import torch
from torch import Tensor

SHARE_OF_FAIR = 0.1
"""A class is covered if its share of the samples is at least this fraction of its share of the data."""


def inception_score(probabilities: Tensor) -> float:
    """Exp of the mean KL divergence of an image's class probabilities (n, c) from their mean; from 1 to c.

    Salimans et al., arXiv 1606.03498, section 4, with the given classifier instead of Inception, and over the whole
    sample at once.
    """
    p = probabilities.double()
    mean = p.mean(0, keepdim=True)
    divergence = torch.special.xlogy(p, p) - torch.special.xlogy(p, mean)
    return float(divergence.sum(1).mean().exp())


def modes_covered(classes: Tensor, real_shares: Tensor) -> int:
    """The number of classes that the images' classes (n,) cover; ``real_shares`` (c,) are the data's.

    A class counts if its share is at least SHARE_OF_FAIR times its share of the data, and the data has images of it.
    """
    shares = _shares(classes, len(real_shares))
    return int(((real_shares > 0) & (shares >= SHARE_OF_FAIR * real_shares.to(shares))).sum())


def class_divergence(classes: Tensor, real_shares: Tensor) -> float:
    """KL divergence in nats of the images' classes (n,) from the data's shares (c,): sum of q ln(q / p).

    Half an image is added to each class of both, so that the divergence is finite if the data lacks a class. The data's
    shares count as those of n images.
    """
    n, class_count = len(classes), len(real_shares)
    fake = (_shares(classes, class_count) * n + 0.5) / (n + 0.5 * class_count)
    real = (real_shares.to(fake) * n + 0.5) / (n + 0.5 * class_count)
    return float(torch.special.xlogy(fake, fake / real).sum())


def _shares(classes: Tensor, class_count: int) -> Tensor:
    return torch.bincount(classes, minlength=class_count).double() / len(classes)

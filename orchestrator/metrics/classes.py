"""What the classes of generated images, as a classifier sees them, say of quality and diversity."""

from __future__ import annotations

import torch
from torch import Tensor

SHARE_OF_FAIR = 0.1
"""A class is covered when it has at least this share of what it has in the data."""


def inception_score(probabilities: Tensor) -> float:
    """Exp of the mean KL divergence of an image's class probabilities (n, c) from their mean; from 1 to c.

    Salimans et al., arXiv 1606.03498, section 4, with the classifier at hand in the place of Inception, over the whole
    sample at once.
    """
    p = probabilities.double()
    mean = p.mean(0, keepdim=True)
    divergence = torch.special.xlogy(p, p) - torch.special.xlogy(p, mean)
    return float(divergence.sum(1).mean().exp())


def modes_covered(classes: Tensor, real_shares: Tensor) -> int:
    """How many classes of the data (c,) the images' classes (n,) cover.

    A class counts from SHARE_OF_FAIR of its share in the data on, and not where the data has none of it.
    """
    shares = _shares(classes, len(real_shares))
    return int(((real_shares > 0) & (shares >= SHARE_OF_FAIR * real_shares.to(shares))).sum())


def class_divergence(classes: Tensor, real_shares: Tensor) -> float:
    """KL divergence in nats of the images' classes (n,) from the data's shares (c,): sum of q ln(q / p).

    Half an image is added to each class of both, so that a class the data lacks does not make it infinite; the data's
    shares are taken for those of as many images.
    """
    n, number = len(classes), len(real_shares)
    fake = (_shares(classes, number) * n + 0.5) / (n + 0.5 * number)
    real = (real_shares.to(fake) * n + 0.5) / (n + 0.5 * number)
    return float(torch.special.xlogy(fake, fake / real).sum())


def _shares(classes: Tensor, number: int) -> Tensor:
    return torch.bincount(classes, minlength=number).double() / len(classes)

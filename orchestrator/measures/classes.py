"""Measures of the classes that a classifier finds in a sample."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from orchestrator.measures.frechet import checked

if TYPE_CHECKING:
    from torch import Tensor

LEAST_SHARE = 0.1
"""A class counts as covered from this part of its share in the data on: single mistakes of the classifier do not."""
LEAST_REAL_SHARE = 1e-6
"""What a class that the data has not counts as in its histogram, so that no divergence is infinite."""


def shares(classes: Tensor, number: int) -> Tensor:
    """Histogram (number,) of classes (n,) from 0 to number - 1, in double precision; its sum is 1."""
    return torch.bincount(classes, minlength=number).double() / len(classes)


def inception_score(probabilities: Tensor) -> float:
    """Exponential of the mean KL(p(y|x) | p(y)) over class probabilities (n, c): from 1 to c.

    Salimans et al., arXiv 1606.03498, section 4, over the whole sample and not the mean over parts of it. Raises
    DataError on no rows and on what is not finite.
    """
    rows = checked(probabilities, 1)
    mean = rows.mean(0)
    return float((torch.xlogy(rows, rows).sum(1).mean() - torch.xlogy(mean, mean).sum()).exp())


def modes_covered(classes: Tensor, real_shares: Tensor) -> int:
    """Classes that the sample (n,) has at least a tenth as often as the data, whose histogram is (c,).

    Of 1,000 images in 10 even classes a class counts from 10 images on. What the data has not cannot be covered.
    """
    found = shares(classes, len(real_shares))
    return int(((real_shares > 0) & (found >= LEAST_SHARE * real_shares)).sum())


def class_divergence(classes: Tensor, real_shares: Tensor) -> float:
    """KL(sample | data) in nats between the histograms of the sample's classes (n,) and the data's (c,).

    A class that the sample has not adds 0; one that the data has not counts there as ``LEAST_REAL_SHARE``. A sample of
    n images of the data itself has about (c - 1) / (2 n).
    """
    found = shares(classes, len(real_shares))
    return float((torch.xlogy(found, found) - found * real_shares.clamp_min(LEAST_REAL_SHARE).log()).sum())

"""Quality and diversity of generated images from the classes that a classifier predicts."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SPLITS = 10
"""Parts of a sample whose Inception Scores are averaged."""
SHARE_OF_FAIR = 0.1
"""A class is covered if its share of the samples is at least this fraction of its share of the data."""


class InceptionScore(NamedTuple):
    """``whole``: of all images at once; ``mean`` and ``deviation``: over SPLITS parts, as most papers cite it.

    The deviation is the population's, as in the authors' code. Both are None of fewer images than splits.
    """

    whole: float
    mean: float | None
    deviation: float | None


class RunningInceptionScore:
    """Exp of the mean KL divergence of an image's class probabilities from their mean; from 1 to the classes' number.

    Salimans et al., arXiv 1606.03498, section 4, with the given classifier instead of Inception. Probabilities (n, c)
    come in batches and none is kept; image i is of split i modulo SPLITS.
    """

    def __init__(self) -> None:
        self.count = 0

    def add(self, probabilities: Tensor) -> None:
        """Add class probabilities (b, c)."""
        p = probabilities.double()
        if not self.count:
            self._sums, self._negentropies = p.new_zeros(SPLITS, p.shape[1]), p.new_zeros(SPLITS)
        for split in range(SPLITS):
            own = p[(split - self.count) % SPLITS :: SPLITS]
            self._sums[split] += own.sum(0)
            self._negentropies[split] += torch.special.xlogy(own, own).sum()
        self.count += len(p)

    @property
    def score(self) -> InceptionScore:
        """Of the images so far, at least one."""
        whole = _score(self._sums.sum(0), self._negentropies.sum(), self.count)
        if self.count < SPLITS:
            return InceptionScore(float(whole), None, None)
        counts = torch.tensor([len(range(split, self.count, SPLITS)) for split in range(SPLITS)]).to(whole)
        scores = _score(self._sums, self._negentropies, counts[:, None])
        return InceptionScore(float(whole), float(scores.mean()), float(scores.std(correction=0)))


def _score(sums: Tensor, negentropies: Tensor, counts: Tensor | int) -> Tensor:
    """exp(mean of sum p ln p - sum q ln q), q being the mean of p: the same as exp of the mean divergence."""
    mean = sums / counts
    per_image = negentropies / (counts if isinstance(counts, int) else counts.squeeze(-1))
    scores: Tensor = (per_image - torch.special.xlogy(mean, mean).sum(-1)).exp()
    return scores


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


def shares_of(labels: NDArray[np.int64] | None, class_count: int) -> Tensor:
    """Each class's share (c,) float64 of images with these labels (n,)."""
    assert labels is not None, "a classifier is of images with labels"
    return _shares(torch.tensor(labels), class_count)


def _shares(classes: Tensor, class_count: int) -> Tensor:
    return torch.bincount(classes, minlength=class_count).double() / len(classes)

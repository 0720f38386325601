"""Whether a generator repeats training images: are samples nearer to them than images are that no trial saw?"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

_BLOCK, _AMONG = 1024, 8192


class Copying(NamedTuple):
    """The three-sample test of Meehan et al., arXiv 2004.05675, section 3, over the whole space as one cell.

    ``share``: of all pairs of a sample and a held-out image, those in which the sample is nearer to its nearest
    training image, ties half; 0.5 for samples like held-out images. ``score``: its deviation from 0.5 in standard
    errors, negative for copying as the paper's C_T: below -3 or so the samples are nearer to the training images than
    chance lets them.
    """

    share: float
    score: float


def nearest(features: Tensor, among: Tensor) -> tuple[Tensor, Tensor]:
    """Euclidean distance (n,) float64 of features (n, f) to the nearest of ``among`` (m, f), and its index (n,).

    The nearest is found by one matrix product, in blocks of bounded size; its distance is that of the difference.
    """
    assert len(among), "there is nothing to be near to"
    distances, indices = [], []
    for block in torch.split(features, _BLOCK):
        vectors = block.double()
        best = torch.full((len(block),), torch.inf, dtype=torch.float64, device=block.device)
        index = torch.zeros(len(block), dtype=torch.int64, device=block.device)
        for number, part in enumerate(torch.split(among, _AMONG)):
            others = part.double()
            # |x - y|^2 without |x|^2, which is the same for all y.
            least, place = (others.square().sum(1) - 2 * vectors @ others.T).min(1)
            index = torch.where(least < best, place + number * _AMONG, index)
            best = torch.minimum(best, least)
        distances.append((vectors - among[index].double()).square().sum(1).sqrt())
        indices.append(index)
    return torch.cat(distances), torch.cat(indices)


def copying(samples: Tensor, held_out: Tensor) -> Copying:
    """The test from the distances of samples (n,) and of held-out images (m,) to their nearest training images."""
    n, m = len(samples), len(held_out)
    ordered = held_out.sort().values
    farther = m - torch.searchsorted(ordered, samples, right=True)
    as_near = m - torch.searchsorted(ordered, samples) - farther
    share = float((farther + 0.5 * as_near).sum()) / (n * m)
    return Copying(share, (0.5 - share) * math.sqrt(12 * n * m / (n + m + 1)))

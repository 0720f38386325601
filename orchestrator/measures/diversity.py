"""How far images lie apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from orchestrator.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor

COLUMNS = 8192
"""Pixels multiplied at a time: memory in double precision is bounded by it."""


def mean_distance(images: Tensor) -> float:
    """Mean L2 distance over all pairs of different images (n, c, h, w); 0 where all are the same.

    Raises DataError on fewer than 2 images.
    """
    if len(images) < 2:
        raise DataError(f"measures: got {len(images)} images, expected 2 or more")
    rows = images.flatten(1)
    products = torch.zeros(len(rows), len(rows), dtype=torch.float64, device=rows.device)
    for part in torch.split(rows, COLUMNS, 1):
        # about their mean, which changes no distance, products are small: copies of one image come out as such
        centred = part.double()
        centred -= centred.mean(0)
        products.addmm_(centred, centred.T)
    squares = products.diagonal()
    distances = (squares[:, None] + squares - 2 * products).clamp_min_(0).sqrt_()
    # rounding leaves the distance of an image to itself a little above 0
    distances.fill_diagonal_(0)
    return float(distances.sum()) / (len(rows) * (len(rows) - 1))

"""The features of a split's images, with which generated ones are compared."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from orchestrator.data.images import order_of
from orchestrator.metrics.diversity import RunningDistance
from orchestrator.metrics.fid import Moments, RunningMoments
from orchestrator.metrics.requirements import takes_fid

if TYPE_CHECKING:
    from orchestrator.data.images import ImageSet
    from orchestrator.metrics.feature_extractor import FeatureExtractor

_BATCH = 500
MOST_BYTES = 2**30
"""Bytes of features that are kept: of 131,072 images by Inception. Moments are of all images all the same."""


class RealFeatures:
    """Features of at most ``most`` images, of all where it is None: the first ones in a fixed random order.

    ``count`` images, of which ``vectors`` (k, f) float32 holds the first k that fit into MOST_BYTES.
    """

    def __init__(
        self, images: ImageSet, extractor: FeatureExtractor, device: torch.device | str, most: int | None = None
    ) -> None:
        self._images, self._order = images, order_of(len(images))[:most]
        self.count = len(self._order)
        moments, distance, kept = RunningMoments(), RunningDistance(), []
        room = MOST_BYTES
        for first in range(0, self.count, _BATCH):
            # Indexing copies: Ray may share the array between processes, and it must not be written to.
            pixels = torch.from_numpy(images.pixels[self._order[first : first + _BATCH]]).to(device)
            features = extractor(pixels.contiguous(memory_format=torch.channels_last)).features.float()
            moments.add(features)
            distance.add(pixels)
            if fitting := room // (4 * features.shape[1]):
                # A copy of a part, since a slice would keep the whole batch in memory.
                kept.append(features[:fitting].clone())
                room -= kept[-1].numel() * 4
        self.vectors = torch.cat(kept) if kept else torch.zeros(0, 0, device=device)
        self._moments = moments.moments() if self.count > 1 else None
        self.distance = distance.distance if self.count > 1 else 0.0
        """Mean distance of two images."""

    def moments_for(self, samples: int) -> Moments | None:
        """The moments, where there are enough images and samples for FID."""
        if self._moments is None or not takes_fid(self.count, samples, len(self._moments.mean)):
            return None
        return self._moments

    def pixels(self, indices: Tensor) -> Tensor:
        """The images (n, c, h, w) uint8 of ``vectors`` at these indices (n,), on the CPU."""
        return torch.from_numpy(self._images.pixels[self._order[indices.cpu().numpy()]])

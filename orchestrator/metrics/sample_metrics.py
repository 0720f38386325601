"""Quality and diversity of generated images, against the images of the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from orchestrator.data.batches import to_device
from orchestrator.metrics.classes import class_divergence, inception_score, modes_covered
from orchestrator.metrics.diversity import mean_distance
from orchestrator.metrics.fid import frechet_distance, moments
from orchestrator.metrics.kid import kernel_distance
from orchestrator.metrics.prdc import prdc
from orchestrator.metrics.requirements import NEIGHBOURS, takes_fid

if TYPE_CHECKING:
    from orchestrator.data.images import ImageSet
    from orchestrator.metrics.feature_extractor import FeatureExtractor, Features

MOST_REAL = 10_000
"""Real images that samples are compared with."""


_PrdcOrNone = tuple[float | None, float | None, float | None, float | None]
NO_PRDC: _PrdcOrNone = (None, None, None, None)
"""Precision, recall, density and coverage if there are too few images."""


class QuickMetrics(NamedTuple):
    """Metrics that are fast enough for training. ``diversity`` is the samples' mean distance divided by the data's.

    It is None if the data's images are all the same. The others are None without a feature extractor; ``modes`` and
    ``class_kl`` also if its classes are not the data's; ``fid`` also if there are no more images of the data, or
    samples, than features, which is too few for a covariance (``takes_fid``).
    """

    fid: float | None
    modes: int | None
    class_kl: float | None
    diversity: float | None


class FullMetrics(NamedTuple):
    """All metrics of samples; they are None for the reasons of ``QuickMetrics``.

    ``real`` is the number of training images that samples are compared with. ``kid`` is None too if these or the
    samples are fewer than two; ``precision`` to ``coverage`` if they are no more than PRDC's NEIGHBOURS.
    """

    real: int

    inception_score: float | None
    fid: float | None
    kid: float | None
    precision: float | None
    recall: float | None
    density: float | None
    coverage: float | None
    modes: int | None
    class_kl: float | None
    diversity: float | None


class SampleMetrics:
    """Computes sample metrics; the data's part is computed once, on one device.

    Images are (n, c, h, w) uint8, 0 black to 255 white, as in image files. Round a generator's images first, since
    features depend on differences that no image file has.
    """

    def __init__(self, images: ImageSet, extractor: FeatureExtractor | None, device: torch.device | str) -> None:
        real = to_device(images.drawn(MOST_REAL), device)
        self._extractor = None if extractor is None else extractor.to(device)
        self._count, self._distance = len(real), mean_distance(real) if len(real) > 1 else 0.0
        if self._extractor is not None:
            self._features = self._extractor(real).features
            self._moments = moments(self._features) if len(real) > 1 else None
        if self.classes is not None:
            assert images.labels is not None, "a classifier is of images with labels"
            counts = torch.bincount(torch.tensor(images.labels), minlength=self.classes)
            self._shares = (counts.double() / counts.sum()).to(device)

    @property
    def classes(self) -> int | None:
        """The number of classes of the data, or None."""
        return None if self._extractor is None else self._extractor.classes

    @property
    def digest(self) -> str | None:
        """The digest of the feature extractor's weights, or None."""
        return None if self._extractor is None else self._extractor.digest

    @property
    def features(self) -> str | None:
        """The feature extractor's kind and digest, ``kind:digest``, or None."""
        return None if self._extractor is None else f"{self._extractor.kind}:{self._extractor.digest}"

    def quick(self, images: Tensor) -> QuickMetrics:
        """The quick metrics of two images or more, for use in training."""
        if self._extractor is None:
            return QuickMetrics(None, None, None, self._diversity(images))
        features = self._extractor(images)
        modes, class_kl = self._class_metrics(features)
        return QuickMetrics(self._fid(features), modes, class_kl, self._diversity(images))

    def full(self, images: Tensor) -> FullMetrics:
        """All metrics of two images or more."""
        if self._extractor is None:
            return FullMetrics(self._count, None, None, None, *NO_PRDC, None, None, self._diversity(images))
        features = self._extractor(images)
        modes, class_kl = self._class_metrics(features)
        count = min(self._count, len(images))
        # As many images of each: coverage and recall grow with the number of samples.
        neighbour_metrics = NO_PRDC
        if count > NEIGHBOURS:
            neighbour_metrics = prdc(self._features[:count], features.features[:count])
        return FullMetrics(
            self._count,
            inception_score(features.probabilities),
            self._fid(features),
            kernel_distance(self._features, features.features) if count > 1 else None,
            *neighbour_metrics,
            modes,
            class_kl,
            self._diversity(images),
        )

    def _diversity(self, images: Tensor) -> float | None:
        return mean_distance(images) / self._distance if self._distance else None

    def _fid(self, features: Features) -> float | None:
        """The FID of trials and of evaluations, by one rule: see ``QuickMetrics``."""
        if self._moments is None or not takes_fid(self._count, *features.features.shape):
            return None
        return frechet_distance(self._moments, moments(features.features))

    def _class_metrics(self, features: Features) -> tuple[int, float] | tuple[None, None]:
        if self.classes is None:
            return None, None
        classes = features.probabilities.argmax(1)
        return modes_covered(classes, self._shares), class_divergence(classes, self._shares)

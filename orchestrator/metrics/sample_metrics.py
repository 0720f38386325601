"""Quality and diversity of generated images while a trial trains, against the images of the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from orchestrator.data.batches import to_device
from orchestrator.metrics.classes import class_divergence, modes_covered, shares_of
from orchestrator.metrics.diversity import mean_distance
from orchestrator.metrics.fid import frechet_distance, moments
from orchestrator.metrics.requirements import takes_fid

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from orchestrator.data.images import ImageSet
    from orchestrator.metrics.feature_extractor import FeatureExtractor, Features

MOST_REAL = 10_000
"""Real images that samples are compared with while a trial trains."""


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
            self._moments = moments(self._extractor(real).features) if len(real) > 1 else None
        if self.classes is not None:
            self._shares = shares_of(images.labels, self.classes).to(device)

    @property
    def classes(self) -> int | None:
        """The number of classes of the data, or None."""
        return None if self._extractor is None else self._extractor.classes

    @property
    def digest(self) -> str | None:
        """The digest of the feature extractor's weights, or None."""
        return None if self._extractor is None else self._extractor.digest

    def quick(self, images: Tensor) -> QuickMetrics:
        """The quick metrics of two images or more."""
        diversity = mean_distance(images) / self._distance if self._distance else None
        if self._extractor is None:
            return QuickMetrics(None, None, None, diversity)
        features = self._extractor(images)
        modes, class_kl = self._class_metrics(features)
        return QuickMetrics(self._fid(features), modes, class_kl, diversity)

    def _fid(self, features: Features) -> float | None:
        if self._moments is None or not takes_fid(self._count, *features.features.shape):
            return None
        return frechet_distance(self._moments, moments(features.features))

    def _class_metrics(self, features: Features) -> tuple[int, float] | tuple[None, None]:
        if self.classes is None:
            return None, None
        classes = features.probabilities.argmax(1)
        return modes_covered(classes, self._shares), class_divergence(classes, self._shares)

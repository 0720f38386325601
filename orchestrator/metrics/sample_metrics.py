"""How good and how varied generated images are, against those of the data."""

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


_OfNeighbours = tuple[float | None, float | None, float | None, float | None]
NO_PRDC: _OfNeighbours = (None, None, None, None)
"""What stands in the place of precision, recall, density and coverage where there are too few images."""


class QuickMetrics(NamedTuple):
    """What is quickly measured of samples. ``diversity`` is their mean distance divided by that of the data.

    It is None where the data's images are all the same. The others are None where nothing sees features; those of
    classes where these are not the data's; ``fid`` too where the data's images, or the samples, are no more than there
    are features, of whose covariance they then say too little (``takes_fid``).
    """

    fid: float | None
    modes: int | None
    class_kl: float | None
    diversity: float | None


class FullMetrics(NamedTuple):
    """Everything that is measured of samples; what is None is so for the reasons of ``QuickMetrics``.

    ``real`` is the number of training images that they are compared with. ``kid`` is None too where these, or the
    samples, are fewer than two; ``precision`` to ``coverage`` where they are no more than PRDC's NEIGHBOURS.
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
    """The data's side of every measure, computed once, on one device.

    Images are (n, c, h, w) uint8, 0 black to 255 white, as they would be stored: a generator's are to be rounded first,
    since features see differences that no picture has.
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
        """Classes of the data that samples are sorted into."""
        return None if self._extractor is None else self._extractor.classes

    @property
    def digest(self) -> str | None:
        """What tells the network that sees the images from others of its kind."""
        return None if self._extractor is None else self._extractor.digest

    @property
    def features(self) -> str | None:
        """What the features are: the kind of that network with its digest."""
        return None if self._extractor is None else f"{self._extractor.kind}:{self._extractor.digest}"

    def quick(self, images: Tensor) -> QuickMetrics:
        """A quick measure of two images or more, for use while training."""
        if self._extractor is None:
            return QuickMetrics(None, None, None, self._diversity(images))
        features = self._extractor(images)
        modes, class_kl = self._of_classes(features)
        return QuickMetrics(self._fid(features), modes, class_kl, self._diversity(images))

    def full(self, images: Tensor) -> FullMetrics:
        """Everything, of two images or more."""
        if self._extractor is None:
            return FullMetrics(self._count, None, None, None, *NO_PRDC, None, None, self._diversity(images))
        features = self._extractor(images)
        modes, class_kl = self._of_classes(features)
        as_many = min(self._count, len(images))
        # of as many images each: coverage and recall grow with the number of samples
        of_neighbours = NO_PRDC
        if as_many > NEIGHBOURS:
            of_neighbours = prdc(self._features[:as_many], features.features[:as_many])
        return FullMetrics(
            self._count,
            inception_score(features.probabilities),
            self._fid(features),
            kernel_distance(self._features, features.features) if as_many > 1 else None,
            *of_neighbours,
            modes,
            class_kl,
            self._diversity(images),
        )

    def _diversity(self, images: Tensor) -> float | None:
        return mean_distance(images) / self._distance if self._distance else None

    def _fid(self, features: Features) -> float | None:
        """The one rule of all of a trial's and of an evaluation's FIDs: see ``QuickMetrics``."""
        if self._moments is None or not takes_fid(self._count, *features.features.shape):
            return None
        return frechet_distance(self._moments, moments(features.features))

    def _of_classes(self, features: Features) -> tuple[int, float] | tuple[None, None]:
        if self.classes is None:
            return None, None
        classes = features.probabilities.argmax(1)
        return modes_covered(classes, self._shares), class_divergence(classes, self._shares)

"""How good and how varied generated images are, against those of the data."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from orchestrator.data.batches import to_device
from orchestrator.measures.classes import class_divergence, inception_score, modes_covered
from orchestrator.measures.diversity import mean_distance
from orchestrator.measures.frechet import frechet_distance, moments
from orchestrator.measures.kernel import kernel_distance
from orchestrator.measures.needs import NEIGHBOURS, takes_fid
from orchestrator.measures.neighbours import prdc

if TYPE_CHECKING:
    from orchestrator.data.images import ImageSet
    from orchestrator.measures.judge import Judge, Seen

MOST_REAL = 10_000
"""Real images that samples are compared with."""


_OfNeighbours = tuple[float | None, float | None, float | None, float | None]
NO_PRDC: _OfNeighbours = (None, None, None, None)
"""What stands in the place of precision, recall, density and coverage where there are too few images."""


class Look(NamedTuple):
    """What is quickly measured of samples. ``diversity`` is their mean distance divided by that of the data.

    It is None where the data's images are all the same. The others are None where nothing sees features; those of
    classes where these are not the data's; ``fid`` too where the data's images, or the samples, are no more than there
    are features, of whose covariance they then say too little (``takes_fid``).
    """

    fid: float | None
    modes: int | None
    class_kl: float | None
    diversity: float | None


class Quality(NamedTuple):
    """Everything that is measured of samples; what is None is so for the reasons of ``Look``.

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


class Referee:
    """The data's side of every measure, computed once, on one device.

    Images are (n, c, h, w) uint8, 0 black to 255 white, as they would be stored: a generator's are to be rounded first,
    since features see differences that no picture has.
    """

    def __init__(self, images: ImageSet, sees: Judge | None, device: torch.device | str) -> None:
        real = to_device(images.drawn(MOST_REAL), device)
        self._sees = None if sees is None else sees.to(device)
        self._count, self._distance = len(real), mean_distance(real) if len(real) > 1 else 0.0
        if self._sees is not None:
            self._features = self._sees(real).features
            self._moments = moments(self._features) if len(real) > 1 else None
        if self.classes is not None:
            assert images.labels is not None, "a classifier is of images with labels"
            counts = torch.bincount(torch.tensor(images.labels), minlength=self.classes)
            self._shares = (counts.double() / counts.sum()).to(device)

    @property
    def classes(self) -> int | None:
        """Classes of the data that samples are sorted into."""
        return None if self._sees is None else self._sees.classes

    @property
    def digest(self) -> str | None:
        """What tells the network that sees the images from others of its kind."""
        return None if self._sees is None else self._sees.digest

    @property
    def features(self) -> str | None:
        """What the features are: the kind of that network with its digest."""
        return None if self._sees is None else f"{self._sees.kind}:{self._sees.digest}"

    def look(self, images: Tensor) -> Look:
        """A quick measure of two images or more, for use while training."""
        if self._sees is None:
            return Look(None, None, None, self._diversity(images))
        seen = self._sees(images)
        modes, class_kl = self._of_classes(seen)
        return Look(self._fid(seen), modes, class_kl, self._diversity(images))

    def judge(self, images: Tensor) -> Quality:
        """Everything, of two images or more."""
        if self._sees is None:
            return Quality(self._count, None, None, None, *NO_PRDC, None, None, self._diversity(images))
        seen = self._sees(images)
        modes, class_kl = self._of_classes(seen)
        as_many = min(self._count, len(images))
        # of as many images each: coverage and recall grow with the number of samples
        of_neighbours = NO_PRDC
        if as_many > NEIGHBOURS:
            of_neighbours = prdc(self._features[:as_many], seen.features[:as_many])
        return Quality(
            self._count,
            inception_score(seen.probabilities),
            self._fid(seen),
            kernel_distance(self._features, seen.features) if as_many > 1 else None,
            *of_neighbours,
            modes,
            class_kl,
            self._diversity(images),
        )

    def _diversity(self, images: Tensor) -> float | None:
        return mean_distance(images) / self._distance if self._distance else None

    def _fid(self, seen: Seen) -> float | None:
        """The one rule of all of a trial's and of an evaluation's FIDs: see ``Look``."""
        if self._moments is None or not takes_fid(self._count, *seen.features.shape):
            return None
        return frechet_distance(self._moments, moments(seen.features))

    def _of_classes(self, seen: Seen) -> tuple[int, float] | tuple[None, None]:
        if self.classes is None:
            return None, None
        classes = seen.probabilities.argmax(1)
        return modes_covered(classes, self._shares), class_divergence(classes, self._shares)

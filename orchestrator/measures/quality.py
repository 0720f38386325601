"""All measures of a sample against one data set, whose side of them is computed once."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch

from orchestrator.data.batches import to_unit
from orchestrator.errors import DataError
from orchestrator.measures.classes import class_divergence, inception_score, modes_covered, shares
from orchestrator.measures.classifier import SEEN_AT_ONCE, Classified, to_signed
from orchestrator.measures.diversity import mean_distance
from orchestrator.measures.frechet import frechet_distance, moments
from orchestrator.measures.kernel import kernel_distance
from orchestrator.measures.neighbours import prdc

if TYPE_CHECKING:
    from torch import Tensor

    from orchestrator.data.images import ImageSet
    from orchestrator.measures.classifier import Classifier

MOST_REAL = 10_000
"""Real images compared with, evenly from the whole set."""
MOST_FOR_DIVERSITY = 512
"""Images of each side, evenly from all of them, whose distances are measured."""


class Look(NamedTuple):
    """Quick measures; the first three are None without a classifier.

    ``diversity`` is the mean distance of generated images over that of real ones.
    """

    fid: float | None
    modes: int | None
    class_kl: float | None
    diversity: float


class Quality(NamedTuple):
    """All measures; without a classifier all but ``diversity`` are None."""

    inception_score: float | None
    fid: float | None
    kid: float | None
    precision: float | None
    recall: float | None
    density: float | None
    coverage: float | None
    modes: int | None
    class_kl: float | None
    diversity: float


class Referee:
    """Measures samples against a data set, on ``device``. Made once: it sees the real images only once.

    ``classes`` is the number of classes in the data, which ``modes`` can reach at most; None without a classifier.
    The FID of few images is too high, the more the fewer: compare figures of equal numbers.
    """

    def __init__(self, images: ImageSet, classifier: Classifier | None, device: torch.device | str) -> None:
        self.classifier = None if classifier is None else classifier.to(device)
        self.classes: int | None = None
        self._device = torch.device(device)
        real = torch.from_numpy(images.pixels[_spread(len(images), MOST_REAL).numpy()])
        self._real_distance = _mean_distance(real, self._device)
        if self._real_distance == 0:
            raise DataError(f"measures: all {len(real)} images are the same, expected different ones")
        if self.classifier is not None:
            assert images.labels is not None
            self._real_shares = shares(torch.tensor(images.labels), self.classifier.classes).to(self._device)
            self.classes = int((self._real_shares > 0).sum())
            self._real_features = self._classify(real).features
            self._real_moments = moments(self._real_features)

    def look(self, images: Tensor) -> Look:
        """Of generated images (n, c, h, w) in [-1, 1], quantised to 8 bits first.

        Raises DataError on fewer than 2 images and on pixels that are not finite.
        """
        pixels = _quantised(images)
        diversity = self._diversity(pixels)
        if self.classifier is None:
            return Look(None, None, None, diversity)
        seen = self._classify(pixels)
        fid = frechet_distance(self._real_moments, moments(seen.features))
        return Look(fid, *self._class_figures(seen), diversity)

    def judge(self, images: Tensor) -> Quality:
        """Of generated images (n, c, h, w) in [-1, 1], quantised to 8 bits first.

        Raises DataError on fewer than 6 images, which have no 5 neighbours, and on pixels that are not finite.
        """
        pixels = _quantised(images)
        diversity = self._diversity(pixels)
        if self.classifier is None:
            return Quality(*(None,) * 9, diversity)
        seen = self._classify(pixels)
        real, fake = self._real_features, seen.features
        return Quality(
            inception_score(seen.probabilities),
            frechet_distance(self._real_moments, moments(fake)),
            kernel_distance(real, fake),
            *prdc(real, fake),
            *self._class_figures(seen),
            diversity,
        )

    def _class_figures(self, seen: Classified) -> tuple[int, float]:
        named = seen.probabilities.argmax(1)
        return modes_covered(named, self._real_shares), class_divergence(named, self._real_shares)

    def _classify(self, pixels: Tensor) -> Classified:
        """Features and probabilities of uint8 images, a part at a time."""
        assert self.classifier is not None
        parts = [self.classifier(to_signed(part.to(self._device))) for part in torch.split(pixels, SEEN_AT_ONCE)]
        return Classified(torch.cat([part.features for part in parts]), torch.cat([part[1] for part in parts]))

    def _diversity(self, pixels: Tensor) -> float:
        return _mean_distance(pixels, self._device) / self._real_distance


def _quantised(images: Tensor) -> Tensor:
    """Images in [-1, 1] as uint8, as they would be kept in a file."""
    if not bool(images.isfinite().all()):
        raise DataError(f"measures: {len(images)} generated images hold pixels that are not finite")
    return to_unit(images).mul_(255).round_().to(torch.uint8)


def _mean_distance(pixels: Tensor, device: torch.device) -> float:
    """Of some of the uint8 images, in units of [-1, 1]."""
    chosen = pixels[_spread(len(pixels), MOST_FOR_DIVERSITY).to(pixels.device)]
    return mean_distance(to_signed(chosen.to(device)))


def _spread(count: int, most: int) -> Tensor:
    """Numbers of at most ``most`` of ``count`` images, at even distances: of a set sorted by class, of all classes."""
    return torch.arange(min(count, most)) * count // max(min(count, most), 1)

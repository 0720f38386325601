"""All metrics of samples, for evaluations: against the training images, and against those that no trial saw."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from orchestrator.metrics.classes import RunningInceptionScore, class_divergence, modes_covered, shares_of
from orchestrator.metrics.copying import Copying, copying, nearest
from orchestrator.metrics.diversity import RunningDistance
from orchestrator.metrics.fid import PARTS, RunningMoments, fid_infinity, frechet_distance
from orchestrator.metrics.kid import across, within
from orchestrator.metrics.prdc import Prdc, prdc_of_subsets
from orchestrator.metrics.real_features import RealFeatures
from orchestrator.metrics.requirements import NEIGHBOURS, takes_fid
from orchestrator.metrics.standard_errors import frechet_distances, halves, interval

if TYPE_CHECKING:
    from collections.abc import Iterable

    from orchestrator.data.images import ImageSet
    from orchestrator.metrics.feature_extractor import FeatureExtractor

MOST_COMPARED = 10_000
"""Samples, and images of each kind, of which all pairs are compared: for KID, PRDC, copying and intervals."""
SHOWN, SHOWN_OF = 10, 1000
"""Samples shown beside their nearest training images: those of the first SHOWN_OF that are nearest to theirs."""

_Ends = tuple[float | None, float | None]
_NO_ENDS: _Ends = (None, None)


class FullMetrics(NamedTuple):
    """All metrics of samples, as the columns of the evaluation ``quality`` (settings.py) define them.

    ``real`` and ``held_out`` are numbers of images. ``modes`` and ``class_kl`` are None if the extractor's classes are
    not the data's; each FID if there are no more images of either kind than features (``takes_fid``); ``diversity`` if
    the data's images are all the same; intervals of FID, precision and recall if half of the samples is too few for
    the metric; ``copying`` if no image is held out, ``kid_held_out`` if fewer than two are.
    """

    real: int
    inception_score: float
    fid: float | None
    kid: float
    precision: float
    recall: float
    density: float
    coverage: float
    modes: int | None
    class_kl: float | None
    diversity: float | None
    fid_low: float | None
    fid_high: float | None
    kid_low: float
    kid_high: float
    precision_low: float | None
    precision_high: float | None
    recall_low: float | None
    recall_high: float | None
    fid_infinity: float | None
    inception_score_mean: float | None
    inception_score_sd: float | None
    held_out: int
    fid_held_out: float | None
    kid_held_out: float | None
    copying: float | None
    copying_score: float | None


class NearestImages(NamedTuple):
    """Samples (n, c, h, w) uint8 and the training image nearest to each in the space of features, nearest first."""

    samples: Tensor
    training: Tensor


class _Samples:
    """What is kept of generated images while they pass by."""

    def __init__(self, images: Iterable[Tensor], extractor: FeatureExtractor, device: torch.device | str) -> None:
        self.moments, self.score, self.distance = RunningMoments(PARTS), RunningInceptionScore(), RunningDistance()
        vectors: list[Tensor] = []
        shown: list[Tensor] = []
        classes: list[Tensor] = []
        for given in images:
            batch = given.to(device)
            seen = extractor(batch)
            # Copies of parts, since a slice would keep the whole batch in memory.
            if (room := MOST_COMPARED - self.moments.count) > 0:
                vectors.append(seen.features[:room].float().clone())
            if (room := SHOWN_OF - self.moments.count) > 0:
                shown.append(batch[:room].clone())
            classes.append(seen.probabilities.argmax(1))
            self.moments.add(seen.features)
            self.score.add(seen.probabilities)
            self.distance.add(batch)
        self.vectors, self.shown, self.classes = torch.cat(vectors), torch.cat(shown), torch.cat(classes)

    @property
    def count(self) -> int:
        return self.moments.count


class SampleQuality:
    """Computes all metrics of samples; the real images' part is computed once, on one device.

    Images are (n, c, h, w) uint8, 0 black to 255 white, as in image files. Memory is bounded whatever the number of
    samples: FID's moments, Inception Score, classes and diversity are of all of them, from sums; what compares all
    pairs is of the first MOST_COMPARED.
    """

    def __init__(
        self,
        train: ImageSet,
        held_out: ImageSet,
        extractor: FeatureExtractor,
        device: torch.device | str,
        most_real: int | None = None,
    ) -> None:
        """Compare with at most ``most_real`` training images, with all of them where it is None."""
        self._extractor, self._device = extractor.to(device), device
        self._train = RealFeatures(train, self._extractor, device, most_real)
        self._held_out = RealFeatures(held_out, self._extractor, device)
        assert self._train.count > NEIGHBOURS, "quality is of more training images than neighbours"
        classes = extractor.classes
        self._shares = None if classes is None else shares_of(train.labels, classes).to(device)
        self._held_out_distances = None
        if self._held_out.count:
            self._held_out_distances = nearest(self._held_out.vectors[:MOST_COMPARED], self._train.vectors)[0]

    @property
    def features(self) -> str:
        """The feature extractor's kind and digest, ``kind:digest``."""
        return f"{self._extractor.kind}:{self._extractor.digest}"

    def measure(self, batches: Iterable[Tensor]) -> tuple[FullMetrics, NearestImages]:
        """All metrics of images that come in batches, and the samples that are most like training images."""
        samples = _Samples(batches, self._extractor, self._device)
        assert len(samples.vectors) > 2 * NEIGHBOURS + 1, "half of the samples has neighbours"
        distances, indices = nearest(samples.vectors, self._train.vectors)
        first = distances[: len(samples.shown)].argsort()[:SHOWN]
        shown = NearestImages(samples.shown[first].cpu(), self._train.pixels(indices[first]))
        of_copying = None if self._held_out_distances is None else copying(distances, self._held_out_distances)
        return self._metrics(samples, of_copying), shown

    def _metrics(self, samples: _Samples, of_copying: Copying | None) -> FullMetrics:
        subsets = halves(len(samples.vectors))
        fid, fid_ends, at_infinity = self._fid(samples, subsets)
        kid, kid_ends, kid_held_out = self._kid(samples.vectors, subsets)
        neighbours, precision_ends, recall_ends = self._neighbours(samples.vectors)
        modes, class_kl = self._classes(samples)
        score = samples.score.score
        moments = self._held_out.moments_for(samples.count)
        return FullMetrics(
            self._train.count,
            score.whole,
            fid,
            kid,
            *neighbours,
            modes,
            class_kl,
            samples.distance.distance / self._train.distance if self._train.distance else None,
            *fid_ends,
            *kid_ends,
            *precision_ends,
            *recall_ends,
            at_infinity,
            score.mean,
            score.deviation,
            self._held_out.count,
            None if moments is None else frechet_distance(moments, samples.moments.moments()),
            kid_held_out,
            *((None, None) if of_copying is None else of_copying),
        )

    def _fid(self, samples: _Samples, subsets: Tensor) -> tuple[float | None, _Ends, float | None]:
        moments = self._train.moments_for(samples.count)
        if moments is None:
            return None, _NO_ENDS, None
        fid = frechet_distance(moments, samples.moments.moments())
        kept, ends = len(samples.vectors), _NO_ENDS
        if takes_fid(self._train.count, kept // 2, len(moments.mean)):
            of_halves = frechet_distances(moments, samples.vectors, subsets)
            ends = interval(fid, of_halves, kept, samples.count, least=0.0)
        return fid, ends, fid_infinity(moments, samples.moments)

    def _kid(self, vectors: Tensor, subsets: Tensor) -> tuple[float, tuple[float, float], float | None]:
        """KID with its interval, and KID to the held-out images."""
        with_whole = torch.cat([torch.ones(1, len(vectors), dtype=torch.bool), subsets])
        train, held_out = (real.vectors[:MOST_COMPARED] for real in (self._train, self._held_out))
        of_samples = within(vectors, with_whole)
        kid, *of_halves = (self._train_kernel + of_samples - 2 * across(train, vectors, with_whole)).tolist()
        ends = interval(kid, torch.tensor(of_halves), len(vectors), len(vectors))
        if self._held_out_kernel is None:
            return kid, ends, None
        return kid, ends, float(self._held_out_kernel + of_samples[0] - 2 * across(held_out, vectors))

    def _neighbours(self, vectors: Tensor) -> tuple[Prdc, _Ends, _Ends]:
        """PRDC of as many images of each kind: coverage and recall grow with the number of samples."""
        count = min(len(self._train.vectors), len(vectors))
        # In a half of no more vectors than neighbours nothing has a ball.
        subsets = halves(count)[: None if count // 2 > NEIGHBOURS else 0]
        whole, *of_halves = prdc_of_subsets(self._train.vectors[:count], vectors[:count], subsets)
        if not len(subsets):
            return whole, _NO_ENDS, _NO_ENDS
        precision, recall = (
            interval(value, values, count, count, least=0.0, most=1.0)
            for value, values in zip((whole.precision, whole.recall), of_halves, strict=True)
        )
        return whole, precision, recall

    @cached_property
    def _train_kernel(self) -> Tensor:
        return within(self._train.vectors[:MOST_COMPARED])

    @cached_property
    def _held_out_kernel(self) -> Tensor | None:
        vectors = self._held_out.vectors[:MOST_COMPARED]
        return within(vectors) if len(vectors) > 1 else None

    def _classes(self, samples: _Samples) -> tuple[int, float] | tuple[None, None]:
        if self._shares is None:
            return None, None
        return modes_covered(samples.classes, self._shares), class_divergence(samples.classes, self._shares)

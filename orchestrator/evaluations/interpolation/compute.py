"""Pairs of held-out images, the ways between them, and what is told of these."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from orchestrator.data._tiles import tiled
from orchestrator.data.batches import to_bytes
from orchestrator.errors import DataError
from orchestrator.evaluations.evaluation import ShardResult
from orchestrator.evaluations.image_batch import take
from orchestrator.evaluations.interpolation.pairs import pair_up
from orchestrator.evaluations.interpolation.paths import (
    SHARES,
    classes_met,
    detour,
    largest_step,
    linear,
    path_length,
    slerp,
    third_classes,
)
from orchestrator.evaluations.interpolation.settings import SHOWN, Interpolation
from orchestrator.evaluations.latent_search.inverted import latents_of, made
from orchestrator.evaluations.sampling import images_of
from orchestrator.metrics.image_quality import mse

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from orchestrator.evaluations.evaluation import TrainedModel
    from orchestrator.evaluations.image_batch import ImageBatch
    from orchestrator.metrics.classifier import Classifier


PATHS = {"linear": linear, "spherical": slerp}
"""By the names that rows have in the column ``way``."""


class LatentPath(NamedTuple):
    """One way between each of n pairs, over the points of SHARES."""

    images: Tensor
    """(n, points, c, h, w) uint8"""
    features: Tensor
    """(n, points, f)"""
    classes: Tensor
    """(n, points)"""
    confidences: Tensor
    """(n, points): the probability of the class."""


class Interpolated(NamedTuple):
    """The ways between n pairs; ``chosen`` holds their first images, then their second ones."""

    batch: ImageBatch
    errors: Tensor
    """(n,): mean squared error of the two ends."""
    digest: str
    paths: Mapping[str, LatentPath]


def compute(settings: Interpolation, model: TrainedModel, shard: int) -> ShardResult:
    """The ways between the pairs of one part; of the first part a picture of each way too."""
    data, labels = model.settings.data, model.held_out.labels
    problem = settings.reject_images(data, model.splits)
    if problem or model.classifier is None or labels is None:
        raise DataError(f"{settings.kind}: {problem or settings.classless(data)}")
    pairs = pair_up(labels, settings.pairs)
    first = shard * settings.shard_pairs
    interpolated = interpolate(settings, model, model.classifier, pairs[first : first + settings.shard_pairs])
    pictures = {} if shard else {way: tiled(strips(interpolated, way, SHOWN)) for way in interpolated.paths}
    return ShardResult(rows_of(interpolated, first), {"points": points_of(interpolated, first)}, pictures)


def interpolate(
    settings: Interpolation, model: TrainedModel, classifier: Classifier, pairs: NDArray[np.int64]
) -> Interpolated:
    """Invert the images of pairs (n, 2) and go both ways. Raises EvaluationError where what is met is not finite."""
    batch = take(model, pairs.T.flatten())
    latents = latents_of(settings, model, batch, settings.seed)
    first, second = torch.split(latents, len(pairs))
    errors = mse(made(model, latents), batch.images).view(2, -1).mean(0)
    paths = {name: _classify(model, classifier, path(first, second)) for name, path in PATHS.items()}
    return Interpolated(batch, errors, classifier.digest, paths)


def _classify(model: TrainedModel, classifier: Classifier, latents: Tensor) -> LatentPath:
    """What the classifier says of the points (n, points, latent_dim) of ways, rounded to bytes as pictures are."""
    pictures = torch.cat([to_bytes(images) for images in images_of(model, latents.flatten(0, 1))])
    features = classifier(pictures)
    confidences, classes = features.probabilities.max(1)
    parts = (pictures, features.features, classes, confidences)
    return LatentPath(*(values.view(*latents.shape[:2], *values.shape[1:]) for values in parts))


def rows_of(interpolated: Interpolated, first: int) -> list[dict[str, Any]]:
    """A row a pair and way; ``first`` is the number of the first pair."""
    count = len(interpolated.errors)
    indices, labels = interpolated.batch.indices, interpolated.batch.labels
    rows = []
    for name, way in interpolated.paths.items():
        measured = [measure(way.features).tolist() for measure in (path_length, detour, largest_step)]
        thirds = third_classes(way.classes)
        for at, met in enumerate(classes_met(way.classes)):
            length, longer, step = (values[at] for values in measured)
            ends = labels[at], labels[count + at]
            rows.append(
                {
                    "pair": first + at,
                    "first_id": indices[at],
                    "second_id": indices[count + at],
                    "first_label": ends[0],
                    "second_label": ends[1],
                    "alike": None if None in ends else ends[0] == ends[1],
                    "way": name,
                    "features": f"classifier:{interpolated.digest}",
                    "path_length": length,
                    "detour": None if math.isnan(longer) else longer,
                    "largest_step": step,
                    "classes": "-".join(map(str, met)),
                    "third_classes": len(thirds[at]),
                    "ends_mse": interpolated.errors[at].item(),
                }
            )
    return rows


def points_of(interpolated: Interpolated, first: int) -> list[dict[str, Any]]:
    """A row a point of each way."""
    return [
        {"pair": first + at, "way": name, "share": share, "class": label, "confidence": confidence}
        for name, way in interpolated.paths.items()
        for at, points in enumerate(zip(way.classes.tolist(), way.confidences.tolist(), strict=True))
        for share, label, confidence in zip(SHARES, *points, strict=True)
    ]


def strips(interpolated: Interpolated, way: str, count: int) -> Tensor:
    """The first ``count`` pairs (count, points + 2, c, h, w) in [0, 1]: second image, its way to the first, first."""
    first, second = torch.split(interpolated.batch.images, len(interpolated.errors))
    points = interpolated.paths[way].images.float() / 255
    return torch.cat([second[:, None], points, first[:, None]], 1)[:count]

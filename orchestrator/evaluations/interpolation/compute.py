"""Latent paths between pairs of held-out images, and their metrics."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from orchestrator.data._tiles import tiled
from orchestrator.data.ranges import to_bytes, unit_from_bytes
from orchestrator.errors import DataError
from orchestrator.evaluations.evaluation import ShardResult
from orchestrator.evaluations.inputs.image_batch import take
from orchestrator.evaluations.inputs.sampling import images_of
from orchestrator.evaluations.interpolation.pairs import pair_up
from orchestrator.evaluations.interpolation.paths import (
    PATHS,
    SHARES,
    classes_met,
    detour,
    largest_step,
    path_length,
    third_classes,
)
from orchestrator.evaluations.interpolation.settings import SHOWN, Interpolation
from orchestrator.evaluations.latent_search.inverted import generate, latents_of
from orchestrator.metrics.image_quality import mse

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from orchestrator.evaluations.evaluation import TrainedModel
    from orchestrator.evaluations.inputs.image_batch import ImageBatch
    from orchestrator.metrics.classifier import Classifier


class LatentPath(NamedTuple):
    """One path for each of n pairs, at the points of SHARES."""

    images: Tensor
    """(n, points, c, h, w) uint8"""
    features: Tensor
    """(n, points, f)"""
    classes: Tensor
    """(n, points)"""
    confidences: Tensor
    """(n, points): the probability of the class."""


class Interpolated(NamedTuple):
    """The paths between n pairs; ``batch`` holds their first images, then their second ones."""

    batch: ImageBatch
    errors: Tensor
    """(n,): mean squared error of the two inverted images."""
    digest: str
    paths: Mapping[str, LatentPath]


def compute(settings: Interpolation, model: TrainedModel, shard: int) -> ShardResult:
    """The paths between the pairs of one shard; the first shard also has a picture of each kind of path."""
    data, labels = model.settings.data, model.held_out.labels
    problem = settings.reject_images(data, model.splits)
    if problem or model.classifier is None or labels is None:
        raise DataError(f"{settings.kind}: {problem or settings.classless(data)}")
    pairs = pair_up(labels, settings.pairs)
    first = shard * settings.shard_pairs
    interpolated = interpolate(settings, model, model.classifier, pairs[first : first + settings.shard_pairs])
    pictures = {} if shard else {name: tiled(strips(interpolated, name, SHOWN)) for name in interpolated.paths}
    return ShardResult(rows_of(interpolated, first), {"points": points_of(interpolated, first)}, pictures)


def interpolate(
    settings: Interpolation, model: TrainedModel, classifier: Classifier, pairs: NDArray[np.int64]
) -> Interpolated:
    """Invert the images of pairs (n, 2) and compute all paths. Raises EvaluationError if images are not finite."""
    batch = take(model, pairs.T.flatten())
    latents = latents_of(settings, model, batch, settings.seed)
    first, second = torch.split(latents, len(pairs))
    errors = mse(generate(model, latents), batch.images).view(2, -1).mean(0)
    paths = {name: _classify(model, classifier, path(first, second)) for name, path in PATHS.items()}
    return Interpolated(batch, errors, classifier.digest, paths)


def _classify(model: TrainedModel, classifier: Classifier, latents: Tensor) -> LatentPath:
    """Images, rounded to bytes, and the classifier's outputs at the points (n, points, latent_dim) of paths."""
    images = torch.cat([to_bytes(batch) for batch in images_of(model, latents.flatten(0, 1))])
    features = classifier(images)
    confidences, classes = features.probabilities.max(1)
    parts = (images, features.features, classes, confidences)
    return LatentPath(*(values.view(*latents.shape[:2], *values.shape[1:]) for values in parts))


def rows_of(interpolated: Interpolated, first: int) -> list[dict[str, Any]]:
    """A row a pair and path; ``first`` is the number of the first pair."""
    count = len(interpolated.errors)
    indices, labels = interpolated.batch.indices, interpolated.batch.labels
    rows = []
    for name, path in interpolated.paths.items():
        metrics = [metric(path.features).tolist() for metric in (path_length, detour, largest_step)]
        thirds = third_classes(path.classes)
        for pair, classes in enumerate(classes_met(path.classes)):
            length, ratio, step = (values[pair] for values in metrics)
            ends = labels[pair], labels[count + pair]
            rows.append(
                {
                    "pair": first + pair,
                    "first_id": indices[pair],
                    "second_id": indices[count + pair],
                    "first_label": ends[0],
                    "second_label": ends[1],
                    "alike": None if None in ends else ends[0] == ends[1],
                    "way": name,
                    "features": f"classifier:{interpolated.digest}",
                    "path_length": length,
                    "detour": None if math.isnan(ratio) else ratio,
                    "largest_step": step,
                    "classes": "-".join(map(str, classes)),
                    "third_classes": len(thirds[pair]),
                    "third_met": int(len(thirds[pair]) > 0),
                    "ends_mse": interpolated.errors[pair].item(),
                }
            )
    return rows


def points_of(interpolated: Interpolated, first: int) -> list[dict[str, Any]]:
    """A row a point of each path."""
    return [
        {"pair": first + pair, "way": name, "share": share, "class": label, "confidence": confidence}
        for name, path in interpolated.paths.items()
        for pair, points in enumerate(zip(path.classes.tolist(), path.confidences.tolist(), strict=True))
        for share, label, confidence in zip(SHARES, *points, strict=True)
    ]


def strips(interpolated: Interpolated, name: str, count: int) -> Tensor:
    """The first ``count`` pairs (count, points + 2, c, h, w) in [0, 1]: second image, path, first image."""
    first, second = torch.split(interpolated.batch.images, len(interpolated.errors))
    points = unit_from_bytes(interpolated.paths[name].images)
    return torch.cat([second[:, None], points, first[:, None]], 1)[:count]

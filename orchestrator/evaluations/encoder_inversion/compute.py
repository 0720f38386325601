"""An encoder's answers beside those of searches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from orchestrator.errors import EvaluationError, NonFiniteLossError
from orchestrator.evaluations.encoder_inversion.encoder import TrainedEncoder, encode, train_encoder
from orchestrator.evaluations.encoder_inversion.settings import METHODS, SHOWN
from orchestrator.evaluations.evaluation import Found
from orchestrator.evaluations.held_out import HeldOutEvaluation
from orchestrator.evaluations.image_batch import choose
from orchestrator.evaluations.latent_search.inverted import (
    curves_of,
    gallery,
    invert,
    made,
    measured,
    targets_of,
    told_of,
)
from orchestrator.evaluations.latent_search.search import draw_starts

if TYPE_CHECKING:
    from torch import Tensor, nn

    from orchestrator.evaluations.encoder_inversion.settings import EncoderInversion, EncoderTraining
    from orchestrator.evaluations.evaluation import Subject
    from orchestrator.evaluations.image_batch import Chosen


class Compared(NamedTuple):
    """Some images: a row an image and method, the searches' curves, and a picture of the first ones."""

    rows: list[dict[str, Any]]
    curves: list[dict[str, Any]]
    picture: bytes


def compute(settings: EncoderInversion, subject: Subject, shard: int) -> Found:
    """Train the encoder, then the rows of all images; the only shard."""
    trained = train(settings, subject)
    shards = HeldOutEvaluation.shards(settings, subject.settings)
    parts = [compare(settings, subject, choose(settings, subject, part), trained.encoder) for part in range(shards)]
    return Found(
        [row for part in parts for row in part.rows],
        {
            "curves": [row for part in parts for row in part.curves],
            "training": training_rows(settings.encoder, trained.curves),
        },
        {"gallery": parts[0].picture},
    )


def train(settings: EncoderInversion, subject: Subject) -> TrainedEncoder:
    """An encoder of the subject's training images. Raises EvaluationError where its loss ceases to be finite."""
    images = torch.from_numpy(subject.real.pixels).to(subject.device)
    source = torch.Generator().manual_seed(settings.seed)
    latent_dim = subject.settings.latent_dim
    try:
        return train_encoder(settings.encoder, subject.generator, latent_dim, images, source)
    except NonFiniteLossError as error:
        raise EvaluationError(
            f"the encoder's loss for the generator of trial {subject.trial_id} is not finite within its first "
            f"{error.step} steps; lower encoder.lr, unless the generator makes no finite images"
        ) from error


def compare(settings: EncoderInversion, subject: Subject, chosen: Chosen, encoder: nn.Module) -> Compared:
    """All methods on the same images. Raises EvaluationError where the generator makes no finite images."""
    latents = encode(encoder, chosen.images)
    alone = settings.model_copy(update={"restarts": 1})
    refined = invert(alone, subject, chosen, latents[:, None])
    starts = draw_starts(targets_of(chosen), settings.restarts, subject.settings.latent_dim, settings.seed)
    random = invert(settings, subject, chosen, starts)
    images = dict(zip(METHODS, (made(subject, latents), refined.chosen, random.chosen), strict=True))
    # where a search begins, its loss is the encoder's
    losses = refined.found.curves[:, 0, 0], refined.found.losses[:, 0], random.found.losses.amin(1)
    curves = [
        *curves_of(alone, chosen, refined.found, method="refined"),
        *curves_of(settings, chosen, random.found, method="random"),
    ]
    rows = _rows(chosen, images, dict(zip(METHODS, losses, strict=True)))
    return Compared(rows, curves, gallery(chosen.images, [*images.values()], SHOWN))


def _rows(chosen: Chosen, images: dict[str, Tensor], losses: dict[str, Tensor]) -> list[dict[str, Any]]:
    figures = {
        method: {**measured(images[method], chosen.images), "loss": losses[method].tolist()} for method in METHODS
    }
    return [
        {**told, "method": method, **{name: values[image] for name, values in figures[method].items()}}
        for image, told in enumerate(told_of(chosen))
        for method in METHODS
    ]


def training_rows(settings: EncoderTraining, curves: Tensor) -> list[dict[str, Any]]:
    """Losses (points, 2) of an encoder's training, each with the step to which it goes."""
    return [
        {
            "step": min((place + 1) * settings.log_every, settings.steps),
            **{
                name: None if math.isnan(loss) else loss
                for name, loss in zip(("latent_loss", "image_loss"), losses, strict=True)
            },
        }
        for place, losses in enumerate(curves.tolist())
    ]

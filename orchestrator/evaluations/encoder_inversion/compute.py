"""Inversion by an encoder, compared with searches."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from orchestrator.errors import EvaluationError, NonFiniteLossError
from orchestrator.evaluations.encoder_inversion.encoder import TrainedEncoder, encode, train_encoder
from orchestrator.evaluations.encoder_inversion.settings import METHODS, SHOWN
from orchestrator.evaluations.evaluation import ShardResult
from orchestrator.evaluations.held_out import HeldOutEvaluation
from orchestrator.evaluations.inputs.image_batch import choose
from orchestrator.evaluations.latent_search.inverted import (
    curves_of,
    gallery,
    generate,
    image_columns,
    invert,
    quality_columns,
    targets_of,
)
from orchestrator.evaluations.latent_search.kept import kept_columns, typicality_columns
from orchestrator.evaluations.latent_search.search import draw_starts

if TYPE_CHECKING:
    from torch import Tensor, nn

    from orchestrator.evaluations.encoder_inversion.settings import EncoderInversion, EncoderTraining
    from orchestrator.evaluations.evaluation import TrainedModel
    from orchestrator.evaluations.inputs.image_batch import ImageBatch


class Compared(NamedTuple):
    """The results for some images: a row an image and method, the searches' curves, a picture of the first ones."""

    rows: list[dict[str, Any]]
    curves: list[dict[str, Any]]
    picture: bytes


def compute(settings: EncoderInversion, model: TrainedModel, shard: int) -> ShardResult:
    """Train the encoder, then the rows of all images; the only shard."""
    trained = train(settings, model)
    shards = HeldOutEvaluation.shards(settings, model.settings)
    parts = [compare(settings, model, choose(settings, model, part), trained.encoder) for part in range(shards)]
    return ShardResult(
        [row for part in parts for row in part.rows],
        {
            "curves": [row for part in parts for row in part.curves],
            "training": training_rows(settings.encoder, trained.curves),
        },
        {"gallery": parts[0].picture},
    )


def train(settings: EncoderInversion, model: TrainedModel) -> TrainedEncoder:
    """An encoder trained on the model's training images. Raises EvaluationError if its loss is not finite."""
    images = torch.from_numpy(model.real.pixels).to(model.device)
    source = torch.Generator().manual_seed(settings.seed)
    latent_dim = model.settings.latent_dim
    try:
        return train_encoder(settings.encoder, model.generator, latent_dim, images, source)
    except NonFiniteLossError as error:
        raise EvaluationError(
            f"the encoder's loss for the generator of trial {model.trial_id} is not finite within its first "
            f"{error.step} steps; lower encoder.lr, unless the generator makes no finite images"
        ) from error


def compare(settings: EncoderInversion, model: TrainedModel, batch: ImageBatch, encoder: nn.Module) -> Compared:
    """All methods on the same images. Raises EvaluationError if generated images are not finite."""
    latents = encode(encoder, batch.images)
    one_restart = settings.model_copy(update={"restarts": 1})
    refined = invert(one_restart, model, batch, latents[:, None])
    starts = draw_starts(targets_of(batch), settings.restarts, model.settings.latent_dim, settings.seed)
    random = invert(settings, model, batch, starts)
    images = dict(zip(METHODS, (generate(model, latents), refined.chosen, random.chosen), strict=True))
    # The encoder's loss is that of the refined search before its first step.
    losses = refined.result.curves[:, 0, 0], refined.result.losses[:, 0], random.result.losses.amin(1)
    curves = [
        *curves_of(one_restart, batch, refined.result, method="refined"),
        *curves_of(settings, batch, random.result, method="random"),
    ]
    rows = _rows(model, batch, images, dict(zip(METHODS, losses, strict=True)))
    return Compared(rows, curves, gallery(batch.images, [*images.values()], SHOWN))


def _rows(
    model: TrainedModel, batch: ImageBatch, images: dict[str, Tensor], losses: dict[str, Tensor]
) -> list[dict[str, Any]]:
    metrics = {
        method: {
            **quality_columns(images[method], batch.images),
            **kept_columns(model, batch, images[method]),
            "loss": losses[method].tolist(),
        }
        for method in METHODS
    }
    return [
        {**columns, **typical, "method": method, **{name: values[image] for name, values in metrics[method].items()}}
        for image, (columns, typical) in enumerate(
            zip(image_columns(batch), typicality_columns(model, batch), strict=True)
        )
        for method in METHODS
    ]


def training_rows(settings: EncoderTraining, curves: Tensor) -> list[dict[str, Any]]:
    """Rows of the losses (points, 2) of an encoder's training, each with the last step of its window."""
    return [
        {
            "step": min((point + 1) * settings.log_every, settings.steps),
            **{
                name: None if math.isnan(loss) else loss
                for name, loss in zip(("latent_loss", "image_loss"), losses, strict=True)
            },
        }
        for point, losses in enumerate(curves.tolist())
    ]

"""Held-out images sought by an encoder in one pass, and by searches that begin where it says and at random."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from orchestrator.evaluate.encoder_training import EncoderTraining
from orchestrator.evaluate.evaluation import Found
from orchestrator.evaluate.held_out import HeldOutEvaluation
from orchestrator.evaluate.latent_search import LatentSearch
from orchestrator.store.columns import FLOAT, INT, STRING, Column

if TYPE_CHECKING:
    from orchestrator.evaluate.evaluation import Subject
    from orchestrator.training.settings import TrialSettings

METHODS = ("encoder", "refined", "random")
"""What an encoder says, a search from there, and searches from random starts."""
SHOWN = 8
"""Images in the picture."""


class EncoderInversion(HeldOutEvaluation, LatentSearch):
    """G(E(x)) for held-out images x, E being trained on the training images with G frozen; E(x) as it is and refined.

    Zhu et al., arXiv 1609.03552, section 3: the encoder's answer is the start of the search. A row is an image and a
    method: ``random`` is the best of ``restarts`` searches of as many steps that know no encoder. All is one shard,
    since there is one encoder.
    """

    splits: ClassVar = ("train", "test")
    keys: ClassVar = ("image_id", "method")
    columns = (
        Column("image_id", INT, "", "the image's place in the held-out set"),
        Column("label", INT, "", "the image's class; null where the set has none"),
        Column("method", STRING, "", "encoder, refined (a search from there) or random (searches from random starts)"),
        Column("mse", FLOAT, "", "mean squared error of the image found, in [0, 1]"),
        Column("psnr", FLOAT, "dB", "peak signal-to-noise ratio of it"),
        Column("ssim", FLOAT, "", "mean structural similarity of it"),
        Column("loss", FLOAT, "", "what the search makes small: the mse, plus the prior's term"),
    )
    tables: ClassVar = {
        "curves": (
            Column("image_id", INT, "", "the image's place in the held-out set"),
            Column("method", STRING, "", "refined or random"),
            Column("restart", INT, "", "number of the start, from 0"),
            Column("step", INT, "steps", "steps done; the rows of a restart end where it was dropped"),
            Column("loss", FLOAT, "", "loss there, not the lowest seen so far; null where it is no number"),
        ),
        "training": (
            Column("step", INT, "steps", "updates of the encoder done"),
            Column("latent_loss", FLOAT, "", "mean of (E(G(z)) - z)^2 since the last row; null without weight"),
            Column("image_loss", FLOAT, "", "mean of (G(E(x)) - x)^2 since the last row; null without weight"),
        ),
    }

    kind: Literal["encoder_inversion"] = "encoder_inversion"
    restarts: int = Field(1, ge=1, le=1000)
    """random starts of the search without an encoder; the best is kept"""
    encoder: EncoderTraining = EncoderTraining()
    """how the encoder is trained"""

    def values_of(self, column: str, trial: TrialSettings) -> tuple[Any, ...] | None:
        """The methods."""
        return METHODS if column == "method" else None

    def shards(self, trial: TrialSettings) -> int:
        """One: the encoder is trained in it."""
        return 1

    def run(self, subject: Subject, shard: int) -> Found:
        """Train the encoder, then the rows of all images."""
        from orchestrator.evaluate._encoder_inversion import compare, train, training_rows

        trained = train(self, subject)
        parts = [
            compare(self, subject, self.choose(subject, part), trained.encoder)
            for part in range(super().shards(subject.settings))
        ]
        return Found(
            [row for part in parts for row in part.rows],
            {
                "curves": [row for part in parts for row in part.curves],
                "training": training_rows(self.encoder, trained.curves),
            },
            {"gallery": parts[0].picture},
        )

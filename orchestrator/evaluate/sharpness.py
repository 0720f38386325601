"""How sharp samples are, beside the images that the trial trained on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from orchestrator.evaluate.evaluation import Evaluation, Found
from orchestrator.store.columns import FLOAT, INT, Column

if TYPE_CHECKING:
    from orchestrator.evaluate.evaluation import Subject
    from orchestrator.training.settings import TrialSettings


class Sharpness(Evaluation):
    """Mean variance of the Laplacian of samples from N(0, I), of training images, and the ratio of the two.

    Pech-Pacheco et al., Diatom autofocusing in brightfield microscopy (2000): low for what is blurred, high for what
    is noisy; 1 is as sharp as the data.
    """

    columns = (
        Column("samples", INT, "images", "generated images, and at most as many training images"),
        Column("sharpness", FLOAT, "", "mean variance of the Laplacian of generated images in [0, 1]"),
        Column("real", FLOAT, "", "the same of training images"),
        Column("ratio", FLOAT, "", "sharpness over that of training images; null where that is 0"),
    )

    kind: Literal["sharpness"] = "sharpness"
    samples: int = Field(1000, ge=1, le=1_000_000)
    """generated images"""

    def shards(self, trial: TrialSettings) -> int:
        """One."""
        return 1

    def run(self, subject: Subject, shard: int) -> Found:
        """The one row."""
        import torch

        from orchestrator.data.batches import to_unit
        from orchestrator.evaluate._sampling import images_of, sizes_of
        from orchestrator.measures.pictures import sharpness

        source = torch.Generator().manual_seed(self.seed)
        draws = (torch.randn(size, subject.settings.latent_dim, generator=source) for size in sizes_of(self.samples))
        made = [sharpness(to_unit(images)) for latents in draws for images in images_of(subject, latents)]
        pixels = torch.from_numpy(subject.real.drawn(self.samples).pixels)
        real = float(torch.cat([sharpness(part.float() / 255) for part in torch.split(pixels, 256)]).mean())
        ours = float(torch.cat(made).mean())
        row = {"samples": self.samples, "sharpness": ours, "real": real, "ratio": ours / real if real else None}
        return Found([row])

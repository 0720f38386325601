"""Inversion of held-out images by an encoder in one pass, and by searches from its latents and from random starts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field, model_validator

from orchestrator.evaluations.held_out import CLASS_KEPT, IMAGE_ID, INK_KEPT, LABEL, TYPICALITY, HeldOutEvaluation
from orchestrator.evaluations.latent_search.settings import CURVE, LatentSearch
from orchestrator.settings import Settings
from orchestrator.store.columns import FLOAT, INT, STRING, Column

if TYPE_CHECKING:
    from orchestrator.training.settings import TrialSettings

METHODS = ("encoder", "refined", "random")
"""The encoder's latent vector, a search that starts from it, and searches from random starts."""
SHOWN = 8
"""Images in the picture."""


class EncoderTraining(Settings):
    """Training of an encoder E with a frozen generator G, by Adam with a rate that falls linearly to 0.

    The loss is latent_weight |E(G(z)) - z|^2 over samples plus image_weight |G(E(x)) - x|^2 over images; each is a mean
    over numbers, and images are in [0, 1]. The first has the true latent vectors, but for generated images only
    (Donahue et al., arXiv 1605.09782); the second uses the images that E is meant for (Zhu et al., arXiv 1609.03552).
    """

    steps: int = Field(2000, ge=1, le=10_000_000)
    """updates of the encoder"""
    batch_size: int = Field(128, ge=2, le=1_000_000)
    """samples, and as many images, in each update"""
    lr: float = Field(1e-3, gt=0.0, le=1.0)
    """learning rate at the beginning"""
    width: int = Field(32, ge=1, le=4096)
    """feature maps of the first convolution; they double at every halving of the side"""
    latent_weight: float = Field(0.1, ge=0.0)
    """weight of the squared error of latent vectors of samples"""
    image_weight: float = Field(1.0, ge=0.0)
    """weight of the squared error of images of the data set"""
    log_every: int = Field(100, ge=1)
    """updates to a point of the loss curves"""

    @model_validator(mode="after")
    def _of_something(self) -> EncoderTraining:
        if self.latent_weight == self.image_weight == 0:
            raise ValueError("latent_weight and image_weight are both 0; raise one of them")
        return self


class EncoderInversion(HeldOutEvaluation, LatentSearch):
    """G(E(x)) for held-out images x, with E trained on the training images and G frozen; also with E(x) refined.

    Zhu et al., arXiv 1609.03552, section 3: the refining search starts from E(x). A row is an image and a method:
    ``random`` is the best of ``restarts`` searches of as many steps from random starts. There is one shard, since there
    is one encoder.
    """

    version = 2
    splits: ClassVar = ("train", "test")
    classifies: ClassVar = True
    keys: ClassVar = ("image_id", "method")
    columns = (
        IMAGE_ID,
        LABEL,
        *TYPICALITY,
        Column("method", STRING, "", "encoder, refined (a search from there) or random (searches from random starts)"),
        Column("mse", FLOAT, "", "mean squared error of the image found, in [0, 1]", "MSE"),
        Column("psnr", FLOAT, "dB", "peak signal-to-noise ratio of it", "PSNR"),
        Column("ssim", FLOAT, "", "mean structural similarity of it", "SSIM"),
        Column("loss", FLOAT, "", "what the search makes small: the mse, plus the prior's term"),
        *CLASS_KEPT,
        *INK_KEPT,
    )
    tables: ClassVar = {
        "curves": (
            IMAGE_ID,
            Column("method", STRING, "", "refined or random"),
            *CURVE,
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
        """The methods, and both values of ``typical`` where images have classes."""
        typical = (False, True) if trial.data.has_classes else (None,)
        return {"method": METHODS, "typical": typical}.get(column)

    def shards(self, trial: TrialSettings) -> int:
        """One: the encoder is trained in it."""
        return 1

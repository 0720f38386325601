"""How an encoder is trained that finds the latent vector of an image in one pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pydantic import Field, model_validator

from orchestrator.settings import Settings

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn


class TrainedEncoder(NamedTuple):
    """An encoder and how it came about."""

    encoder: nn.Module
    """Images (n, c, h, w) in [0, 1] to latent vectors (n, latent_dim); in eval mode, frozen."""
    curves: Tensor
    """(points, 2) on the CPU: losses in latents and in images, means of ``log_every`` steps; NaN without weight."""


class EncoderTraining(Settings):
    """Training of an encoder E against a generator G that does not change, by Adam, the rate falling linearly to 0.

    The loss is latent_weight |E(G(z)) - z|^2 over samples plus image_weight |G(E(x)) - x|^2 over images, each a mean
    over numbers, images being in [0, 1]. The first knows the right answer, but only for images that G makes
    (Donahue et al., arXiv 1605.09782); the second is for those that E is meant for (Zhu et al., arXiv 1609.03552).
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

    def train(self, generator: nn.Module, latent_dim: int, images: Tensor, source: torch.Generator) -> TrainedEncoder:
        """Train on images (n, c, h, w) uint8, 0 black to 255 white, on the generator's device.

        The generator is in eval mode and maps (n, latent_dim) to images in [-1, 1]; ``source`` is on the CPU. Raises
        NonFiniteLossError naming the last step of the stretch in which a loss ceased to be finite.
        """
        from orchestrator.evaluate._encoder import train_encoder

        return train_encoder(self, generator, latent_dim, images, source)

"""What every pair of networks answers."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from pydantic import Field

from orchestrator.settings import Settings

if TYPE_CHECKING:
    import torch
    from torch import nn

    from orchestrator.data.images import ImageShape


class MultiplyAdds(NamedTuple):
    """Multiply-add operations of one forward pass for one image, counting convolutions and matrix products."""

    generator: int
    discriminator: int


class Model(Settings):
    """Settings of a generator and a discriminator, which build both networks for images of a given shape.

    The generator maps (n, latent_dim) to (n, c, h, w) in [-1, 1]; the discriminator maps such images to a
    ``Judgement``. Networks come back on the CPU with torch's own weights: see ``initialize``. They know one device;
    what makes several compute as one is put in from outside: see ``distributed.batch_norm``.
    """

    kind: str
    """pair of networks"""
    latent_dim: int = Field(100, ge=1, le=65536)
    """numbers in a latent vector"""
    batch_norm: Literal["synchronized", "per_device", "none"] = "synchronized"
    """statistics of batch norm over the batch of all devices, of each device alone, or no batch norm"""

    judges: ClassVar[Literal["scores", "reconstruction"]] = "scores"
    """What the discriminator's scores are: raw scores, or the errors of an autoencoder."""

    @abstractmethod
    def reject(self, image: ImageShape) -> str | None:
        """Why these settings cannot make images of this shape, or None where they can."""

    @abstractmethod
    def build_generator(self, image: ImageShape) -> nn.Module:
        """The generator, for a shape that ``reject`` lets pass."""

    @abstractmethod
    def build_discriminator(self, image: ImageShape) -> nn.Module:
        """The discriminator, for a shape that ``reject`` lets pass."""

    def norm(self, maps: int) -> list[nn.Module]:
        """The batch norm between a convolution and its activation, as far as there is one."""
        from torch import nn

        return [nn.BatchNorm2d(maps)] if self.normalizes else []

    @property
    def normalizes(self) -> bool:
        """Whether there is batch norm; convolutions before one need no bias, which it would take away again."""
        return self.batch_norm != "none"

    @property
    def discriminator_batch_norm(self) -> bool:
        """Whether the score of an image depends on the other images of its batch."""
        return self.normalizes

    @abstractmethod
    def multiply_adds(self, image: ImageShape) -> MultiplyAdds:
        """The cost of a forward pass, by which a plan estimates how long training takes."""


def initialize(network: nn.Module, generator: torch.Generator) -> None:
    """Draw all weights anew from ``generator`` (on the CPU), as in DCGAN.

    Weights of convolutions and linear layers ~ N(0, 0.02), scales of batch norms ~ N(1, 0.02), biases 0.
    Radford et al., arXiv 1511.06434, section 4; the batch norm's scale as in its published code.
    """
    from torch import nn

    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.02, generator=generator)
        elif isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm):
            nn.init.normal_(module.weight, 1.0, 0.02, generator=generator)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)

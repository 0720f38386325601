"""What every pair of networks answers."""

from __future__ import annotations

from abc import abstractmethod
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from pydantic import Field

from orchestrator.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from torch import nn

    from orchestrator.data.images import ImageShape


class MultiplyAdds(NamedTuple):
    """Multiply-add operations of one forward pass for one image, counting convolutions and matrix products."""

    generator: int
    discriminator: int


class Disturbance(NamedTuple):
    """What the discriminator draws for its images while it trains: a share left out, and deviations of noise."""

    dropout: float = 0.0
    instance_noise: float = 0.0
    feature_noise: float = 0.0


class Model(Settings):
    """Settings of a generator and a discriminator, which build both networks for images of a given shape.

    The generator maps (n, latent_dim) to (n, c, h, w) in [-1, 1]; the discriminator maps such images to a
    ``Judgement``. Networks come back on the CPU with torch's own weights: see ``initialize``. They know one device;
    what makes several compute as one is put in from outside: see ``distributed.batch_norm``.

    ``judges`` says what the discriminator's scores are: raw scores, or reconstruction errors of an autoencoder.
    """

    judges: ClassVar[Literal["scores", "reconstruction"]] = "scores"

    kind: str
    """pair of networks"""
    latent_dim: int = Field(100, ge=1, le=65536)
    """numbers in a latent vector"""
    batch_norm: Literal["synchronized", "per_device", "none"] = "synchronized"
    """statistics of batch norm over the batch of all devices, of each device alone, or no batch norm"""
    discriminator_norm: Literal["batch", "layer", "none"] = "batch"
    """the discriminator's norm: batch norm as far as there is any, layer norm over each image, or none"""
    spectral_norm: Literal["none", "discriminator", "both"] = "none"
    """networks whose weights are divided by their largest singular value"""
    initialization: Literal["normal", "orthogonal"] = "normal"
    """first weights of convolutions and linear layers: N(0, 0.02), or orthogonal"""
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    """share of the discriminator's features left out before the score, and after each of its hidden linear layers"""
    instance_noise: float = Field(0.0, ge=0.0)
    """standard deviation of the noise on the discriminator's images, which lie in [-1, 1]"""
    feature_noise: float = Field(0.0, ge=0.0)
    """standard deviation of the noise on the discriminator's features before the score"""

    @abstractmethod
    def reject(self, image: ImageShape) -> str | None:
        """Why these settings cannot make images of this shape, or None where they can."""

    @abstractmethod
    def generator(self, image: ImageShape) -> nn.Module:
        """The generator's layers, for a shape that ``reject`` lets pass."""

    @abstractmethod
    def discriminator(self, image: ImageShape) -> nn.Module:
        """The discriminator's layers, for a shape that ``reject`` lets pass."""

    def build_generator(self, image: ImageShape) -> nn.Module:
        """The generator, for a shape that ``reject`` lets pass."""
        network = self.generator(image)
        return _spectrally_normalized(network) if self.spectral_norm == "both" else network

    def build_discriminator(self, image: ImageShape) -> nn.Module:
        """The discriminator, for a shape that ``reject`` lets pass."""
        network = self.discriminator(image)
        return network if self.spectral_norm == "none" else _spectrally_normalized(network)

    def norm(self, maps: int) -> list[nn.Module]:
        """The batch norm between a convolution of the generator and its activation, as far as there is one."""
        from torch import nn

        return [nn.BatchNorm2d(maps)] if self.normalizes else []

    def d_norm(self, maps: int) -> list[nn.Module]:
        """The norm between a convolution of the discriminator and its activation, as far as there is one.

        A gradient penalty asks for one that keeps images apart: layer norm, arXiv 1607.06450, over all of an image's
        maps, as in WGAN-GP, arXiv 1704.00028, section 4.
        """
        from torch import nn

        if self.discriminator_norm == "layer":
            return [nn.GroupNorm(1, maps)]
        return [nn.BatchNorm2d(maps)] if self.d_normalizes else []

    @property
    def normalizes(self) -> bool:
        """Whether there is batch norm; convolutions before one need no bias, which it would take away again."""
        return self.batch_norm != "none"

    @property
    def d_normalizes(self) -> bool:
        """Whether the discriminator has batch norm."""
        return self.normalizes and self.discriminator_norm == "batch"

    @property
    def disturbance(self) -> Disturbance:
        """What the discriminator is built with."""
        return Disturbance(self.dropout, self.instance_noise, self.feature_noise)

    @property
    def is_noisy(self) -> bool:
        """Whether there is noise on the discriminator's images or features."""
        return self.instance_noise > 0 or self.feature_noise > 0

    @abstractmethod
    def multiply_adds(self, image: ImageShape) -> MultiplyAdds:
        """The cost of a forward pass, by which a plan estimates how long training takes."""


def initialize(
    network: nn.Module, generator: torch.Generator, initialization: Literal["normal", "orthogonal"] = "normal"
) -> None:
    """Draw all weights anew from ``generator`` (on the CPU), as in DCGAN.

    Weights of convolutions and linear layers ~ N(0, 0.02), or orthogonal (Saxe et al., arXiv 1312.6120), scales of
    norms ~ N(1, 0.02), biases 0. Radford et al., arXiv 1511.06434, section 4; the norm's scale as in its published
    code. The vectors of spectral norm are drawn too, and fitted to the new weights.
    """
    from torch import nn
    from torch.nn.utils import parametrizations, parametrize

    draw = nn.init.orthogonal_ if initialization == "orthogonal" else partial(nn.init.normal_, mean=0.0, std=0.02)
    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            spectral = parametrize.is_parametrized(module, "weight")
            if spectral:
                parametrize.remove_parametrizations(module, "weight", leave_parametrized=False)
            draw(module.weight, generator=generator)
            if spectral:
                with _lent(generator):
                    parametrizations.spectral_norm(module)
        elif isinstance(module, nn.BatchNorm2d | nn.SyncBatchNorm | nn.GroupNorm):
            nn.init.normal_(module.weight, 1.0, 0.02, generator=generator)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def _spectrally_normalized(network: nn.Module) -> nn.Module:
    """The network with spectral norm on all convolutions and linear layers: Miyato et al., arXiv 1802.05957."""
    from torch import nn
    from torch.nn.utils import parametrizations

    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            parametrizations.spectral_norm(module)
    return network


@contextmanager
def _lent(generator: torch.Generator) -> Iterator[None]:
    """What draws from torch's global generator draws from this one: spectral norm takes no generator."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(generator.get_state())
        yield
        generator.set_state(torch.get_rng_state())

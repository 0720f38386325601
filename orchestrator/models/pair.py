"""The interface of every pair of networks: a generator against a discriminator."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

from pydantic import Field

from orchestrator.models.model import Decoder

if TYPE_CHECKING:
    from torch import nn

    from orchestrator.data.images import ImageShape


OF_DISCRIMINATORS = ("discriminator_norm", "dropout", "instance_noise", "feature_noise")
"""Settings of every pair that do not affect its generator."""


class NoiseSettings(NamedTuple):
    """Dropout and noise of the discriminator while it trains: a share left out, and standard deviations."""

    dropout: float = 0.0
    instance_noise: float = 0.0
    feature_noise: float = 0.0


class Pair(Decoder):
    """Settings of a generator, and of a discriminator from images (n, c, h, w) in [-1, 1] to a ``DiscriminatorOutput``.

    ``judges`` is the kind of the discriminator's scores: raw scores, or reconstruction errors of an autoencoder.
    """

    networks: ClassVar[frozenset[str]] = frozenset({"generator", "discriminator"})
    judges: ClassVar[Literal["scores", "reconstruction"]] = "scores"
    of_vectors: ClassVar[bool] = False
    """Whether norms follow linear layers; otherwise they act on maps of at least 2x2 pixels."""

    discriminator_norm: Literal["batch", "layer", "none"] = "batch"
    """the discriminator's norm: batch norm as far as there is any, layer norm over each image, or none"""
    spectral_norm: Literal["none", "discriminator", "both"] = "none"
    """networks whose weights are divided by their largest singular value"""
    dropout: float = Field(0.0, ge=0.0, lt=1.0)
    """share of the discriminator's features left out before the score, and after each of its hidden linear layers"""
    instance_noise: float = Field(0.0, ge=0.0)
    """standard deviation of the noise on the discriminator's images, which lie in [-1, 1]"""
    feature_noise: float = Field(0.0, ge=0.0)
    """standard deviation of the noise on the discriminator's features before the score"""

    @abstractmethod
    def discriminator(self, image: ImageShape) -> nn.Module:
        """The discriminator's layers, for a shape that ``reject`` accepts."""

    def build_generator(self, image: ImageShape) -> nn.Module:
        """The generator, for a shape that ``reject`` accepts."""
        network = super().build_generator(image)
        return _spectrally_normalized(network) if self.spectral_norm == "both" else network

    def build_discriminator(self, image: ImageShape) -> nn.Module:
        """The discriminator, for a shape that ``reject`` accepts."""
        network = self.discriminator(image)
        return network if self.spectral_norm == "none" else _spectrally_normalized(network)

    def d_norm(self, maps: int) -> list[nn.Module]:
        """The norm between a convolution of the discriminator and its activation, if there is one.

        A gradient penalty needs scores that do not depend on other images: layer norm, arXiv 1607.06450, over all maps
        of an image, as in WGAN-GP, arXiv 1704.00028, section 4.
        """
        from torch import nn

        if self.discriminator_norm == "layer":
            return [nn.GroupNorm(1, maps)]
        return [nn.BatchNorm2d(maps)] if self.d_normalizes else []

    def d_norms(self, places: int) -> int:
        """Norms of a discriminator with room for so many."""
        return places if self.d_normalizes or self.discriminator_norm == "layer" else 0

    @property
    def d_normalizes(self) -> bool:
        """Whether the discriminator has batch norm."""
        return self.normalizes and self.discriminator_norm == "batch"

    def least_part(self, trained: frozenset[str], workers: int) -> int:
        """Two if batch norm of vectors takes its statistics over one device."""
        normalized = self.normalizes if "generator" in trained else False
        normalized = normalized or (self.d_normalizes and "discriminator" in trained)
        one_device = workers == 1 or self.batch_statistics == "per_device"
        return 2 if self.of_vectors and normalized and one_device else 1

    @property
    def noise_settings(self) -> NoiseSettings:
        """The discriminator's dropout and noise."""
        return NoiseSettings(self.dropout, self.instance_noise, self.feature_noise)

    @property
    def is_noisy(self) -> bool:
        """Whether there is noise on the discriminator's images or features."""
        return self.instance_noise > 0 or self.feature_noise > 0


def _spectrally_normalized(network: nn.Module) -> nn.Module:
    """The network with spectral norm on all convolutions and linear layers: Miyato et al., arXiv 1802.05957."""
    from torch import nn
    from torch.nn.utils import parametrizations

    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            parametrizations.spectral_norm(module)
    return network

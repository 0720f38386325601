"""The interface of every model, and the base of models whose generator decodes short latent vectors."""

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
    discriminator: int = 0
    encoder: int = 0


class Layers(NamedTuple):
    """The layers of a network: convolutions and linear ones, norms, and a pass's operations beside all of these."""

    linear: int = 0
    norms: int = 0
    others: int = 0


class NetworkLayers(NamedTuple):
    """The layers of each network of a model."""

    generator: Layers
    discriminator: Layers = Layers()
    encoder: Layers = Layers()


class Model(Settings):
    """Settings of a generator and the networks trained with it; they build the networks for a given image shape.

    The generator maps latent vectors (n, latent_dim), which are N(0, I) after training, to (n, c, h, w) in [-1, 1].
    Networks are built on the CPU with torch's default weights: see ``init_weights``. They are written for one device;
    ``distributed.batch_norm`` adapts them to several from outside.
    """

    networks: ClassVar[frozenset[str]]
    """Its networks, of generator, discriminator, encoder and flow."""

    kind: str
    """networks"""

    @abstractmethod
    def reject(self, image: ImageShape) -> str | None:
        """Why these settings do not fit images of this shape, or None where they do."""

    @abstractmethod
    def latents(self, image: ImageShape) -> int:
        """Numbers in a latent vector of an image."""

    @abstractmethod
    def build_generator(self, image: ImageShape) -> nn.Module:
        """The generator, for a shape that ``reject`` accepts."""

    @abstractmethod
    def init_weights(self, network: nn.Module, source: torch.Generator) -> None:
        """Draw all weights of one of its networks anew from ``source``, on the CPU."""

    @abstractmethod
    def multiply_adds(self, image: ImageShape) -> MultiplyAdds:
        """The cost of a forward pass, from which a plan estimates the training time."""

    @abstractmethod
    def network_layers(self, image: ImageShape) -> NetworkLayers:
        """The layers of each network, by which the operations that a GPU launches for a step are counted."""

    def layers(self, image: ImageShape) -> int:
        """The approximate number of successive layers in a pass: each takes time, however small it is."""
        return 4

    @property
    def batch_statistics(self) -> Literal["synchronized", "per_device", "none"]:
        """The images that batch norm takes its statistics over: of all devices or of each; none without batch norm."""
        return "none"

    def least_part(self, trained: frozenset[str], workers: int) -> int:
        """The least number of images in each device's pass while these networks train on ``workers`` devices.

        Two if a norm takes statistics over one number of each image, since one number has no variance.
        """
        return 1


class Decoder(Model):
    """A model whose generator decodes vectors of ``latent_dim`` numbers, with or without batch norm."""

    latent_dim: int = Field(100, ge=1, le=65536)
    """numbers in a latent vector"""
    batch_norm: Literal["synchronized", "per_device", "none"] = "synchronized"
    """statistics of batch norm over the batch of all devices, of each device alone, or no batch norm"""
    initialization: Literal["normal", "orthogonal"] = "normal"
    """first weights of convolutions and linear layers: N(0, 0.02), or orthogonal"""

    @abstractmethod
    def generator(self, image: ImageShape) -> nn.Module:
        """The generator's layers, for a shape that ``reject`` accepts."""

    def latents(self, image: ImageShape) -> int:
        """``latent_dim``, for any image."""
        return self.latent_dim

    def build_generator(self, image: ImageShape) -> nn.Module:
        """The generator's layers."""
        return self.generator(image)

    def init_weights(self, network: nn.Module, source: torch.Generator) -> None:
        """See ``initialize``."""
        initialize(network, source, self.initialization)

    def norm(self, maps: int) -> list[nn.Module]:
        """The batch norm between a convolution and its activation, if there is one."""
        from torch import nn

        return [nn.BatchNorm2d(maps)] if self.normalizes else []

    def norms(self, places: int) -> int:
        """Norms of a network with room for so many."""
        return places if self.normalizes else 0

    @property
    def normalizes(self) -> bool:
        """Whether there is batch norm; convolutions before it need no bias, since it would subtract it again."""
        return self.batch_norm != "none"

    @property
    def batch_statistics(self) -> Literal["synchronized", "per_device", "none"]:
        """As set."""
        return self.batch_norm


def initialize(
    network: nn.Module, generator: torch.Generator, initialization: Literal["normal", "orthogonal"] = "normal"
) -> None:
    """Draw all weights anew from ``generator`` (on the CPU), as in DCGAN.

    Weights of convolutions and linear layers ~ N(0, 0.02), or orthogonal (Saxe et al., arXiv 1312.6120); scales of
    norms ~ N(1, 0.02), biases 0. Radford et al., arXiv 1511.06434, section 4; the norms' scale is that of the published
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
                with _as_global_generator(generator):
                    parametrizations.spectral_norm(module)
        elif isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
            nn.init.normal_(module.weight, 1.0, 0.02, generator=generator)
        else:
            continue
        if module.bias is not None:
            nn.init.zeros_(module.bias)


@contextmanager
def _as_global_generator(generator: torch.Generator) -> Iterator[None]:
    """Within, torch's global generator draws what this one would: spectral norm takes no generator."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(generator.get_state())
        yield
        generator.set_state(torch.get_rng_state())

"""What every model answers, and what those share whose generator decodes short latent vectors."""

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


class Model(Settings):
    """Settings of a generator and what is trained with it, which build networks for images of a given shape.

    The generator maps latent vectors (n, latent_dim), which are N(0, I) after training, to (n, c, h, w) in [-1, 1].
    Networks come back on the CPU with torch's own weights: see ``init_weights``. They know one device; what makes
    several compute as one is put in from outside: see ``distributed.batch_norm``.
    """

    networks: ClassVar[frozenset[str]]
    """What it has, of generator, discriminator, encoder and flow."""

    kind: str
    """networks"""

    @abstractmethod
    def reject(self, image: ImageShape) -> str | None:
        """Why these settings cannot make images of this shape, or None where they can."""

    @abstractmethod
    def latents(self, image: ImageShape) -> int:
        """Numbers in a latent vector of an image."""

    @abstractmethod
    def build_generator(self, image: ImageShape) -> nn.Module:
        """The generator, for a shape that ``reject`` lets pass."""

    @abstractmethod
    def init_weights(self, network: nn.Module, source: torch.Generator) -> None:
        """Draw all weights of one of its networks anew from ``source``, on the CPU."""

    @abstractmethod
    def multiply_adds(self, image: ImageShape) -> MultiplyAdds:
        """The cost of a forward pass, by which a plan estimates how long training takes."""

    def layers(self, image: ImageShape) -> int:
        """About how many layers a pass goes through one after another, each of which takes time however small it is."""
        return 4

    @property
    def batch_statistics(self) -> Literal["synchronized", "per_device", "none"]:
        """Over which images batch norm takes its statistics, if there is any."""
        return "none"

    def least_part(self, trained: frozenset[str], workers: int) -> int:
        """Images that each device's pass takes at least while these networks train on so many devices together.

        Two where a norm sees one number of an image at a time, which has no variance.
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
        """The generator's layers, for a shape that ``reject`` lets pass."""

    def latents(self, image: ImageShape) -> int:
        """As set, whatever the image."""
        return self.latent_dim

    def build_generator(self, image: ImageShape) -> nn.Module:
        """The layers as they are."""
        return self.generator(image)

    def init_weights(self, network: nn.Module, source: torch.Generator) -> None:
        """By ``initialize``."""
        initialize(network, source, self.initialization)

    def norm(self, maps: int) -> list[nn.Module]:
        """The batch norm between a convolution and its activation, as far as there is one."""
        from torch import nn

        return [nn.BatchNorm2d(maps)] if self.normalizes else []

    @property
    def normalizes(self) -> bool:
        """Whether there is batch norm; convolutions before one need no bias, which it would take away again."""
        return self.batch_norm != "none"

    @property
    def batch_statistics(self) -> Literal["synchronized", "per_device", "none"]:
        """As set."""
        return self.batch_norm


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


@contextmanager
def _lent(generator: torch.Generator) -> Iterator[None]:
    """What draws from torch's global generator draws from this one: spectral norm takes no generator."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(generator.get_state())
        yield
        generator.set_state(torch.get_rng_state())

"""The encoder: its network, its training with the generator frozen, and its latent vectors of images."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn

from orchestrator.data.images import ImageShape
from orchestrator.data.ranges import signed_from_unit, unit_from_bytes, unit_from_signed
from orchestrator.eager import eager
from orchestrator.errors import NonFiniteLossError
from orchestrator.models._sides import depth_to, doubled, halved
from orchestrator.models._strided import encoder
from orchestrator.models.model import initialize

if TYPE_CHECKING:
    from orchestrator.evaluations.encoder_inversion.settings import EncoderTraining

_SMALLEST, _MAX_WIDTH = 4, 512


class TrainedEncoder(NamedTuple):
    """An encoder and the loss curves of its training."""

    encoder: nn.Module
    """Images (n, c, h, w) in [0, 1] to latent vectors (n, latent_dim); in eval mode, frozen."""
    curves: Tensor
    """(points, 2) on the CPU: losses in latents and in images, means of ``log_every`` steps; NaN without weight."""


class Encoder(nn.Module):
    """Strided convolutions with batch norm, as DCGAN's discriminator, then one linear layer.

    Maps images (n, c, h, w) in [0, 1] to latent vectors (n, latent_dim).
    """

    def __init__(self, image: ImageShape, latent_dim: int, width: int) -> None:
        super().__init__()
        depth = depth_to(image, _SMALLEST)
        sides, widths = halved(image, depth), [image.channels, *doubled(width, _MAX_WIDTH, depth)]
        self.layers = encoder(widths, sides, latent_dim, lambda maps: [nn.BatchNorm2d(maps)])

    def forward(self, images: Tensor) -> Tensor:
        """Latent vectors of images in [0, 1]."""
        latents: Tensor = self.layers(signed_from_unit(images))
        return latents


def train_encoder(
    settings: EncoderTraining, generator: nn.Module, latent_dim: int, images: Tensor, source: torch.Generator
) -> TrainedEncoder:
    """Train on images (n, c, h, w) uint8, 0 black to 255 white, on the generator's device.

    The generator is in eval mode and maps (n, latent_dim) to images in [-1, 1]; ``source`` is on the CPU. Raises
    NonFiniteLossError with the last step of the window in which a loss was not finite.
    """
    assert not any(module.training for module in generator.modules()), "the generator must be in eval mode"
    encoder = Encoder(ImageShape(*images.shape[1:]), latent_dim, settings.width)
    initialize(encoder, source)
    encoder.to(images.device)
    seed = int(torch.randint(2**62, (), generator=source))
    training = _Training(settings, generator, encoder, images, torch.Generator(images.device).manual_seed(seed))
    curves, window = [], []
    for step in range(settings.steps):
        window.append(training.step(step, latent_dim))
        if len(window) == settings.log_every or step + 1 == settings.steps:
            curves.append(torch.stack(window).mean(0).cpu())
            window.clear()
            if curves[-1].isinf().any() or curves[-1].isnan().ne(training.unweighted).any():
                raise NonFiniteLossError(step + 1)
    return TrainedEncoder(encoder.eval().requires_grad_(False), torch.stack(curves))


class _Training:
    def __init__(
        self,
        settings: EncoderTraining,
        generator: nn.Module,
        encoder: Encoder,
        images: Tensor,
        source: torch.Generator,
    ) -> None:
        self.settings, self.generator, self.encoder = settings, generator, encoder
        self.images, self.source = images, source
        self.optimizer = eager(torch.optim.Adam)(encoder.parameters(), lr=settings.lr, fused=True)
        self.unweighted = torch.tensor([settings.latent_weight == 0, settings.image_weight == 0])

    def step(self, step: int, latent_dim: int) -> Tensor:
        """One update; returns both losses (2,), NaN for one without weight."""
        latent_loss = self._latent_loss(latent_dim) if self.settings.latent_weight else None
        image_loss = self._image_loss() if self.settings.image_weight else None
        loss = torch.zeros((), device=self.images.device)
        if latent_loss is not None:
            loss = loss + self.settings.latent_weight * latent_loss
        if image_loss is not None:
            loss = loss + self.settings.image_weight * image_loss
        # Gradients of the encoder only: the generator's parameters may require gradients, but must not get any.
        parameters = list(self.encoder.parameters())
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter.grad = gradient
        for group in self.optimizer.param_groups:
            group["lr"] = self.settings.lr * (1 - step / self.settings.steps)
        self.optimizer.step()
        nan = torch.full_like(loss, math.nan)
        return torch.stack([(nan if term is None else term).detach() for term in (latent_loss, image_loss)])

    def _latent_loss(self, latent_dim: int) -> Tensor:
        """Mean of (E(G(z)) - z)^2 over z ~ N(0, I)."""
        latents = torch.randn(self.settings.batch_size, latent_dim, generator=self.source, device=self.images.device)
        with torch.no_grad():
            samples = unit_from_signed(self.generator(latents))
        error: Tensor = self.encoder(samples) - latents
        return error.square().mean()

    def _image_loss(self) -> Tensor:
        """Mean of (G(E(x)) - x)^2 over images x drawn with replacement."""
        size = (self.settings.batch_size,)
        batch = torch.randint(len(self.images), size, generator=self.source, device=self.images.device)
        images = unit_from_bytes(self.images[batch])
        error: Tensor = unit_from_signed(self.generator(self.encoder(images))) - images
        return error.square().mean()


@torch.no_grad()
def encode(encoder: nn.Module, images: Tensor, batch: int = 512) -> Tensor:
    """Latent vectors (n, latent_dim) of images (n, c, h, w) in [0, 1], by an encoder in eval mode."""
    return torch.cat([encoder(part) for part in torch.split(images, batch)])

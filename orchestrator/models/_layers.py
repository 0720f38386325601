"""Layers that several pairs of networks are made of.

Convolutions from and to a single pixel are computed as the matrix products that they are. Parameters and results are
those of torch's convolutions; oneDNN and cuDNN take several times as long for such shapes.
"""

from __future__ import annotations

from torch import Tensor, nn

from orchestrator.judgement import Judgement


class Discriminator(nn.Module):
    """A network that scores: ``body`` maps images to features, ``head`` maps features to raw scores (n,)."""

    def __init__(self, body: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.body, self.head = body, head

    def forward(self, images: Tensor) -> Judgement:
        """Scores and features of images (n, c, h, w)."""
        features = self.body(images)
        return Judgement(self.head(features), features.flatten(1))


class FromLatent(nn.ConvTranspose2d):
    """Latent vectors (n, latent_dim) to feature maps (n, maps, side, side): a transposed convolution of one pixel."""

    def __init__(self, latent_dim: int, maps: int, side: int, *, bias: bool) -> None:
        super().__init__(latent_dim, maps, side, bias=bias)

    def forward(self, latents: Tensor) -> Tensor:  # type: ignore[override]
        """One product; the maps come channels last in memory, as the next convolution wants them."""
        latent_dim, maps, height, width = self.weight.shape
        weight = self.weight.permute(0, 2, 3, 1).reshape(latent_dim, -1)
        maps_last = (latents @ weight).view(-1, height, width, maps)
        if self.bias is not None:
            maps_last = maps_last + self.bias
        return maps_last.permute(0, 3, 1, 2)


class ToScore(nn.Conv2d):
    """Feature maps (n, maps, side, side) to raw scores (n,): a convolution as large as the maps."""

    def __init__(self, maps: int, side: int) -> None:
        super().__init__(maps, 1, side)

    def forward(self, features: Tensor) -> Tensor:
        """One product of each image's features with the weights."""
        weight = self.weight.permute(0, 2, 3, 1).flatten(1)
        return nn.functional.linear(features.permute(0, 2, 3, 1).flatten(1), weight, self.bias).squeeze(1)

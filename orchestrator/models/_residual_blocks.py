"""Residual blocks that double or halve the sides, and the generator: Brock et al., arXiv 1809.11096, appendix B."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from torch import Tensor, nn

from orchestrator.models._layers import FromLatent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.models._sides import Sides

    Norm = Callable[[int], list[nn.Module]]


class Modulated(nn.Module):
    """A norm whose scales and shifts depend on a part of the latent vector: norm(x) (1 + A z) + B z.

    Conditional batch norm, de Vries et al., arXiv 1707.00683; the norm also has scales and shifts of its own.
    """

    def __init__(self, maps: int, latent_dim: int, norm: Norm) -> None:
        super().__init__()
        self.norm = nn.Sequential(*norm(maps))
        self.gain, self.shift = (nn.Linear(latent_dim, maps, bias=False) for _ in range(2))

    def forward(self, inputs: Tensor, latents: Tensor) -> Tensor:
        """Feature maps (n, maps, h, w) and latent vectors (n, latent_dim) to maps of the same shape."""
        gain, shift = self.gain(latents)[..., None, None], self.shift(latents)[..., None, None]
        return self.norm(inputs) * (1 + gain) + shift  # type: ignore[no-any-return]


class Up(nn.Module):
    """Norm, ReLU, nearest upsampling, convolution, norm, ReLU, convolution; a 1x1 convolution in the skip connection.

    With a ``latent_dim`` above 0 both norms are modulated. The 1x1 convolution comes before the upsampling: the result
    is the same as after it, for a quarter of the work.
    """

    def __init__(self, before: int, after: int, sides: Sides, latent_dim: int, norm: Norm) -> None:
        super().__init__()
        bias = _needs_bias(norm(after))
        self.modulated = latent_dim > 0
        self.first, self.second = (
            Modulated(maps, latent_dim, norm) if self.modulated else nn.Sequential(*norm(maps))
            for maps in (before, after)
        )
        self.enlarge = nn.Upsample(size=sides, mode="nearest")
        self.widen = nn.Conv2d(before, after, 3, 1, 1, bias=bias)
        self.refine = nn.Conv2d(after, after, 3, 1, 1, bias=bias)
        self.around = nn.Conv2d(before, after, 1, bias=bias)

    def forward(self, inputs: Tensor, latents: Tensor) -> Tensor:
        """Maps (n, before, ...) and this block's part of the latent vectors to maps (n, after, *sides)."""
        conditions = (latents,) if self.modulated else ()
        inner = self.widen(self.enlarge(self.first(inputs, *conditions).relu()))
        inner = self.refine(self.second(inner, *conditions).relu())
        return inner + self.enlarge(self.around(inputs))  # type: ignore[no-any-return]


class Down(nn.Module):
    """ReLU, convolution, norm, ReLU, convolution, mean over 2x2; a mean and a 1x1 convolution in the skip connection.

    The first block starts with its convolution, since its input is the image. The skip connection of a block that
    halves nothing is the identity.
    """

    def __init__(self, before: int, after: int, norm: Norm, *, first: bool = False, halves: bool = True) -> None:
        super().__init__()
        self.enter = nn.Identity() if first else nn.ReLU()
        self.widen = nn.Conv2d(before, after, 3, 1, 1, bias=_needs_bias(norm(after)))
        self.norm = nn.Sequential(*norm(after))
        self.refine = nn.Conv2d(after, after, 3, 1, 1)
        self.shrink = nn.AvgPool2d(2, ceil_mode=True) if halves else nn.Identity()
        self.around = nn.Conv2d(before, after, 1) if halves else nn.Identity()

    def forward(self, inputs: Tensor) -> Tensor:
        """Maps (n, before, h, w) to maps (n, after, ...), of half the sides, rounded up, where it halves."""
        inner = self.refine(self.norm(self.widen(self.enter(inputs))).relu())
        return self.shrink(inner) + self.around(self.shrink(inputs))  # type: ignore[no-any-return]


class ResidualGenerator(nn.Module):
    """First maps from ``parts[0]`` of the latent vector, then a block for each further part, then an image.

    ``widths`` and ``sides`` are those of the maps, from the first on. A block with an empty part has no latent input.
    """

    def __init__(
        self, parts: Sequence[slice], widths: Sequence[int], sides: Sequence[Sides], channels: int, norm: Norm
    ) -> None:
        super().__init__()
        lengths = [part.stop - part.start for part in parts]
        self.parts = parts
        self.first = FromLatent(lengths[0], widths[0], sides[0], bias=_needs_bias(norm(widths[0])))
        self.blocks = nn.ModuleList(
            Up(before, after, side, length, norm)
            for (before, after), side, length in zip(pairwise(widths), sides[1:], lengths[1:], strict=True)
        )
        self.last = nn.Sequential(
            *norm(widths[-1]), nn.ReLU(inplace=True), nn.Conv2d(widths[-1], channels, 3, 1, 1), nn.Tanh()
        )

    def forward(self, latents: Tensor) -> Tensor:
        """Latent vectors (n, latent_dim) to images (n, c, h, w) in [-1, 1]."""
        first, *block_latents = (latents[:, part] for part in self.parts)
        maps = self.first(first)
        for block, part in zip(self.blocks, block_latents, strict=True):
            maps = block(maps, part)
        return self.last(maps)  # type: ignore[no-any-return]


class Total(nn.Module):
    """Feature maps (n, maps, h, w) to their sums over all positions (n, maps)."""

    def forward(self, features: Tensor) -> Tensor:
        """One number for each map."""
        return features.sum((2, 3))


def _needs_bias(norms: list[nn.Module]) -> bool:
    """Whether a bias has an effect: batch norm subtracts it, also from a sum of blocks whose outputs all have one."""
    return not any(isinstance(norm, nn.BatchNorm2d) for norm in norms)

"""Layers of Glow, Kingma and Dhariwal, arXiv 1807.03039: bijections of feature maps.

Each layer's ``forward`` returns its maps and log |det Jacobian| of each image (n,); ``inverse`` computes the inputs.
Both are differentiable. Under autocast only the networks within couplings and splits compute in low precision: maps and
determinants stay in the precision of the inputs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

LEAST_SCALE = 0.5
"""The least scale of a coupling, for any output of its network."""
_FIRST_DEVIATION = 0.05
_LOG_SCALE_FACTOR = 3.0
"""Factor by which a zero convolution's log scale learns faster: the published code's ``logscale_factor``."""


class ActNorm(nn.Module):
    """A scale and a shift for each channel, section 3.1; the identity until it is fitted or trained."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_scale, self.shift = (nn.Parameter(torch.zeros(channels)) for _ in range(2))

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (n, c, h, w), scaled, then shifted."""
        outputs = torch.addcmul(_over_maps(self.shift), inputs, _over_maps(self.log_scale.exp()))
        return outputs, _log_det_of_maps(self.log_scale.sum(), inputs)

    def inverse(self, outputs: Tensor) -> Tensor:
        """The inputs of ``forward``."""
        return (outputs - _over_maps(self.shift)) * _over_maps((-self.log_scale).exp())

    @torch.no_grad()
    def fit(self, inputs: Tensor) -> None:
        """Set scales and shifts so that the outputs for these inputs have mean 0 and variance 1 in each channel.

        As in the published code, 1e-6 is added to each standard deviation: the output of a constant channel is 0.
        """
        variance, mean = torch.var_mean(inputs, (0, 2, 3), correction=0)
        self.log_scale.copy_(-(variance.sqrt() + 1e-6).log())
        self.shift.copy_(-mean * self.log_scale.exp())

    def init_weights(self, generator: torch.Generator) -> None:
        """The identity again; nothing is drawn."""
        nn.init.zeros_(self.log_scale)
        nn.init.zeros_(self.shift)


class InvertibleConvolution(nn.Module):
    """A 1x1 convolution by W = P L (U + diag(s)), section 3.2; the identity until its weights are drawn.

    ``factors`` (c, c) holds the learned parameters: L below the diagonal, U above it, and log |s| on it. The row order,
    which is P, and the signs of s are fixed.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.factors = nn.Parameter(torch.zeros(channels, channels))
        self.signs: Tensor
        self.order: Tensor
        self.register_buffer("signs", torch.ones(channels))
        self.register_buffer("order", torch.arange(channels))
        self._fixed: Tensor | None = None

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (n, c, h, w), channels last in memory."""
        with torch.autocast(inputs.device.type, enabled=False):
            return _mixed(inputs, self.weight()), _log_det_of_maps(self.factors.diagonal().sum(), inputs)

    def inverse(self, outputs: Tensor) -> Tensor:
        """The inputs of ``forward``."""
        with torch.autocast(outputs.device.type, enabled=False):
            return _mixed(outputs, self.inverse_weight())

    def weight(self) -> Tensor:
        """W, (c, c)."""
        lower, upper = self._triangles()
        return (lower @ upper).index_select(0, self.order)

    def inverse_weight(self) -> Tensor:
        """The inverse of W, (c, c), by two triangular solves: once a pass, not once a pixel."""
        if self._fixed is not None:
            return self._fixed
        lower, upper = self._triangles()
        identity = torch.eye(len(lower), dtype=lower.dtype, device=lower.device)
        halfway = torch.linalg.solve_triangular(lower, identity[self.order].T, upper=False, unitriangular=True)
        inverse: Tensor = torch.linalg.solve_triangular(upper, halfway, upper=True)
        return inverse

    @torch.no_grad()
    def fix_inverse(self) -> None:
        """Keep the inverse of W as it is, for weights that no longer change: some programs solve no equations."""
        self._fixed = self.inverse_weight()

    @torch.no_grad()
    def init_weights(self, generator: torch.Generator) -> None:
        """A rotation, possibly with a reflection, uniform among all: Mezzadri, arXiv math-ph/0609050, section 5."""
        normal = torch.randn(self.factors.shape, dtype=torch.float64, generator=generator)
        rotation, triangle = torch.linalg.qr(normal)
        permutation, lower, upper = torch.linalg.lu(rotation * triangle.diagonal().sign())
        diagonal = upper.diagonal()
        self.order.copy_(permutation.argmax(1))
        self.signs.copy_(diagonal.sign())
        self.factors.copy_(lower.tril(-1) + diagonal.abs().log().diag() + upper.triu(1))

    def _triangles(self) -> tuple[Tensor, Tensor]:
        """L with ones on its diagonal, and U with s on it."""
        diagonal = self.signs * self.factors.diagonal().exp()
        lower = self.factors.tril(-1) + torch.eye(len(diagonal), dtype=diagonal.dtype, device=diagonal.device)
        return lower, self.factors.triu(1) + diagonal.diag()


class ZeroConvolution(nn.Conv2d):
    """A 3x3 convolution that starts with zeros and scales each channel by exp(3 log_scale), as the published code's."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__(before, after, 3, 1, 1)
        self.log_scale = nn.Parameter(torch.zeros(after))

    def reset_parameters(self) -> None:
        """Zeros instead of torch's random weights."""
        assert self.bias is not None
        nn.init.zeros_(self.weight)
        nn.init.zeros_(self.bias)

    def forward(self, inputs: Tensor) -> Tensor:
        """Maps (n, before, h, w) to maps (n, after, h, w)."""
        assert self.bias is not None
        scale = (_LOG_SCALE_FACTOR * self.log_scale).exp()
        # the weights are scaled, not the maps: they are fewer
        return F.conv2d(inputs, self.weight * scale.view(-1, 1, 1, 1), self.bias * scale, padding=1)

    def init_weights(self, generator: torch.Generator) -> None:
        """Zeros again; nothing is drawn."""
        self.reset_parameters()
        nn.init.zeros_(self.log_scale)


class AffineCoupling(nn.Module):
    """Half of the channels shift and scale the others, section 3.3; the scale is 0.5 + 0.5 sigmoid(raw + 2).

    The published code's scale, sigmoid(raw + 2), can be arbitrarily close to 0, and the inverse divides by it in one
    coupling after the other. Such inverses explode: Behrmann et al., arXiv 2006.09347. After four epochs on MNIST 30 %
    of the samples were not finite; with a least scale of 0.1 it was 0.2 %, with 0.5 none, and no value exceeded 10.
    """

    def __init__(self, channels: int, width: int) -> None:
        super().__init__()
        half = channels // 2
        self.first, self.second = nn.Conv2d(half, width, 3, 1, 1), nn.Conv2d(width, width, 1)
        self.last = ZeroConvolution(width, channels)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        """Maps (n, c, h, w), c even: the first half of the channels unchanged, the second shifted, then scaled."""
        first, second = inputs.chunk(2, 1)
        shift, scale = self._shift_and_scale(first)
        return torch.cat([first, (second + shift) * scale], 1), scale.log().sum((1, 2, 3))

    def inverse(self, outputs: Tensor) -> Tensor:
        """The inputs of ``forward``."""
        first, second = outputs.chunk(2, 1)
        shift, scale = self._shift_and_scale(first)
        return torch.cat([first, second / scale - shift], 1)

    def _shift_and_scale(self, first: Tensor) -> tuple[Tensor, Tensor]:
        """Shift and scale of the second half of the channels, from the first half."""
        hidden = F.relu(self.first(first), inplace=True)
        hidden = F.relu(self.second(hidden), inplace=True)
        shift, raw = self.last(hidden).to(first.dtype).chunk(2, 1)
        return shift, LEAST_SCALE + (1 - LEAST_SCALE) * torch.sigmoid(raw + 2)

    def init_weights(self, generator: torch.Generator) -> None:
        """N(0, 0.05) for the first two convolutions, as the published code's; zeros for the last and all biases."""
        for convolution in (self.first, self.second):
            assert convolution.bias is not None
            nn.init.normal_(convolution.weight, 0.0, _FIRST_DEVIATION, generator=generator)
            nn.init.zeros_(convolution.bias)
        self.last.init_weights(generator)


class Split(nn.Module):
    """The second half of the channels becomes latents, which are standard normal given the first half.

    Figure 2b, after Dinh et al., arXiv 1605.08803, section 3.6. A convolution of the first half computes the mean and
    the log standard deviation of the second half, as in the published code.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.prior = ZeroConvolution(channels // 2, channels)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Maps (n, c, h, w), c even, to remaining maps and latents, (n, c/2, h, w) each, and the log determinant."""
        first, second = inputs.chunk(2, 1)
        mean, log_scale = self._mean_and_log_scale(first)
        return first, (second - mean) * (-log_scale).exp(), -log_scale.sum((1, 2, 3))

    def inverse(self, first: Tensor, latents: Tensor) -> Tensor:
        """The inputs of ``forward``."""
        mean, log_scale = self._mean_and_log_scale(first)
        return torch.cat([first, latents * log_scale.exp() + mean], 1)

    def _mean_and_log_scale(self, first: Tensor) -> tuple[Tensor, Tensor]:
        mean, log_scale = self.prior(first).to(first.dtype).chunk(2, 1)
        return mean, log_scale

    def init_weights(self, generator: torch.Generator) -> None:
        """Zeros: mean 0 and deviation 1; nothing is drawn."""
        self.prior.init_weights(generator)


def squeeze(inputs: Tensor) -> Tensor:
    """Maps (n, c, h, w) to (n, 4c, h/2, w/2), channels last in memory: 2x2 pixels become channels, figure 2b."""
    return F.pixel_unshuffle(inputs, 2).contiguous(memory_format=torch.channels_last)


def unsqueeze(outputs: Tensor) -> Tensor:
    """The inputs of ``squeeze``."""
    return F.pixel_shuffle(outputs, 2)


def _over_maps(values: Tensor) -> Tensor:
    """Values (c,) in a shape that broadcasts over maps (n, c, h, w)."""
    return values.view(-1, 1, 1)


def _log_det_of_maps(log_det_of_pixel: Tensor, inputs: Tensor) -> Tensor:
    """The log determinant (n,) of a layer that does the same at every pixel of every image."""
    count, _, height, width = inputs.shape
    return (log_det_of_pixel * (height * width)).expand(count)


def _mixed(inputs: Tensor, weight: Tensor) -> Tensor:
    """The product of a matrix (c, c) with the channels of maps (n, c, h, w)."""
    return F.linear(inputs.permute(0, 2, 3, 1), weight).permute(0, 3, 1, 2)

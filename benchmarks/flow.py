"""A pass of Glow's network against a plain one of the same weights: the same layers, the same threads, in turn.

The plain one is what a careful reader of the paper writes: a full matrix and its determinant in each 1x1 convolution,
maps as torch lays them out, reshaping for 2x2 pixels. In ours maps are channels last in memory, which is what counts.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.rows import publish, row
from benchmarks.turns import ratio, seconds_in_turn
from orchestrator.data.images import ImageShape
from orchestrator.models._flow import Flow, Step, bits_per_dimension
from orchestrator.models._flow_layers import LEAST_SCALE, ZeroConvolution

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPE, BATCH = ImageShape(1, 28, 28), 64
LEVELS, STEPS, WIDTH = 2, 8, 64
ROUNDS, REPEAT = 9, 2
CLOSE = 1e-4
"""Bits per dimension, of about 10, may differ by this much in single precision."""


class PlainConvolution(nn.Module):
    """A convolution whose outputs are scaled for each channel."""

    def __init__(self, ours: ZeroConvolution) -> None:
        super().__init__()
        self.weight, self.bias, self.logs = (_copy(p) for p in (ours.weight, ours.bias, ours.log_scale))

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, padding=1) * torch.exp(3 * self.logs).view(1, -1, 1, 1)


class PlainStep(nn.Module):
    """Actnorm, a 1x1 convolution by its full matrix, and a coupling."""

    def __init__(self, ours: Step) -> None:
        super().__init__()
        self.logs, self.bias = (_copy(p.view(1, -1, 1, 1)) for p in (ours.norm.log_scale, ours.norm.shift))
        self.matrix = _copy(ours.mix.weight())
        first, second = (_plain(convolution) for convolution in (ours.couple.first, ours.couple.second))
        self.net = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), PlainConvolution(ours.couple.last))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        pixels = x.shape[2] * x.shape[3]
        x = x * torch.exp(self.logs) + self.bias
        x = F.conv2d(x, self.matrix[:, :, None, None])
        same = pixels * (self.logs.sum() + torch.linalg.slogdet(self.matrix).logabsdet)
        a, b = x.chunk(2, dim=1)
        shift, raw = self.net(a).chunk(2, dim=1)
        scale = LEAST_SCALE + (1 - LEAST_SCALE) * torch.sigmoid(raw + 2)
        return torch.cat([a, (b + shift) * scale], dim=1), same + torch.log(scale).flatten(1).sum(1)


class PlainFlow(nn.Module):
    """Levels of steps, and splits between them."""

    def __init__(self, ours: Flow) -> None:
        super().__init__()
        self.levels = nn.ModuleList(nn.ModuleList(PlainStep(step) for step in steps) for steps in ours.levels)
        self.priors = nn.ModuleList(PlainConvolution(split.prior) for split in ours.splits)

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        latents, log_det = [], torch.zeros(len(x))
        for level, steps in enumerate(self.levels):
            n, c, h, w = x.shape
            x = x.view(n, c, h // 2, 2, w // 2, 2).permute(0, 1, 3, 5, 2, 4).reshape(n, 4 * c, h // 2, w // 2)
            for step in steps:
                x, change = step(x)
                log_det = log_det + change
            if level < len(self.priors):
                x, z = x.chunk(2, dim=1)
                mean, logs = self.priors[level](x).chunk(2, dim=1)
                latents.append(((z - mean) * torch.exp(-logs)).flatten(1))
                log_det = log_det - logs.flatten(1).sum(1)
                x = x.contiguous()
        return torch.cat([*latents, x.flatten(1)], dim=1), log_det


def _copy(weight: Tensor | None) -> nn.Parameter:
    assert weight is not None
    return nn.Parameter(weight.detach().clone(memory_format=torch.contiguous_format))


def _plain(ours: nn.Conv2d) -> nn.Conv2d:
    plain = nn.Conv2d(ours.in_channels, ours.out_channels, ours.kernel_size, padding=ours.padding)  # type: ignore[arg-type]
    plain.load_state_dict(ours.state_dict())
    return plain


def make() -> tuple[Flow, PlainFlow]:
    """Both with the same weights, none of them zero; ours in memory as training puts it."""
    source = torch.Generator().manual_seed(0)
    ours = Flow(SHAPE, LEVELS, STEPS, WIDTH)
    ours.init_weights(source)
    with torch.no_grad():
        for module in ours.modules():
            if isinstance(module, ZeroConvolution):
                module.weight.normal_(0.0, 0.02, generator=source)
                module.log_scale.normal_(0.0, 0.1, generator=source)
    return ours.to(memory_format=torch.channels_last), PlainFlow(ours)  # type: ignore[call-overload]


def encoding(network: Any, images: Tensor) -> Callable[[], Tensor]:
    """Bits per dimension of the images, without gradients."""

    def call() -> Tensor:
        with torch.no_grad():
            return bits_per_dimension(*network.encode(images))

    return call


def learning(network: Any, images: Tensor) -> Callable[[], None]:
    """The gradient of their mean."""

    def call() -> None:
        network.zero_grad()
        bits_per_dimension(*network.encode(images)).mean().backward()

    return call


def main() -> None:
    """Compare what both come to, then time them with one and with all threads."""
    torch.set_flush_denormal(True)
    ours, plain = make()
    images = torch.rand(BATCH, *SHAPE, generator=torch.Generator().manual_seed(1)) - 0.5
    apart = float((encoding(ours, images)() - encoding(plain, images)()).abs().max())
    rows = [row("bits per dimension, plain and ours", f"{apart:.1e} apart", f"<= {CLOSE:g}", apart <= CLOSE)]
    for threads in sorted({1, torch.get_num_threads()}):
        torch.set_num_threads(threads)
        for what, timed in (("encoding", encoding), ("its gradient", learning)):
            times = seconds_in_turn(
                {"plain": timed(plain, images), "ours": timed(ours, images)}, rounds=ROUNDS, repeat=REPEAT
            )
            found = ratio(times["plain"], times["ours"])
            one, other = (1e3 * statistics.median(times[name]) for name in ("plain", "ours"))
            text = f"{one:.0f} ms / {other:.0f} ms = {found:.2f}x"
            rows.append(row(f"Glow, {what}, plain / ours, {threads} thread(s)", text, ">= 1x", found >= 1))
    publish(*rows)


if __name__ == "__main__":
    main()

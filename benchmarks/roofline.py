"""The rate at which this machine computes convolutions alone, which the speed of whole networks is held against.

Only convolutions between maps of several channels count: there a network's arithmetic is. Those from and to an image
have too few channels to keep a processor busy; they are part of what the rest of a network costs.
"""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.rows import row

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

FEWEST_CHANNELS = 8
"""Convolutions from or to fewer channels are left out."""
AIM = 0.8


class Pass(NamedTuple):
    """A network's pass on a batch, forward and back to its maps and, if it is ``trained``, to its weights."""

    network: nn.Module
    inputs: Tensor
    trained: bool


class Convolutions:
    """The convolutions of some passes, on maps of the same shapes and memory layouts, and nothing between them."""

    def __init__(self, *passes: Pass) -> None:
        self.calls = [call for one in passes for call in _calls(one)]
        self.flop = flop(self)

    @torch.no_grad()
    def __call__(self) -> None:
        """Compute all of them once."""
        for call in self.calls:
            call()


def flop(call: Callable[[], object]) -> int:
    """Floating-point operations of the matrix products and convolutions within a call, as torch counts them."""
    with FlopCounterMode(display=False) as counter:
        call()
    return int(counter.get_total_flops())


def share_row(
    what: str, operations: int, seconds: Sequence[float], convolutions: Convolutions, alone: Sequence[float]
) -> dict[str, object]:
    """The line of what computes so many ``operations`` in ``seconds``, and the convolutions ``alone``, in turn."""
    rate, limit = (
        count / statistics.median(times) / 1e9 for count, times in ((operations, seconds), (convolutions.flop, alone))
    )
    share = statistics.median(
        operations / one / (convolutions.flop / other) for one, other in zip(seconds, alone, strict=True)
    )
    text = f"{rate:.0f} of {limit:.0f} GFLOP/s = {100 * share:.0f} %"
    return row(f"{what}: of the rate of its convolutions alone", text, f">= {100 * AIM:.0f} %", share >= AIM)


def _calls(one: Pass) -> list[Callable[[], object]]:
    """Two calls, forward and back, for each wide convolution of a pass."""
    seen: list[tuple[nn.Conv2d | nn.ConvTranspose2d, Tensor, Tensor]] = []

    def note(layer: nn.Conv2d | nn.ConvTranspose2d, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append((layer, inputs[0].detach().clone(), torch.randn_like(output)))

    hooks = [
        layer.register_forward_hook(note)
        for layer in one.network.modules()
        # Subclasses compute their own way, as matrix products.
        if type(layer) in (nn.Conv2d, nn.ConvTranspose2d)
        and min(layer.in_channels, layer.out_channels) >= FEWEST_CHANNELS
    ]
    with torch.no_grad():
        one.network(one.inputs)
    for hook in hooks:
        hook.remove()
    return [call for layer, maps, gradient in seen for call in _both_ways(layer, maps, gradient, one.trained)]


def _both_ways(
    layer: nn.Conv2d | nn.ConvTranspose2d, maps: Tensor, gradient: Tensor, trained: bool
) -> tuple[Callable[[], object], Callable[[], object]]:
    weight, transposed = layer.weight.detach(), isinstance(layer, nn.ConvTranspose2d)
    shape = (layer.stride, layer.padding, layer.dilation, transposed, layer.output_padding, layer.groups)
    return (
        lambda: torch.ops.aten.convolution(maps, weight, None, *shape),
        lambda: torch.ops.aten.convolution_backward(gradient, maps, weight, None, *shape, [True, trained, False]),
    )

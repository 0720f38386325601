"""Batch norm with statistics over the batch of all processes.

Ioffe and Szegedy, arXiv 1502.03167, algorithm 1. Each part's variance is that of the corrected two-pass algorithm, and
the whole batch's comes from those of its parts, both as in Chan, Golub and LeVeque, Algorithms for computing the sample
variance (1983): squares as large as those of the mean are never subtracted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.distributed.group import Group


def synchronize(network: nn.Module, group: Group, device: torch.device) -> nn.Module:
    """The network with its BatchNorm2d layers, parameters and all, turned into ones over all processes.

    On CUDA devices these are torch's own; torch has none for CPUs. State dicts stay as they were.
    """
    if group.size == 1:
        return network
    if device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-any-return, no-untyped-call]
    if isinstance(network, nn.BatchNorm2d):
        return SynchronizedBatchNorm2d.of(network, group)
    for name, child in network.named_children():
        network.add_module(name, synchronize(child, group, device))
    return network


class SynchronizedBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d of the batch that the processes of a group hold together, in parts of any size.

    Outputs and gradients are those of BatchNorm2d on the joined batch, second derivatives too: those of ``weight``
    and ``bias`` are this process's summands, as for any other parameter. Every process must make the same passes.
    In evaluation it is BatchNorm2d.
    """

    def __init__(self, num_features: int, eps: float, momentum: float, group: Group) -> None:
        super().__init__(num_features, eps, momentum)
        self.group = group

    @classmethod
    def of(cls, norm: nn.BatchNorm2d, group: Group) -> SynchronizedBatchNorm2d:
        """One with the parameters, running statistics and settings of ``norm``."""
        assert norm.affine
        assert norm.momentum is not None
        layer = cls(norm.num_features, norm.eps, norm.momentum, group)
        layer.to(norm.weight.device, norm.weight.dtype)
        layer.load_state_dict(norm.state_dict())
        return layer.train(norm.training)

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's own name
        """(n, c, h, w) to the same shape, dtype and memory format."""
        if not self.training:
            return super().forward(input)
        self._check_input_dim(input)
        output, mean, variance, count = _Normalize.apply(input, self.weight, self.bias, self.eps, self.group)
        if self.track_running_stats:
            self._move(mean, variance * (count / (count - 1)))
        return output  # type: ignore[no-any-return]

    @torch.no_grad()
    def _move(self, mean: Tensor, unbiased: Tensor) -> None:
        assert self.num_batches_tracked is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)


class _Normalize(torch.autograd.Function):
    """Batch norm with torch's own kernels, two exchanges in all; slower where its gradient is differentiated again."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, eps: float, group: Group) -> tuple[Tensor, ...]:
        mean, variance, count = _statistics(_widened(x), group.stack)
        output = F.batch_norm(x, mean, variance, weight, bias, training=False, eps=eps)
        ctx.save_for_backward(x, weight, bias, mean, variance, count)
        ctx.mark_non_differentiable(mean, variance, count)
        ctx.eps, ctx.group = eps, group
        return output, mean, variance, count

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *_: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias, mean, variance, count = ctx.saved_tensors
        if torch.is_grad_enabled():  # the gradient will itself be differentiated
            needed = [t for t, need in zip((x, weight, bias), ctx.needs_input_grad, strict=False) if need]
            output = _plain(x, weight, bias, ctx.eps, ctx.group)
            gradients = iter(torch.autograd.grad(output, needed, gradient, create_graph=True))
            return (*(next(gradients) if need else None for need in ctx.needs_input_grad[:3]), None, None)
        # As if the statistics were constants; the sums over this process's images are those of weight and bias.
        of_x, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
            gradient, x, weight, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        sums = torch.stack((of_weight, of_bias))
        ctx.group.sum(sums)
        # What they contribute by depending on x: - weight / deviation * (mean of g + x^ * mean of g x^).
        deviation = (variance + ctx.eps).sqrt()
        of_deviation, of_mean = (sums * (weight / (deviation * count)))[..., None, None]
        of_x.addcmul_(x - mean[:, None, None], of_deviation / deviation[:, None, None], value=-1).sub_(of_mean)
        return of_x, of_weight, of_bias, None, None


def _plain(x: Tensor, weight: Tensor, bias: Tensor, eps: float, group: Group) -> Tensor:
    """The same from operations that can be differentiated any number of times."""
    wide = _widened(x)
    mean, variance, _ = _statistics(wide, lambda row: _Stack.apply(row, group))
    scale = weight * (variance + eps).rsqrt()
    return ((wide - mean[:, None, None]) * scale[:, None, None] + bias[:, None, None]).to(x.dtype)


def _widened(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _statistics(x: Tensor, stack: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and biased variance (c,) over all processes, and the count that they are over, by one exchange.

    ``stack`` makes the rows of all processes of this process's: its count, means and sums of squares.
    """
    near = x.mean((0, 2, 3))
    centred = x - near[:, None, None]
    # What rounding left of the mean is small beside the deviation, but not beside that between the processes' means.
    rest = centred.mean((0, 2, 3)).double()
    own_count = rest.new_full((1,), x.numel() // x.shape[1])
    own_mean, own_squares = near.double() + rest, centred.square().sum((0, 2, 3)).double() - own_count * rest.square()
    rows = stack(torch.cat((own_count, own_mean, own_squares)))
    counts, means, squares = torch.split(rows, [1, len(own_mean), len(own_mean)], dim=1)
    count = counts.sum()
    mean = (counts * means).sum(0) / count
    variance = (squares + counts * (means - mean).square()).sum(0) / count
    return mean.to(x.dtype), variance.to(x.dtype), count.to(x.dtype)


class _Stack(torch.autograd.Function):
    """``Group.stack``. Every process depends on each row, so a row's gradient is the sum over all processes."""

    @staticmethod
    def forward(ctx: Any, row: Tensor, group: Group) -> Tensor:
        ctx.group = group
        return group.stack(row)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Stack.apply(gradient, ctx.group).sum(0)[ctx.group.rank], None

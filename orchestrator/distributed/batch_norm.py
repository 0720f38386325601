"""Batch norm with statistics over the batch of all processes.

Ioffe and Szegedy, arXiv 1502.03167, algorithm 1. Each part's variance is computed by the corrected two-pass algorithm
and the whole batch's variance from those of its parts, both as in Chan, Golub and LeVeque, Algorithms for computing the
sample variance (1983). They never subtract numbers as large as the squared mean, which would cancel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.distributed.group import Group


def synchronize(network: nn.Module, group: Group) -> nn.Module:
    """The network with its BatchNorm2d layers replaced by ones over all processes, with the same parameters.

    State dicts do not change.
    """
    if group.size == 1:
        return network
    if isinstance(network, nn.BatchNorm2d):
        return SynchronizedBatchNorm2d.from_batch_norm(network, group)
    for name, child in network.named_children():
        network.add_module(name, synchronize(child, group))
    return network


class SynchronizedBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm2d over the joint batch of a group's processes, in parts of any size but of one image at least.

    Outputs, gradients and second derivatives are those of BatchNorm2d on the joint batch; gradients of ``weight`` and
    ``bias`` are this process's summands, as for any other parameter. Every process must make the same passes. In eval
    mode it is BatchNorm2d.

    On CUDA it has the kernels of torch's SyncBatchNorm and its numbers, but not its masks. Those drop parts without
    images, and their shape is known on the device alone: the host would wait for each layer in each pass.
    """

    def __init__(self, num_features: int, eps: float, momentum: float, group: Group) -> None:
        super().__init__(num_features, eps, momentum)
        self.group = group

    @classmethod
    def from_batch_norm(cls, norm: nn.BatchNorm2d, group: Group) -> SynchronizedBatchNorm2d:
        """A layer with the parameters, running statistics and settings of ``norm``."""
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
        if input.device.type == "cuda":
            return self._forward_on_cuda(input)
        output, mean, variance, count = _Normalize.apply(input, self.weight, self.bias, self.eps, self.group)
        if self.track_running_stats:
            self._update_running_statistics(mean, variance * (count / (count - 1)))
        return output  # type: ignore[no-any-return]

    def _forward_on_cuda(self, x: Tensor) -> Tensor:
        running: tuple[Tensor | None, Tensor | None] = (None, None)
        if self.track_running_stats:
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(1)
            running = self.running_mean, self.running_var
        arguments = (x, self.weight, self.bias, self.eps, self.group, *running, self.momentum)
        return _NormalizeOnCuda.apply(*arguments)  # type: ignore[no-any-return]

    @torch.no_grad()
    def _update_running_statistics(self, mean: Tensor, unbiased: Tensor) -> None:
        assert self.num_batches_tracked is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.momentum is not None
        self.num_batches_tracked.add_(1)
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), self.momentum)
        self.running_var.lerp_(unbiased.to(self.running_var.dtype), self.momentum)


class _Normalize(torch.autograd.Function):
    """Batch norm with torch's kernels and two exchanges in all; slower if its gradient is differentiated again."""

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
        if torch.is_grad_enabled():
            return (*_differentiable_gradients(ctx, x, weight, bias, gradient), None, None)
        # Gradients as if the statistics were constants; those of weight and bias are sums over this process's images.
        x_gradient, weight_gradient, bias_gradient = torch.ops.aten.native_batch_norm_backward(
            gradient, x, weight, mean, variance, None, None, False, ctx.eps, [True, True, True]
        )
        sums = torch.stack((weight_gradient, bias_gradient))
        ctx.group.sum(sums)
        # The statistics depend on x, which adds - weight / deviation * (mean of g + x^ * mean of g x^).
        deviation = (variance + ctx.eps).sqrt()
        deviation_term, mean_term = (sums * (weight / (deviation * count)))[..., None, None]
        x_gradient.addcmul_(x - mean[:, None, None], deviation_term / deviation[:, None, None], value=-1)
        return x_gradient.sub_(mean_term), weight_gradient, bias_gradient, None, None


class _NormalizeOnCuda(torch.autograd.Function):
    """The same with torch's kernels for synchronized statistics, which also move the running ones."""

    @staticmethod
    def forward(
        ctx: Any,
        images: Tensor,
        weight: Tensor,
        bias: Tensor,
        eps: float,
        group: Group,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        momentum: float,
    ) -> Tensor:
        x = _dense(images)
        own_mean, own_invstd = torch.batch_norm_stats(x, eps)
        own_count = own_mean.new_full((1,), x.numel() // x.shape[1])
        rows = group.stack(torch.cat((own_mean, own_invstd, own_count)))
        means, invstds, counts = torch.split(rows, [len(own_mean), len(own_mean), 1], dim=1)
        counts = counts.flatten()
        # The first argument tells the type of the counts, where no running statistic does. With bf16 images it would
        # be bf16, which the counts are not.
        mean, invstd = torch.batch_norm_gather_stats_with_counts(
            own_mean, means, invstds, running_mean, running_var, momentum, eps, counts
        )
        ctx.save_for_backward(images, weight, bias, mean, invstd, counts.to(torch.int32))
        ctx.eps, ctx.group = eps, group
        return torch.batch_norm_elemt(x, weight, bias, mean, invstd, eps)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        images, weight, bias, mean, invstd, counts = ctx.saved_tensors
        if torch.is_grad_enabled():
            return (*_differentiable_gradients(ctx, images, weight, bias, gradient), *[None] * 5)
        x = _dense(images)
        gradient = gradient.contiguous(memory_format=_layout(x))
        of_output, of_centred, weight_gradient, bias_gradient = torch.batch_norm_backward_reduce(
            gradient, x, mean, invstd, weight, *ctx.needs_input_grad[:3]
        )
        x_gradient = None
        if ctx.needs_input_grad[0]:
            sums = torch.cat((of_output, of_centred))
            ctx.group.sum(sums)
            of_output, of_centred = torch.split(sums, len(mean))
            x_gradient = torch.batch_norm_backward_elemt(
                gradient, x, mean, invstd, weight, of_output, of_centred, counts
            )
        return x_gradient, weight_gradient, bias_gradient, *[None] * 5


def _dense(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=_layout(x))


def _layout(x: Tensor) -> torch.memory_format:
    return torch.channels_last if x.is_contiguous(memory_format=torch.channels_last) else torch.contiguous_format


def _differentiable_gradients(
    ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, gradient: Tensor
) -> list[Tensor | None]:
    """Gradients of x, weight and bias, as far as they are needed, that can themselves be differentiated."""
    needs = ctx.needs_input_grad[:3]
    needed = [tensor for tensor, need in zip((x, weight, bias), needs, strict=True) if need]
    output = _differentiable(x, weight, bias, ctx.eps, ctx.group)
    gradients = iter(torch.autograd.grad(output, needed, gradient, create_graph=True))
    return [next(gradients) if need else None for need in needs]


def _differentiable(x: Tensor, weight: Tensor, bias: Tensor, eps: float, group: Group) -> Tensor:
    """The same output, from operations that can be differentiated any number of times."""
    wide = _widened(x)
    mean, variance, _ = _statistics(wide, lambda row: _Stack.apply(row, group))
    scale = weight * (variance + eps).rsqrt()
    return ((wide - mean[:, None, None]) * scale[:, None, None] + bias[:, None, None]).to(x.dtype)


def _widened(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _statistics(x: Tensor, stack: Callable[[Tensor], Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Mean and biased variance (c,) over all processes, and the count of their values, by one exchange.

    ``stack`` gathers a row from each process: its count, means and sums of squared deviations.
    """
    rounded_mean = x.mean((0, 2, 3))
    centred = x - rounded_mean[:, None, None]
    # The mean's rounding error is small against the deviation, but not against the differences of processes' means.
    error = centred.mean((0, 2, 3)).double()
    local_count = error.new_full((1,), x.numel() // x.shape[1])
    local_mean = rounded_mean.double() + error
    local_squares = centred.square().sum((0, 2, 3)).double() - local_count * error.square()
    rows = stack(torch.cat((local_count, local_mean, local_squares)))
    counts, means, squares = torch.split(rows, [1, len(local_mean), len(local_mean)], dim=1)
    count = counts.sum()
    mean = (counts * means).sum(0) / count
    variance = (squares + counts * (means - mean).square()).sum(0) / count
    return mean.to(x.dtype), variance.to(x.dtype), count.to(x.dtype)


class _Stack(torch.autograd.Function):
    """Differentiable ``Group.stack``: the gradient of a row is the sum over all processes, which all depend on it."""

    @staticmethod
    def forward(ctx: Any, row: Tensor, group: Group) -> Tensor:
        ctx.group = group
        return group.stack(row)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return _Stack.apply(gradient, ctx.group).sum(0)[ctx.group.rank], None

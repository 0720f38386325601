"""Operations that only CUDA has, computed by those of the CPU.

Batch norm by cuDNN, and the parts of batch norm that torch's synchronized one is made of: statistics of a part of a
batch, those of the whole batch from its parts, the output, the two sums of its gradient, and the gradient. Formulas are
those of Ioffe and Szegedy, arXiv 1502.03167, with inverse standard deviations 1 / sqrt(variance + eps).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

aten = torch.ops.aten


def _cudnn(x: Tensor, weight: Any, bias: Any, mean: Any, var: Any, training: bool, momentum: float, eps: float) -> Any:
    outputs = aten.native_batch_norm(x, weight, bias, mean, var, training, momentum, eps)
    return *outputs, x.new_empty(0, dtype=torch.uint8)


def _cudnn_backward(
    x: Tensor, grad: Tensor, weight: Any, mean: Any, var: Any, saved_mean: Any, saved_var: Any, eps: float, _: Tensor
) -> Any:
    needed = [True, True, True]
    return aten.native_batch_norm_backward(grad, x, weight, mean, var, saved_mean, saved_var, True, eps, needed)


def _single(x: Tensor) -> Tensor:
    """In single precision at least, in which CUDA keeps statistics."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _other_than_maps(x: Tensor) -> list[int]:
    return [dim for dim in range(x.dim()) if dim != 1]


def _by_map(values: Tensor, x: Tensor) -> Tensor:
    return values.view(1, -1, *[1] * (x.dim() - 2))


def _statistics(x: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    wide, dims = _single(x), _other_than_maps(x)
    return wide.mean(dims), (wide.var(dims, correction=0) + eps).rsqrt()


def _joined_statistics(
    x: Tensor,
    means: Tensor,
    invstds: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    momentum: float,
    eps: float,
    counts: Tensor,
) -> tuple[Tensor, Tensor]:
    # The kernel's rule, which the host cannot see: counts of the type of the running statistics, or else of the images.
    assert counts.dtype == (x if running_mean is None else running_mean).dtype
    total, shares = counts.sum(), (counts / counts.sum())[:, None]
    mean = (means * shares).sum(0)
    variance = ((invstds.square().reciprocal() - eps + (means - mean).square()) * shares).sum(0)
    if running_mean is not None and running_var is not None:
        running_mean.lerp_(mean.to(running_mean.dtype), momentum)
        running_var.lerp_((variance * total / (total - 1)).to(running_var.dtype), momentum)
    return mean, (variance + eps).rsqrt()


def _output(x: Tensor, weight: Any, bias: Any, mean: Tensor, invstd: Tensor, eps: float) -> Tensor:
    normal = (_single(x) - _by_map(mean, x)) * _by_map(invstd, x)
    if weight is not None:
        normal = normal * _by_map(weight, x) + _by_map(bias, x)
    return torch.empty_like(x).copy_(normal)


def _gradient_sums(
    grad: Tensor, x: Tensor, mean: Tensor, invstd: Tensor, weight: Any, of_x: bool, of_weight: bool, of_bias: bool
) -> tuple[Tensor, ...]:
    wide, centred, dims = _single(grad), _single(x) - _by_map(mean, x), _other_than_maps(x)
    sums, products = wide.sum(dims), (wide * centred).sum(dims)
    return sums, products, products * invstd, sums.clone()


def _gradient(
    grad: Tensor, x: Tensor, mean: Tensor, invstd: Tensor, weight: Any, sums: Tensor, products: Tensor, counts: Tensor
) -> Tensor:
    count = counts.sum()
    centred = _single(x) - _by_map(mean, x)
    inner = _single(grad) - _by_map(sums / count, x) - centred * _by_map(invstd.square() * products / count, x)
    return torch.empty_like(grad).copy_(inner * _by_map(invstd if weight is None else invstd * weight, x))


def _zeros(size: Any, **options: Any) -> Tensor:
    """Zeros with memory: those without it cannot be told apart from a mistake here."""
    return torch.zeros(size, **options)


ON_CPU: dict[str, Callable[..., Any]] = {
    "_efficientzerotensor": _zeros,
    "cudnn_batch_norm": _cudnn,
    "cudnn_batch_norm_backward": _cudnn_backward,
    "batch_norm_stats": _statistics,
    "batch_norm_gather_stats_with_counts": _joined_statistics,
    "batch_norm_elemt": _output,
    "batch_norm_backward_reduce": _gradient_sums,
    "batch_norm_backward_elemt": _gradient,
}
"""By the operation's name."""

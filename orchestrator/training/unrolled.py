"""Unrolled GANs: the discriminator as it would be after some more updates, with the gradient through all of them.

Metz et al., arXiv 1611.02163, section 2.2. As in the authors' code, the updates ahead all use the same batch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor, nn

    Tensors = dict[str, Tensor]


def unroll(
    network: nn.Module, optimizer: torch.optim.Optimizer, loss_of: Callable[[Tensors], Tensor], steps: int
) -> Tensors:
    """The network's parameters and buffers after so many updates by its optimizer, as a graph; nothing is changed.

    ``loss_of`` computes the loss with the parameters and buffers that it is given, which it may change in place where
    they are buffers.
    """
    names: dict[Tensor, str] = {parameter: name for name, parameter in network.named_parameters()}
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    now = {name: parameter.detach().clone().requires_grad_() for parameter, name in names.items()}
    state = {
        names[parameter]: {key: value.clone() if torch.is_tensor(value) else value for key, value in kept.items()}
        for parameter, kept in optimizer.state.items()
    }
    (group,) = optimizer.param_groups
    for _ in range(steps):
        loss = loss_of({**now, **buffers})
        slopes = torch.autograd.grad(loss, list(now.values()), create_graph=True)
        move = _adam if "betas" in group else _sgd
        now = {
            name: move(value, slope, state.setdefault(name, {}), group)
            for (name, value), slope in zip(now.items(), slopes, strict=True)
        }
    return {**now, **buffers}


def _adam(value: Tensor, slope: Tensor, state: Tensors, group: Mapping[str, Any]) -> Tensor:
    """Algorithm 1 of arXiv 1412.6980, without anything in place."""
    lr, betas, eps = group["lr"], group["betas"], group["eps"]
    beta1, beta2 = betas
    state["step"] = step = state.get("step", torch.zeros((), device=value.device)) + 1
    state["exp_avg"] = beta1 * state.get("exp_avg", 0.0) + (1 - beta1) * slope
    state["exp_avg_sq"] = beta2 * state.get("exp_avg_sq", 0.0) + (1 - beta2) * slope.square()
    mean = state["exp_avg"] / (1 - beta1 ** step.double())
    square = state["exp_avg_sq"] / (1 - beta2 ** step.double())
    # Where a weight has never had a gradient the root is 0 and its own slope infinite: none goes through there.
    moved = square > 0
    root = torch.where(moved, torch.where(moved, square, 1.0).sqrt(), 0.0)
    moved_to: Tensor = value - lr * mean / (root + eps)
    return moved_to


def _sgd(value: Tensor, slope: Tensor, state: Tensors, group: Mapping[str, Any]) -> Tensor:
    """Gradient descent as torch has it: momentum adds up gradients, the first of them whole."""
    if group["momentum"]:
        before = state.get("momentum_buffer")
        slope = slope if before is None else group["momentum"] * before + slope
        state["momentum_buffer"] = slope
    moved_to: Tensor = value - group["lr"] * slope
    return moved_to

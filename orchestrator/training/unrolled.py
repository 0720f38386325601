"""Unrolled GANs: the discriminator after K more updates, with the gradient through all of them.

Metz et al., arXiv 1611.02163, section 2.2. As in the authors' code, all K updates use the same batch.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor, nn

    Tensors = dict[str, Tensor]


def unroll(
    network: nn.Module, optimizer: torch.optim.Optimizer, compute_loss: Callable[[Tensors], Tensor], steps: int
) -> Tensors:
    """The network's parameters and buffers after ``steps`` updates by its optimizer, with a graph; nothing changes.

    ``compute_loss`` computes the loss with the parameters and buffers that it is given; it may change these buffers in
    place.
    """
    names: dict[Tensor, str] = {parameter: name for name, parameter in network.named_parameters()}
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    parameters = {name: parameter.detach().clone().requires_grad_() for parameter, name in names.items()}
    state = {
        names[parameter]: {key: value.clone() if torch.is_tensor(value) else value for key, value in moments.items()}
        for parameter, moments in optimizer.state.items()
    }
    (group,) = optimizer.param_groups
    # All parameters have made as many updates.
    made = next((moments["step"] for moments in state.values() if "step" in moments), None)
    for ahead in range(1, steps + 1):
        loss = compute_loss({**parameters, **buffers})
        gradients = torch.autograd.grad(loss, list(parameters.values()), create_graph=True)
        step = ahead if made is None else made + ahead
        update = partial(_adam, corrections=_corrections(step, group)) if "betas" in group else _sgd
        parameters = {
            name: update(value, gradient, state.setdefault(name, {}), group)
            for (name, value), gradient in zip(parameters.items(), gradients, strict=True)
        }
    return {**parameters, **buffers}


def _corrections(step: Tensor | int, group: Mapping[str, Any]) -> tuple[Any, Any]:
    """What Adam divides the means by in its update of this number, counted from 1."""
    beta1, beta2 = group["betas"]
    step = step.double() if isinstance(step, torch.Tensor) else step
    return 1 - beta1**step, 1 - beta2**step


def _adam(
    value: Tensor, gradient: Tensor, state: Tensors, group: Mapping[str, Any], corrections: tuple[Any, Any]
) -> Tensor:
    """Algorithm 1 of arXiv 1412.6980, without in-place operations."""
    lr, (beta1, beta2), eps = group["lr"], group["betas"], group["eps"]
    state["exp_avg"] = beta1 * state.get("exp_avg", 0.0) + (1 - beta1) * gradient
    state["exp_avg_sq"] = beta2 * state.get("exp_avg_sq", 0.0) + (1 - beta2) * gradient.square()
    mean = state["exp_avg"] / corrections[0]
    square = state["exp_avg_sq"] / corrections[1]
    # The root of 0 has an infinite derivative: no gradient flows through weights that never had one.
    positive = square > 0
    root = torch.where(positive, torch.where(positive, square, 1.0).sqrt(), 0.0)
    updated: Tensor = value - lr * mean / (root + eps)
    return updated


def _sgd(value: Tensor, gradient: Tensor, state: Tensors, group: Mapping[str, Any]) -> Tensor:
    """Gradient descent as in torch: the momentum buffer b = momentum b + gradient starts with the first gradient."""
    if group["momentum"]:
        buffer = state.get("momentum_buffer")
        gradient = gradient if buffer is None else group["momentum"] * buffer + gradient
        state["momentum_buffer"] = gradient
    updated: Tensor = value - group["lr"] * gradient
    return updated

"""Flows with weights that leave nothing zero, and the Jacobian's determinant by brute force."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable


def numbers(*shape: int, seed: int = 1) -> Tensor:
    """Normal numbers in double precision."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def perturbed(module: nn.Module, deviation: float = 0.2, seed: int = 0) -> Any:
    """The module in double precision, its weights drawn as far as it draws any and then moved at random."""
    source = torch.Generator().manual_seed(seed)
    for part in (module, *module.modules()):
        if hasattr(part, "init_weights"):
            part.init_weights(source)
            break
    module = module.double()
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(torch.randn(parameter.shape, dtype=torch.float64, generator=source), alpha=deviation)
    return module


def log_det_by_jacobian(function: Callable[[Tensor], Tensor], inputs: Tensor) -> Tensor:
    """log |det| of the Jacobian at each of the inputs (n, ...), for a function of batches: (n,)."""

    def of_one(flat: Tensor) -> Tensor:
        return function(flat.view(1, *inputs.shape[1:])).flatten()

    return torch.stack(
        [torch.linalg.slogdet(torch.autograd.functional.jacobian(of_one, one.flatten())).logabsdet for one in inputs]
    )

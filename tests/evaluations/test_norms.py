"""The norms against torch's losses."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch.nn import functional as F

from orchestrator.evaluations.latent_search.norms import HUBER_DELTA, Norm, per_pixel

if TYPE_CHECKING:
    from collections.abc import Callable

REFERENCES: dict[Norm, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "l1": lambda a, b: F.l1_loss(a, b, reduction="none"),
    "l2": lambda a, b: F.mse_loss(a, b, reduction="none"),
    "huber": lambda a, b: F.huber_loss(a, b, reduction="none", delta=HUBER_DELTA),
}


@pytest.mark.parametrize("norm", REFERENCES)
def test_values_and_slopes_are_those_of_torch(norm: Norm) -> None:
    difference = torch.linspace(-0.5, 0.5, 101, dtype=torch.float64, requires_grad=True)
    ours, theirs = per_pixel(norm, difference), REFERENCES[norm](difference, torch.zeros_like(difference))
    torch.testing.assert_close(ours, theirs, rtol=1e-14, atol=1e-16)
    slopes = [torch.autograd.grad(values.sum(), difference)[0] for values in (ours, theirs)]
    torch.testing.assert_close(*slopes, rtol=1e-12, atol=1e-14)

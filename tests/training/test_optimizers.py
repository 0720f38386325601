"""Optimizers without torch.compile are torch's own in every bit."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
import torch

from orchestrator.eager import eager

CASES = [
    (torch.optim.Adam, {"lr": 0.1, "betas": (0.5, 0.9), "fused": True}),
    (torch.optim.SGD, {"lr": 0.1, "momentum": 0.5, "fused": True}),
    (torch.optim.AdamW, {"lr": 0.1, "weight_decay": 0.1}),
]


def updated(optimizer: torch.optim.Optimizer, weights: torch.nn.Parameter, steps: int) -> torch.Tensor:
    """The weights after so many updates towards 1."""
    for _ in range(steps):
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward((weights - 1).square().sum())
        optimizer.step()
    return weights.detach()


@pytest.mark.parametrize(("kind", "settings"), CASES)
def test_updates_and_states_are_those_of_torch(kind: type[torch.optim.Optimizer], settings: dict[str, Any]) -> None:
    ours, theirs = (torch.nn.Parameter(torch.linspace(-2, 2, 9)) for _ in range(2))
    first, second = eager(kind)([ours], **settings), kind([theirs], **settings)  # type: ignore[call-arg]
    assert torch.equal(updated(first, ours, 3), updated(second, theirs, 3))
    torch.testing.assert_close(first.state_dict(), second.state_dict(), rtol=0, atol=0)

    # Each goes on from the other's state.
    states = deepcopy(first.state_dict()), deepcopy(second.state_dict())
    first.load_state_dict(states[1])
    second.load_state_dict(states[0])
    assert torch.equal(updated(first, ours, 2), updated(second, theirs, 2))
    assert ours.requires_grad

"""A trial's networks, ready to train on a device of a group's."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import torch

from orchestrator.distributed.batch_norm import synchronize
from orchestrator.models.model import initialize

if TYPE_CHECKING:
    from torch import nn

    from orchestrator.data.images import ImageShape
    from orchestrator.distributed.group import Group
    from orchestrator.models.model import Model


def build(
    model: Model, shape: ImageShape, weights: torch.Generator, group: Group, device: torch.device
) -> tuple[nn.Module, nn.Module]:
    """The generator and the discriminator, their first weights drawn from ``weights`` in this order."""

    def place(network: nn.Module) -> nn.Module:
        initialize(network, weights, model.initialization)
        if model.batch_norm == "synchronized":
            network = synchronize(network, group, device)
        # Channels last is the layout in which both oneDNN and cuDNN run these convolutions fastest.
        return network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]

    return place(model.build_generator(shape)), place(model.build_discriminator(shape))


class Averaged:
    """An exponential moving average of a generator's weights: ``module`` is the network that has them.

    The n-th update leaves min(decay, (1 + n) / (10 + n)) of the average, as TensorFlow's ExponentialMovingAverage with
    ``num_updates`` does: under a fixed decay of 0.9999 the first weights would be a third of it after 10,000 updates.
    Buffers are the generator's own. (torch's AveragedModel counts its updates on the device, and waits for it.)
    """

    def __init__(self, generator: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(generator).requires_grad_(False)
        self.decay, self.updates = decay, 0

    @torch.no_grad()
    def update(self, generator: nn.Module) -> None:
        """Take in the generator's weights after one more step."""
        self.updates += 1
        kept = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(list(self.module.parameters()), list(generator.parameters()), 1 - kept)
        self.follow(generator)

    @torch.no_grad()
    def follow(self, generator: nn.Module) -> None:
        """Take over the generator's buffers, which batch norm's running statistics are."""
        for own, its in zip(self.module.buffers(), generator.buffers(), strict=True):
            own.copy_(its)

    def state_dict(self) -> dict[str, Any]:
        """The averaged weights and the number of updates."""
        return {"module": self.module.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from ``state_dict()``."""
        self.module.load_state_dict(state["module"])
        self.updates = state["updates"]

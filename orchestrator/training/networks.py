"""A trial's networks, ready to train on a device of a group's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

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


def averaged(generator: nn.Module, decay: float) -> AveragedModel | None:
    """A running mean of the generator's weights, with its batch norm's statistics as they are; none for decay 0."""
    if not decay:
        return None
    return AveragedModel(generator, multi_avg_fn=get_ema_multi_avg_fn(decay))  # type: ignore[no-untyped-call]

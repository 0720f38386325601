"""The networks of a trial, and their place on one device of a group."""

from __future__ import annotations

import copy
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from orchestrator.distributed.batch_norm import synchronize
from orchestrator.hardware import compute_float32_exactly
from orchestrator.training.fitted_prior import FittedPrior
from orchestrator.training.step_number import StepNumber

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from torch import Tensor

    from orchestrator.data.images import ImageShape
    from orchestrator.distributed.group import Group
    from orchestrator.models.model import Model
    from orchestrator.objectives import Objective


def build(model: Model, objective: Objective, shape: ImageShape) -> nn.ModuleDict:
    """The networks of a trained model: its ``generator``, and the ``encoder`` if the objective trains one.

    From then on this process computes float32 exactly.
    """
    compute_float32_exactly()
    generator = model.build_generator(shape)
    if objective.family == "free_latents":
        generator = FittedPrior(generator, model.latents(shape))
    networks = {"generator": generator}
    if "encoder" in objective.trains:
        networks["encoder"] = model.build_encoder(shape)  # type: ignore[attr-defined]
    return nn.ModuleDict(networks)


def encoder_of(networks: nn.ModuleDict) -> Callable[[Tensor], Tensor] | None:
    """The map from images (n, c, h, w) in [-1, 1] to latent vectors (n, latent_dim); None where there is none."""
    if "encoder" in networks:
        return networks["encoder"]
    return getattr(networks["generator"], "code", None)


def place(network: nn.Module, model: Model, group: Group, device: torch.device) -> nn.Module:
    """The network on the device, with batch norms synchronized over the group's processes if the model says so."""
    if model.batch_statistics == "synchronized":
        network = synchronize(network, group)
    # Channels last is the layout in which both oneDNN and cuDNN run these convolutions fastest.
    return network.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


@contextmanager
def frozen(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """Backward passes within compute no gradient of these parameters."""
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


class EMA:
    """An exponential moving average of the weights of networks, in ``module``.

    The n-th update is average = d average + (1 - d) weights with d = min(decay, (1 + n) / (10 + n)), as in TensorFlow's
    ExponentialMovingAverage with ``num_updates``: with a fixed decay of 0.9999 the first weights would still be a third
    of the average after 10,000 updates. Buffers are copied from the networks. (torch's AveragedModel counts its updates
    on the device and waits for it.)
    """

    def __init__(self, networks: nn.ModuleDict, decay: float, updates_a_step: int = 1) -> None:
        self.module = copy.deepcopy(networks).requires_grad_(False)
        self.decay, self.updates = decay, 0
        device = next(networks.parameters()).device
        self._complements = [StepNumber.on(device, torch.float32) for _ in range(updates_a_step)]

    def prepare(self) -> None:
        """Set the decays of the updates of the next step."""
        for complement in self._complements:
            self.updates += 1
            complement.set(1 - min(self.decay, (1 + self.updates) / (10 + self.updates)))

    @torch.no_grad()
    def update(self, networks: nn.Module, number: int = 0) -> None:
        """Add the weights after an update of the step, of this number from 0 on, to the average."""
        complement = self._complements[number].tensor
        averages: list[Tensor] = list(self.module.parameters())
        current: list[Tensor] = list(networks.parameters())
        if complement.device.type == "cpu":
            torch._foreach_lerp_(averages, current, [complement] * len(averages))
        else:  # three launches; CUDA's lerp with a weight that is a tensor takes one for each parameter
            differences = list(torch._foreach_sub(current, averages))
            torch._foreach_mul_(differences, complement)
            torch._foreach_add_(averages, differences)
        self.copy_buffers(networks)

    @torch.no_grad()
    def copy_buffers(self, networks: nn.Module) -> None:
        """Copy the buffers of the networks, such as batch norm's running statistics."""
        pairs = list(zip(self.module.buffers(), networks.buffers(), strict=True))
        for dtype in dict.fromkeys(current.dtype for _, current in pairs):  # one launch for all of a dtype
            averages, currents = zip(*(pair for pair in pairs if pair[1].dtype == dtype), strict=True)
            torch._foreach_copy_(averages, currents)

    def state_dict(self) -> dict[str, Any]:
        """The averaged weights and the number of updates."""
        return {"module": self.module.state_dict(), "updates": self.updates}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Resume from ``state_dict()``."""
        self.module.load_state_dict(state["module"])
        self.updates = state["updates"]

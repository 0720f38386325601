"""The precision of the networks' forward passes on a device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.errors import PlacementError
from orchestrator.hardware import BF16_FLAGS, processor
from orchestrator.training.cost import gpu_step_s

if TYPE_CHECKING:
    import torch

    from orchestrator.data.images import ImageShape
    from orchestrator.models.model import Model
    from orchestrator.objectives import Objective
    from orchestrator.training.cost import Precision
    from orchestrator.training.settings import TrainingSettings


def precision_on(
    device: torch.device, model: Model, objective: Objective, training: TrainingSettings, shape: ImageShape
) -> Precision:
    """``training.precision`` on a device, with ``auto`` resolved: see ``auto_on_gpu``; it means fp32 on a processor.

    Raises PlacementError for bf16 on a processor that does not compute in it.
    """
    if objective.full_precision or training.precision == "fp32":
        return "fp32"
    if training.precision == "bf16":
        if device.type == "cpu" and not processor().computes_bf16:
            raise PlacementError(without_bf16())
        return "bf16"
    return auto_on_gpu(model, objective, training, shape) if _has_bf16(device) else "fp32"


def auto_on_gpu(model: Model, objective: Objective, training: TrainingSettings, shape: ImageShape) -> Precision:
    """The precision in which a step is estimated to be faster on a GPU that computes in bf16.

    It is told from the trial's settings alone, whatever the GPU and the number of those that share a batch, so that the
    same settings give the same numbers on all of them.
    """
    if objective.full_precision:
        return "fp32"
    fp32, bf16 = (gpu_step_s(model, objective, training, shape, precision) for precision in ("fp32", "bf16"))
    return "bf16" if bf16 < fp32 else "fp32"


def without_bf16() -> str:
    """Why ``precision: bf16`` is refused on this machine's processor, and what can be done."""
    name = f" ({model})" if (model := processor().model) else ""
    return (
        f"training.precision: got bf16, which the processor{name} has no instructions for (none of "
        f"{', '.join(BF16_FLAGS)} among its flags); expected auto or fp32, or a GPU"
    )


def _has_bf16(device: torch.device) -> bool:
    import torch

    return device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)

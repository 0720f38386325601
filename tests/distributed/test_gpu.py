"""The same on two GPUs, where there are as many."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from orchestrator.distributed.group import ALONE, Group
from orchestrator.training.gan import Gan
from tests.distributed.processes import Processes
from tests.distributed.trials import images, trial

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.skipif(torch.cuda.device_count() < 2, reason="needs two CUDA devices: NCCL takes one for a process"),
]


def steps(group: Group) -> tuple[Tensor, list[Tensor], set[str]]:
    """Signals and weights after three steps in single precision on this process's GPU."""
    settings = trial(model={"width": 8}, precision="fp32", d_steps=2)
    pixels = images().to(f"cuda:{group.rank}")
    gan = Gan(settings.model, settings.objective, settings.training, pixels, settings.data.shape, group)
    # Each kind of device draws in its own way, but two of one kind alike.
    signals = torch.stack([gan.step() for _ in range(3)])
    norms = {type(m).__name__ for m in gan.generator.modules() if "Norm" in type(m).__name__}
    return signals.cpu(), [p.detach().cpu() for p in gan.g_parameters + gan.d_parameters], norms


def test_two_gpus_come_to_the_numbers_of_one() -> None:
    signals, weights, norms = steps(ALONE)
    assert norms == {"BatchNorm2d"}
    with Processes(2, backend="cpu:gloo,cuda:nccl") as two:
        answers = two.run(steps)
    for found, found_weights, found_norms in answers:
        assert found_norms == {"SynchronizedBatchNorm2d"}
        torch.testing.assert_close(found, signals, rtol=1e-3, atol=1e-5)
        torch.testing.assert_close(found_weights, weights, rtol=1e-2, atol=1e-3)

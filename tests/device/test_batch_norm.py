"""Batch norm over two devices with the same images, which is that of one device with each image twice.

On the pretended device, where the kernels are computed by their formulas, and on a real one where there is any.
"""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn

from orchestrator.distributed.batch_norm import SynchronizedBatchNorm2d
from orchestrator.distributed.group import Group
from orchestrator.training.statistics import statistics_held
from tests.device.pretend import Pretended, needs_pretended

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

no_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
TOLERANCE = {torch.float32: 1e-4, torch.bfloat16: 3e-2, torch.float64: 1e-11}


@pytest.fixture(
    params=[
        pytest.param(Pretended, marks=needs_pretended, id="pretended"),
        pytest.param(nullcontext, marks=[pytest.mark.gpu, no_gpu], id="real"),
    ]
)
def cuda(request: pytest.FixtureRequest) -> Iterator[None]:
    with request.param():
        yield


class Twins(Group):
    """The first of two devices, of which the other one has the same images."""

    def __init__(self) -> None:
        super().__init__(0, 2)

    def stack(self, tensor: Tensor) -> Tensor:
        return torch.stack([tensor.detach()] * 2)

    def sum(self, tensor: Tensor) -> None:
        tensor.mul_(2)


def passed(norm: nn.BatchNorm2d, batch: Tensor, towards: Tensor, *, held: bool) -> list[Tensor]:
    """Output, gradients, running statistics; and second derivatives of a penalty on the gradient."""
    batch = batch.clone().requires_grad_()
    with statistics_held(norm) if held else nullcontext():
        output = norm(batch)
        output.backward(towards)
        (again,) = torch.autograd.grad((norm(batch).tanh() * towards).sum(), batch, create_graph=True)
    assert batch.grad is not None
    (second,) = torch.autograd.grad(again.square().sum(), batch)
    weights = [p.grad for p in norm.parameters() if p.grad is not None]
    return [output.detach(), batch.grad, *weights, second, *(buffer.clone() for buffer in norm.buffers())]


@pytest.mark.parametrize("held", [False, True], ids=["moving", "held"])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@pytest.mark.parametrize("dtype", list(TOLERANCE), ids=str)
@pytest.mark.usefixtures("cuda")
def test_two_devices_with_the_same_images_are_one_with_each_twice(
    dtype: torch.dtype, layout: torch.memory_format, held: bool
) -> None:
    random = torch.Generator().manual_seed(0)
    settings: dict[str, Any] = {"device": "cuda", "dtype": torch.promote_types(dtype, torch.float32)}
    batch, towards = (
        torch.randn(4, 5, 6, 3, generator=random).to("cuda", dtype).contiguous(memory_format=layout) for _ in range(2)
    )
    expected_norm = nn.BatchNorm2d(5, momentum=0.3).to(**settings)
    with torch.no_grad():
        expected_norm.weight.copy_(torch.randn(5, generator=random).to("cuda"))
        expected_norm.bias.copy_(torch.randn(5, generator=random).to("cuda"))
    norm = SynchronizedBatchNorm2d.from_batch_norm(expected_norm, Twins())
    found = passed(norm, batch, towards, held=held)
    twice = passed(expected_norm, torch.cat([batch, batch]), torch.cat([towards, towards]), held=held)
    # Of one of the devices; and a device's gradients of its weights are its own summands, half of the whole here.
    expected = [value[:4] if value.shape[:1] == (8,) else value for value in twice]
    expected[2], expected[3] = expected[2] / 2, expected[3] / 2
    for own, other in zip(found, expected, strict=True):
        torch.testing.assert_close(own.cpu(), other.cpu(), rtol=TOLERANCE[dtype], atol=TOLERANCE[dtype])
    assert found[0].is_contiguous(memory_format=layout)
    assert found[1].is_contiguous(memory_format=layout)

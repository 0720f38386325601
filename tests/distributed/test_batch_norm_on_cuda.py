"""Batch norm in parts on pretended GPUs, bit for bit torch's SyncBatchNorm, and BatchNorm2d on the joined batch.

The kernels that both have in common are computed by their formulas: what is shown is that they are called alike.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from orchestrator.distributed.batch_norm import synchronize
from orchestrator.distributed.group import ALONE
from orchestrator.training.statistics import statistics_held
from tests.device.pretend import Pretended, needs_pretended
from tests.distributed.test_batch_norm import LAYOUTS, SHAPES, Case, part, passes, penalized

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.distributed.group import Group
    from tests.distributed.processes import Processes

pytestmark = [needs_pretended, pytest.mark.slow]


class Passed(NamedTuple):
    tensors: dict[str, Tensor]
    waits: list[str]
    collectives: dict[str, int]
    launches: int


def torchs(norm: nn.BatchNorm2d, group: Group) -> nn.Module:
    return nn.SyncBatchNorm.convert_sync_batchnorm(norm)


def on_cuda(
    group: Group, case: Case, make: Callable[[nn.BatchNorm2d, Group], Any] = synchronize, *, held: bool = False
) -> Passed:
    """As ``passes``, on this process's pretended device, of the second pass with all that the host waits for."""
    with Pretended() as device:
        batch, towards = (part(group, tensor).clone().to("cuda") for tensor in case.tensors())
        norm = make(case.layer(), group).to("cuda")
        norm(batch.flip(2))
        batch.requires_grad_()
        device.forget()
        if held:
            with statistics_held(norm):
                output = norm(batch)
        else:
            output = norm(batch)
        output.backward(towards)
        noted = [wait.name for wait in device.waits], dict(device.collectives), device.launches
        layouts = [t.is_contiguous(memory_format=case.memory_format) for t in (output, batch.grad)]
        group.sum_gradients(norm.parameters())
        found = {
            "output": output,
            "input gradient": batch.grad,
            "weight gradient": norm.weight.grad,
            "bias gradient": norm.bias.grad,
            **dict(norm.named_buffers()),
        }
        assert layouts == [True, True]
        return Passed({name: value.detach().cpu() for name, value in found.items()}, *noted)


def assert_joined(answers: list[Passed], expected: dict[str, Tensor], tolerance: float) -> None:
    for name, value in expected.items():
        each = [answer.tensors[name] for answer in answers]
        found = torch.cat(each) if name in ("output", "input gradient") else each[0]
        torch.testing.assert_close(
            found, value, rtol=tolerance, atol=tolerance, msg=lambda text, name=name: f"{name}: {text}"
        )


CASES = [
    *((Case(*shape, memory_format=layout), 1e-5) for shape in SHAPES for layout in LAYOUTS),
    (Case(dtype=torch.float64), 1e-12),
    (Case(dtype=torch.bfloat16, weights=torch.float32), 2e-2),
]


@pytest.mark.parametrize(("case", "tolerance"), CASES, ids=str)
def test_its_numbers_are_those_of_torchs_own(processes: Processes, case: Case, tolerance: float) -> None:
    ours, theirs = processes.run(on_cuda, case), processes.run(on_cuda, case, torchs)
    for own, other in zip(ours, theirs, strict=True):
        assert own.tensors.keys() == other.tensors.keys()
        for name, value in own.tensors.items():
            assert torch.equal(value, other.tensors[name]), name
    assert_joined(ours, passes(ALONE, case), tolerance)


def test_no_pass_waits_for_the_device_and_each_takes_one_exchange(two: Processes) -> None:
    ours, theirs = two.run(on_cuda, Case())[0], two.run(on_cuda, Case(), torchs)[0]
    assert ours.waits == []
    assert "index by a mask" in theirs.waits
    assert sum(ours.collectives.values()) == 2
    assert all(name.endswith("on the device") for name in ours.collectives)
    assert ours.launches < theirs.launches


@pytest.mark.parametrize(
    ("dtype", "weights", "tolerance"),
    [(torch.float32, None, 1e-5), (torch.bfloat16, torch.float32, 2e-2)],
    ids=str,
)
def test_with_statistics_held_they_stay_and_the_rest_is_the_same(
    processes: Processes, dtype: torch.dtype, weights: torch.dtype | None, tolerance: float
) -> None:
    case = Case(dtype=dtype, weights=weights)
    answers, moved = processes.run(partial(on_cuda, held=True), case), processes.run(on_cuda, case)
    outputs = {n: v for n, v in passes(ALONE, case).items() if n in ("output", "input gradient")}
    assert_joined(answers, outputs, tolerance)
    assert [answer.tensors["num_batches_tracked"] for answer in answers] == [1] * len(answers)
    assert not torch.equal(answers[0].tensors["running_mean"], moved[0].tensors["running_mean"])


def penalized_on_cuda(group: Group, case: Case) -> list[Tensor]:
    with Pretended():
        return [tensor.detach().cpu() for tensor in penalized(group, case, "cuda")]


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)], ids=str)
@pytest.mark.parametrize("memory_format", LAYOUTS, ids=str)
def test_gradients_of_gradients(
    processes: Processes, dtype: torch.dtype, tolerance: float, memory_format: torch.memory_format
) -> None:
    case = Case(4, (3, 3), dtype, memory_format)
    answers = processes.run(penalized_on_cuda, case)
    for i, expected in enumerate(penalized(ALONE, case)):
        found = torch.cat([answer[i] for answer in answers]) if i < 2 else answers[0][i]
        torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def sliced(group: Group, case: Case) -> list[Tensor]:
    """Images that are every other column of larger ones, with gradients of gradients; and with frozen weights."""
    with Pretended():
        whole = part(group, case.tensors()[0]).to("cuda").requires_grad_()
        norm = synchronize(case.layer(), group).to("cuda").requires_grad_(requires_grad=False)
        scores = norm(whole[..., ::2]).tanh().square().sum()
        (first,) = torch.autograd.grad(scores, whole, create_graph=True)
        first.square().sum().backward()
        assert whole.grad is not None
        return [first.detach().cpu(), whole.grad.cpu()]


def sliced_alone(case: Case) -> list[Tensor]:
    whole = case.tensors()[0].requires_grad_()
    scores = case.layer()(whole[..., ::2]).tanh().square().sum()
    (first,) = torch.autograd.grad(scores, whole, create_graph=True)
    first.square().sum().backward()
    assert whole.grad is not None
    return [first.detach(), whole.grad]


def test_images_that_are_part_of_larger_ones(two: Processes) -> None:
    case = Case(3, (4, 6), torch.float64)
    answers = two.run(sliced, case)
    for i, expected in enumerate(sliced_alone(case)):
        torch.testing.assert_close(torch.cat([answer[i] for answer in answers]), expected, rtol=1e-9, atol=1e-9)

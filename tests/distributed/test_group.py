"""What the processes of a group tell each other."""

from __future__ import annotations

import os
import re
from typing import Any

import pytest
import torch
from torch import Tensor, distributed, nn

from orchestrator.distributed.batch_norm import synchronize
from orchestrator.distributed.group import ALONE, Group, current_group
from orchestrator.plan.retry import classify
from orchestrator.state.ledger import FailureKind
from tests.distributed.processes import Processes


def of_rank(group: Group) -> tuple[int, int, bool]:
    return group.rank, group.size, group.is_leader


def agreed(group: Group) -> list[Any]:
    return [
        group.broadcast(value)
        for value in (group.rank, f"from {group.rank}", None if group.is_leader else 3, (1.5, [2]))
    ]


def joined(group: Group, total: int) -> tuple[Tensor, Tensor, Tensor]:
    """Rows 0, 1, ... of three columns, of which each process holds its own."""
    whole = torch.arange(3.0 * total).view(total, 3).requires_grad_()
    gathered = group.gather(whole[group.local_slice(total)] * 2, total)
    return gathered, group.local_shard(gathered), group.gather(torch.full((1,), group.rank), group.size)


def summed(group: Group) -> list[Tensor]:
    """Gradients of several shapes and layouts; one parameter has none."""
    shapes = [(2, 3, 4, 4), (5,), (3, 2)]
    parameters = [nn.Parameter(torch.zeros(shape)) for shape in shapes]
    parameters[0].data = parameters[0].data.contiguous(memory_format=torch.channels_last)
    for i, parameter in enumerate(parameters[:2]):
        values = torch.arange(float(parameter.numel())).view(parameter.shape) + 100 * group.rank + i
        parameter.grad = values.contiguous(memory_format=torch.channels_last) if i == 0 else values
    group.sum_gradients(parameters)
    assert parameters[2].grad is None
    assert parameters[0].grad.is_contiguous(memory_format=torch.channels_last)
    return [parameter.grad for parameter in parameters[:2]]


def laid_out(group: Group) -> list[tuple[Tensor, Tensor]]:
    """Gradients of each layout as a backward pass leaves them, and one more tensor: before their sum, and after."""
    parameters = [
        nn.Parameter(torch.zeros(4, 3, 2, 2).contiguous(memory_format=torch.channels_last)),
        nn.Parameter(torch.zeros(4, 1, 1, 1).contiguous(memory_format=torch.channels_last)),
        nn.Parameter(torch.zeros(3, 5).t()),
        nn.Parameter(torch.zeros(())),
    ]
    random = torch.Generator().manual_seed(group.rank)
    loss = sum((p * torch.randn(p.shape, generator=random)).sum() for p in parameters)
    assert isinstance(loss, Tensor)
    loss.backward()
    also = torch.randn(2, 2, generator=random)
    before = [*(p.grad.clone() for p in parameters if p.grad is not None), also.clone()]
    group.sum_gradients(parameters, [also])
    after = [*(p.grad for p in parameters), also]
    for parameter in parameters:
        assert parameter.grad.stride() == parameter.stride()  # type: ignore[union-attr]
    return list(zip(before, after, strict=True))


def averaged(group: Group) -> list[Tensor]:
    tensors = [torch.full((3,), float(group.rank)), torch.full((2, 2), 10.0 * group.rank)]
    group.average(tensors)
    return tensors


def left_alone(group: Group) -> list[BaseException]:
    """The last process ends without a word; the others wait for it in a backward pass, and in each kind of exchange."""
    norm = synchronize(nn.BatchNorm2d(1), group)
    output = norm(torch.randn(2, 1, 2, 2, requires_grad=True))
    if group.rank == group.size - 1:
        os._exit(0)
    errors: list[BaseException] = []
    for wait in (
        lambda: output.sum().backward(),
        lambda: group.sum(torch.ones(3)),
        lambda: group.sum(torch.ones(100_000)),
        lambda: group.broadcast(1),
    ):
        try:
            wait()
        except Exception as error:
            errors.append(error)
    return errors


@pytest.mark.parametrize("size", [1, 2, 3, 7])
@pytest.mark.parametrize("count", [1, 2, 7, 64, 1000])
def test_shares_are_balanced_parts_in_the_order_of_ranks(size: int, count: int) -> None:
    parts = [list(range(count))[Group(rank, size).local_slice(count)] for rank in range(size)]
    assert [item for part in parts for item in part] == list(range(count))
    lengths = {len(part) for part in parts}
    assert max(lengths) - min(lengths) <= 1


def test_alone_nothing_is_exchanged() -> None:
    assert not distributed.is_initialized()
    assert of_rank(ALONE) == of_rank(current_group()) == (0, 1, True)
    assert agreed(ALONE)[:3] == [0, "from 0", None]
    value = object()
    assert ALONE.broadcast(value) is value
    gathered, own, ranks = joined(ALONE, 5)
    assert torch.equal(gathered, own)
    assert torch.equal(gathered, torch.arange(15.0).view(5, 3) * 2)
    assert ranks.tolist() == [0]
    assert not gathered.requires_grad
    before = torch.arange(5.0) + 1
    assert torch.equal(summed(ALONE)[1], before)
    assert torch.equal(averaged(ALONE)[0], torch.zeros(3))


@pytest.mark.slow
def test_one_leads_and_all_agree_on_what_it_says(processes: Processes) -> None:
    size = processes.size
    assert processes.run(of_rank) == [(rank, size, rank == 0) for rank in range(size)]
    assert processes.run(agreed) == [[0, "from 0", None, (1.5, [2])]] * size


@pytest.mark.slow
@pytest.mark.parametrize("total", [3, 4, 7, 64])
def test_parts_of_any_length_are_joined_by_rank(processes: Processes, total: int) -> None:
    expected = torch.arange(3.0 * total).view(total, 3) * 2
    answers = processes.run(joined, total)
    for rank, (gathered, own, ranks) in enumerate(answers):
        assert torch.equal(gathered, expected)
        assert not gathered.requires_grad
        assert torch.equal(own, expected[Group(rank, processes.size).local_slice(total)])
        assert ranks.tolist() == list(range(processes.size))


@pytest.mark.slow
def test_gradients_are_summed_and_statistics_averaged_in_place(processes: Processes) -> None:
    size = processes.size
    ranks = sum(range(size))
    for gradients in processes.run(summed):
        for i, gradient in enumerate(gradients):
            own = torch.arange(float(gradient.numel())).view(gradient.shape)
            assert torch.equal(gradient, size * (own + i) + 100 * ranks)
    for one, other in processes.run(averaged):
        torch.testing.assert_close(one, torch.full((3,), ranks / size))
        torch.testing.assert_close(other, torch.full((2, 2), 10 * ranks / size))


@pytest.mark.slow
def test_sums_keep_the_layout_that_optimizers_want(processes: Processes) -> None:
    answers = processes.run(laid_out)
    for each in zip(*answers, strict=True):
        expected = sum(before for before, _ in each)
        for _, after in each:
            torch.testing.assert_close(after, expected)


@pytest.mark.parametrize("gaps", [torch.zeros(4, 4)[:, :3], torch.zeros(1).expand(4)], ids=["gaps", "shared"])
def test_a_sum_of_what_is_not_dense_is_refused(gaps: Tensor) -> None:
    with pytest.raises(AssertionError, match="gaps"):
        Group(0, 2).average([gaps])


LOST = (
    "[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:545] Connection closed by peer [127.0.0.1]:53994",
    "[/pytorch/third_party/gloo/gloo/transport/tcp/unbound_buffer.cc:81] Timed out waiting 1800000ms for recv",
)
NCCL = "NCCL error in: ProcessGroupNCCL.cpp:3690, {}, NCCL version 2.28.9"
RAISED: list[tuple[RuntimeError, type[Exception], str]] = [
    *((RuntimeError(text), ConnectionError, "infrastructure") for text in LOST),
    (distributed.DistBackendError(NCCL.format("remote process exited")), ConnectionError, "infrastructure"),
    (distributed.DistNetworkError("The client socket has failed to connect"), ConnectionError, "infrastructure"),
    (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB"), torch.OutOfMemoryError, "out_of_memory"),
    (RuntimeError("DefaultCPUAllocator: can't allocate memory"), RuntimeError, "out_of_memory"),
    (
        distributed.DistBackendError(NCCL.format("unhandled cuda error\nCuda failure 2 'out of memory'")),
        distributed.DistBackendError,
        "out_of_memory",
    ),
    (torch.AcceleratorError("CUDA error: an illegal memory access"), torch.AcceleratorError, "infrastructure"),
    (NotImplementedError("no kernel"), NotImplementedError, "program"),
    (RecursionError("too deep"), RecursionError, "program"),
]


@pytest.mark.parametrize(("error", "kind", "means"), RAISED, ids=lambda value: str(value)[:30])
@pytest.mark.parametrize("exchange", ["sum", "stack", "broadcast"])
def test_only_what_may_be_the_loss_of_another_process_is_told_as_one(
    monkeypatch: pytest.MonkeyPatch, exchange: str, error: RuntimeError, kind: type[Exception], means: str
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    for name in ("all_reduce", "recv", "broadcast_object_list"):
        monkeypatch.setattr(distributed, name, fail)
    group = Group(0, 2)
    calls = {
        "sum": lambda: group.sum(torch.ones(100_000)),
        "stack": lambda: group.stack(torch.ones(2)),
        "broadcast": lambda: group.broadcast(1),
    }
    with pytest.raises(kind) as caught:
        calls[exchange]()
    assert (caught.value is error) is (kind is not ConnectionError)
    assert classify(caught.value) == FailureKind(means)


@pytest.mark.slow
def test_a_process_that_goes_is_an_error_that_another_run_may_mend() -> None:
    with Processes(2) as processes:
        processes.send(left_alone)
        ok, errors = processes.answer(0)
    assert ok, errors
    assert len(errors) == 4
    for error in errors:
        assert isinstance(error, ConnectionError)
        assert re.fullmatch(r"a process that trained the trial with this one has gone: .+", str(error))
        assert "\n" not in str(error)
        assert classify(error) is FailureKind.INFRASTRUCTURE

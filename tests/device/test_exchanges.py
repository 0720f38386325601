"""What an exchange between processes launches on a device, beside the exchange itself: as little for many tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import distributed, nn

from orchestrator.distributed.group import Group
from tests.device.pretend import needs_pretended

if TYPE_CHECKING:
    from tests.device.pretend import Pretended

pytestmark = needs_pretended


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[torch.Size]:
    """The shapes of what was exchanged; every process sends what this one does, and a sum stays as it is."""
    shapes: list[torch.Size] = []

    def all_reduce(tensor: torch.Tensor) -> None:
        shapes.append(tensor.shape)

    def all_gather(rows: torch.Tensor, tensor: torch.Tensor) -> None:
        shapes.append(tensor.shape)
        assert rows.is_contiguous()

    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("not over the hosts, and not into a list, which torch fills by a copy for each process")

    monkeypatch.setattr(distributed, "all_reduce", all_reduce)
    monkeypatch.setattr(distributed, "all_gather_into_tensor", all_gather)
    monkeypatch.setattr(distributed, "all_gather_single", all_gather, raising=False)
    for name in ("all_gather", "send", "recv", "isend"):
        monkeypatch.setattr(distributed, name, refuse)
    return shapes


@pytest.mark.parametrize("count", [1, 3, 40])
def test_a_sum_of_gradients_launches_one_kernel_whatever_their_number(
    device: Pretended, sent: list[torch.Size], count: int
) -> None:
    parameters = [
        nn.Parameter(torch.zeros(3, 2, 4, 4, device="cuda").contiguous(memory_format=torch.channels_last))
        for _ in range(count)
    ]
    sum((p * p).sum() for p in parameters).backward()  # type: ignore[union-attr]
    device.forget()
    Group(0, 2).sum_gradients(parameters)
    assert device.launches == 1, device.operations
    assert not device.waits
    assert sent == [(count * 96,)]
    assert {p.grad.stride() for p in parameters if p.grad is not None} == {parameters[0].stride()}


@pytest.mark.parametrize(("size", "total", "launches"), [(2, 8, 0), (4, 8, 0), (3, 8, 3)])
def test_equal_shares_are_joined_without_a_kernel(
    device: Pretended, sent: list[torch.Size], size: int, total: int, launches: int
) -> None:
    """Unequal ones are padded, and the padding is cut out again."""
    group = Group(0, size)
    part = torch.ones(total, 5, device="cuda")[group.local_slice(total)]
    device.forget()
    assert group.gather(part, total).shape == (total, 5)
    assert device.launches == launches, device.operations
    assert not device.waits
    assert sent == [(-(-total // size) * 5,)]

"""Batch norm in parts, on several processes, against torch's BatchNorm2d on the joined batch."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from orchestrator.distributed.batch_norm import SynchronizedBatchNorm2d, synchronize
from orchestrator.distributed.group import ALONE, Group
from orchestrator.training.statistics import statistics_held

if TYPE_CHECKING:
    from tests.distributed.processes import Processes

PARTS = {2: (5, 2), 3: (1, 4, 2)}
"""Unequal shares of seven images."""


class Case(NamedTuple):
    maps: int = 3
    side: tuple[int, int] = (5, 4)
    dtype: torch.dtype = torch.float32
    memory_format: torch.memory_format = torch.channels_last
    offset: float = 0.0
    scale: float = 1.0
    weights: torch.dtype | None = None

    def tensors(self) -> tuple[Tensor, Tensor]:
        """The joined batch, and the gradient that comes to the layer's output."""
        random = torch.Generator().manual_seed(0)
        both = torch.randn(2, 7, self.maps, *self.side, generator=random, dtype=torch.float64)
        batch = self.offset + self.scale * both[0] * torch.linspace(0.5, 2.0, self.maps)[:, None, None]
        return tuple(t.to(self.dtype).contiguous(memory_format=self.memory_format) for t in (batch, both[1]))

    def layer(self) -> nn.BatchNorm2d:
        norm = nn.BatchNorm2d(self.maps, eps=1e-4, momentum=0.2).to(self.weights or self.dtype)
        random = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for tensor in (norm.weight, norm.bias, norm.running_mean):
                tensor.copy_(torch.randn(self.maps, generator=random))
        return norm


def part(group: Group, tensor: Tensor) -> Tensor:
    if group.size == 1:
        return tensor
    ends = [0, *accumulate(PARTS[group.size])]
    return tensor[ends[group.rank] : ends[group.rank + 1]]


def passes(group: Group, case: Case) -> dict[str, Tensor]:
    """Two passes forward and one back; gradients of the weights are summed as in training."""
    batch, towards = (part(group, tensor).clone() for tensor in case.tensors())
    norm = synchronize(case.layer(), group)
    assert isinstance(norm, nn.BatchNorm2d)
    norm(batch.flip(2))
    output = norm(batch.requires_grad_())
    output.backward(towards)
    group.sum_gradients(norm.parameters())
    return {
        "output": output.detach(),
        "input gradient": batch.grad,
        "weight gradient": norm.weight.grad,
        "bias gradient": norm.bias.grad,
        **{name: value.clone() for name, value in norm.named_buffers()},
    }


def compare(processes: Processes, case: Case, names: tuple[str, ...] = (), **tolerance: float) -> None:
    """What the processes found, put together, and torch's BatchNorm2d."""
    answers, expected = processes.run(passes, case), passes(ALONE, case)
    for name, value in expected.items():
        if names and name not in names:
            continue
        if name in ("output", "input gradient"):
            found = torch.cat([answer[name] for answer in answers])
            assert all(a[name].is_contiguous(memory_format=case.memory_format) for a in answers), name
        else:
            found = answers[0][name]
            assert all(torch.equal(found, answer[name]) for answer in answers), name
        torch.testing.assert_close(found, value, **tolerance, msg=lambda text, name=name: f"{name}: {text}")


LAYOUTS = [torch.contiguous_format, torch.channels_last]
SHAPES = [(1, (1, 1)), (1, (6, 6)), (3, (5, 4)), (64, (7, 7)), (17, (2, 1))]


@pytest.mark.slow
@pytest.mark.parametrize("memory_format", LAYOUTS, ids=str)
@pytest.mark.parametrize(("maps", "side"), SHAPES)
def test_it_is_batch_norm_of_the_joined_batch(
    processes: Processes, maps: int, side: tuple[int, int], memory_format: torch.memory_format
) -> None:
    compare(processes, Case(maps, side, memory_format=memory_format), rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("dtype", "weights", "tolerance"),
    [(torch.float64, None, 1e-12), (torch.bfloat16, torch.float32, 2e-2)],
    ids=str,
)
def test_in_other_precisions(
    processes: Processes, dtype: torch.dtype, weights: torch.dtype | None, tolerance: float
) -> None:
    compare(processes, Case(dtype=dtype, weights=weights), rtol=tolerance, atol=tolerance)


@pytest.mark.slow
@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e3])
def test_statistics_of_numbers_far_from_zero(processes: Processes, scale: float) -> None:
    """Against double precision. The difference of mean square and squared mean would be of the order of 10 here."""
    case = Case(8, (9, 9), offset=1e4 * scale, scale=scale)
    answers = processes.run(passes, case)
    batch = case.tensors()[0].double()
    before = case.layer()
    expected = nn.BatchNorm2d(8, momentum=0.2).double()
    expected.load_state_dict(before.state_dict())
    expected(batch)
    expected(batch)
    for name in ("running_mean", "running_var"):
        torch.testing.assert_close(answers[0][name].double(), expected.get_buffer(name), rtol=1e-5, atol=0)
    # Outputs of the far off are as exact as torch's own.
    exact = passes(ALONE, case._replace(dtype=torch.float64))
    torchs = passes(ALONE, case)
    for name in ("output", "input gradient"):
        found = torch.cat([answer[name] for answer in answers])
        ours, theirs = ((t.double() - exact[name]).abs().max() for t in (found, torchs[name]))
        assert ours <= 2 * theirs + 1e-6, name


def penalized(group: Group, case: Case, device: str = "cpu") -> list[Tensor]:
    """Gradients of a function of gradients, as a penalty or an unrolled update takes them.

    Each process adds the summands of its own images; its gradients of the weights are such summands already.
    """
    batch, towards = (part(group, tensor).clone().to(device) for tensor in case.tensors())
    norm = synchronize(case.layer(), group).to(device)
    batch.requires_grad_()
    scores = (norm(batch).tanh() * towards).sum()
    of_batch, *of_weights = torch.autograd.grad(scores, [batch, *norm.parameters()], create_graph=True)
    factors = torch.linspace(-1, 2, case.maps, dtype=case.dtype, device=device)
    penalty = of_batch.square().sum() + sum((factors * gradient).sum() for gradient in of_weights)
    (penalty + scores).backward()
    group.sum_gradients(norm.parameters())
    return [of_batch.detach(), batch.grad, norm.weight.grad, norm.bias.grad]


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 1e-4)], ids=str)
def test_gradients_of_gradients(processes: Processes, dtype: torch.dtype, tolerance: float) -> None:
    case = Case(4, (3, 3), dtype)
    answers = processes.run(penalized, case)
    for i, expected in enumerate(penalized(ALONE, case)):
        found = torch.cat([answer[i] for answer in answers]) if i < 2 else answers[0][i]
        torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def frozen(group: Group, case: Case) -> list[Tensor]:
    """With weights that want no gradient, as the discriminator's in the generator's update."""
    batch, towards = (part(group, tensor).clone() for tensor in case.tensors())
    norm = synchronize(case.layer(), group).requires_grad_(requires_grad=False)
    batch.requires_grad_()
    norm(batch).backward(towards)
    assert norm.weight.grad is None
    return [batch.grad]


@pytest.mark.slow
def test_frozen_weights_pass_the_gradient_on(two: Processes) -> None:
    case = Case()
    found = torch.cat([answer[0] for answer in two.run(frozen, case)])
    torch.testing.assert_close(found, frozen(ALONE, case)[0], rtol=1e-5, atol=1e-5)


def evaluated(group: Group, case: Case) -> tuple[Tensor, list[Tensor]]:
    """In evaluation, where a process may be alone at it; then with statistics held in training."""
    batch = case.tensors()[0]
    norm = synchronize(case.layer(), group)
    norm.eval()
    output = norm(batch) if group.is_leader else torch.zeros(0)
    norm.train()
    before = [buffer.clone() for buffer in norm.buffers()]
    with statistics_held(norm):
        norm(batch)
    changed = [buffer for buffer, old in zip(norm.buffers(), before, strict=True) if not torch.equal(buffer, old)]
    return output.detach(), changed


@pytest.mark.slow
def test_in_evaluation_it_is_torchs_own_and_needs_nobody(two: Processes) -> None:
    case = Case()
    (output, changed), (_, also_changed) = two.run(evaluated, case)
    torch.testing.assert_close(output, evaluated(ALONE, case)[0], rtol=0, atol=0)
    assert changed == also_changed == []


def network() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Sequential(nn.ReLU(), nn.BatchNorm2d(3)))


def test_alone_a_network_stays_as_it_is() -> None:
    plain = network()
    assert synchronize(plain, ALONE) is plain
    assert [type(module) for module in plain.modules()].count(nn.BatchNorm2d) == 2


def test_in_a_group_every_batch_norm_is_replaced_with_all_it_holds() -> None:
    plain = network().double()
    plain(torch.randn(4, 1, 8, 8, dtype=torch.float64))
    state = {name: value.clone() for name, value in plain.state_dict().items()}
    ours = synchronize(plain.eval(), Group(0, 2))
    assert [type(module) for module in ours.modules()].count(SynchronizedBatchNorm2d) == 2
    assert nn.BatchNorm2d not in {type(module) for module in ours.modules()}
    assert not any(module.training for module in ours.modules())
    assert list(ours.state_dict()) == list(state)
    assert all(torch.equal(value, state[name]) for name, value in ours.state_dict().items())
    assert all(value.dtype in (torch.float64, torch.int64) for value in ours.state_dict().values())
    network().double().load_state_dict(ours.state_dict())

"""The pretended device refuses what CUDA refuses, notes what a host waits for, and computes what the CPU computes."""

from __future__ import annotations

import copy
import io
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.device import hooks
from tests.device.pretend import DeviceMixError, Pretended, needs_pretended
from tests.device.recording import differences

if TYPE_CHECKING:
    from collections.abc import Callable

pytestmark = needs_pretended


def on_device(*shape: int) -> torch.Tensor:
    return torch.ones(*shape, device="cuda")


MIXES: dict[str, Callable[[], object]] = {
    "a sum": lambda: on_device(2, 3) + torch.ones(2, 3),
    "a list": lambda: torch.cat([on_device(2), torch.ones(2)]),
    "in place": lambda: on_device(2).add_(torch.ones(2)),
    "many at once": lambda: torch._foreach_add_([on_device(2)], [torch.ones(2)]),
    "a host generator": lambda: torch.randn(3, device="cuda", generator=torch.Generator()),
    "a device generator": lambda: torch.randn(3, generator=torch.Generator("cuda")),
    "shuffled by the other's": lambda: torch.randperm(3, device="cuda", generator=torch.Generator()),
    "indices on the device": lambda: torch.ones(3)[on_device(2).long()],
    "values on the host": lambda: on_device(3).index_put_((on_device(2).long(),), torch.ones(2)),
    "weights on the host": lambda: nn.Linear(2, 2)(on_device(1, 2)),
}
WAITS: dict[str, tuple[Callable[[torch.Tensor], object], str]] = {
    "item": (lambda x: x.sum().item(), "_local_scalar_dense"),
    "if": (lambda x: bool(x.isnan().any()), "_local_scalar_dense"),
    "float": (lambda x: float(x.mean()), "_local_scalar_dense"),
    "tolist": (lambda x: x.tolist(), "copy to the host"),
    "cpu": (lambda x: x.cpu(), "copy to the host"),
    "copy_ from": (lambda x: torch.zeros(2, 3).copy_(x), "copy_ to the host"),
    "copy_ to": (lambda x: x.copy_(torch.zeros(2, 3)), "copy_ to the device"),
    "to": (lambda x: torch.ones(2).to("cuda"), "copy to the device"),
    "to, not pinned": (lambda x: torch.ones(2).to("cuda", non_blocking=True), "copy to the device"),
    "tensor": (lambda x: torch.tensor([1.0], device="cuda"), "copy to the device"),
    "new_tensor": (lambda x: x.new_tensor([1.0, 2.0]), "copy to the device"),
    "a list of indices": (lambda x: x[[0, 1]], "copy to the device"),
    "an index on the host": (lambda x: x[torch.tensor([0])], "index by a host tensor"),
    "a mask": (lambda x: x[x > 0], "index by a mask"),
    "put under a mask": (lambda x: x.index_put_((x > 9,), on_device(0)), "index_put_ by a mask"),
    "a number put": (
        lambda x: x.index_put_((on_device(1).long(),), torch.tensor(2.0)),
        "index_put_ of a number on the host",
    ),
    "where": (lambda x: torch.where(x > 0), "nonzero"),
    "unique": (lambda x: torch.unique(x), "_unique2"),
    "equal": (lambda x: torch.equal(x, x), "equal"),
    "repeats": (lambda x: x.repeat_interleave(on_device(2).long(), 0), "repeat_interleave of unknown size"),
    "cholesky": (lambda x: torch.linalg.cholesky(torch.eye(3, device="cuda")), "_linalg_check_errors"),
    "synchronize": (lambda x: torch.cuda.synchronize(), "synchronize"),
}
NO_WAITS: dict[str, Callable[[torch.Tensor], object]] = {
    "a number": lambda x: x * torch.tensor(2.0),
    "full": lambda x: torch.full((2,), 3.0, device="cuda"),
    "where": lambda x: torch.where(x > 0, 1, 2),
    "arange": lambda x: torch.arange(3, device="cuda"),
    "slice": lambda x: x[0:1],
    "a number under a mask": lambda x: x.__setitem__(x > 100, 0.0),
    "repeats of known size": lambda x: x.repeat_interleave(on_device(2).long(), 0, output_size=2),
    "randn": lambda x: torch.randn(3, device="cuda", generator=torch.Generator("cuda").manual_seed(0)),
    "to the host in the background": lambda x: x.to("cpu", non_blocking=True),
    "between tensors of the device": lambda x: x.copy_(on_device(2, 3)),
}


@pytest.mark.parametrize("case", MIXES)
def test_host_and_device_do_not_mix(device: Pretended, case: str) -> None:
    with pytest.raises(DeviceMixError, match=r"at tests/device/test_pretend\.py:\d+$"):
        MIXES[case]()
    assert len(device.mixes) == 1


def test_what_has_no_kernel_is_refused(device: Pretended) -> None:
    if torch.version.cuda is None:
        pytest.skip("a build of torch for CPUs does not know CUDA's kernels")
    with pytest.raises(DeviceMixError, match="no kernel for CUDA"):
        on_device(2, 3).to_mkldnn()


def test_an_interface_that_is_not_as_expected_is_left_alone() -> None:
    assert hooks._position(["~Hooks", "isBuilt", "hasPrimaryContext"]) == 3
    assert hooks._position(["isBuilt", "hasPrimaryContext"]) is None
    assert hooks._position(["~Hooks", "isBuilt"]) is None
    assert hooks._position([]) is None


@pytest.mark.parametrize("case", WAITS)
def test_a_wait_is_noted_with_its_line(device: Pretended, case: str) -> None:
    compute, name = WAITS[case]
    tensor = on_device(2, 3)
    compute(tensor)
    assert name in {wait.name for wait in device.waits}
    assert all(wait.where.startswith("tests/device/test_pretend.py:") for wait in device.waits)


@pytest.mark.parametrize("case", NO_WAITS)
def test_nothing_else_is_a_wait(device: Pretended, case: str) -> None:
    NO_WAITS[case](on_device(2, 3))
    assert not device.waits
    assert not device.mixes


def test_numpy_is_refused_and_the_host_has_its_own_memory(device: Pretended) -> None:
    tensor, host = on_device(2), torch.zeros(2)
    with pytest.raises(TypeError, match="numpy"):
        tensor.numpy()
    copied, back = host.to("cuda"), tensor.cpu()
    copied.add_(1)
    back.add_(1)
    assert host.tolist() == [0, 0]
    assert tensor.tolist() == [1, 1]
    assert (copied.device.type, back.device.type) == ("cuda", "cpu")


def test_it_is_gone_afterwards() -> None:
    with Pretended():
        tensor = on_device(2)
        assert torch.cuda.is_available()
    assert not torch.cuda.is_available()
    assert type(torch.Generator()) is torch._C.Generator
    with pytest.raises(RuntimeError, match="not there any more"):
        tensor.add(1)


def trained(device: str, precision: torch.dtype) -> list[torch.Tensor]:
    """Weights and running statistics of a small network after steps of the fused optimizer."""
    source = torch.Generator().manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 1))
    for parameter in network.parameters():
        nn.init.normal_(parameter, 0.0, 0.1, generator=source)
    images = torch.randn(6, 1, 8, 8, generator=source)
    network, images = network.to(device), images.to(device)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01, fused=True)
    for _ in range(3):
        optimizer.zero_grad()
        with torch.autocast(device, precision, enabled=precision != torch.float32):
            scores = network(images)
        torch.autograd.backward(F.softplus(scores.float()).mean())
        optimizer.step()
    return [value.float().cpu() for value in network.state_dict().values()]


@pytest.mark.parametrize(("precision", "tolerance"), [(torch.float32, 1e-5), (torch.bfloat16, 2e-2)], ids=str)
def test_it_computes_what_the_cpu_computes(precision: torch.dtype, tolerance: float) -> None:
    expected = trained("cpu", precision)
    with Pretended() as device:
        found = trained("cuda", precision)
        norms = {torch.float32: "cudnn_batch_norm", torch.bfloat16: "native_batch_norm"}  # as torch chooses on CUDA
        assert device.operations[norms[precision]] == device.operations[f"{norms[precision]}_backward"] == 3
        assert device.operations["_fused_adam_"] == 3
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=tolerance, atol=tolerance)


def test_cuda_decides_what_autocast_does(device: Pretended) -> None:
    with torch.autocast("cuda", torch.bfloat16):
        product = on_device(2, 2) @ on_device(2, 2)
        summed = product.sum()
    assert (product.dtype, summed.dtype) == (torch.bfloat16, torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        assert (on_device(2, 2) @ on_device(2, 2)).dtype == torch.float32


def test_changes_of_a_view_reach_its_base_and_the_graph(device: Pretended) -> None:
    base = torch.zeros(4, device="cuda")
    base[1:3].add_(1)
    assert base.tolist() == [0, 1, 1, 0]
    leaf = on_device(3).requires_grad_()
    product = leaf * 1
    product[1:].mul_(3)
    torch.autograd.backward(product.sum())
    assert leaf.grad is not None
    assert leaf.grad.tolist() == [1, 3, 3]


def test_copies_of_a_network_stay_and_stored_ones_come_to_the_host(device: Pretended) -> None:
    network = nn.Linear(2, 2).to("cuda")
    copied = copy.deepcopy(network)
    assert {type(parameter) for parameter in copied.parameters()} == {type(network.weight)}
    buffer = io.BytesIO()
    torch.save(network.state_dict(), buffer)
    state = torch.load(io.BytesIO(buffer.getvalue()), weights_only=True)
    assert {value.device.type for value in state.values()} == {"cpu"}
    copied.load_state_dict(state)
    assert torch.equal(copied.weight, network.weight)


def batch_norm_in_parts(x: torch.Tensor, gradient: torch.Tensor) -> dict[str, torch.Tensor]:
    """Batch norm of a batch by CUDA's own operations, from two unequal parts of it."""
    parts, counts = torch.tensor_split(x, [2]), torch.tensor([2.0, 4.0], device=x.device) * x[0, 0].numel()
    means, invstds = (torch.stack(kind) for kind in zip(*(torch.batch_norm_stats(p, 1e-5) for p in parts), strict=True))
    running = torch.zeros(3, device=x.device), torch.ones(3, device=x.device)
    mean, invstd = torch.batch_norm_gather_stats_with_counts(x, means, invstds, *running, 0.1, 1e-5, counts)
    weight, bias = torch.linspace(0.5, 2, 3, device=x.device), torch.linspace(-1, 1, 3, device=x.device)
    sums, products, of_weight, of_bias = torch.batch_norm_backward_reduce(
        gradient, x, mean, invstd, weight, True, True, True
    )
    whole = counts.to(torch.int32)
    return {
        "output": torch.batch_norm_elemt(x, weight, bias, mean, invstd, 1e-5),
        "input gradient": torch.batch_norm_backward_elemt(gradient, x, mean, invstd, weight, sums, products, whole),
        "weight gradient": of_weight,
        "bias gradient": of_bias,
        "running mean": running[0],
        "running variance": running[1],
    }


def test_parts_of_batch_norm_are_batch_norm(device: Pretended) -> None:
    """The operations that only CUDA has, against torch's batch norm on the CPU."""
    source = torch.Generator().manual_seed(0)
    x, gradient = torch.randn(2, 6, 3, 5, 4, generator=source)
    found = batch_norm_in_parts(x.to("cuda"), gradient.to("cuda"))
    norm = nn.BatchNorm2d(3)
    with torch.no_grad():
        norm.weight.copy_(torch.linspace(0.5, 2, 3))
        norm.bias.copy_(torch.linspace(-1, 1, 3))
    output = norm(x.requires_grad_())
    torch.autograd.backward(output, gradient)
    expected: dict[str, Any] = {
        "output": output.detach(),
        "input gradient": x.grad,
        "weight gradient": norm.weight.grad,
        "bias gradient": norm.bias.grad,
        "running mean": norm.running_mean,
        "running variance": norm.running_var,
    }
    for name, value in expected.items():
        torch.testing.assert_close(found[name].cpu(), value, rtol=1e-4, atol=1e-5, msg=lambda m, n=name: f"{n}: {m}")


def test_a_recording_tells_what_a_captured_graph_would_freeze(device: Pretended) -> None:
    """Equal where only numbers in memory change; not where a scalar, a place in memory or an operation does."""
    kept, data, random = on_device(3), torch.arange(6.0, device="cuda"), torch.Generator("cuda").manual_seed(0)

    def step(place: int, factor: float, into: torch.Tensor) -> None:
        noise = torch.randn(3, device="cuda", generator=random)
        into.add_(data[place : place + 3] * noise, alpha=factor)

    def found(*second: Any) -> list[str]:
        with device.recorded() as one:
            step(0, 0.5, kept)
        with device.recorded() as other:
            step(*second)
        return [str(difference) for difference in differences(one, other)]

    assert found(0, 0.5, kept) == []
    assert [text.split(" at ")[0] for text in found(1, 0.5, kept)] == ["1: slice", "2: mul"]
    (text,) = found(0, 0.25, kept)
    assert text.endswith("0.5, then 0.25")
    assert "tests/device/test_pretend.py:" in text
    (text,) = found(0, 0.5, on_device(3))
    assert "address" in text
    with device.recorded() as one:
        random.set_state(random.get_state())
    with device.recorded() as other:
        pass
    assert [difference.second for difference in differences(one, other)] == [None, None]
    assert [operation.name for operation in one.operations] == ["Generator.get_state", "Generator.set_state"]

"""What CUDA refuses to compute, and what a host waits for, told from an operation and its arguments."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from tests.device.tensors import DeviceGenerator, DeviceTensor, Generator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

WAITS = frozenset(
    {
        *("_local_scalar_dense", "is_nonzero", "equal"),  # a number for Python
        *("nonzero", "masked_select", "_unique2", "unique_dim", "unique_consecutive", "bincount"),  # a size for Python
        *("_linalg_check_errors", "linalg_eig", "_linalg_svd", "linalg_matrix_exp", "linalg_lstsq", "multinomial"),
        "histc",
    }
)
"""Operations whose CUDA kernels, or the code around them, copy something to the host."""
MAY_MIX = frozenset({"copy_", "_to_copy", "index", "index_put", "index_put_", "_index_put_impl_", "lift_fresh"})
"""Operations that take tensors of both; ``mix`` and ``waits`` look at those of indices themselves."""
INDEXING = frozenset({"index", "index_put", "index_put_", "_index_put_impl_"})


def leaves(values: Iterable[Any]) -> Iterator[Any]:
    """What an operation takes or gives, its lists taken apart."""
    for value in values:
        if isinstance(value, list | tuple):
            yield from leaves(value)
        else:
            yield value


def replaced(value: Any, change: Callable[[Any], Any]) -> Any:
    """The same with each leaf changed."""
    if isinstance(value, list | tuple):
        return type(value)([replaced(part, change) for part in value])
    return change(value)


class Call:
    """An operation that torch's dispatcher has come to, its arguments sorted by where they are."""

    def __init__(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.func, self.args, self.kwargs = func, args, kwargs
        self.space, self.name = func._schema.name.split("::")
        self.flat = [*leaves(args), *leaves(kwargs.values())]
        tensors = [value for value in self.flat if isinstance(value, Tensor)]
        self.ours = [tensor for tensor in tensors if isinstance(tensor, DeviceTensor)]
        self.hosts = [tensor for tensor in tensors if not isinstance(tensor, DeviceTensor)]
        asked = kwargs.get("device")
        self.asked = None if asked is None else torch.device(asked).type

    @property
    def on_device(self) -> bool:
        """Whether the device takes part: as the source, or as where the result is to be."""
        return bool(self.ours) or self.asked == "cuda"

    @property
    def indices(self) -> list[Tensor]:
        """The tensors that one is indexed by."""
        return [index for index in self.args[1] if index is not None] if self.name in INDEXING else []

    @property
    def values(self) -> Tensor | None:
        """What is put at the indices."""
        return self.args[2] if self.name in INDEXING and len(self.args) > 2 else None


def mix(call: Call) -> str | None:
    """How the operation mixes host and device, or None where it does not.

    A host tensor without dimensions is a number, which CUDA takes along with the launch of a kernel.
    """
    wrong = [g for g in call.flat if isinstance(g, Generator) and DeviceGenerator.owns(g) != call.on_device]
    if wrong:
        expected, got = ("cuda", "cpu") if call.on_device else ("cpu", "cuda")
        return f"expected a '{expected}' generator, got one of '{got}'"
    if call.space == "c10d":
        return "host and device in one collective" if call.ours and call.hosts else None
    if call.name in INDEXING and call.ours:
        if not isinstance(call.args[0], DeviceTensor):
            return "indices or values on the device of a tensor on the host"
        return "values on the host" if call.values is not None and _on_host(call.values) and call.values.dim() else None
    mixed = call.ours and any(tensor.dim() for tensor in call.hosts) and call.name not in MAY_MIX
    return "expected all tensors on one device, got cuda:0 and cpu" if mixed else None


def waits(call: Call) -> Iterator[str]:
    """What the host waits for the device for, in an operation that mixes nothing."""
    if call.name in WAITS:
        yield call.name
    if call.name == "repeat_interleave" and call.kwargs.get("output_size") is None:
        yield "repeat_interleave of unknown size"
    if call.name in INDEXING:
        yield from _waits_of_indices(call)
    if call.name == "_to_copy" and call.asked is not None and (call.asked == "cuda") != bool(call.ours):
        to_device, non_blocking = call.asked == "cuda", call.kwargs.get("non_blocking")
        # To the host torch takes pinned memory by itself; from the host it would have to be pinned already.
        if to_device or not non_blocking:
            yield "copy to the device" if to_device else "copy to the host"
    if call.name == "copy_" and _on_host(call.args[0]) != _on_host(call.args[1]):
        yield "copy_ to the host" if _on_host(call.args[0]) else "copy_ to the device"


def _waits_of_indices(call: Call) -> Iterator[str]:
    if any(map(_on_host, call.indices)):
        yield f"{call.name} by a host tensor"
    masks = [index.dtype in (torch.bool, torch.uint8) for index in call.indices]
    number = call.values is not None and _on_host(call.values)
    if any(masks) and not (number and all(masks)):  # a number under a mask is filled in, without counting
        yield f"{call.name} by a mask"
    if number and not all(masks):
        yield f"{call.name} of a number on the host"


def _on_host(tensor: Any) -> bool:
    return not isinstance(tensor, DeviceTensor)

"""The operations of a step, and what differs between those of two steps."""

from __future__ import annotations

from itertools import zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple

from torch import Tensor

from tests.device.tensors import DeviceTensor, Generator

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.device.rules import Call


class Memory(NamedTuple):
    """The part of a tensor's memory that an operation reads or writes.

    ``made_by`` is the number of the operation within the recording that made the memory, and then ``address`` is 0:
    a graph has memory of its own for it. Otherwise the memory was there before, and ``address`` tells which it is.
    """

    made_by: int | None
    address: int
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: str


class Operation(NamedTuple):
    """An operation on the device with all that a captured graph of it would keep, its tensors' numbers left out."""

    name: str
    arguments: tuple[Any, ...]
    """``Memory`` of tensors and generators, everything else as text; a tensor on the host is its number."""
    where: str
    """The project's line."""


class Recording:
    """The operations on the device in their order.

    Tensors are kept, so that while two recordings live the same address is the same memory in both.
    """

    def __init__(self) -> None:
        self.operations: list[Operation] = []
        self._kept: list[Tensor] = []
        self._made: dict[int, int] = {}

    def add(self, call: Call, outputs: Sequence[Any], where: str) -> None:
        """Note an operation that gave these outputs, which may be its arguments."""
        arguments = tuple(self._told(value) for value in call.flat)
        before = {_address(tensor.held) for tensor in call.ours}
        for held in (output.held for output in outputs if isinstance(output, DeviceTensor)):
            self._kept.append(held)
            if _address(held) not in before:
                self._made[_address(held)] = len(self.operations)
        self._kept += [tensor.held for tensor in call.ours]
        self.operations.append(Operation(call.name, arguments, where))

    def note(self, name: str, address: int, where: str) -> None:
        """Note what the host does to a generator of the device."""
        self.operations.append(Operation(name, (_generator(address),), where))

    def _told(self, value: Any) -> Any:
        if isinstance(value, DeviceTensor):
            held, address = value.held, _address(value.held)
            made_by = self._made.get(address)
            place = (None, address) if made_by is None else (made_by, 0)
            return Memory(*place, held.storage_offset(), tuple(held.shape), held.stride(), str(held.dtype))
        if isinstance(value, Tensor):
            return f"host {value.item()!r}" if value.dim() == 0 else f"host {tuple(value.shape)}"
        return _generator(value._cdata) if isinstance(value, Generator) else repr(value)


def _address(held: Tensor) -> int:
    return held.untyped_storage()._cdata  # type: ignore[no-any-return]


def _generator(address: int) -> Memory:
    return Memory(None, address, 0, (), (), "generator")


class Difference(NamedTuple):
    """Two operations at the same place of two steps that differ; None where one step has fewer."""

    number: int
    first: Operation | None
    second: Operation | None

    def __str__(self) -> str:
        one, other = self.first, self.second
        if one is None or other is None or (one.name, one.where) != (other.name, other.where):
            return f"{self.number}: {_place(one)}, then {_place(other)}"
        pairs = zip_longest(one.arguments, other.arguments)
        return f"{self.number}: {_place(one)}: {'; '.join(_changed(a, b) for a, b in pairs if a != b)}"


def _place(operation: Operation | None) -> str:
    return "nothing" if operation is None else f"{operation.name} at {operation.where}"


def _changed(one: Any, other: Any) -> str:
    if isinstance(one, Memory) and isinstance(other, Memory):
        fields = zip(Memory._fields, one, other, strict=True)
        return ", ".join(f"{name} {a}, then {b}" for name, a, b in fields if a != b)
    return f"{one}, then {other}"


def differences(first: Recording, second: Recording) -> list[Difference]:
    """Where two recordings differ: in an operation, in a number that it takes, or in the memory it works on."""
    pairs = enumerate(zip_longest(first.operations, second.operations))
    return [Difference(number, one, other) for number, (one, other) in pairs if one != other]

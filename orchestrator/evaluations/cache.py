"""A bounded cache of what several shards or evaluations need."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

VALUES_BYTES = 2**28
"""Bytes of host memory for values that shards share: of 10,000 restored images of 64 x 64 in colour, twice."""


class Cache:
    """Values by what they follow from; those used last stay, as far as there is room.

    ``size_of`` gives the part of ``room`` that a value takes: each takes 1 unless told otherwise.
    """

    def __init__(self, room: int, size_of: Callable[[Any], int] = lambda _value: 1) -> None:
        self.room, self._size_of = room, size_of
        self._values: OrderedDict[Hashable, Any] = OrderedDict()
        self._used = 0

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """The value of ``key``, made where it is not there. One that is larger than the whole room is not kept."""
        if key in self._values:
            self._values.move_to_end(key)
            return self._values[key]
        # Before the new value is made, so that no device holds one more than there is room for.
        self._shrink_to(self.room - 1)
        value = make()
        size = self._size_of(value)
        if size <= self.room:
            self._shrink_to(self.room - size)
            self._values[key] = value
            self._used += size
        return value

    def _shrink_to(self, room: int) -> None:
        while self._used > room:
            _, value = self._values.popitem(last=False)
            self._used -= self._size_of(value)


def cache_of_values() -> Cache:
    """A cache of tensors on the processor and arrays, and of tuples and dictionaries of such."""
    return Cache(VALUES_BYTES, _bytes_of)


def _bytes_of(value: Any) -> int:
    if isinstance(value, dict):
        return sum(map(_bytes_of, value.values()))
    if isinstance(value, tuple):
        return sum(map(_bytes_of, value))
    return int(getattr(value, "nbytes", 0))

"""Storage that only the holder of a right may change: a process that has lost the right writes nothing more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from orchestrator.store.wrapped import WrappedStore

if TYPE_CHECKING:
    from orchestrator.store.location import Store


class Guard(Protocol):
    """A right to write, which may be lost. It is pickled with its store."""

    def check(self) -> None:
        """Raise an OrchError where the right is lost; called before every change, so that it must be cheap."""

    def quick(self) -> Guard:
        """The same right, checked through storage that does not wait."""


class GuardedStore(WrappedStore):
    """A store that checks a guard before each write and each deletion. Reading needs no right."""

    def __init__(self, store: Store, guard: Guard) -> None:
        super().__init__(store)
        self._guard = guard

    def write(self, key: str, data: bytes, *, replace: bool = True) -> bool:
        """See Store."""
        self._guard.check()
        return self._store.write(key, data, replace=replace)

    def delete(self, key: str) -> None:
        """See Store."""
        self._guard.check()
        self._store.delete(key)

    def sibling(self, folder: str) -> Store:
        """See Store. The sibling, which all jobs of a storage share, is not guarded: its lease would be no job's."""
        return self._store.sibling(folder)

    def quick(self) -> Store:
        """See Store."""
        return GuardedStore(self._store.quick(), self._guard.quick())

    def tidy(self) -> None:
        """See Store."""
        self._guard.check()
        self._store.tidy()

    def _wrap(self, store: Store) -> GuardedStore:
        return GuardedStore(store, self._guard)

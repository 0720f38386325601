"""Storage that only the holder of a right may change: whoever has lost it writes nothing more."""

from __future__ import annotations

from typing import Protocol

from orchestrator.store.location import Store


class Guard(Protocol):
    """A right to write that may be lost. It is sent to other processes with its store."""

    def check(self) -> None:
        """Raise an OrchError where the right is lost; called before every change, so that it must be cheap."""

    def quick(self) -> Guard:
        """The same right, asked for through storage that does not wait."""


class GuardedStore(Store):
    """Another store, in which nothing is written or deleted unless a guard lets it pass. Reading needs no right."""

    def __init__(self, store: Store, guard: Guard) -> None:
        self._store, self._guard = store, guard
        self.parallel_reads = store.parallel_reads

    @property
    def uri(self) -> str:
        """See Store."""
        return self._store.uri

    def read(self, key: str, limit: int | None = None) -> bytes:
        """See Store."""
        return self._store.read(key, limit)

    def exists(self, key: str) -> bool:
        """See Store."""
        return self._store.exists(key)

    def write(self, key: str, data: bytes, *, replace: bool = True) -> bool:
        """See Store."""
        self._guard.check()
        return self._store.write(key, data, replace=replace)

    def keys(self, prefix: str = "") -> list[str]:
        """See Store."""
        return self._store.keys(prefix)

    def stamps(self, folder: str) -> dict[str, str]:
        """See Store."""
        return self._store.stamps(folder)

    def folders(self) -> list[str]:
        """See Store."""
        return self._store.folders()

    def delete(self, key: str) -> None:
        """See Store."""
        self._guard.check()
        self._store.delete(key)

    def child(self, folder: str) -> Store:
        """See Store."""
        return GuardedStore(self._store.child(folder), self._guard)

    def sibling(self, folder: str) -> Store:
        """See Store. What all jobs of a storage share is not guarded: no job has a right of its own to it."""
        return self._store.sibling(folder)

    def quick(self) -> Store:
        """See Store."""
        return GuardedStore(self._store.quick(), self._guard.quick())

    def check(self) -> None:
        """See Store."""
        self._store.check()

    def tidy(self) -> None:
        """See Store."""
        self._guard.check()
        self._store.tidy()

"""A store that forwards all calls to another: the base of stores that change a few of them."""

from __future__ import annotations

from abc import abstractmethod
from typing import Self

from orchestrator.store.location import Store


class WrappedStore(Store):
    """Forwards to another store; its children, siblings and quick store are wrapped in the same way."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.parallel_reads = store.parallel_reads

    @abstractmethod
    def _wrap(self, store: Store) -> Self:
        """The same wrapper around another store."""

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
        return self._store.write(key, data, replace=replace)

    def keys(self, prefix: str = "") -> list[str]:
        """See Store."""
        return self._store.keys(prefix)

    def stamps(self, folder: str = "") -> dict[str, str]:
        """See Store."""
        return self._store.stamps(folder)

    def sizes(self, folder: str = "") -> dict[str, int]:
        """See Store."""
        return self._store.sizes(folder)

    def folders(self) -> list[str]:
        """See Store."""
        return self._store.folders()

    def delete(self, key: str) -> None:
        """See Store."""
        self._store.delete(key)

    def drop_folder(self, folder: str = "") -> None:
        """See Store."""
        self._store.drop_folder(folder)

    def child(self, folder: str) -> Store:
        """See Store."""
        return self._wrap(self._store.child(folder))

    def sibling(self, folder: str) -> Store:
        """See Store."""
        return self._wrap(self._store.sibling(folder))

    def quick(self) -> Store:
        """See Store."""
        return self._wrap(self._store.quick())

    def check(self) -> None:
        """See Store."""
        self._store.check()

    def tidy(self) -> None:
        """See Store."""
        self._store.tidy()

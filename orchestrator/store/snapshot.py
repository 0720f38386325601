"""Storage whose folders are listed once, for a command that reads the same names again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.store.wrapped import WrappedStore

if TYPE_CHECKING:
    from orchestrator.store.location import Store


class Snapshot(WrappedStore):
    """A store that caches the first list of each folder: S3 lists 1,000 names a request.

    The content of blobs is not cached. It is for readers only: new blobs are not listed.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._lists: dict[str, dict[str, str]] = {}

    def stamps(self, folder: str = "") -> dict[str, str]:
        """See Store. Those of the root are not cached."""
        if not folder:
            return self._store.stamps()
        if folder not in self._lists:
            parent = next((name for name in self._lists if folder.startswith(f"{name}/")), None)
            stamps = self._store.stamps(folder) if parent is None else self._lists[parent]
            self._lists[folder] = {key: stamp for key, stamp in stamps.items() if key.startswith(f"{folder}/")}
        return self._lists[folder]

    def keys(self, prefix: str = "") -> list[str]:
        """See Store. The list of the root, which may have far more than tables, is not cached."""
        return sorted(self.stamps(prefix)) if prefix else self._store.keys()

    def _wrap(self, store: Store) -> Snapshot:
        return Snapshot(store)

"""Storage whose folders are listed once: for a command that reads, and asks for the same names again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.store.wrapped import WrappedStore

if TYPE_CHECKING:
    from orchestrator.store.location import Store


class Snapshot(WrappedStore):
    """Another store, of each of whose folders the names stay those of its first list: S3 lists 1,000 names a request.

    Blobs are read as they are by then. Not for one who writes: what is new is not listed.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._lists: dict[str, dict[str, str]] = {}

    def stamps(self, folder: str) -> dict[str, str]:
        """See Store."""
        if folder not in self._lists:
            above = next((one for one in self._lists if folder.startswith(f"{one}/")), None)
            found = self._store.stamps(folder) if above is None else self._lists[above]
            self._lists[folder] = {key: stamp for key, stamp in found.items() if key.startswith(f"{folder}/")}
        return self._lists[folder]

    def keys(self, prefix: str = "") -> list[str]:
        """See Store. The root, which may hold far more than tables, is listed whenever it is asked for."""
        return sorted(self.stamps(prefix)) if prefix else self._store.keys()

    def _wrap(self, store: Store) -> Snapshot:
        return Snapshot(store)

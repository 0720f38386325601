"""What the process that reads results keeps of thousands of files, so that a change costs the files that changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.store.bundles import FOLDER
from orchestrator.store.wrapped import WrappedStore

if TYPE_CHECKING:
    from orchestrator.store.location import Store


class KeptBundles(WrappedStore):
    """A store whose new bundles stay in memory, beside those that are in storage; it writes nothing else.

    As ``store.bundles`` says, a bundle's rows count only while their files are as they were.
    """

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._bundles: dict[str, bytes] = {}

    def read(self, key: str, limit: int | None = None) -> bytes:
        """See Store."""
        return self._bundles[key] if key in self._bundles else self._store.read(key, limit)

    def write(self, key: str, data: bytes, *, replace: bool = True) -> bool:
        """Keep a bundle."""
        assert key.startswith(f"{FOLDER}/"), key
        assert not replace
        return self._bundles.setdefault(key, data) is data

    def stamps(self, folder: str = "") -> dict[str, str]:
        """See Store."""
        return self._store.stamps(folder) | (dict.fromkeys(self._bundles, "") if folder == FOLDER else {})

    def keys(self, prefix: str = "") -> list[str]:
        """See Store."""
        return [*self._store.keys(prefix), *(self._bundles if prefix == FOLDER else ())]

    def _wrap(self, store: Store) -> KeptBundles:
        return KeptBundles(store)

"""Storage of a job as if some of its trials were all that it has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.store.bundles import FOLDER as BUNDLES
from orchestrator.store.wrapped import WrappedStore

if TYPE_CHECKING:
    from collections.abc import Collection

    from orchestrator.store.location import Store


class Selection(WrappedStore):
    """A store that lists of the folders of trials only what belongs to some of them: files, or folders, of their ids.

    Bundles, of many trials each, are not listed: the few files are read themselves. It is for readers only.
    """

    def __init__(self, store: Store, trials: Collection[str]) -> None:
        super().__init__(store)
        self._trials = frozenset(trials)

    def keys(self, prefix: str = "") -> list[str]:
        """See Store."""
        return sorted(self.stamps(prefix)) if prefix else list(filter(self._is_theirs, self._store.keys()))

    def stamps(self, folder: str = "") -> dict[str, str]:
        """See Store."""
        return {key: stamp for key, stamp in self._store.stamps(folder).items() if self._is_theirs(key)}

    def sizes(self, folder: str = "") -> dict[str, int]:
        """See Store."""
        return {key: size for key, size in self._store.sizes(folder).items() if self._is_theirs(key)}

    def _is_theirs(self, key: str) -> bool:
        folder, *parts = key.split("/")
        return folder != BUNDLES and any(part.split(".")[0].split("-")[0] in self._trials for part in parts)

    def _wrap(self, store: Store) -> Selection:
        return Selection(store, self._trials)

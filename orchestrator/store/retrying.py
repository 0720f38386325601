"""Storage whose requests are retried while it is unavailable: an outage costs time, but no trial."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from orchestrator.errors import StorageUnavailable
from orchestrator.store.wrapped import WrappedStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.store.location import Store

_T = TypeVar("_T")

PATIENCE_S = 300.0
"""How long storage may be unusable before a run gives up what needs it."""
_PAUSE_S = 2.0


@dataclass
class _Patience:
    """Shared by a store and those made from it, so that ``hurry`` reaches all of them."""

    seconds: float


def _wait_on(_problem: str) -> bool:
    """Report nothing, and go on waiting."""
    return True


class RetryingStore(WrappedStore):
    """A store that retries each request for up to ``patience_s`` seconds while storage is unavailable.

    Storage is unavailable while it does not answer, is full or refuses its credentials. Other errors, such as missing
    rights, are raised at once.
    """

    def __init__(
        self,
        store: Store,
        patience_s: float | _Patience = PATIENCE_S,
        on_wait: Callable[[str], bool] = _wait_on,
    ) -> None:
        """``on_wait`` is called with the problem before each pause, and returns whether to go on waiting.

        It is pickled with the store.
        """
        super().__init__(store)
        self._on_wait = on_wait
        self._patience = patience_s if isinstance(patience_s, _Patience) else _Patience(patience_s)

    def read(self, key: str, limit: int | None = None) -> bytes:
        """See Store."""
        return self._retry(lambda: self._store.read(key, limit))

    def exists(self, key: str) -> bool:
        """See Store."""
        return self._retry(lambda: self._store.exists(key))

    def write(self, key: str, data: bytes, *, replace: bool = True) -> bool:
        """See Store. With ``replace=False`` the result is False too where the reply of its first write was lost."""
        return self._retry(lambda: self._store.write(key, data, replace=replace))

    def keys(self, prefix: str = "") -> list[str]:
        """See Store."""
        return self._retry(lambda: self._store.keys(prefix))

    def stamps(self, folder: str = "") -> dict[str, str]:
        """See Store."""
        return self._retry(lambda: self._store.stamps(folder))

    def sizes(self, folder: str = "") -> dict[str, int]:
        """See Store."""
        return self._retry(lambda: self._store.sizes(folder))

    def folders(self) -> list[str]:
        """See Store."""
        return self._retry(self._store.folders)

    def delete(self, key: str) -> None:
        """See Store."""
        self._retry(lambda: self._store.delete(key))

    def drop_folder(self, folder: str = "") -> None:
        """See Store."""
        self._retry(lambda: self._store.drop_folder(folder))

    def quick(self) -> Store:
        """See Store. The quick store does not retry."""
        return self._store.quick()

    def hurry(self) -> None:
        """Stop retrying, in later requests and in those that other threads are waiting for."""
        self._patience.seconds = 0.0

    @property
    def hurried(self) -> bool:
        """Whether ``hurry`` was called."""
        return self._patience.seconds == 0.0

    def check(self) -> None:
        """See Store."""
        self._retry(self._store.check)

    def tidy(self) -> None:
        """See Store."""
        self._retry(self._store.tidy)

    def _wrap(self, store: Store) -> RetryingStore:
        return RetryingStore(store, self._patience, self._on_wait)

    def _retry(self, request: Callable[[], _T]) -> _T:
        began = time.monotonic()
        while True:
            try:
                return request()
            except StorageUnavailable as error:
                if time.monotonic() + _PAUSE_S > began + self._patience.seconds:
                    raise
                if not self._on_wait(str(error)):
                    raise
                time.sleep(_PAUSE_S)

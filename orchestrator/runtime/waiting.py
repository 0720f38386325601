"""The notice that a run waits for storage: any of its processes may send it, the driver prints it once."""

from __future__ import annotations

import secrets
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.store.retrying import RetryingStore

_NAMESPACE = b"orch"
_ANSWER_S = 5.0
_QUIET_S = 12.0
"""A waiting process repeats its notice every two seconds, and the driver polls every five: after 12 s none waits."""


class WaitNotice:
    """A RetryingStore calls it before each pause, in the driver and, sent there with the store, in workers.

    Workers write their notice to the key-value store of Ray's head: it needs no extra process, and works while
    storage does not.
    """

    def __init__(self, run_id: str, notify: Callable[[str], None] | None = None) -> None:
        """``notify`` prints a line in the driver; a worker has None."""
        self.run_id, self.notify = run_id, notify
        self._last_message, self._noticed_at = b"", 0.0
        self._waiting, self._lock = False, threading.Lock()

    def __reduce__(self) -> tuple[type[WaitNotice], tuple[str]]:
        return WaitNotice, (self.run_id,)

    def __call__(self, problem: str) -> bool:
        """Report what this process waits for; returns whether to go on waiting."""
        if self.notify is not None:
            self._note(problem)
            return True
        _put(self._key("waits"), f"{secrets.token_hex(4)} {problem}".encode())
        return _get(self._key("hurry")) is None

    def poll(self, store: RetryingStore) -> None:
        """In the driver: read workers' notices, have them stop once ``store`` has, report when none waits any more."""
        message = _get(self._key("waits")) or b""
        if message not in (b"", self._last_message):
            self._last_message = message
            self._note(message.decode().partition(" ")[2])
        if store.hurried:
            _put(self._key("hurry"), b"1")
            return
        with self._lock:
            over = self._waiting and time.monotonic() - self._noticed_at > _QUIET_S
            self._waiting = self._waiting and not over
        if over and self.notify is not None:
            self.notify("storage can be used again; the run goes on")

    def _note(self, problem: str) -> None:
        with self._lock:
            first, self._waiting, self._noticed_at = not self._waiting, True, time.monotonic()
        if first and self.notify is not None:
            self.notify(f"waiting for storage, for up to five minutes: {problem}")

    def _key(self, name: str) -> bytes:
        return f"{self.run_id}/{name}".encode()


def _put(key: bytes, value: bytes) -> None:
    _request(lambda head: head.internal_kv_put(key, value, True, _NAMESPACE, _ANSWER_S))


def _get(key: bytes) -> bytes | None:
    value: bytes | None = _request(lambda head: head.internal_kv_get(key, _NAMESPACE, _ANSWER_S))
    return value


def _request(request: Callable[[Any], Any]) -> Any:
    """The answer of Ray's head; None where Ray is not up in this process, or its head does not answer."""
    # Not imported: the driver's beats begin before Ray, whose environment must be set before its import.
    head = getattr(sys.modules.get("ray.experimental.internal_kv"), "global_gcs_client", None)
    if head is None:
        return None
    from ray.exceptions import RayError

    try:
        return request(head)
    except RayError:
        return None

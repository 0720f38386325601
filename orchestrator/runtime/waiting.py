"""That a run waits for storage, told by whichever of its processes does, and said once by its driver."""

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
"""Who waits says so every two seconds, and the driver listens every five: after so long nobody waits any more."""


class WaitNotice:
    """What a RetryingStore calls before each pause, in the driver and, sent there with the store, in workers.

    Workers leave word in the key-value store that Ray's head has for such purposes: it takes no process of its own, and
    works where storage does not.
    """

    def __init__(self, run_id: str, say: Callable[[str], None] | None = None) -> None:
        """``say`` is the driver's; a worker has none."""
        self.run_id, self.say = run_id, say
        self._word, self._heard_at = b"", 0.0
        self._waiting, self._lock = False, threading.Lock()

    def __reduce__(self) -> tuple[type[WaitNotice], tuple[str]]:
        return WaitNotice, (self.run_id,)

    def __call__(self, problem: str) -> bool:
        """Tell what this process waits for; whether it is to wait on."""
        if self.say is not None:
            self._hear(problem)
            return True
        _put(self._key("waits"), f"{secrets.token_hex(4)} {problem}".encode())
        return _get(self._key("hurry")) is None

    def look(self, store: RetryingStore) -> None:
        """In the driver: hear what workers wait for, tell them where that is to end, say when nobody waits any more."""
        word = _get(self._key("waits")) or b""
        if word not in (b"", self._word):
            self._word = word
            self._hear(word.decode().partition(" ")[2])
        if store.hurried:
            _put(self._key("hurry"), b"1")
            return
        with self._lock:
            over = self._waiting and time.monotonic() - self._heard_at > _QUIET_S
            self._waiting = self._waiting and not over
        if over and self.say is not None:
            self.say("storage can be used again; the run goes on")

    def _hear(self, problem: str) -> None:
        with self._lock:
            first, self._waiting, self._heard_at = not self._waiting, True, time.monotonic()
        if first and self.say is not None:
            self.say(f"waiting for storage, for up to five minutes: {problem}")

    def _key(self, what: str) -> bytes:
        return f"{self.run_id}/{what}".encode()


def _put(key: bytes, value: bytes) -> None:
    _ask(lambda head: head.internal_kv_put(key, value, True, _NAMESPACE, _ANSWER_S))


def _get(key: bytes) -> bytes | None:
    value: bytes | None = _ask(lambda head: head.internal_kv_get(key, _NAMESPACE, _ANSWER_S))
    return value


def _ask(request: Callable[[Any], Any]) -> Any:
    """What Ray's head answers; None where Ray is not up in this process, or its head does not answer."""
    # Not imported: the driver's beats begin before Ray, which is to find its environment set.
    head = getattr(sys.modules.get("ray.experimental.internal_kv"), "global_gcs_client", None)
    if head is None:
        return None
    from ray.exceptions import RayError

    try:
        return request(head)
    except RayError:
        return None

"""Ctrl-C while Ray's native code is at work: noted, and acted on between its calls."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextlib.contextmanager
def interrupts_deferred() -> Iterator[Callable[[], None]]:
    """Hold back the first Ctrl-C until the function that this yields is called, which then raises KeyboardInterrupt.

    An exception in the middle of Ray's start can bring the whole process down. The second Ctrl-C is not held back.
    """
    asked = threading.Event()

    def check() -> None:
        if asked.is_set():
            raise KeyboardInterrupt

    def note(_number: int, _frame: object) -> None:
        check()
        asked.set()

    if threading.current_thread() is not threading.main_thread():
        yield check  # only the main thread is interrupted, and may say how
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield check
    finally:
        signal.signal(signal.SIGINT, before)

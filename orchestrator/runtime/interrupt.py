"""Signals that stop a run: deferred while Ray's native code runs, and blocked in the processes of Ray."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

_STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, the request of a scheduler or of ``docker stop``, and a terminal that was closed."""
TIMEOUT = 124
"""The exit code of a run whose hours have passed, which is that of timeout(1)."""
_PRESSES = 3
"""This many times Ctrl-C ends the process at once, whatever it is storing."""


class Interrupts:
    """The signals that stop a run, as far as this process has received them.

    The first one raises KeyboardInterrupt, at once or when ``check`` is called. Later ones do nothing, so that they
    cannot interrupt the shutdown: trials store their state, and the report is written. The third Ctrl-C raises
    KeyboardInterrupt again.
    """

    def __init__(self) -> None:
        self.first: signal.Signals | None = None
        self.at_first: Callable[[], None] = lambda: None
        """Called by the handler of the first signal, to end waits that would delay the shutdown."""
        self._presses = self._held = 0

    @property
    def exit_code(self) -> int:
        """The exit code that shells expect: 130 for Ctrl-C, 143 for SIGTERM, 129 for SIGHUP."""
        return 128 + (self.first or signal.SIGINT)

    def check(self) -> None:
        """Raise KeyboardInterrupt where a signal was received."""
        if self.first is not None:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Only record signals in this context."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1

    def take(self, number: int, _frame: FrameType | None) -> None:
        """Handle a signal."""
        self._presses += number == signal.SIGINT
        if self.first is not None:
            if self._presses >= _PRESSES:
                raise KeyboardInterrupt
            return
        self.first = signal.Signals(number)
        self.at_first()
        if not self._held:
            raise KeyboardInterrupt

    def forward(self, number: int, frame: FrameType | None) -> None:
        """Handle SIGTERM and SIGHUP as Ctrl-C is handled now, also where it is ignored, as in a shell's background."""
        handler = signal.getsignal(signal.SIGINT)
        (handler if callable(handler) else self.take)(number, frame)


_active: Interrupts | None = None


@contextlib.contextmanager
def terminated_as_interrupted() -> Iterator[Interrupts]:
    """Treat SIGTERM and SIGHUP as Ctrl-C, a request to stop; a nested context yields the same Interrupts.

    A SIGINT or SIGHUP that the process was started to ignore, as ``nohup`` does, stays ignored.
    """
    global _active
    if _active is not None or threading.current_thread() is not threading.main_thread():
        yield _active or Interrupts()  # only the main thread may set signal handlers
        return
    interrupts = _active = Interrupts()
    previous = {number: signal.getsignal(number) for number in _STOPPING}
    for number, handler in previous.items():
        if handler is not signal.SIG_IGN or number == signal.SIGTERM:
            signal.signal(number, interrupts.take if number == signal.SIGINT else interrupts.forward)
    try:
        yield interrupts
    finally:
        _active = None
        for number, handler in previous.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def interrupts_deferred(at_first: Callable[[], None] = lambda: None) -> Iterator[Callable[[], None]]:
    """Defer signals until the yielded function is called, which then raises KeyboardInterrupt.

    An exception in the middle of Ray's start can crash the whole process. ``at_first`` is called at the first signal.
    """
    with terminated_as_interrupted() as interrupts, interrupts.held():
        previous, interrupts.at_first = interrupts.at_first, at_first
        try:
            yield interrupts.check
        finally:
            interrupts.at_first = previous


@contextlib.contextmanager
def children_block_signals() -> Iterator[None]:
    """Block SIGTERM and SIGHUP in the processes that are started in this context, and in their children.

    Slurm, systemd and ``kill`` with a group send SIGTERM to every process of a run at once, and Ray's would die before
    the trials have stored their state. Ray blocks SIGINT in them itself. Afterwards this process receives signals again
    with its own handlers: Ray replaces the handler of SIGTERM, even where it starts no process.
    """
    previous = {number: signal.getsignal(number) for number in _STOPPING}
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGHUP})
    terminated = False
    try:
        yield
    except SystemExit:  # by that handler of Ray's: another thread of this process took the signal
        terminated = True
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in previous.items():
                signal.signal(number, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    if terminated:
        os.kill(os.getpid(), signal.SIGTERM)

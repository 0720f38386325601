"""Ctrl-C at a moment when it must wait."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from orchestrator.runtime.interrupt import interrupts_deferred


def interrupt() -> None:
    """What a terminal sends on Ctrl-C."""
    os.kill(os.getpid(), signal.SIGINT)


def test_the_first_interrupt_waits_for_the_check_and_the_second_does_not() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interrupts_deferred() as check:
        check()
        interrupt()
        with pytest.raises(KeyboardInterrupt):
            check()
        with pytest.raises(KeyboardInterrupt):
            interrupt()
    assert signal.getsignal(signal.SIGINT) is before


def test_other_threads_leave_the_signal_alone() -> None:
    before = signal.getsignal(signal.SIGINT)
    seen: list[object] = []

    def use() -> None:
        with interrupts_deferred() as check:
            check()
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert seen == [before]

"""Ctrl-C at a moment when it must wait."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from orchestrator.runtime.cluster import terminated_as_interrupted
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


def test_a_driver_that_was_started_deaf_to_ctrl_c_hears_its_end_all_the_same() -> None:
    """As a shell without job control starts what it leaves in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with terminated_as_interrupted():
            interrupt()
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
    finally:
        signal.signal(signal.SIGINT, before)

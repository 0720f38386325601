"""Signals at moments when they must wait, one after another, and in processes that must not hear them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading

import pytest
import ray

from orchestrator.runtime.cluster import joined_ray
from orchestrator.runtime.interrupt import children_block_signals, interrupts_deferred, terminated_as_interrupted

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def interrupt() -> None:
    """What a terminal sends on Ctrl-C."""
    os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize(("how", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_the_first_signal_stops_and_only_the_third_ctrl_c_does_again(how: signal.Signals, code: int) -> None:
    before = [signal.getsignal(number) for number in STOPPING]
    with terminated_as_interrupted() as interrupts:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(how)
        for number in (*STOPPING[1:], *STOPPING[1:], *[signal.SIGINT] * (1 if how is signal.SIGINT else 2)):
            signal.raise_signal(number)
        assert (interrupts.first, interrupts.exit_code) == (how, code)
        with pytest.raises(KeyboardInterrupt):
            interrupt()
    assert [signal.getsignal(number) for number in STOPPING] == before


def test_a_deferred_signal_waits_for_the_check() -> None:
    before = signal.getsignal(signal.SIGINT)
    with interrupts_deferred() as check:
        check()
        interrupt()
        interrupt()
        with pytest.raises(KeyboardInterrupt):
            check()
        with pytest.raises(KeyboardInterrupt):
            interrupt()
    assert signal.getsignal(signal.SIGINT) is before


def test_other_threads_leave_signals_alone() -> None:
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


def test_what_a_process_was_started_to_ignore_stays_ignored() -> None:
    """SIGINT as a shell without job control starts what it leaves in the background, SIGHUP as ``nohup`` does."""
    before = {number: signal.signal(number, signal.SIG_IGN) for number in (signal.SIGINT, signal.SIGHUP)}
    try:
        with terminated_as_interrupted() as interrupts:
            interrupt()
            signal.raise_signal(signal.SIGHUP)
            assert interrupts.first is None
            with pytest.raises(KeyboardInterrupt):
                signal.raise_signal(signal.SIGTERM)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_processes_started_deaf_do_not_hear_and_this_one_does_with_its_own_handlers() -> None:
    program = "import signal; print(sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])))"

    def blocked() -> str:
        return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    usual = blocked()
    with terminated_as_interrupted() as interrupts, interrupts.held():
        with children_block_signals():
            deaf = blocked()
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # as Ray puts its own handler there
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)
            assert interrupts.first is None
        assert interrupts.first == signal.SIGTERM
    with terminated_as_interrupted() as interrupts, interrupts.held():
        with children_block_signals():
            sys.exit(signal.SIGTERM)  # as that handler of Ray's does
        assert interrupts.first == signal.SIGTERM
    assert "SIGTERM" in deaf
    assert "SIGHUP" in deaf
    assert blocked() == usual


def test_who_has_joined_a_cluster_hears_signals_by_its_own_handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    def join(**_: object) -> None:
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(number))  # as Ray does

    monkeypatch.setattr(ray, "init", join)
    with terminated_as_interrupted() as interrupts, joined_ray(), pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)
    assert interrupts.exit_code == 143

"""Processes that others start and end: each may be gone by the time it is looked at, which is no failure."""

from __future__ import annotations

import os
import signal
from contextlib import suppress
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from collections.abc import Sequence


def below(pid: int | None = None) -> list[psutil.Process]:
    """The processes that a process (this one, where none is named) and those that it started have started."""
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).children(recursive=True)
    return []


def named(processes: Sequence[psutil.Process], *names: str, parts: int | None = None) -> list[psutil.Process]:
    """Those whose command line, or the first ``parts`` of it, has one of the names; a zombie has none."""
    return [one for one in processes if any(name in _command(one, parts) for name in names)]


def _command(process: psutil.Process, parts: int | None) -> str:
    with suppress(psutil.NoSuchProcess):
        return " ".join(process.cmdline()[:parts])
    return ""


def is_alive(pid: int) -> bool:
    """Whether the process still does anything; one that nobody has buried does not."""
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


def signal_each(processes: Sequence[psutil.Process], how: signal.Signals) -> None:
    """Send a signal to those that are still there."""
    for process in processes:
        with suppress(psutil.NoSuchProcess):  # it may have ended with another
            process.send_signal(how)


def kill_process(pid: int) -> None:
    """Kill -9, as the kernel does where memory runs out."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)

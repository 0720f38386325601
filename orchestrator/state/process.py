"""The process that drives a run, stored so that a later command can check whether it still exists."""

from __future__ import annotations

import os
import platform
import sys
import uuid
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field

_PROC = Path("/proc")


@dataclass(frozen=True)
class Process:
    """A process, and the machine it is on.

    ``machine`` is the same for two processes only where both see the same process ids: on Linux it names the boot of
    the kernel and the PID namespace, elsewhere the host's name and its hardware address. It is empty where these are
    unknown. ``started`` distinguishes a process from a later one with the same id; it is empty where it is unknown.
    """

    host: str
    pid: Annotated[int, Field(gt=0, lt=2**31)]
    machine: str = ""
    started: str = ""

    @property
    def here(self) -> bool:
        """Whether the process is on this machine, so that ``gone`` is known."""
        return self.machine != "" and self.machine == _machine()

    @property
    def gone(self) -> bool:
        """Whether the process no longer exists; False where this machine cannot know."""
        if not self.here:
            return False
        try:
            os.kill(self.pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:  # another user's
            return False
        state, started = _state_of(self.pid)
        # A zombie is a process that has ended, and that its parent has not waited for.
        return state == "Z" or bool(self.started and started and started != self.started)

    def __str__(self) -> str:
        """``host7 (pid 1234)``."""
        return f"{self.host} (pid {self.pid})"


def this_process() -> Process:
    """The process that calls this."""
    return Process(platform.node() or "a host without a name", os.getpid(), _machine(), _state_of(os.getpid())[1])


@cache
def _machine() -> str:
    if sys.platform != "linux":
        return f"{platform.node()} {uuid.getnode():x}"
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {(_PROC / 'self/ns/pid').readlink()}"
    except OSError:
        return ""


def _state_of(pid: int) -> tuple[str, str]:
    """A process's state and its start, in ticks since the boot; both empty where the system does not report them."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return "", ""
    fields = text.rpartition(")")[2].split()  # the name before may hold spaces and brackets; see proc(5)
    return (fields[0], fields[19]) if len(fields) > 19 else ("", "")

"""Watches Ray's own processes, to report why a run has ended before Ray's native code silently ends its driver.

That code ends the driver a minute after Ray's head has died, and 15 s after the raylet of its node has died.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import ray

from orchestrator.runtime.ray_private import local_node, started_processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_EVERY_S = 1.0
_CONNECT_S = 2.0
_AWAY_S = 40.0
"""The run goes on with a head that comes back within this time."""
_WATCHED = {"gcs_server": "head (gcs_server", "raylet": "node manager (raylet"}


@contextlib.contextmanager
def watched(find_death: Callable[[], str | None], end: Callable[[str], None]) -> Iterator[None]:
    """Call ``find_death`` every second in a thread; its first result goes to ``end``, which ends the process.

    The main thread may wait in native code that no signal interrupts.
    """
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_EVERY_S):
            if (cause := find_death()) is not None and not over.is_set():
                end(cause)
                return

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def local_death() -> str | None:
    """Which of Ray's two processes that this run needs has ended, and how; None where both live."""
    for kind, name in _WATCHED.items():
        for info in started_processes().get(kind, []):
            if (code := info.process.poll()) is not None:
                return f"Ray's {name}, pid {info.process.pid}) {_describe_exit(code)}"
    return None


def _describe_exit(code: int) -> str:
    """How a process with this exit code ended: a negative code is a signal's number."""
    if code >= 0:
        return f"ended with exit code {code}"
    names = {number.value: number.name for number in signal.Signals}
    return f"was ended by {names.get(-code, f'signal {-code}')}"


class JoinedRay:
    """The cluster's head and the raylet of this node, checked by connecting to them."""

    def __init__(self, notify: Callable[[str], None]) -> None:
        """``notify`` reports when the head stops answering, and when it answers again. Ray must be up."""
        context = ray.get_runtime_context()
        this_node = next(node for node in ray.nodes() if node["NodeID"] == context.get_node_id())
        host, _, port = context.gcs_address.rpartition(":")
        self.head, self.raylet = (
            (host.strip("[]"), int(port)),
            (this_node["NodeManagerAddress"], this_node["NodeManagerPort"]),
        )
        self.notify = notify
        self._head_gone = self._raylet_gone = 0.0
        self._reported_silent = False

    def death(self) -> str | None:
        """Which process that the run needs has ended; None where none has."""
        now = time.monotonic()
        self._raylet_gone = 0.0 if _answers(self.raylet) else self._raylet_gone or now
        self._head_gone = 0.0 if _answers(self.head) else self._head_gone or now
        if self._raylet_gone and now - self._raylet_gone > _CONNECT_S:
            return f"Ray's node manager (raylet) on this node, at port {self.raylet[1]}, is gone"
        head = f"Ray's head (gcs_server) at {self.head[0]}:{self.head[1]}"
        away_s = now - self._head_gone if self._head_gone else 0.0
        if away_s > _AWAY_S:
            return f"{head} has not answered for {away_s:.0f} s"
        if (away_s > _CONNECT_S) is not self._reported_silent and (away_s > _CONNECT_S or not self._head_gone):
            self._reported_silent = not self._reported_silent
            self.notify(f"note: {head} {'does not answer' if self._reported_silent else 'answers again'}")
        return None


def _answers(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, _CONNECT_S).close()
    except OSError:
        return False
    return True


def clean_up() -> None:
    """End the rest of this run's Ray and remove its folder; Ray's own shutdown would wait for dead processes."""
    node = local_node()
    if node is None or not any(started_processes().values()):
        return  # a cluster's Ray, which this run must not end
    folder = Path(node.get_temp_dir_path())
    # Workers whose raylet is dead are no longer children of this process, but their current folder is in their Ray's.
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and Path(process.cwd()).is_relative_to(folder):
                process.kill()
    for infos in started_processes().values():
        for info in infos:
            info.process.kill()
    shutil.rmtree(folder, ignore_errors=True)

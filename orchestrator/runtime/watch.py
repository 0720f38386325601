"""Ray's own processes, watched: why a run has ended is said before Ray's native code ends its driver without a word.

Where Ray's head dies, that code ends the driver after a minute; where the raylet of its node dies, after a quarter.
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
from typing import TYPE_CHECKING, Any

import psutil
import ray

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_EVERY_S = 1.0
_CONNECT_S = 2.0
_AWAY_S = 40.0
"""A head that comes back within so long is gone on with."""
_WATCHED = {"gcs_server": "head (gcs_server", "raylet": "node manager (raylet"}


@contextlib.contextmanager
def watched(look: Callable[[], str | None], end: Callable[[str], None]) -> Iterator[None]:
    """Call ``look`` every second, in a thread; what it says first is told to ``end``, which ends the process.

    The main thread may wait in native code that no signal reaches.
    """
    over = threading.Event()

    def watch() -> None:
        while not over.wait(_EVERY_S):
            if (cause := look()) is not None and not over.is_set():
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
    """Which of the two processes that this run cannot do without has ended, and how; None where both live."""
    for kind, name in _WATCHED.items():
        for info in _started().get(kind, []):
            if (code := info.process.poll()) is not None:
                return f"Ray's {name}, pid {info.process.pid}) {_how(code)}"
    return None


def _started() -> dict[str, Any]:
    """What the Ray of this run has started, by its kind; Ray has no public word for it."""
    node = ray._private.worker._global_node
    return {} if node is None else node.all_processes


def _how(code: int) -> str:
    """How a process ended that Python reports this of: a negative number is a signal's."""
    if code >= 0:
        return f"ended with exit code {code}"
    names = {number.value: number.name for number in signal.Signals}
    return f"was ended by {names.get(-code, f'signal {-code}')}"


class JoinedRay:
    """The cluster's head and the raylet of this node, as far as they take connections."""

    def __init__(self, say: Callable[[str], None]) -> None:
        """``say`` hears when the head does not answer, and when it does again. Ray must be up."""
        context = ray.get_runtime_context()
        here = next(node for node in ray.nodes() if node["NodeID"] == context.get_node_id())
        host, _, port = context.gcs_address.rpartition(":")
        self.head, self.raylet = (host.strip("[]"), int(port)), (here["NodeManagerAddress"], here["NodeManagerPort"])
        self.say = say
        self._head_gone = self._raylet_gone = 0.0
        self._said = False

    def death(self) -> str | None:
        """What has ended that the run cannot do without, if anything."""
        now = time.monotonic()
        self._raylet_gone = 0.0 if _answers(self.raylet) else self._raylet_gone or now
        self._head_gone = 0.0 if _answers(self.head) else self._head_gone or now
        if self._raylet_gone and now - self._raylet_gone > _CONNECT_S:
            return f"Ray's node manager (raylet) on this node, at port {self.raylet[1]}, is gone"
        head = f"Ray's head (gcs_server) at {self.head[0]}:{self.head[1]}"
        away_s = now - self._head_gone if self._head_gone else 0.0
        if away_s > _AWAY_S:
            return f"{head} has not answered for {away_s:.0f} s"
        if (away_s > _CONNECT_S) is not self._said and (away_s > _CONNECT_S or not self._head_gone):
            self._said = not self._said
            self.say(f"note: {head} {'does not answer' if self._said else 'answers again'}")
        return None


def _answers(address: tuple[str, int]) -> bool:
    try:
        socket.create_connection(address, _CONNECT_S).close()
    except OSError:
        return False
    return True


def clean_up() -> None:
    """End what is left of the Ray of this run, whose own end would wait for its dead, and remove its folder."""
    node = ray._private.worker._global_node
    if node is None or not any(_started().values()):
        return  # a cluster's, which is not ours to end
    folder = Path(node.get_temp_dir_path())
    # Workers whose raylet is dead are no longer below this process, but they work in folders of their Ray's.
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid != os.getpid() and Path(process.cwd()).is_relative_to(folder):
                process.kill()
    for infos in _started().values():
        for info in infos:
            info.process.kill()
    shutil.rmtree(folder, ignore_errors=True)

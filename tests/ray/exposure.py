"""What other users of this machine can see of a run, looked at from outside while it lasts."""

from __future__ import annotations

import contextlib
import http.client
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import grpc
import psutil

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_CALLS = (
    "InternalKVGcsService/InternalKVGet",
    "NodeManagerService/GetNodeStats",
    "ObjectManagerService/Pull",
    "CoreWorkerService/GetCoreWorkerStats",
    "ReporterService/GetTraceback",
)
"""One of each server that Ray has; whoever asks must be known."""
_ANSWER_S = 2.0


@dataclass
class Exposure:
    """What was seen of the processes below one, and of the files below ``folder``.

    ``secrets`` are looked for by name. Of each port that listens ``ports`` has the process that did last, and where.
    """

    folder: Path
    secrets: dict[str, str]
    ports: dict[int, tuple[str, str]] = field(default_factory=dict)
    addresses: set[str] = field(default_factory=set)
    """All that anything has ever listened on."""
    leaks: set[tuple[str, str]] = field(default_factory=set)
    """Where a secret stands, and which."""
    files: dict[Path, int] = field(default_factory=dict)
    """The mode of every file and folder that was there."""
    shared_memory: set[int] = field(default_factory=set)
    """The modes of files in memory that processes share."""
    _read: dict[Path, tuple[int, int]] = field(default_factory=dict)

    def look(self, root: psutil.Process) -> None:
        """Look at everything once."""
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in [root, *root.children(recursive=True)]:
                with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, FileNotFoundError):
                    self._look_at(process)
        self.look_into_files()

    def look_into_files(self) -> None:
        """Look at every file and folder."""
        for folder, folders, files in os.walk(self.folder):  # which passes over folders that go away meanwhile
            for name in (*folders, *files):
                with contextlib.suppress(FileNotFoundError):
                    self._look_into(Path(folder, name))

    def count(self, name: str) -> int:
        """How many ports the processes of that name have."""
        return sum(name in command for command, _ in self.ports.values())

    def _look_at(self, process: psutil.Process) -> None:
        command = " ".join(process.cmdline())
        self._seek(command.encode(), f"command line of {command[:40]}")
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                self.addresses.add(connection.laddr.ip)
                self.ports[connection.laddr.port] = (command, connection.laddr.ip)
        for handle in Path(f"/proc/{process.pid}/fd").iterdir():
            if str(handle.readlink()).startswith("/dev/shm/"):
                self.shared_memory.add(handle.stat().st_mode & 0o777)

    def _look_into(self, path: Path) -> None:
        found = path.lstat()
        self.files[path] = found.st_mode
        state = (found.st_size, found.st_mtime_ns)
        if stat.S_ISREG(found.st_mode) and self._read.get(path) != state:
            self._read[path] = state
            self._seek(path.read_bytes(), str(path.relative_to(self.folder)))

    def _seek(self, text: bytes, where: str) -> None:
        self.leaks |= {(where, name) for name, secret in self.secrets.items() if secret.encode() in text}


def ask_without_token(ports: Mapping[int, tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """The process at each of the ports that still listens, and ``token`` where it wants one, or what it says."""
    for port, (command, _) in ports.items():
        said = _http(port) or _grpc(port)
        if said != "gone":
            yield command, said


def _http(port: int) -> str | None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_ANSWER_S)
    try:
        connection.request("GET", "/api/version")
        status = connection.getresponse().status
    except TimeoutError:
        return "silence"
    except ConnectionRefusedError:
        return "gone"
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()
    return "token" if status == http.HTTPStatus.UNAUTHORIZED else f"HTTP {status}"


def _grpc(port: int) -> str:
    codes = set()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        for call in _CALLS:
            try:
                channel.unary_unary(f"/ray.rpc.{call}")(b"", timeout=_ANSWER_S)
            except grpc.RpcError as error:
                codes.add(error.code())
            else:
                return f"an answer to {call}"
    wants = grpc.StatusCode.UNAUTHENTICATED in codes
    return (
        "token" if wants and codes <= {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.UNIMPLEMENTED} else str(codes)
    )

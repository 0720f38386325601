"""One task on each node of a Slurm allocation: brings up Ray among them, runs a command on the first, ends Ray.

    python -P -m orchestrator.runtime.slurm_node FOLDER [--worker-groups] VERB ARGUMENTS...

``--worker-groups``: some trials train on several devices. The tasks tell each other of token, address and end by files
in FOLDER, which only this user can enter. They leave no process behind and touch no other Ray of the nodes, and Ray's
processes hear no SIGTERM: Slurm sends that to every process of a job at once, and the driver needs Ray to have the
trials store their state.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from orchestrator.errors import ClusterError
from orchestrator.runtime.interrupt import children_block_signals
from orchestrator.runtime.local import STARTS, TOO_SLOW, ray_folder, set_environment
from orchestrator.runtime.privacy import SYSTEM_CONFIG, TOKEN_ONLY, variables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import FrameType

_UP_S = 180.0
"""How long the nodes may take until Ray is up on all of them: a shared file system may read Python in minutes."""
_END_S = 10.0
_POLL_S = 0.1
_ADDRESS = "ray_current_cluster"
"""The file in which Ray has the head's address once it is up."""
_SUBREAPER = 36
"""PR_SET_CHILD_SUBREAPER of prctl(2)."""
_OBJECT_STORE, _HEAP = 0.3, 0.6
"""Shares of the memory that Slurm has granted, for Ray's object store and for its workers."""
_SHARED = Path("/dev/shm")  # noqa: S108 - where Ray keeps its objects
_SHARED_USED = 0.8


class _StoppedError(Exception):
    """A signal came before the command was started."""


class Signals:
    """Takes the signals that stop a job: the driver hears them itself, this process waits for it to end."""

    def __init__(self) -> None:
        self.first: signal.Signals | None = None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._take)

    def _take(self, number: int, _frame: FrameType | None) -> None:
        self.first = self.first or signal.Signals(number)

    def check(self) -> None:
        """Raise where one has come."""
        if self.first is not None:
            raise _StoppedError


class Tasks:
    """What the tasks of one allocation tell each other: short texts under names, each written whole, by one task."""

    def __init__(self, folder: Path, rank: int, size: int) -> None:
        self.folder, self.rank, self.size = folder, rank, size

    def tell(self, name: str, text: str = "-") -> None:
        """Write a text for the other tasks; only this user can read it."""
        draft = self.folder / f".{name}.{self.rank}"
        draft.touch(mode=0o600)
        draft.write_text(text)
        draft.rename(self.folder / name)

    def told(self) -> set[str]:
        """The names under which something was written. Listing makes network file systems look anew."""
        return {path.name for path in self.folder.iterdir() if not path.name.startswith(".")}

    def hear(self, name: str) -> str:
        """The text under a name."""
        return (self.folder / name).read_text()


def main(arguments: Sequence[str]) -> int:
    """Run the command on the first node, and hold the others ready; returns the command's exit code."""
    folder, *command = arguments
    tasks = Tasks(Path(folder), int(os.environ["SLURM_PROCID"]), int(os.environ["SLURM_NTASKS"]))
    signals = Signals()
    ctypes.CDLL(None).prctl(_SUBREAPER, 1)  # what loses its parent becomes this process's child, and ends with it
    set_environment()
    try:
        with _ray(tasks, signals):
            return _lead(tasks, signals, command) if tasks.rank == 0 else _stand_by(tasks)
    except _StoppedError:
        return 128 + (signals.first or signal.SIGTERM) if tasks.rank == 0 else 0
    except ClusterError as error:
        text = f"error: node {_node()}: {error}"
        if "failed" not in tasks.told():
            tasks.tell("failed", text)
            sys.stderr.write(f"{text}\n")
        return 2
    finally:
        if tasks.rank == 0:
            tasks.tell("over")


def _lead(tasks: Tasks, signals: Signals, command: Sequence[str]) -> int:
    """Run the command once all nodes are there, and tell the others when it has ended."""
    _wait(tasks, signals, {f"ready-{rank}" for rank in range(1, tasks.size)})
    driver = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-P", "-m", "orchestrator.cli", *command, *_again(command)],
        env={**os.environ, "RAY_ADDRESS": tasks.hear("address")},
    )
    if signals.first is signal.SIGTERM:  # it came before the driver was there
        driver.send_signal(signal.SIGTERM)
    code = driver.wait()
    tasks.tell("over")
    return 128 - code if code < 0 else code


def _again(command: Sequence[str]) -> list[str]:
    """What to add to the command after a requeue: Slurm has ended the attempt before, wherever it was."""
    option = "--take-over"
    return [option] if int(os.environ.get("SLURM_RESTART_COUNT") or 0) and option not in command else []


def _stand_by(tasks: Tasks) -> int:
    """Hold this node ready until the command has ended. A Ray that dies here meanwhile is for the driver to notice."""
    tasks.tell(f"ready-{tasks.rank}")
    while not tasks.told() & {"over", "failed"}:
        time.sleep(_POLL_S)
    return 0


def _wait(tasks: Tasks, signals: Signals, names: set[str]) -> None:
    """Wait until all of the names were told. Raises ClusterError where they are not, or another task has failed."""
    deadline = time.monotonic() + _UP_S
    while missing := names - (told := tasks.told()):
        signals.check()
        if told & {"over", "failed"}:
            raise ClusterError("another node failed")
        if time.monotonic() > deadline:
            raise ClusterError(f"the nodes were not up in {_UP_S:.0f} s: {', '.join(sorted(missing))} missing")
        time.sleep(_POLL_S)


@contextlib.contextmanager
def _ray(tasks: Tasks, signals: Signals) -> Iterator[None]:
    """Ray on this node, up when the context begins, with all its processes gone when it has ended."""
    head = tasks.rank == 0
    if head:
        tasks.tell("token", secrets.token_hex(32))
    else:
        _wait(tasks, signals, {"token", "address"})
    os.environ["RAY_AUTH_TOKEN_PATH"] = str(tasks.folder / "token")
    with ray_folder() as folder, variables({**TOKEN_ONLY, "RAY_ADDRESS": None}):
        try:
            address = None if head else tasks.hear("address")
            _bring_up(Path(folder), _start(folder, address), signals)
            if head:
                tasks.tell("address", (Path(folder) / _ADDRESS).read_text())
            yield
        finally:
            _end()


def _bring_up(folder: Path, command: list[str], signals: Signals) -> None:
    """Start Ray on this node by a command, and wait until it is up. Raises ClusterError.

    Ray gives its own processes half a minute, which a busy node or file system may not keep to at first.
    """
    for attempt in range(1, STARTS + 1):
        log = folder / f"start-{attempt}.log"
        with children_block_signals(), log.open("wb") as output:
            ray = subprocess.Popen(  # noqa: S603 - our own command
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={**os.environ, "TMPDIR": str(folder)},  # what its processes leave when they are killed goes with it
            )
        deadline = time.monotonic() + _UP_S
        while ray.poll() is None and time.monotonic() < deadline:
            signals.check()
            time.sleep(_POLL_S)
        if ray.returncode == 0:
            return
        why = " ".join(log.read_text(errors="replace").split())[-300:]
        _end()
        if TOO_SLOW not in why:
            break
    raise ClusterError(f"Ray did not start{f': {why}' if why else f' in {_UP_S:.0f} s'}")


def _start(folder: str, address: str | None) -> list[str]:
    """The command that starts Ray on this node, with what Slurm has granted and with free ports; it does not wait.

    A command that stays (``--block``) would end all of Ray once any of its parts ends, needed or not. Parts of Ray
    that nothing here asks for are left out: each is a Python of its own.
    """
    command = [sys.executable, "-P", "-c", "from ray.scripts.scripts import main; main()", "start"]
    command += ["--disable-usage-stats", f"--temp-dir={folder}", "--min-worker-port=0", "--max-worker-port=0"]
    command += ["--include-log-monitor=False", *(f"--{name}={value}" for name, value in granted().items())]
    if address is not None:
        return [*command, f"--address={address}"]
    command += ["--head", "--port=0", f"--system-config={json.dumps(SYSTEM_CONFIG)}"]
    command += ["--no-monitor", "--include-dashboard=False"]
    # Two for which Ray takes no other port where its own choice is in use.
    command += [f"--{name}={_free_port()}" for name in ("dashboard-port", "ray-client-server-port")]
    node = os.environ.get("SLURM_LAUNCH_NODE_IPADDR")
    return [*command, f"--node-ip-address={node}"] if node else command


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("", 0))
        return int(free.getsockname()[1])


def granted() -> dict[str, int]:
    """Processors, GPUs and bytes that Slurm has granted on this node, by the names of Ray's options.

    Without a limit of memory Ray takes what the machine has.
    """
    cpus = int(os.environ["SLURM_CPUS_ON_NODE"])
    options = {"num-cpus": cpus, "num-gpus": int(os.environ.get("SLURM_GPUS_ON_NODE") or 0)}
    megabytes = int(os.environ.get("SLURM_MEM_PER_NODE") or 0)
    megabytes = megabytes or int(os.environ.get("SLURM_MEM_PER_CPU") or 0) * cpus
    if megabytes:
        memory = megabytes * 2**20
        shared = os.statvfs(_SHARED).f_bavail * os.statvfs(_SHARED).f_frsize
        options["object-store-memory"] = int(min(_OBJECT_STORE * memory, _SHARED_USED * shared))
        options["memory"] = int(_HEAP * memory)
    return options


def _end() -> None:
    """Kill every process that this one has started, and those that they have."""
    import psutil

    deadline = time.monotonic() + _END_S
    while (children := psutil.Process().children(recursive=True)) and time.monotonic() < deadline:
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        psutil.wait_procs(children, timeout=0.2)
        with contextlib.suppress(ChildProcessError):  # those that were adopted wait to be waited for
            while os.waitpid(-1, os.WNOHANG)[0]:
                continue


def _node() -> str:
    return os.environ.get("SLURMD_NODENAME", "")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

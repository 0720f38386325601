"""A real Slurm on this machine, of Debian's packages, for the time of a context: its nodes share this host's address.

    apt-get install --no-install-recommends slurmctld slurmd slurm-client munge

Each node is a ``slurmd`` in a process table of its own, so that killing it ends whatever runs there, as when a machine
loses power. It takes root and neither systemd nor the host's network. GPUs are device files that swallow what they get.
However the process ends that has started it, all of it ends as well.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PROGRAMS = ("slurmctld", "slurmd", "munged", "sbatch", "srun", "scancel", "scontrol", "sinfo", "unshare", "setpriv")
_PATH = f"/usr/sbin:/sbin:{os.environ['PATH']}"
_UP_S = 180.0
_NULL = os.makedev(1, 3)


def why_not() -> str | None:
    """Why no Slurm can be had here; None where it can."""
    missing = [program for program in PROGRAMS if shutil.which(program, path=_PATH) is None]
    if missing:
        return f"Slurm is not installed here: {', '.join(missing)} missing"
    if os.geteuid() != 0:
        return "Slurm's daemons need root here"
    return None


@dataclass
class Slurm:
    """A running Slurm; ``environment`` is that of its users."""

    folder: Path
    environment: dict[str, str]
    nodes: tuple[str, ...]
    daemons: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def ask(self, *command: str) -> str:
        """The output of one of Slurm's commands."""
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout.strip()

    def state(self, job: str) -> dict[str, str]:
        """What ``scontrol show job`` says, by key."""
        words = self.ask("scontrol", "show", "job", "--oneliner", job).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def hurry(self, job: str) -> None:
        """Have a requeued job start soon, for which Slurm would let it wait two minutes; one that has started may run.

        In the second in which Slurm has ended an attempt it starts no other.
        """
        command = ["scontrol", "update", f"JobId={job}", "StartTime=now+3seconds"]
        subprocess.run(command, env=self.environment, capture_output=True, check=False, timeout=60)

    def kill(self, node: str) -> None:
        """Take a node away, with everything that runs there."""
        _kill(self.daemons.pop(node))

    def bring_back(self, node: str) -> None:
        """Start a node again that was taken away."""
        self.daemons[node] = _start(self, ["slurmd", "-D", "-N", node], apart=True)


@contextlib.contextmanager
def running_slurm(nodes: int = 1, *, cpus: int = 2, memory_mb: int = 8000, gpus: int = 2) -> Iterator[Slurm]:
    """A Slurm of so many nodes, with two partitions: jobs in ``high`` take the nodes of those in ``low``."""
    with tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True) as path:
        folder = Path(path)
        folder.chmod(0o755)
        environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf"), "PATH": _PATH}
        slurm = Slurm(folder, environment, tuple(f"n{number}" for number in range(1, nodes + 1)))
        _configure(slurm, cpus, memory_mb, gpus)
        try:
            slurm.daemons["munged"] = _start(slurm, _munged(folder))
            _wait_for((folder / "munge.socket").exists, "munge")
            slurm.daemons["slurmctld"] = _start(slurm, ["slurmctld", "-D"])
            for node in slurm.nodes:
                slurm.bring_back(node)
            wait_until_idle(slurm)
            yield slurm
        finally:
            for daemon in reversed(slurm.daemons.values()):
                _kill(daemon)


def wait_until_idle(slurm: Slurm) -> None:
    """Wait until every node waits for work."""

    def idle() -> bool:
        command = ["sinfo", "--noheader", "--partition=low", "--format=%T %D"]
        done = subprocess.run(command, env=slurm.environment, capture_output=True, text=True, check=False)
        return done.stdout.strip() == f"idle {len(slurm.nodes)}"

    _wait_for(idle, f"nodes; see {slurm.folder}/log")


def _wait_for(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + _UP_S
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"no {what} in {_UP_S:.0f} s")
        time.sleep(0.1)


def _munged(folder: Path) -> list[str]:
    key = folder / "munge.key"
    key.touch(mode=0o400)
    key.write_bytes(secrets.token_bytes(1024))
    files = {"key-file": key, "socket": folder / "munge.socket", "pid-file": folder / "munged.pid"}
    files |= {"log-file": folder / "log/munged.log", "seed-file": folder / "munged.seed"}
    return ["munged", "--foreground", "--force", *(f"--{name}={file}" for name, file in files.items())]


def _start(slurm: Slurm, command: list[str], *, apart: bool = False) -> subprocess.Popen[bytes]:
    """Start a daemon, which ends with this thread; ``apart`` in a process table of its own, which ends with it."""
    if apart:
        command = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", *command]
    command = ["setpriv", "--pdeathsig", "KILL", *command]
    with (slurm.folder / "log" / "stderr.log").open("ab") as errors:
        return subprocess.Popen(
            command,
            env=slurm.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,
        )


def _kill(daemon: subprocess.Popen[bytes]) -> None:
    with contextlib.suppress(ProcessLookupError):
        daemon.send_signal(signal.SIGKILL)
    daemon.wait()


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _configure(slurm: Slurm, cpus: int, memory_mb: int, gpus: int) -> None:
    folder, host = slurm.folder, socket.gethostname()
    control, *ports = _free_ports(1 + len(slurm.nodes))
    for name in ("log", "state", "spool", "devices"):
        (folder / name).mkdir()
    for number in range(gpus):
        os.mknod(folder / "devices" / f"nvidia{number}", 0o20666, _NULL)
    settings = {
        "SlurmctldHost": f"{host}(127.0.0.1)",
        "SlurmctldPort": control,
        "DefMemPerCPU": memory_mb // cpus,
        **_settings(folder),
    }
    lines = [f"{name}={value}" for name, value in settings.items()]
    holds = f"CPUs={cpus} RealMemory={memory_mb} Gres=gpu:{gpus}"
    for node, port in zip(slurm.nodes, ports, strict=True):
        (folder / "spool" / node).mkdir()
        lines.append(f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} {holds}")
    lines += [
        "PartitionName=low Nodes=ALL Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=300",
        "PartitionName=high Nodes=ALL PriorityTier=10 PreemptMode=OFF",
        "PartitionName=closed Nodes=ALL AllowAccounts=others",
    ]
    (folder / "slurm.conf").write_text("\n".join(lines) + "\n")
    devices = f"File={folder}/devices/nvidia[0-{gpus - 1}]"
    (folder / "gres.conf").write_text("".join(f"NodeName={node} Name=gpu {devices}\n" for node in slurm.nodes))


def _settings(folder: Path) -> dict[str, object]:
    """What needs neither systemd nor control groups; the scheduler looks every second."""
    return {
        "ClusterName": "test",
        "SlurmUser": "root",
        "AuthType": "auth/munge",
        "AuthInfo": f"socket={folder}/munge.socket",
        "StateSaveLocation": folder / "state",
        "SlurmdSpoolDir": folder / "spool/%n",
        "SlurmctldPidFile": folder / "slurmctld.pid",
        "SlurmdPidFile": folder / "%n.pid",
        "SlurmctldLogFile": folder / "log/slurmctld.log",
        "SlurmdLogFile": folder / "log/%n.log",
        "SlurmdTimeout": 10,
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "SwitchType": "switch/none",
        "MpiDefault": "none",
        "MailProg": "/bin/true",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core_Memory",
        "GresTypes": "gpu",
        "ReturnToService": 2,
        "KillWait": 300,  # a busy machine stores no faster
        "JobRequeue": 1,
        "EnforcePartLimits": "ALL",
        "PreemptType": "preempt/partition_prio",
        "PreemptMode": "REQUEUE",
        "SchedulerParameters": "sched_interval=1,bf_interval=1,batch_sched_delay=0,requeue_delay=1",
    }

"""Where a job runs that is handed over: one small module a launcher, which ``connect`` finds by the address.

What a launcher does with a job is in ``Launcher``: hand it over, and then ask for it, follow it or stop it by the id
that it gave. A run that is not handed over takes place in the command's own process (``local``, and ``cluster`` for a
node of a Ray cluster).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from orchestrator.errors import ClusterError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from orchestrator.spec.job import Job
    from orchestrator.state.marks import Line

SLURM = "slurm"
"""The address of the Slurm whose commands this machine has."""
SOON_S = 5.0
"""How long a cluster may take to answer where storage has an answer too."""


@dataclass(frozen=True)
class Standing:
    """What a queue says of a submission: its own word for the state, and why it waits or how it ended.

    ``active``: it may yet run, or does; ``waits``: it has no nodes yet, or no longer.
    """

    submission_id: str
    state: str
    active: bool
    waits: bool
    reason: str | None = None
    nodes: str | None = None
    requeued: int = 0

    def __str__(self) -> str:
        """``job 12 is pending (Priority), requeued once``."""
        why = f" ({self.reason})" if self.reason else ""
        if self.waits:
            now = f"is pending{why}"
        elif self.active:
            now = f"runs on {self.nodes or 'its nodes'}"
        else:
            now = f"has ended: {self.state}{why}"
        times = {0: "", 1: ", requeued once", 2: ", requeued twice"}
        again = times.get(self.requeued, f", requeued {self.requeued} times")
        return f"job {self.submission_id} {now}{again}"


class ConnectionLostError(ClusterError):
    """The cluster does not answer, or no longer; what was handed over does not depend on it."""


class Launcher(Protocol):
    """Hands jobs over and answers for them. Every method raises ClusterError."""

    address: str
    queues: bool
    """Whether a run may wait for hours: a hand-over is not watched until it begins, and no plan is made there."""

    def place(self, storage: str) -> str:
        """The storage as the run gets it. Raises StorageError where the run could not reach that."""
        ...

    def submit(
        self, job: Job, storage: str, command: Sequence[str], notify: Callable[[str], None], *, runs: bool = True
    ) -> str:
        """Run an ``orch`` command that takes a job file, with its options; returns the submission's id.

        ``notify`` hears what is sent along. ``runs`` is False for a command that only prints the plan.
        """
        ...

    def newest(self, job: str) -> str | None:
        """The id of the last submission of the job of that name; None where none is known."""
        ...

    def ended(self, submission_id: str) -> bool:
        """Whether the submission has ended, in whatever way."""
        ...

    def waits(self, submission_id: str) -> str | None:
        """Why the submission's driver has not been started, such as ``is queued there``; None where it has."""
        ...

    def standing(self, job: str, submission_id: str) -> Standing | None:
        """What its queue says of a submission of the job of that name.

        None for one that it has forgotten, and where it has no queue.
        """
        ...

    def log(self, submission_id: str) -> list[Line]:
        """The driver's output so far."""
        ...

    def follow(self, submission_id: str) -> Iterator[Line]:
        """The driver's output line by line as it comes, until the submission has ended."""
        ...

    def result(self, submission_id: str) -> int:
        """The exit code of the driver of a submission that has ended."""
        ...

    def stop(self, submission_id: str) -> None:
        """Have the driver end with every trial's state stored, and not be started again."""
        ...


def connect(address: str, *, soon: bool = False) -> Launcher:
    """The launcher for an address; ``soon`` gives up on answers that take long. Raises ClusterError."""
    if address == "auto":
        raise ClusterError(
            "--address: got 'auto', expected the URL of a Ray dashboard, such as http://head:8265, or slurm"
        )
    if address == SLURM:
        from orchestrator.runtime.slurm import Slurm

        return Slurm(**({"answer_s": SOON_S} if soon else {}))
    from orchestrator.runtime.remote import RemoteCluster

    return RemoteCluster(address, **({"answer_s": SOON_S} if soon else {}))

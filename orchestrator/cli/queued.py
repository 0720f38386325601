"""Jobs in a queue, as Slurm's, for status, logs and cancel: storage has the numbers, the queue says where they are."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.cli.console import err, out
from orchestrator.errors import ClusterError
from orchestrator.runtime.launchers import SLURM, connect

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from orchestrator.cli.options import NamedJob
    from orchestrator.runtime.launchers import Standing
    from orchestrator.state.files import RunState
    from orchestrator.state.handovers import Handover
    from orchestrator.store.location import Store

_POLL_S = 2.0
_ASK_S = 5.0
"""How often a queue is asked while a log is followed: a controller answers all users of a cluster."""
_HEED_S = 45.0
"""How long a driver may take to hear the word in storage and to have every trial store its state."""
_OBEY_S = 90.0
"""The same after SIGTERM, and until a job has left its nodes."""
_OVER_S = 60.0
"""How long Slurm may take to end a job that is taken away: SIGKILL follows SIGTERM after its ``KillWait``."""


@dataclass(frozen=True)
class Heard:
    """What was heard of a submission: its standing, None for one that is forgotten; or why nothing was heard."""

    submission_id: str
    standing: Standing | None = None
    problem: str | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing of it is at work now."""
        return self.standing is not None and (self.standing.waits or not self.standing.active)

    def as_json(self) -> dict[str, Any]:
        """Its standing for a script; all is null where nothing was heard."""
        empty = dict.fromkeys(("state", "active", "waits", "reason", "nodes", "requeued"))
        known = asdict(self.standing) if self.standing else empty
        return {"submission_id": self.submission_id, **known, "problem": self.problem}


def numbers_in(handover: Handover | None, run: RunState | None) -> list[str]:
    """The numbers in the queue that storage has of a job, the run's first."""
    records = [record for record in (run, handover) if record is not None and record.address == SLURM]
    return list(dict.fromkeys(record.submission_id for record in records if record.submission_id))


def ask_queue(name: str, numbers: Iterable[str]) -> list[Heard]:
    """What the queue says of each of a job's numbers, soon or not at all."""
    heard = []
    for number in numbers:
        try:
            heard.append(Heard(number, connect(SLURM, soon=True).standing(name, number)))
        except ClusterError as error:
            heard.append(Heard(number, problem=str(error)))
    return heard


def queue_lines(heard: Iterable[Heard], handover: Handover | None, run: RunState | None) -> Iterator[str]:
    """A line on each submission, without what the hand-over's line says, and without silence on a run that is over."""
    for one in heard:
        handed_over = handover is not None and handover.submission_id == one.submission_id
        over = run is None or run.state not in ("running", "interrupted")
        if one.standing is not None:
            if not (handed_over and one.standing.waits and not one.standing.requeued):
                yield f"Slurm: {one.standing}"
        elif handed_over or over:
            continue
        elif one.problem is not None:
            yield f"Slurm was not asked for job {one.submission_id} ({one.problem}); this is what storage says"
        else:
            yield f"Slurm no longer knows job {one.submission_id}"


def output_lines(named: NamedJob, handover: Handover | None) -> list[str]:
    """What the nodes have printed of a job whose run has not reached storage."""
    from orchestrator.runtime.slurm import read_output
    from orchestrator.state.marks import Kind

    if handover is None or handover.address != SLURM:
        return []
    lines = read_output(named.root.uri, handover.submission_id)
    return [line.text for line in lines if line.kind is not Kind.BEGUN]


class Watch:
    """Asks the queue now and then whether a job that is followed may go on, and prints what it says anew."""

    def __init__(self, store: Store) -> None:
        self._store, self._name = store, store.uri.rpartition("/")[2]
        self._asked_at, self._told = float("-inf"), ""
        self._standings: list[Standing] = []

    @property
    def active(self) -> bool:
        """Whether the job may yet run, or does, by what the queue said last."""
        return any(standing.active for standing in self._standings)

    @property
    def waits(self) -> bool:
        """Whether it waits for nodes and has none."""
        active = [standing for standing in self._standings if standing.active]
        return bool(active) and all(standing.waits for standing in active)

    def look(self) -> None:
        """Ask, unless that was a moment ago."""
        from orchestrator.state.files import read_state
        from orchestrator.state.handovers import read_handover

        if time.monotonic() - self._asked_at < _ASK_S:
            return
        numbers = numbers_in(read_handover(self._store), read_state(self._store))
        self._standings = [one.standing for one in ask_queue(self._name, numbers) if one.standing is not None]
        self._asked_at = time.monotonic()
        said = "; ".join(str(standing) for standing in self._standings if standing.active)
        if said and said != self._told:
            err.print(f"Slurm: {said}", soft_wrap=True)
        self._told = said


def cancel_queued(named: NamedJob, run: RunState | None, address: str | None) -> bool:
    """Stop what the queue has of a job, which never puts it back; False where there is nothing to stop.

    First by a word in storage, then by SIGTERM to its processes, then by Slurm, each after a while. Raises
    ClusterError, also where the queue cannot be asked though ``address`` names it.
    """
    from orchestrator.state.handovers import read_handover

    name = named.name
    numbers = numbers_in(read_handover(named.store), run)
    if not numbers and address == SLURM:
        newest = connect(SLURM).newest(name)
        numbers = [] if newest is None else [newest]
    heard = ask_queue(name, numbers)
    problems = [one.problem for one in heard if one.problem is not None]
    if problems and address == SLURM:
        raise ClusterError(problems[0])
    for problem in problems:
        err.print(f"Slurm was not asked ({problem}); the word goes through storage alone", soft_wrap=True)
    active = [one.standing for one in heard if one.standing is not None and one.standing.active]
    for standing in active:
        _Cancelling(named, standing.submission_id).cancel(standing, run)
    return bool(active)


class _Cancelling:
    """Ends one job of a queue, step by step, with a line for each."""

    def __init__(self, named: NamedJob, number: str) -> None:
        from orchestrator.runtime.slurm import Slurm

        self._slurm, self._store, self._name, self._number = Slurm(), named.store, named.name, number

    def cancel(self, standing: Standing, run: RunState | None) -> None:
        """End the job. Raises ClusterError where it will not."""
        number = self._number
        if standing.waits:
            self._slurm.remove(number)
            self._note_cancelled()
            out.print(f"{standing}, and was taken out of the queue", soft_wrap=True)
            return
        at_work = run if run is not None and (run.state, run.submission_id) == ("running", number) else None
        told = (at_work is not None and self._ask_by_storage(at_work)) or self._terminate()
        if not (told and self._await(lambda: not self._is_active(), _OBEY_S)):
            self._slurm.remove(number)
            err.print(f"had Slurm cancel job {number}", soft_wrap=True)
            if not self._await(lambda: not self._is_active(), _OVER_S):
                raise ClusterError(f"job {number} is still there {_OVER_S:.0f} s after scancel; does its node answer?")
        self._note_cancelled()
        out.print(self._ended(), soft_wrap=True)

    def _ask_by_storage(self, run: RunState) -> bool:
        """Whether the run stops by the word in storage."""
        from orchestrator.state.files import ask_to_cancel, read_state

        ask_to_cancel(self._store, run)
        err.print(f"asked the run of {self._name} to stop", soft_wrap=True)

        def stopped() -> bool:
            now = read_state(self._store)
            return now is None or now.run_id != run.run_id or now.state != "running"

        return self._await(lambda: stopped() or not self._is_active(), _HEED_S)

    def _terminate(self) -> bool:
        """Whether SIGTERM could be sent to the processes, by which every trial stores its state."""
        try:
            self._slurm.stop(self._number)
        except ClusterError as error:  # it has no processes yet, or none left
            err.print(f"no SIGTERM was sent: {error}", soft_wrap=True)
            return False
        err.print(f"sent SIGTERM to the processes of job {self._number}", soft_wrap=True)
        return True

    def _is_active(self) -> bool:
        standing = self._slurm.standing(self._name, self._number)
        return standing is not None and standing.active

    def _await(self, condition: Callable[[], bool], patience_s: float) -> bool:
        deadline = time.monotonic() + patience_s
        while not condition():
            if time.monotonic() > deadline:
                return False
            time.sleep(_POLL_S)
        return True

    def _note_cancelled(self) -> None:
        """Have ``orch status`` know why a run has not begun."""
        from orchestrator.state.handovers import note_failure, read_handover

        handover = read_handover(self._store)
        if handover is not None and handover.submission_id == self._number:
            note_failure(self._store, handover, "it was cancelled")

    def _ended(self) -> str:
        """How it has ended, by Slurm, and by the run's own state."""
        from orchestrator.state.files import read_state

        standing, state = self._slurm.standing(self._name, self._number), read_state(self._store)
        said = f"job {self._number} has ended" if standing is None else str(standing)
        if state is None or state.submission_id != self._number:
            return said
        return f"{said}; {state.state}: {state.ended} of {state.to_run} trials had ended"

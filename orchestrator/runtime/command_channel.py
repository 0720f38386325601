"""Commands to a worker group and its reports, between its processes and the Tune trial that they train."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from orchestrator.spec.job import Trial

_PATIENCE_S = 30.0


class Command(NamedTuple):
    """Train a trial or, where it is None, end. Each command has a higher number than the last."""

    number: int
    trial: Trial | None


class Failure(NamedTuple):
    """Why a process of the worker group gave up; ``kind`` is a FailureKind."""

    number: int
    error: str
    kind: str


class PollStatus(NamedTuple):
    """The worker group's latest report on a command, the first failure of a process, and the nodes that they run on."""

    report: dict[str, Any] | None
    failure: Failure | None
    nodes: frozenset[str]


class CommandChannel:
    """An asynchronous actor: commands one way, reports the other; each side waits for the other without polling.

    A later report replaces one that has not been fetched: a report is the trial's progress so far, not an event.
    """

    def __init__(self) -> None:
        self._command = Command(0, None)
        self._report: dict[str, Any] | None = None
        self._failure: Failure | None = None
        self._nodes: set[str] = set()
        self._changed = asyncio.Condition()

    async def send(self, trial: Trial | None) -> int:
        """Replace the command by a new one; returns its number."""
        async with self._changed:
            self._command, self._report = Command(self._command.number + 1, trial), None
            self._changed.notify_all()
        return self._command.number

    async def next_command(self, after: int) -> Command | None:
        """The command, once its number is above ``after``; None where that takes longer than half a minute."""
        return self._command if await self._wait(lambda: self._command.number > after, _PATIENCE_S) else None

    async def join(self, node: str) -> None:
        """Note that a process of the worker group has started on this node."""
        self._nodes.add(node)

    async def report(self, number: int, report: dict[str, Any]) -> bool:
        """Report the progress of a command's trial; returns whether that command is still the latest."""
        async with self._changed:
            if number == self._command.number:
                self._report = report
                self._changed.notify_all()
        return number == self._command.number

    async def fail(self, failure: Failure) -> None:
        """Report why a process ends; the first failure is kept."""
        async with self._changed:
            self._failure = self._failure or failure
            self._changed.notify_all()

    async def poll(self, timeout_s: float) -> PollStatus:
        """What was reported since the last call, as soon as there is anything, at the latest after the timeout."""
        await self._wait(lambda: self._report is not None or self._failure is not None, timeout_s)
        report, self._report = self._report, None
        return PollStatus(report, self._failure, frozenset(self._nodes))

    async def _wait(self, condition: Any, timeout_s: float) -> bool:
        async with self._changed:
            try:
                await asyncio.wait_for(self._changed.wait_for(condition), timeout_s)
            except TimeoutError:
                return False
        return True

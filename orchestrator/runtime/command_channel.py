"""What passes between a worker group's processes and the Tune trial that they train."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

_PATIENCE_S = 30.0


class Command(NamedTuple):
    """What a worker group is to do: train a trial, or, where that is None, to end. Numbers rise from order to order."""

    number: int
    trial_id: str | None


class Failure(NamedTuple):
    """Why a process of the worker group gave up; ``kind`` is a FailureKind."""

    number: int
    error: str
    kind: str


class PollStatus(NamedTuple):
    """What has come from the worker group: its latest report on an order, the failure of a process, the nodes they run on."""

    report: dict[str, Any] | None
    failure: Failure | None
    nodes: frozenset[str]


class CommandChannel:
    """An asynchronous actor: orders one way, reports the other; each waits for the other without asking over and over.

    A report that has not been fetched gives way to a later one: it says where a trial stands, not what happened.
    """

    def __init__(self) -> None:
        self._command = Command(0, None)
        self._report: dict[str, Any] | None = None
        self._failure: Failure | None = None
        self._nodes: set[str] = set()
        self._changed = asyncio.Condition()

    async def send(self, trial_id: str | None) -> int:
        """Put a new order in place of the one before; returns its number."""
        async with self._changed:
            self._command, self._report = Command(self._command.number + 1, trial_id), None
            self._changed.notify_all()
        return self._command.number

    async def next_command(self, after: int) -> Command | None:
        """The order, once it is later than number ``after``; None where that takes longer than half a minute."""
        return self._command if await self._wait(lambda: self._command.number > after, _PATIENCE_S) else None

    async def join(self, node: str) -> None:
        """A process of the worker group has begun, on this node."""
        self._nodes.add(node)

    async def report(self, number: int, report: dict[str, Any]) -> bool:
        """Tell where the trial of an order stands; returns whether that order still holds."""
        async with self._changed:
            if number == self._command.number:
                self._report = report
                self._changed.notify_all()
        return number == self._command.number

    async def fail(self, failure: Failure) -> None:
        """Tell why a process gives up; the first to say so knows best."""
        async with self._changed:
            self._failure = self._failure or failure
            self._changed.notify_all()

    async def poll(self, timeout_s: float) -> PollStatus:
        """What has come since the last call, as soon as there is any."""
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

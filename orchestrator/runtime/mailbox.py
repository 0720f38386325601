"""What passes between a gang's processes and the Tune trial that they train."""

from __future__ import annotations

import asyncio
from typing import Any, NamedTuple

_PATIENCE_S = 30.0


class Order(NamedTuple):
    """What a gang is to do: train a trial, or, where that is None, to end. Numbers rise from order to order."""

    number: int
    trial_id: str | None


class Failure(NamedTuple):
    """Why a process of the gang gave up; ``kind`` is a FailureKind."""

    number: int
    error: str
    kind: str


class News(NamedTuple):
    """What has come from the gang: its latest report on an order, the failure of a process, the nodes they run on."""

    report: dict[str, Any] | None
    failure: Failure | None
    nodes: frozenset[str]


class Mailbox:
    """An asynchronous actor: orders one way, reports the other; each waits for the other without asking over and over.

    A report that has not been fetched gives way to a later one: it says where a trial stands, not what happened.
    """

    def __init__(self) -> None:
        self._order = Order(0, None)
        self._report: dict[str, Any] | None = None
        self._failure: Failure | None = None
        self._nodes: set[str] = set()
        self._changed = asyncio.Condition()

    async def order(self, trial_id: str | None) -> int:
        """Put a new order in place of the one before; returns its number."""
        async with self._changed:
            self._order, self._report = Order(self._order.number + 1, trial_id), None
            self._changed.notify_all()
        return self._order.number

    async def next_order(self, after: int) -> Order | None:
        """The order, once it is later than number ``after``; None where that takes longer than half a minute."""
        return self._order if await self._wait(lambda: self._order.number > after, _PATIENCE_S) else None

    async def join(self, node: str) -> None:
        """A process of the gang has begun, on this node."""
        self._nodes.add(node)

    async def report(self, number: int, report: dict[str, Any]) -> bool:
        """Tell where the trial of an order stands; returns whether that order still holds."""
        async with self._changed:
            if number == self._order.number:
                self._report = report
                self._changed.notify_all()
        return number == self._order.number

    async def fail(self, failure: Failure) -> None:
        """Tell why a process gives up; the first to say so knows best."""
        async with self._changed:
            self._failure = self._failure or failure
            self._changed.notify_all()

    async def news(self, timeout_s: float) -> News:
        """What has come since the last call, as soon as there is any."""
        await self._wait(lambda: self._report is not None or self._failure is not None, timeout_s)
        report, self._report = self._report, None
        return News(report, self._failure, frozenset(self._nodes))

    async def _wait(self, condition: Any, timeout_s: float) -> bool:
        async with self._changed:
            try:
                await asyncio.wait_for(self._changed.wait_for(condition), timeout_s)
            except TimeoutError:
                return False
        return True

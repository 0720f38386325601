"""Pages that are kept up to date while someone looks at them, each drawn once for all who do."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from orchestrator.errors import OrchError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from orchestrator.server.pages import Part

TRY_AGAIN_S = 2.0
"""Seconds after which storage that did not answer is asked again."""
_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Feed:
    """Where some parts of a page come from.

    ``look`` tells in a thread of its own what they follow from: anything that can be compared. Where that differs,
    ``draw`` makes the parts anew, some after the other: each time all of one name, in the place of those before.
    ``pause_s`` is what lies at least between two looks, ``rest_s`` between two drawings.
    """

    look: Callable[[], Any]
    draw: Callable[[Any], AsyncIterator[tuple[str, Sequence[Part]]]]
    pause_s: Callable[[], float]
    rest_s: float = 0.0


class Watch:
    """The parts of one page, and how often they have changed.

    A viewer waits for the number of changes to differ from the one that it has seen: whatever happens meanwhile, there
    is nothing to keep for it. Feeds are looked at while there are viewers; ``trouble`` says what keeps the page from
    being up to date.
    """

    def __init__(self, feeds: Sequence[Feed]) -> None:
        self.feeds = feeds
        self.viewers = 0
        self.changes = 0
        self.trouble = ""
        self._parts: list[dict[str, Sequence[Part]]] = [{} for _ in feeds]
        self._seen: list[Any] = [None] * len(feeds)
        self._problems = [""] * len(feeds)
        self._drawn_at = [float("-inf")] * len(feeds)
        self._took_s = [0.0] * len(feeds)
        self._locks = [asyncio.Lock() for _ in feeds]
        self._changed = asyncio.Condition()
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def parts(self) -> list[Part]:
        """The parts in their order."""
        found = (part for feed in self._parts for parts in feed.values() for part in parts)
        return sorted(found, key=lambda part: part.place)

    async def refresh(self) -> None:
        """Look at every feed, and draw what has changed."""
        await asyncio.gather(*(self._refresh(number) for number in range(len(self.feeds))))

    async def wait(self, seen: int, timeout_s: float) -> int:
        """The number of changes, as soon as it is not ``seen``, or after a time."""
        async with self._changed:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait_for(lambda: self.changes != seen), timeout_s)
        return self.changes

    def enter(self) -> None:
        """Count a viewer."""
        self.viewers += 1
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._follow(number)) for number in range(len(self.feeds))]

    def leave(self) -> None:
        """Count a viewer less; without any nothing is looked at."""
        self.viewers -= 1
        if not self.viewers:
            self.end()

    def end(self) -> None:
        """Look at nothing more."""
        for task in self._tasks:
            task.cancel()
        self._tasks = []

    async def _follow(self, number: int) -> None:
        while True:
            await self._refresh(number)
            again_s = TRY_AGAIN_S if self._problems[number] else self._took_s[number]
            await asyncio.sleep(max(again_s, self.feeds[number].pause_s()))

    async def _refresh(self, number: int) -> None:
        feed = self.feeds[number]
        async with self._locks[number]:
            problem = ""
            try:
                found = await asyncio.to_thread(feed.look)
                if found != self._seen[number] and self._rested(number):
                    began = asyncio.get_running_loop().time()
                    async for name, parts in feed.draw(found):
                        await self._replace(number, name, parts)
                    self._seen[number] = found
                    self._drawn_at[number] = asyncio.get_running_loop().time()
                    self._took_s[number] = self._drawn_at[number] - began
            except OrchError as error:
                problem = str(error)
            except Exception as error:
                _LOG.exception("a page cannot be drawn")
                problem = f"a defect of orch: {type(error).__name__}: {error}"
            if problem != self._problems[number]:
                self._problems[number] = problem
                self.trouble = next(filter(None, self._problems), "")
                await self._tell()

    async def _replace(self, number: int, name: str, parts: Sequence[Part]) -> None:
        before = self._parts[number].get(name, ())
        self._parts[number][name] = parts
        if [part.version for part in parts] != [part.version for part in before]:
            await self._tell()

    def _rested(self, number: int) -> bool:
        return asyncio.get_running_loop().time() - self._drawn_at[number] >= self.feeds[number].rest_s

    async def _tell(self) -> None:
        async with self._changed:
            self.changes += 1
            self._changed.notify_all()

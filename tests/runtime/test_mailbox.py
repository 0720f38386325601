"""Orders one way, reports the other, and what becomes of those that come too late."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from orchestrator.runtime import mailbox as module
from orchestrator.runtime.mailbox import Failure, Mailbox, Order

if TYPE_CHECKING:
    import pytest


def test_an_order_reaches_who_waits_for_it() -> None:
    async def talk() -> list[Order | None]:
        mailbox = Mailbox()
        waiting = asyncio.create_task(mailbox.next_order(0))
        await asyncio.sleep(0)
        number = await mailbox.order("a")
        return [await waiting, await mailbox.next_order(number - 1)]

    assert asyncio.run(talk()) == [Order(1, "a"), Order(1, "a")]


def test_who_has_waited_for_long_is_told_that_there_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE_S", 0.01)
    assert asyncio.run(Mailbox().next_order(0)) is None


def test_a_report_on_an_order_that_holds_no_longer_is_dropped_and_its_sender_told() -> None:
    async def talk() -> None:
        mailbox = Mailbox()
        first = await mailbox.order("a")
        assert await mailbox.report(first, {"step": 1})
        second = await mailbox.order("b")
        assert (await mailbox.news(0.01)).report is None  # what was not fetched in time is of the trial before
        assert not await mailbox.report(first, {"step": 2})
        assert (await mailbox.news(0.01)).report is None
        assert await mailbox.report(second, {"step": 3})
        assert (await mailbox.news(0.01)).report == {"step": 3}
        assert (await mailbox.news(0.01)).report is None

    asyncio.run(talk())


def test_the_first_failure_is_kept_and_the_nodes_are_known() -> None:
    async def talk() -> None:
        mailbox = Mailbox()
        await mailbox.join("node-1")
        await mailbox.join("node-2")
        await mailbox.fail(Failure(1, "out of memory", "out_of_memory"))
        await mailbox.fail(Failure(1, "connection lost", "infrastructure"))
        news = await mailbox.news(60)
        assert news.failure == Failure(1, "out of memory", "out_of_memory")
        assert news.nodes == {"node-1", "node-2"}

    asyncio.run(talk())


def test_news_come_as_soon_as_they_are_there() -> None:
    async def talk() -> dict[str, int] | None:
        mailbox = Mailbox()
        number = await mailbox.order("a")
        waiting = asyncio.create_task(mailbox.news(60))
        await asyncio.sleep(0)
        await mailbox.report(number, {"step": 1})
        return (await waiting).report

    assert asyncio.run(talk()) == {"step": 1}

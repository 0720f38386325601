"""Orders one way, reports the other, and what becomes of those that come too late."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from orchestrator.runtime import command_channel as module
from orchestrator.runtime.command_channel import Command, CommandChannel, Failure

if TYPE_CHECKING:
    import pytest


def test_an_order_reaches_who_waits_for_it() -> None:
    async def talk() -> list[Command | None]:
        channel = CommandChannel()
        waiting = asyncio.create_task(channel.next_command(0))
        await asyncio.sleep(0)
        number = await channel.send("a")
        return [await waiting, await channel.next_command(number - 1)]

    assert asyncio.run(talk()) == [Command(1, "a"), Command(1, "a")]


def test_who_has_waited_for_long_is_told_that_there_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PATIENCE_S", 0.01)
    assert asyncio.run(CommandChannel().next_command(0)) is None


def test_a_report_on_an_order_that_holds_no_longer_is_dropped_and_its_sender_told() -> None:
    async def talk() -> None:
        channel = CommandChannel()
        first = await channel.send("a")
        assert await channel.report(first, {"step": 1})
        second = await channel.send("b")
        assert (await channel.poll(0.01)).report is None  # what was not fetched in time is of the trial before
        assert not await channel.report(first, {"step": 2})
        assert (await channel.poll(0.01)).report is None
        assert await channel.report(second, {"step": 3})
        assert (await channel.poll(0.01)).report == {"step": 3}
        assert (await channel.poll(0.01)).report is None

    asyncio.run(talk())


def test_the_first_failure_is_kept_and_the_nodes_are_known() -> None:
    async def talk() -> None:
        channel = CommandChannel()
        await channel.join("node-1")
        await channel.join("node-2")
        await channel.fail(Failure(1, "out of memory", "out_of_memory"))
        await channel.fail(Failure(1, "connection lost", "infrastructure"))
        status = await channel.poll(60)
        assert status.failure == Failure(1, "out of memory", "out_of_memory")
        assert status.nodes == {"node-1", "node-2"}

    asyncio.run(talk())


def test_news_come_as_soon_as_they_are_there() -> None:
    async def talk() -> dict[str, int] | None:
        channel = CommandChannel()
        number = await channel.send("a")
        waiting = asyncio.create_task(channel.poll(60))
        await asyncio.sleep(0)
        await channel.report(number, {"step": 1})
        return (await waiting).report

    assert asyncio.run(talk()) == {"step": 1}

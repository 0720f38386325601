"""Who sees anything at all, and what a browser is told to load."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.server.access import new_token

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.server.conftest import Storage, Viewer

PATHS = ["/", "/job/study", "/job/study?events", "/static/page.css"]
ELSEWHERE = {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "cross-site"}


@pytest.mark.parametrize("path", PATHS)
def test_without_the_token_there_is_nothing_to_see(storage: Storage, view: Callable, path: str) -> None:
    storage.job()

    async def look(viewer: Viewer) -> None:
        for start in ("", "/another-token", "/a-toke", "/a-token2", "/A-TOKEN", "/%61-tokem", "/ä"):
            reply = await viewer.client.get(f"{start}{path}")
            assert (reply.status, await reply.read()) == (403, b""), start

    view(look)


@pytest.mark.parametrize(
    ("status", "how"),
    [
        (403, {"headers": {"Host": "evil.example"}}),
        (403, {"headers": {"Host": "evil.example:8276"}}),
        (403, {"headers": {"Host": "127.0.0.1.evil.example"}}),
        (403, {"headers": {"Host": "[::1"}}),
        (403, {"headers": ELSEWHERE}),
        (200, {"headers": {"Host": "localhost:9000"}}),
        (200, {"headers": {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "cross-site"}}),
        (200, {"headers": {"Sec-Fetch-Mode": "cors", "Sec-Fetch-Site": "same-origin"}}),
    ],
)
def test_only_this_servers_own_pages_ask_by_its_own_name(
    storage: Storage, view: Callable, status: int, how: dict[str, Any]
) -> None:
    storage.job()

    async def look(viewer: Viewer) -> None:
        reply = await viewer.get("/", **how)
        assert reply.status == status
        assert (await reply.read() == b"") is (status != 200)

    view(look)


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_everything_is_only_read(storage: Storage, view: Callable, method: str) -> None:
    async def look(viewer: Viewer) -> None:
        reply = await viewer.client.request(method, "/a-token/")
        assert (reply.status, await reply.read()) == (405, b"")

    view(look)


def test_a_page_loads_nothing_from_elsewhere_and_has_no_script_within_itself(storage: Storage, view: Callable) -> None:
    storage.job()

    async def look(viewer: Viewer) -> None:
        for path in ("/", "/job/study"):
            reply = await viewer.get(f"{path}?still")
            policy = reply.headers["Content-Security-Policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert not set(re.findall(r"https?:\S+|\*", policy))
            page = await reply.text()
            sources = re.findall(r'(?:src|href)="([^"]*)"', page)
            assert sources
            assert all(source.startswith(("/a-token/", "data:", "#")) for source in sources), sources
            assert re.findall(r"<script(?! src=)|<style|\son[a-z]+=|style=", page) == []
            for source in sources:
                if "/static/" in source:
                    assert (await viewer.client.get(source)).status == 200
        assert reply.headers["Cache-Control"] == "no-store"
        assert reply.headers["Referrer-Policy"] == "no-referrer"

    view(look)


def test_tokens_differ_and_are_long() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert min(map(len, tokens)) >= 40

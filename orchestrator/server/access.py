"""Who may see the pages: whoever has the token, by a browser on this machine that asks this server by its own name."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web

if TYPE_CHECKING:
    from aiohttp.typedefs import Handler, Middleware

HOST = "127.0.0.1"
_NAMES = frozenset({HOST, "localhost"})
"""What a browser may call this server: another name would be of a page elsewhere that has it lead here."""
_METHODS = frozenset({"GET", "HEAD"})
_SITES = frozenset({"same-origin", "none"})
"""Where requests come from that are no links: pages of this server, or the address bar."""
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def new_token() -> str:
    """The first part of every path: 256 random bits, which nobody guesses."""
    return secrets.token_urlsafe(32)


def guard(token: str) -> Middleware:
    """A middleware that lets through requests to read whose path begins with the token; others get an empty answer."""

    @web.middleware
    async def guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
        if (refusal := _refusal(request, token)) is not None:
            return web.Response(status=refusal, headers=_HEADERS)
        return await handler(request)

    return guarded


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Have the browser load nothing from elsewhere, keep nothing, and tell nobody the address."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)


def _refusal(request: web.Request, token: str) -> int | None:
    """The status of a request that is refused."""
    if not _is_ours(request.host):
        return 403
    given = request.path.split("/")[1]
    if not secrets.compare_digest(given.encode(), token.encode()):
        return 403
    if request.method not in _METHODS:
        return 405
    is_link = request.headers.get("Sec-Fetch-Mode", "navigate") == "navigate"
    return None if is_link or request.headers.get("Sec-Fetch-Site", "none") in _SITES else 403


def _is_ours(host: str) -> bool:
    """Whether the Host of a request is this server's: its port is free, as it is another one behind a tunnel."""
    try:
        return urlsplit(f"//{host}").hostname in _NAMES
    except ValueError:
        return False

"""serve: the live page of a storage, in a browser of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import webbrowser
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.console import err, print_line
from orchestrator.cli.options import STORAGE, StorageName, open_storage
from orchestrator.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.server.app import Server

PORT = 8276
_HIGHEST = 65535
_SIGTERM = 128 + signal.SIGTERM


def serve(
    storage: StorageName = STORAGE,
    port: Annotated[int, typer.Option("--port", metavar="N", help="The port; 0 takes any that is free.")] = PORT,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
) -> None:
    """Show the jobs and trials of a storage in a browser, as they are and as they change; Ctrl-C ends it.

    It answers on this machine alone, and only who has the printed link sees anything. Nothing is written. To look from
    another machine, forward the port: `ssh -L 8276:127.0.0.1:8276 HOST`.

    Examples: `orch serve` · `orch serve --open` · `orch serve s3://bucket/studies --port 0`
    """
    from orchestrator.server.access import HOST, new_token
    from orchestrator.server.app import Server

    if not 0 <= port <= _HIGHEST:
        raise SettingsError("--port", "", f"got {port}, expected 0 to {_HIGHEST}")
    root, token = open_storage(storage), new_token()
    with _socket(HOST, port) as listener:
        url = f"http://{HOST}:{listener.getsockname()[1]}/{token}/"
        print_line(url)
        err.print(f"serving {root.uri}; Ctrl-C ends it", soft_wrap=True, highlight=False, markup=False)
        if open_browser and not webbrowser.open(url):
            err.print("no browser was found here; open the link above", soft_wrap=True)
        if asyncio.run(_serve(Server(root, token), listener)):
            raise typer.Exit(_SIGTERM)


@contextlib.contextmanager
def _socket(host: str, port: int) -> Iterator[socket.socket]:
    """A socket that listens. Raises SettingsError where the port is taken, or not for this user."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen()
        except OSError as error:
            problem = f"{port} cannot be used: {(error.strerror or str(error)).lower()}; 0 takes any port that is free"
            raise SettingsError("--port", "", problem) from None
        yield listener


async def _serve(server: Server, listener: socket.socket) -> bool:
    """Answer until SIGTERM, which returns True, or Ctrl-C, which raises KeyboardInterrupt."""
    from aiohttp import web

    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    runner = web.AppRunner(server.app(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        await web.SockSite(runner, listener).start()
        await ended.wait()
    finally:
        await runner.cleanup()
    return True

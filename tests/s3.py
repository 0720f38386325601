"""A simulated S3 in a process of its own, and a proxy before it that misbehaves on request."""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import urlsplit

import boto3

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from email.message import Message

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "x", "AWS_SECRET_ACCESS_KEY": "x", "AWS_DEFAULT_REGION": "us-east-1"}
"""What a program needs to speak to the simulation, beside AWS_ENDPOINT_URL."""


@contextlib.contextmanager
def simulated_s3() -> Iterator[str]:
    """The URL of a moto_server that answers for as long as the context is open."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            assert process.poll() is None, "moto_server ended at once"
            try:
                socket.create_connection(("127.0.0.1", port), timeout=5).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def bucket_behind_proxy(bucket: str) -> Iterator[Proxy]:
    """A bucket of a simulated S3 of its own, whose requests all pass a proxy; ENVIRONMENT must be set."""
    with simulated_s3() as url:
        client = boto3.client("s3", endpoint_url=url)
        client.create_bucket(Bucket=bucket)
        client.close()
        proxy = Proxy(url)
        try:
            yield proxy
        finally:
            proxy.close()


RESET = (0, "")
"""An answer of a proxy: none, the connection is reset."""
OUTAGE = ((503, "SlowDown"), (500, "InternalError"), RESET)
"""What is heard of storage that is down."""


class Proxy:
    """Before each request, ``answer(method, path, headers)`` may give an HTTP status and an error code or page."""

    def __init__(self, upstream: str) -> None:
        self.answer: Callable[[str, str, Message], tuple[int, str] | None] = lambda *_: None
        self.dropped_headers: set[str] = set()  # in lower case
        self.lose_replies = 0  # to so many PUTs that did their work
        self.cut_bodies = 0  # of so many GETs, half way
        self.seen: list[tuple[str, str, Message]] = []
        self.lock = threading.Lock()

        class Handler(_Handler):
            proxy = self
            host = urlsplit(upstream).netloc

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()

    def take(self, counter: str) -> bool:
        """Count the attribute ``counter`` down; whether it was above zero."""
        with self.lock:
            left: int = getattr(self, counter)
            setattr(self, counter, max(0, left - 1))
            return left > 0

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    proxy: ClassVar[Proxy]
    host: ClassVar[str]

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass

    def _pass_on(self) -> None:
        chunked = self.headers.get("Transfer-Encoding", "").lower() == "chunked"
        body = self._chunks() if chunked else self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.proxy.seen.append((self.command, self.path, self.headers))
        if answer := self.proxy.answer(self.command, self.path, self.headers):
            status, code = answer
            if answer == RESET:
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.close_connection = True
                return
            text = code if "<" in code else f"<Error><Code>{code}</Code><Message>no</Message></Error>"
            self._reply(status, {}, text.encode())
            return
        upstream = http.client.HTTPConnection(self.host, timeout=60)
        dropped = self.proxy.dropped_headers | {"transfer-encoding", "connection", "expect"}
        headers = {name: value for name, value in self.headers.items() if name.lower() not in dropped}
        upstream.request(self.command, self.path, body=body, headers=headers)
        reply = upstream.getresponse()
        content = reply.read()
        upstream.close()
        if self.command == "PUT" and reply.status < 300 and self.proxy.take("lose_replies"):
            self.close_connection = True
            return
        self._reply(reply.status, dict(reply.headers.items()), content)

    do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = _pass_on  # noqa: N815 - the base class's names

    def _reply(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response_only(status)
        length = headers.get("Content-Length") or str(len(content))
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.command == "GET" and status == 200 and content and self.proxy.take("cut_bodies"):
            content, self.close_connection = content[: len(content) // 2], True
        self.wfile.write(content)

    def _chunks(self) -> bytes:
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():  # trailers
            pass
        return body

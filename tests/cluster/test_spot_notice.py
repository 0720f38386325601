"""The watcher hears a spot notice from a pretended metadata server and tells a pretended ray."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
from ray.scripts.scripts import drain_node

from tests.cluster.files import CLUSTER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.slow


class Metadata(ThreadingHTTPServer):
    """EC2's instance metadata that insist on session tokens; ``replies`` are given in turn, the last for ever."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.replies: list[tuple[int, str]] = [(404, "")]
        self.tokens = 0
        self.looks = 0
        self.url = f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Metadata

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass

    def do_PUT(self) -> None:
        assert self.path == "/latest/api/token"
        assert 0 < int(self.headers["X-aws-ec2-metadata-token-ttl-seconds"]) <= 21_600
        self.server.tokens += 1
        self._reply(200, f"token-{self.server.tokens}")

    def do_GET(self) -> None:
        assert self.path == "/latest/meta-data/spot/instance-action"
        if self.headers["X-aws-ec2-metadata-token"] != f"token-{self.server.tokens}":
            self._reply(401, "")
            return
        self.server.looks += 1
        replies = self.server.replies
        self._reply(*(replies.pop(0) if len(replies) > 1 else replies[0]))

    def _reply(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())


@pytest.fixture
def metadata() -> Iterator[Metadata]:
    server = Metadata()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    """Where the pretended ray writes the arguments of each call, one call a line."""
    ray = tmp_path / "bin" / "ray"
    ray.parent.mkdir()
    refusals = tmp_path / "refusals"
    ray.write_text(
        f"#!/bin/sh\nIFS='\t'; echo \"$*\" >> {tmp_path}/calls\n"
        f"left=$(cat {refusals} 2>/dev/null || echo 0)\n"
        f'if [ "$left" -gt 0 ]; then echo $((left - 1)) > {refusals}; exit 1; fi\n'
    )
    ray.chmod(0o755)
    return tmp_path / "calls"


def run(calls: Path, *arguments: str, url: str = "", path: str | None = None) -> subprocess.Popen[str]:
    bin_folder = str(calls.parent / "bin") if path is None else path
    environment = {
        "PATH": f"{bin_folder}:/usr/bin:/bin",
        "AWS_EC2_METADATA_SERVICE_ENDPOINT": url,
        "http_proxy": "http://127.0.0.1:9",  # metadata are never asked through a proxy
    }
    command = [sys.executable, str(CLUSTER / "spot_notice.py"), *arguments]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def drained(calls: Path) -> list[tuple[str, int]]:
    """Reason and seconds left of each call, as Ray's own command line reads them."""
    found = []
    for line in calls.read_text().splitlines():
        command, *arguments = line.split("\t")
        assert command == "drain-node"
        read = drain_node.make_context(command, arguments).params
        assert read["reason_message"]
        found.append((read["reason"], read["deadline_remaining_seconds"]))
    return found


def notice(seconds: float, action: str = "terminate") -> tuple[int, str]:
    when = datetime.now(UTC) + timedelta(seconds=seconds)
    return (200, json.dumps({"action": action, "time": f"{when:%Y-%m-%dT%H:%M:%SZ}"}))


@pytest.mark.parametrize("action", ["terminate", "stop", "hibernate"])
def test_a_notice_drains_the_node_once(metadata: Metadata, calls: Path, action: str) -> None:
    metadata.replies = [(404, ""), (404, ""), notice(115, action)]
    process = run(calls, "watch", "--every", "0.05", url=metadata.url)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 0
    assert f"EC2 will {action} this instance" in said
    ((reason, left),) = drained(calls)
    assert reason == "DRAIN_NODE_REASON_PREEMPTION"
    assert 55 < left <= 115
    assert metadata.tokens == 1


def test_nothing_happens_without_a_notice(metadata: Metadata, calls: Path) -> None:
    process = run(calls, "watch", "--every", "0.02", url=metadata.url)
    wait_for(lambda: metadata.looks >= 5)
    assert process.poll() is None
    process.terminate()
    assert process.communicate(timeout=60)[1] == ""
    assert not calls.exists()


def test_trouble_with_the_metadata_is_said_once_and_overcome(metadata: Metadata, calls: Path) -> None:
    metadata.replies = [(500, ""), (500, ""), (200, "no JSON"), (404, ""), (401, ""), notice(100)]
    process = run(calls, "watch", "--every", "0.02", url=metadata.url)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 0
    assert said.count("cannot read the instance's metadata") == 1
    assert len(drained(calls)) == 1
    assert metadata.tokens == 2, "a token that has run out is replaced"


def test_a_time_that_cannot_be_read_counts_as_two_minutes(metadata: Metadata, calls: Path) -> None:
    metadata.replies = [(200, json.dumps({"action": "terminate", "time": "soon"}))]
    process = run(calls, "watch", url=metadata.url)
    process.communicate(timeout=60)
    ((_, left),) = drained(calls)
    assert 60 < left <= 120


def test_a_refusal_is_tried_again(calls: Path) -> None:
    (calls.parent / "refusals").write_text("2")
    process = run(calls, "now", "--seconds", "60")
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 0
    assert said.count("trying again") == 2
    lefts = [left for _, left in drained(calls)]
    assert len(lefts) == 3
    assert lefts == sorted(lefts, reverse=True)


def test_it_gives_up_when_the_time_is_over(calls: Path) -> None:
    (calls.parent / "refusals").write_text("1000")
    process = run(calls, "now", "--seconds", "6")
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert "no time is left" in said


def test_without_ray_one_line_says_so(calls: Path) -> None:
    process = run(calls, "now", path="/nonexistent")
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 1
    assert len(said.splitlines()) == 1
    assert "ray cannot be started" in said


def wait_for(condition: object) -> None:
    assert callable(condition)
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_it_needs_nothing_but_the_standard_library() -> None:
    text = (CLUSTER / "spot_notice.py").read_text()
    modules = {name.split(".")[0] for name in re.findall(r"^(?:from|import) ([\w.]+)", text, flags=re.M)}
    assert modules <= sys.stdlib_module_names

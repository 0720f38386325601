"""The command itself: its link, what a browser says of the page, and its end."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.ray.processes import below

if TYPE_CHECKING:
    from pathlib import Path

    from tests.server.conftest import Storage

CHROMIUM = shutil.which("chromium")
WAIT_S = 300


def get(url: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(url, timeout=WAIT_S) as reply:  # noqa: S310 - the command's own link
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.mark.slow
def test_the_printed_link_leads_to_the_jobs_until_the_command_is_ended(storage: Storage, tmp_path: Path) -> None:
    job = storage.job()
    for trial in job.trials:
        storage.log(job, trial, *range(10, 110, 10))
        storage.end(job, trial)
    command = [sys.executable, "-m", "orchestrator.cli", "serve", str(tmp_path / "results"), "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            url = process.stdout.readline().strip()
            assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{40,}/", url)
            assert get(url)[0] == 200
            start, token = url[:-1].rsplit("/", 1)
            assert [get(f"{start}/{other}") for other in ("", f"x{token}/", "job/study")] == [(403, "")] * 3
            status, page = get(f"{url}job/study?still")
            assert (status, 'role="status" hidden></p>' in page) == (200, True)
            workers = below(process.pid)
            assert workers
            if CHROMIUM:
                shown = browse(f"{url}job/study?still", tmp_path / "profile")
                assert [line for line in shown.stderr.splitlines() if "CONSOLE" in line] == []
                assert 'class="tools"' in shown.stdout
            process.send_signal(signal.SIGTERM)
            assert process.wait(WAIT_S) == 128 + signal.SIGTERM
            assert psutil.wait_procs(workers, WAIT_S)[1] == []
        finally:
            process.kill()
            process.wait()


def browse(url: str, profile: Path) -> subprocess.CompletedProcess[str]:
    assert CHROMIUM
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync", "--enable-logging=stderr",
        f"--user-data-dir={profile}", "--window-size=1400,3000", "--virtual-time-budget=10000", "--dump-dom", url,
    ]  # fmt: skip
    return subprocess.run(command, capture_output=True, text=True, check=True)

"""Standard streams that are closed, full, without a reader, of another encoding, or on a terminal that is gone."""

from __future__ import annotations

import io
import os
import pty
import shlex
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from orchestrator.cli.streams import _Output

if TYPE_CHECKING:
    from pathlib import Path

ORCH = shlex.join([sys.executable, "-m", "orchestrator.cli"])
FULL = "error: stdout: cannot write: No space left on device\n"
PLAN, MISTAKE = "plan job.yaml", "plan no.yaml"
NO_FILE = "error: no.yaml: cannot be read: No such file or directory\n"

CASES = [
    (PLAN, "2>&-", 0, None),
    (PLAN, "<&- >&- 2>&-", 0, ""),
    (MISTAKE, ">&-", 2, NO_FILE),
    (MISTAKE, "2>/dev/full", 2, ""),
    (f"{PLAN} --json", ">/dev/full", 2, FULL),
    ("--help", ">/dev/full", 2, FULL),
    ("results --schema", "| head -n 0", 1, ""),
]


@pytest.mark.parametrize(("arguments", "streams", "code", "output"), CASES)
def test_streams_that_take_nothing(folder: Path, arguments: str, streams: str, code: int, output: str | None) -> None:
    """``output`` is all that a command says on either stream; None where that is its usual answer."""
    script = f"set -o pipefail; {ORCH} {arguments} {streams}"
    ran = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=False)
    assert ran.returncode == code
    if output is None:
        assert "study: 4 trials: 4 new" in ran.stdout
        assert ran.stderr == ""
    else:
        assert ran.stdout + ran.stderr == output


def test_an_encoding_that_lacks_characters(folder: Path) -> None:
    (folder / "job.yaml").rename(folder / "σ–.yaml")
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-m", "orchestrator.cli", "validate", "σ–.yaml"]
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, check=False)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert ran.stdout == rb"\u03c3\u2013.yaml: study is valid and makes 4 trials" + b"\n"


def test_files_never_take_the_place_of_a_closed_stream(folder: Path) -> None:
    code = (
        "from orchestrator.cli.console import print_error, err, out, print_line\n"
        "import os, sys\n"
        "file = open('data', 'w')\n"
        "assert file.fileno() > 2\n"
        "out.print('lost'); print_line('lost'); err.print('lost'); print_error('lost'); print('lost')\n"
        "print('lost', file=sys.stderr)\n"
        "assert sys.stdin.read() == ''\n"
        "os.write(file.fileno(), b'kept')\n"
    )
    for streams in ("<&- >&- 2>&-", "<&- >&-", "2>&- <&-"):
        script = f"{shlex.join([sys.executable, '-c', code])} {streams}"
        ran = subprocess.run(
            ["bash", "-c", script], cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=False
        )
        assert (ran.returncode, (folder / "data").read_text()) == (0, "kept"), ran.stderr


def test_a_terminal_that_is_gone_ends_nothing(folder: Path) -> None:
    """As a closed terminal leaves a run: each write to it is an error from then on."""
    code = (
        "import os, sys\n"
        "from orchestrator.cli.console import print_error, err, out, print_line\n"
        "from orchestrator.cli.live import Live\n"
        "err.print('ready' if err.is_terminal else 'no terminal')\n"
        "sys.stdin.readline()\n"
        "with Live('row', console=err, refresh_per_second=20):\n"
        "    for _ in range(20):\n"
        "        out.print('lost'); print_line('lost'); err.print('lost'); print_error('lost')\n"
        "open('done', 'w').write('done')\n"
    )
    controller, terminal = pty.openpty()
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=terminal, stderr=terminal) as process:
        os.close(terminal)
        assert os.read(controller, 100) == b"ready\r\n"
        os.close(controller)
        process.communicate(b"\n")
    assert (process.returncode, (folder / "done").read_text()) == (0, "done")


def test_a_line_on_work_that_is_done_needs_no_reader(folder: Path) -> None:
    code = (
        "from orchestrator.cli.console import print_line; "
        "print_line('results'); print_line('report'); raise SystemExit(7)"
    )
    for streams in (">/dev/full", "| true"):
        script = f"set -o pipefail; ({shlex.join([sys.executable, '-c', code])}) {streams}"
        ran = subprocess.run(["bash", "-c", script], cwd=folder, capture_output=True, text=True, check=False)
        assert (ran.returncode, ran.stdout, ran.stderr) == (7, "", "")


def test_a_pipe_that_another_process_has_made_non_blocking() -> None:
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with ThreadPoolExecutor(1) as pool, os.fdopen(reader, "rb") as end:
        text = pool.submit(end.read)
        with io.BufferedWriter(_Output(writer)) as stream:
            stream.write(bytes(1_000_000))
        os.close(writer)
        assert text.result() == bytes(1_000_000)

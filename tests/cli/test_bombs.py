"""What small files unfold to is seen before they do: each command ends soon, and with little memory."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

MOST_S, MOST_MB = 10.0, 500
"""Of processor, since a busy machine says nothing about a command; a query may take longer, as it says."""


@pytest.mark.slow
def test_nothing_unfolds() -> None:
    command = [sys.executable, "-m", "tests.cli.bombs"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-3000:]
    found = [json.loads(line) for line in ran.stdout.splitlines()]
    assert len(found) > 30
    for one in found:
        assert one["code"] in (0, 2), one
        assert one["peak_mb"] <= MOST_MB, one
        assert one["s"] <= MOST_S or one["name"] == "query", one
        assert "Traceback" not in one["said"], one

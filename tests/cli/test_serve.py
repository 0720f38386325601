"""orch serve: what it refuses to start with; tests/server has its pages."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_a_port_in_use_is_one_line(orch: Callable, folder: Path) -> None:
    (folder / "results").mkdir()
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        line = orch("serve", "--port", str(port)).mistake
    assert line == f"--port: {port} cannot be used: address already in use; 0 takes any port that is free"


def test_ports_that_there_are_not(orch: Callable, folder: Path) -> None:
    (folder / "results").mkdir()
    assert orch("serve", "--port", "65536").mistake == "--port: got 65536, expected 0 to 65535"
    assert orch("serve", "--port", "-1").mistake.startswith("--port: got -1, expected 0 to 65535")


def test_a_storage_that_is_not_there(orch: Callable, folder: Path) -> None:
    line = orch("serve").mistake
    assert line == f"{folder / 'results'}: no such folder; orch submit makes it, or name another storage"
    assert not (folder / "results").exists()


def test_a_jobs_own_folder_is_no_storage(orch: Callable, folder: Path) -> None:
    (folder / "results" / "study").mkdir(parents=True)
    (folder / "results" / "study" / "job.yaml").write_text("name: study")
    line = orch("serve", "results/study").mistake
    assert line.startswith(f"STORAGE: {folder / 'results/study'} is a job's own folder, expected the one above it: ")

"""The worker groups of a Ray that runs below this process, seen from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil

from tests.ray.conftest import Recorder

if TYPE_CHECKING:
    from orchestrator.runtime.events import Event

TWO = {"workers": 2}
"""Resources of a trial that a worker group trains."""


def worker_group_processes() -> list[int]:
    """Process ids of the worker group's workers on this Ray, which is a child of the test's process."""
    descendants = psutil.Process().children(recursive=True)
    return sorted(p.pid for p in descendants if p.status() != "zombie" and "RayTrainWorker" in " ".join(p.cmdline()))


def watching_worker_groups() -> tuple[Recorder, set[tuple[int, ...]]]:
    """A recorder, and the process ids of every worker group that it has seen at work."""
    worker_groups: set[tuple[int, ...]] = set()

    def look(event: Event) -> None:
        if event.step and (worker_group := tuple(worker_group_processes())):
            worker_groups.add(worker_group)

    return Recorder(look), worker_groups

"""The worker groups of a Ray that runs below this process, seen from outside."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.ray.conftest import Recorder
from tests.ray.processes import below, named

if TYPE_CHECKING:
    from orchestrator.runtime.events import Event

TWO = {"workers": 2}
"""Resources of a trial that a worker group trains."""


def worker_group_processes() -> list[int]:
    """Process ids of the worker group's workers on this Ray, which is a child of the test's process."""
    return sorted(process.pid for process in named(below(), "RayTrainWorker"))


def watching_worker_groups() -> tuple[Recorder, set[tuple[int, ...]]]:
    """A recorder, and the process ids of every worker group that it has seen at work."""
    worker_groups: set[tuple[int, ...]] = set()

    def look(event: Event) -> None:
        if event.step and (worker_group := tuple(worker_group_processes())):
            worker_groups.add(worker_group)

    return Recorder(look), worker_groups

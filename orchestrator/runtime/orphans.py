"""Frees devices that a dead worker group still holds: Ray keeps a placement group whose actor died until its job ends.

Ray Train has a watcher for that, an actor of its own beside each group, which asks Ray's dashboard every second. It
knows a group only once all of its processes are up: a controller lost while they start leaves devices behind.
"""

from __future__ import annotations

import contextlib
import time
from typing import TYPE_CHECKING

import ray
from ray.util.placement_group import PlacementGroup, remove_placement_group

from orchestrator.runtime.ray_private import orphaned_placement_groups

if TYPE_CHECKING:
    from orchestrator.runtime.events import Event
    from orchestrator.state.files import EvaluationProgress

_EVERY_S = 2.0


class OrphanedGroups:
    """A watcher that frees orphaned placement groups for as long as the run lasts, from its driver."""

    def __init__(self) -> None:
        self._looked_at = 0.0

    def update(self, event: Event) -> None:
        """Do nothing: the end of a trial says nothing of placement groups."""

    def evaluated(self, progress: EvaluationProgress) -> None:
        """Do nothing."""

    def tick(self) -> None:
        """Look for orphaned groups, every two seconds at most."""
        now = time.monotonic()
        if now - self._looked_at < _EVERY_S:
            return
        self._looked_at = now
        # Where the head does not answer, the run goes on without it for a while (``runtime.watch``).
        with contextlib.suppress(ray.exceptions.RayError, RuntimeError, TimeoutError):
            free_orphaned_groups()


def free_orphaned_groups() -> None:
    """Remove every placement group of this job whose creator was an actor that is dead."""
    for group_id in orphaned_placement_groups(ray.get_runtime_context().get_job_id()):
        remove_placement_group(PlacementGroup(ray.PlacementGroupID(group_id)))

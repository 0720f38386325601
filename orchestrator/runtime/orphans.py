"""Frees devices that a dead worker group still holds: Ray keeps a placement group whose actor died until its job ends.

Ray Train has a watcher for that, but the watcher knows a group only once all of its processes are up. A controller
that is lost while they start leaves devices behind that nothing else frees.
"""

from __future__ import annotations

import ray
from ray.util.placement_group import PlacementGroup, remove_placement_group

from orchestrator.runtime.ray_private import orphaned_placement_groups


def free_orphaned_groups() -> None:
    """Remove every placement group of this job whose creator was an actor that is dead."""
    for group_id in orphaned_placement_groups(ray.get_runtime_context().get_job_id()):
        remove_placement_group(PlacementGroup(ray.PlacementGroupID(group_id)))

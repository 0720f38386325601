"""Frees devices that a dead worker group still holds: Ray keeps a placement group whose actor died until its job ends.

Ray Train has a watcher for that, but the watcher knows a group only once all of its processes are up. A controller
that is lost while they start leaves devices behind that nothing else frees.
"""

from __future__ import annotations

import ray
from ray._private.state import state
from ray.core.generated.gcs_pb2 import PlacementGroupTableData
from ray.util.placement_group import PlacementGroup, remove_placement_group


def free_orphaned_groups() -> None:
    """Remove every placement group of this job whose creator was an actor that is dead."""
    job = ray.get_runtime_context().get_job_id()
    for record in state._connect_and_get_accessor().get_placement_group_table():
        group = PlacementGroupTableData.FromString(record)
        # The driver's own groups have no actor for creator, which counts as a dead one.
        orphaned = group.creator_actor_dead and group.creator_actor_id != ray.ActorID.nil().binary()
        removed = group.state == PlacementGroupTableData.PlacementGroupState.REMOVED
        if orphaned and not removed and not group.is_detached and group.creator_job_id.hex() == job:
            remove_placement_group(PlacementGroup(ray.PlacementGroupID(group.placement_group_id)))

"""Devices of a dead actor's placement group come back; those of the living stay theirs."""

from __future__ import annotations

import time

import pytest
import ray
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table, remove_placement_group

from orchestrator.runtime.orphans import free_orphaned_groups
from tests.ray.nodes import wait_until

pytestmark = pytest.mark.usefixtures("ray_here")


class Owner:
    """An actor that reserves a processor."""

    def reserve(self) -> PlacementGroup:
        group = placement_group([{"CPU": 0.5}])
        ray.get(group.ready())
        return group


def state_of(group: PlacementGroup) -> str:
    return str(placement_group_table(group)["state"])


def test_only_groups_of_dead_actors_are_freed() -> None:
    actor = ray.remote(num_cpus=0)(Owner)
    dead, living = actor.remote(), actor.remote()
    orphan, owned = ray.get([dead.reserve.remote(), living.reserve.remote()])
    mine = placement_group([{"CPU": 0.5}])
    ray.get(mine.ready())
    try:
        ray.kill(dead)
        time.sleep(2)
        assert state_of(orphan) == "CREATED"  # what Ray leaves behind; were it gone, this module could go
        free_orphaned_groups()
        wait_until(lambda: state_of(orphan) == "REMOVED", "the orphan's removal")
        assert (state_of(owned), state_of(mine)) == ("CREATED", "CREATED")
    finally:
        for group in (owned, mine):
            remove_placement_group(group)

"""Whether others wait for devices that warm workers hold while they idle, or before they take one more task."""

from __future__ import annotations

import time

import ray
from ray.autoscaler.v2.sdk import get_cluster_status

_EVERY_S = 1.0
_LASTS_S = 3.0
"""For so long others must have waited: Ray counts a request for up to two seconds after it was met."""
_FORGOTTEN_S = 15.0
"""What was seen longer ago says nothing of now."""


class Demand:
    """Asks Ray, at most once a second, what waits for devices: trials of this run, or another run's work."""

    def __init__(self) -> None:
        self._looked_at = 0.0
        self._waiting_since: float | None = None

    def others_wait(self, own: int) -> bool:
        """Whether anything waits, and has for some seconds, beside ``own`` actors that this process asks for."""
        now = time.monotonic()
        if now - self._looked_at > _FORGOTTEN_S:
            self._waiting_since = None
        if now - self._looked_at >= _EVERY_S:
            self._looked_at = now
            self._waiting_since = (self._waiting_since or now) if _pending() > own else None
        return self._waiting_since is not None and now - self._waiting_since >= _LASTS_S


def _pending() -> int:
    """Tasks, actors and placement groups that wait for devices, of every job on this Ray."""
    try:
        demands = get_cluster_status(ray.get_runtime_context().gcs_address, timeout=5).resource_demands
    except (ray.exceptions.RayError, RuntimeError, TimeoutError):
        return 0  # the head does not answer: the run goes on without it for a while (``runtime.watch``)
    single: int = sum(entry.count for demand in demands.ray_task_actor_demand for entry in demand.bundles_by_count)
    groups: int = len(demands.placement_group_demand)
    return single + groups

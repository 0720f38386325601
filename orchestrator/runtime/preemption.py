"""Nodes that are about to be preempted: noticed early enough to store their trials, which do not count as failed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ray.exceptions import RayActorError

from orchestrator.runtime.ray_private import draining_nodes

if TYPE_CHECKING:
    from collections.abc import Iterable


class PreemptedError(RayActorError):  # type: ignore[misc]
    """The trial's node is being drained, as by ``ray drain-node`` for a spot instance.

    Tune starts the trial again elsewhere without counting a failure, as it does for an actor that died of preemption.
    """

    @property
    def preempted(self) -> bool:
        """True: Tune reads this attribute of an actor's death."""
        return True

    def __str__(self) -> str:
        return "its node was preempted"


def being_drained(nodes: Iterable[str]) -> bool:
    """Whether any of the nodes, given by hexadecimal id, is being drained. Makes one small request to the head node."""
    return not draining_nodes().isdisjoint(nodes)

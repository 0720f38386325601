"""Nodes that are about to be taken away: seen early enough to store what they train, and no failure of the trial's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ray._private.state import state
from ray.exceptions import RayActorError

if TYPE_CHECKING:
    from collections.abc import Iterable


class PreemptedError(RayActorError):  # type: ignore[misc]
    """The trial's node is being drained, as ``ray drain-node`` says of a spot instance.

    Tune starts the trial again elsewhere without counting a failure, as it does for an actor that died of preemption.
    """

    @property
    def preempted(self) -> bool:
        """What Tune asks of an actor's death."""
        return True

    def __str__(self) -> str:
        return "its node was preempted"


def being_drained(nodes: Iterable[str]) -> bool:
    """Whether any of the nodes, by their hexadecimal ids, is being drained. A small question to Ray's head node."""
    return not state.get_draining_nodes().keys().isdisjoint(nodes)

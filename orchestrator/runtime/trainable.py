"""The warm worker: one Ray actor that trains trial after trial on one device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ray
from ray import tune

from orchestrator.runtime.preemption import PreemptedError, being_drained
from orchestrator.runtime.trainer import Trainer

if TYPE_CHECKING:
    from orchestrator.plan.placement import Placement


class TrialWorker(tune.Trainable):  # type: ignore[misc]
    """Trains the trial whose id its configuration names, then takes the next one without a new process.

    What it raises makes Tune start the trial again, and it goes on from its checkpoint.
    """

    def setup(self, config: dict[str, Any], *, work: list[ray.ObjectRef], placement: Placement) -> None:
        """Keep what all trials share; ``work`` lists the reference to a SweepContext: Ray would fetch a bare one."""
        import torch

        from orchestrator.distributed.group import ALONE

        self.trainer = Trainer(ray.get(work[0]), torch.device(placement.device), placement.cpus, ALONE)
        self.node = ray.get_runtime_context().get_node_id()
        self.trainer.take(config["trial_id"])

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial; one that the scheduler stopped keeps its last state."""
        self.trainer.take(new_config["trial_id"])
        return True

    def step(self) -> dict[str, Any]:
        """Train for a moment and report where the trial stands."""
        if being_drained([self.node]):
            self.trainer.leave()
            raise PreemptedError
        return self.trainer.advance()

    def cleanup(self) -> None:
        """Keep the state of a trial that was interrupted in the middle."""
        self.trainer.leave()

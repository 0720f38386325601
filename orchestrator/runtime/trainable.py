"""The warm worker: one Ray actor that trains trial after trial on one device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ray
from ray import tune

from orchestrator.runtime.preemption import PreemptedError, being_drained
from orchestrator.runtime.trainer import Trainer, trial_of

if TYPE_CHECKING:
    from orchestrator.plan.placement import Placement


class TrialWorker(tune.Trainable):  # type: ignore[misc]
    """Trains the trial whose id its configuration names, then takes the next one without a new process.

    After an exception Tune starts the trial again, and it goes on from its checkpoint.
    """

    def setup(self, config: dict[str, Any], *, references: list[ray.ObjectRef], placement: Placement) -> None:
        """Fetch what all trials share; ``references`` is a list of one SweepContext, as Ray would fetch a bare one."""
        import torch

        from orchestrator.distributed.group import ALONE

        self.trainer = Trainer(ray.get(references[0]), torch.device(placement.device), placement, ALONE)
        self.node = ray.get_runtime_context().get_node_id()
        self.trainer.take(trial_of(config, self.trainer.context))

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial; the last state of one that the scheduler stopped is stored."""
        self.trainer.take(trial_of(new_config, self.trainer.context))
        return True

    def step(self) -> dict[str, Any]:
        """Train for about a second and report the trial's progress."""
        if being_drained([self.node]):
            self.trainer.leave()
            raise PreemptedError
        return self.trainer.advance()

    def cleanup(self) -> None:
        """Store the state of a trial that was interrupted."""
        self.trainer.leave()

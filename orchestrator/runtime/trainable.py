"""The warm worker: one Ray actor that trains trial after trial, keeping its process, torch and the images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ray import tune

from orchestrator.errors import OrchError
from orchestrator.plan.ledger import Status, record
from orchestrator.plan.retry import FailureKind, classify

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from orchestrator.data import Dataset
    from orchestrator.data.images import ImageSet
    from orchestrator.plan.placement import Placement
    from orchestrator.spec.job import Trial
    from orchestrator.store.location import Store
    from orchestrator.training.session import Session

_SLICE_S = 1.0
"""Seconds between two reports of a trial's progress, unless its epoch ends before."""


class TrialWorker(tune.Trainable):  # type: ignore[misc]
    """Trains the trial whose id its configuration names, then takes the next one without a new process.

    A failure that another run cannot mend ends the trial with its row; one of the infrastructure is raised, so that
    Tune starts the trial again, and it goes on from its checkpoint.
    """

    def setup(
        self,
        config: dict[str, Any],
        *,
        job: str,
        trials: Mapping[str, Trial],
        images: Mapping[Dataset, ImageSet],
        store: Store,
        placement: Placement,
        provenance: Mapping[str, object],
    ) -> None:
        """Keep what all trials of the sweep share; the trial itself is built in the first step, where it may fail."""
        import torch

        torch.set_num_threads(placement.cpus)
        # Numbers below 1e-38 carry no information here, and processors are many times slower on them.
        torch.set_flush_denormal(True)
        torch.backends.cudnn.benchmark = True
        self.job, self.trials, self.images, self.store = job, trials, images, store
        self.provenance, self.device = provenance, torch.device(placement.device)
        self.on_device: tuple[Dataset, torch.Tensor] | None = None
        self.session: Session | None = None
        self.trial = trials[config["trial_id"]]

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Take the next trial; one that the scheduler stopped keeps its last state."""
        self._leave()
        self.trial = self.trials[new_config["trial_id"]]
        return True

    def step(self) -> dict[str, Any]:
        """Train for a moment and report where the trial stands."""
        try:
            return self._advance()
        except Exception as error:
            kind = classify(error)
            if kind.may_pass:
                raise
            return self._fail(error, kind)

    def _advance(self) -> dict[str, Any]:
        session = self.session = self.session or self._open()
        session.advance(_SLICE_S)
        measured = session.summary()
        if session.progress.done:
            record(self.store, self.job, self.trial, Status.FINISHED, measured, self.provenance)
            self.session = None
        return {
            **measured,
            "epochs_done": int(session.progress.epoch),
            "total_steps": session.progress.total,
            "ended": str(Status.FINISHED) if session.progress.done else "",
            tune.result.DONE: session.progress.done,
        }

    def _open(self) -> Session:
        from orchestrator.training.session import Session

        return Session(self.trial.id, self.trial.settings, self._images(), self.store)

    def _images(self) -> torch.Tensor:
        """The trial's images on the device, left there from the last trial where it trained on the same."""
        from orchestrator.data.batches import to_device

        data = self.trial.settings.data
        if self.on_device is None or self.on_device[0] != data:
            self.on_device = None
            self.on_device = (data, to_device(self.images[data], self.device))
        return self.on_device[1]

    def _fail(self, error: Exception, kind: FailureKind) -> dict[str, Any]:
        """End the trial as failed, with what it has measured so far."""
        text = describe(error)
        measured: dict[str, object] = {}
        if self.session is not None:
            self.session.save_metrics()
            measured = self.session.summary()
        self.session = None
        measured |= {"error": text, "error_kind": str(kind)}
        record(self.store, self.job, self.trial, Status.FAILED, measured, self.provenance)
        return {"ended": str(Status.FAILED), "error": text, tune.result.DONE: True}

    def cleanup(self) -> None:
        """Keep the state of a trial that was interrupted in the middle."""
        self._leave()

    def _leave(self) -> None:
        if self.session is not None and not self.session.progress.done:
            self.session.save()
        self.session = None


def describe(error: BaseException) -> str:
    """One line on an exception: users' errors by their text, others with their class."""
    text = " ".join(str(error).split())
    return text if isinstance(error, OrchError) else f"{type(error).__name__}: {text}"[:500]

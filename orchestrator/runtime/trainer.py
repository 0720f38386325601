"""What every worker of a sweep does, whether it trains a trial alone or with others: take one, train, leave it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ray import tune

from orchestrator.errors import NonFiniteLossError, OrchError
from orchestrator.plan.retry import classify
from orchestrator.state.ledger import FailureKind, Status, record
from orchestrator.store.columns import TRIALS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from orchestrator.data import Dataset
    from orchestrator.data.images import ImageSet
    from orchestrator.distributed.group import Group
    from orchestrator.metrics.sample_metrics import SampleMetrics
    from orchestrator.spec.job import Trial
    from orchestrator.store.location import Store
    from orchestrator.training.session import Session

_SLICE_S = 1.0
"""Seconds between two reports of a trial's progress, unless its epoch ends before."""


@dataclass(frozen=True)
class SweepContext:
    """What all workers of a sweep share: put into Ray's object store once."""

    job: str
    trials: Mapping[str, Trial]
    images: Mapping[Dataset, ImageSet]
    classifiers: Mapping[Dataset, bytes | None]
    """Of each data set whose samples are measured; None for one without classes."""
    store: Store
    provenance: Mapping[str, object]
    fingerprints: Mapping[Dataset, str]
    """Of each data set that of its training images."""

    def provenance_of(self, trial: Trial) -> dict[str, object]:
        """What a trial's row says of where it comes from: versions, commit, and the images that it is trained on."""
        data = trial.settings.data
        images = {"images": len(self.images[data]), "data_fingerprint": self.fingerprints[data]}
        return {**self.provenance, **images}


class Trainer:
    """Trains trial after trial in one process, keeping torch and the images on the device.

    In a group every process holds one, all take the same trials, and the leader's reports count.
    """

    def __init__(self, work: SweepContext, device: torch.device, threads: int, group: Group) -> None:
        import torch

        torch.set_num_threads(threads)
        # Numbers below 1e-38 carry no information here, and processors are many times slower on them.
        torch.set_flush_denormal(True)
        torch.backends.cudnn.benchmark = True
        self.work, self.device, self.group = work, device, group
        self.on_device: tuple[Dataset, torch.Tensor] | None = None
        self.sample_metrics: tuple[Dataset, SampleMetrics] | None = None
        self.session: Session | None = None
        self.trial: Trial | None = None

    def take(self, trial_id: str) -> None:
        """Leave the trial before and take this one; it is built in the first ``advance``, where it may fail."""
        self.leave()
        self.trial = self.work.trials[trial_id]

    def leave(self) -> None:
        """Store the last state of a trial that has not ended."""
        if self.session is not None and not self.session.progress.done:
            self.session.save()
        self.session = None

    def advance(self) -> dict[str, Any]:
        """Train for a moment and report where the trial stands.

        A failure that another run cannot mend ends the trial with its row. Raised are those of the infrastructure and
        of the surroundings, and in a group whatever may have happened to one process only: the others wait for it.
        """
        try:
            return self._advance()
        except Exception as error:
            kind = classify(error)
            if kind is FailureKind.SURROUNDINGS and isinstance(error, OrchError):
                self.session = None  # storage that did not take its state would be waited for once more
            if not kind.of_trial or (self.group.size > 1 and not isinstance(error, NonFiniteLossError)):
                raise
            return self._fail(error, kind)

    def _advance(self) -> dict[str, Any]:
        session = self.session = self.session or self._open()
        session.advance(_SLICE_S)
        measured = session.summary()
        progress = session.progress
        status = Status(progress.stopped or Status.FINISHED)
        if progress.done:
            self._record(status, measured)
            self.session = None
        return {
            **measured,
            "health": str(progress.health.condition),
            "epochs_done": int(progress.epoch),
            "total_steps": progress.total,
            "ended": str(status) if progress.done else "",
            tune.result.DONE: progress.done,
        }

    def _open(self) -> Session:
        from orchestrator.training.session import Session

        assert self.trial is not None
        settings = self.trial.settings
        sample_metrics = self._sample_metrics() if settings.training.measure_every else None
        fingerprint = self.work.fingerprints[settings.data]
        return Session(
            self.trial.id, settings, self._images(), self.work.store, self.group, sample_metrics, fingerprint
        )

    def _images(self) -> torch.Tensor:
        """The trial's images on the device, left there from the last trial where it trained on the same."""
        from orchestrator.data.batches import to_device

        assert self.trial is not None
        data = self.trial.settings.data
        if self.on_device is None or self.on_device[0] != data:
            self.on_device = None
            self.on_device = (data, to_device(self.work.images[data], self.device))
        return self.on_device[1]

    def _sample_metrics(self) -> SampleMetrics:
        """What measures samples against the trial's data, kept likewise."""
        from orchestrator.metrics.classifier import load
        from orchestrator.metrics.sample_metrics import SampleMetrics

        assert self.trial is not None
        data = self.trial.settings.data
        if self.sample_metrics is None or self.sample_metrics[0] != data:
            classifier = self.work.classifiers[data]
            known = None if classifier is None else load(classifier)
            self.sample_metrics = (data, SampleMetrics(self.work.images[data], known, self.device))
        return self.sample_metrics[1]

    def _fail(self, error: Exception, kind: FailureKind) -> dict[str, Any]:
        """End the trial as failed, or as diverged where its ``stop_when`` says so, with what it has measured so far."""
        measured: dict[str, object] = {}
        if self.session is not None:
            self.session.save_metrics()
            measured = self.session.summary()
        self.session = None
        assert self.trial is not None
        if isinstance(error, NonFiniteLossError):
            measured["diverged_at"] = error.step
            if Status.DIVERGED in self.trial.settings.training.stop_when:
                self._record(Status.DIVERGED, measured)
                return {**measured, "total_steps": self.trial.settings.total_steps, **_ended(Status.DIVERGED)}
        self._record(Status.FAILED, {**measured, "error": describe(error), "error_kind": str(kind)})
        return failed(describe(error))

    def _record(self, status: Status, measured: Mapping[str, object]) -> None:
        if self.group.is_leader:
            assert self.trial is not None
            provenance = self.work.provenance_of(self.trial)
            record(self.work.store, self.work.job, self.trial, status, measured, provenance)


def measured(report: Mapping[str, Any]) -> dict[str, Any]:
    """What of a report goes into a row of trials/: Tune adds figures of its own."""
    names = {column.name for column in TRIALS} - {"trial_id"}
    return {name: value for name, value in report.items() if name in names}


def failed(error: str) -> dict[str, Any]:
    """The last report of a trial that failed by its own doing."""
    return {"error": error, **_ended(Status.FAILED)}


def _ended(status: Status) -> dict[str, Any]:
    return {"ended": str(status), tune.result.DONE: True}


def describe(error: BaseException) -> str:
    """One line on an exception: users' errors by their text, others with their class."""
    text = " ".join(str(error).split())
    return text if isinstance(error, OrchError) else f"{type(error).__name__}: {text}"[:500]

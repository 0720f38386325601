"""The training loop of every worker of a sweep, alone or in a group: take a trial, train it, leave it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ray import tune

from orchestrator.errors import NonFiniteLossError, OrchError
from orchestrator.plan.retry import classify
from orchestrator.runtime.device import give_back_memory, set_up
from orchestrator.state.ledger import FailureKind, Status, record
from orchestrator.store.columns import TRIALS

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from orchestrator.data import Dataset
    from orchestrator.data.images import ImageSet
    from orchestrator.distributed.group import Group
    from orchestrator.metrics.sample_metrics import SampleMetrics
    from orchestrator.plan.placement import Placement
    from orchestrator.spec.job import Trial
    from orchestrator.store.location import Store
    from orchestrator.training.session import Session

_SLICE_S = 1.0
"""Seconds between two reports of a trial's progress, unless its epoch ends before."""


@dataclass(frozen=True)
class SweepContext:
    """What all workers of a sweep share: put into Ray's object store once."""

    job: str
    trials: dict[str, Trial]
    """By id; of a search, which proposes others while it runs, the driver alone has all: see ``trial_of``."""
    images: Mapping[Dataset, ImageSet]
    classifiers: Mapping[Dataset, bytes | None]
    """The classifier of each data set whose samples are measured; None for one without classes."""
    store: Store
    provenance: Mapping[str, object]
    fingerprints: Mapping[Dataset, str]
    """The fingerprint of each data set's training images."""

    def provenance_of(self, trial: Trial) -> dict[str, object]:
        """The columns of a trial's row on its origin: versions, commit, and the images that it is trained on."""
        data = trial.settings.data
        images = {"images": len(self.images[data]), "data_fingerprint": self.fingerprints[data]}
        return {**self.provenance, **images}


def trial_of(config: Mapping[str, Any], context: SweepContext) -> Trial:
    """The trial that a configuration of Tune names, or brings with it where a search has just proposed it."""
    trial: Trial = config.get("proposed") or context.trials[config["trial_id"]]
    return trial


class Trainer:
    """Trains trial after trial in one process, and leaves the images on the device in between.

    In a group every process has a Trainer, all take the same trials, and the leader's reports count.
    """

    def __init__(self, context: SweepContext, device: torch.device, placement: Placement, group: Group) -> None:
        set_up(device, placement.cpus, placement.gpus)
        self.context, self.device, self.group = context, device, group
        self.gpu_share = placement.gpus
        self.on_device: tuple[Dataset, torch.Tensor] | None = None
        self.sample_metrics: tuple[Dataset, SampleMetrics] | None = None
        self.session: Session | None = None
        self.trial: Trial | None = None

    def take(self, trial: Trial) -> None:
        """Leave the previous trial and take this one; the first ``advance`` builds its networks, which may fail."""
        self.leave()
        self.trial = trial

    def leave(self) -> None:
        """Store the last state of a trial that has not ended."""
        if self.session is not None and not self.session.progress.done:
            self.session.save()
        self.session = None
        give_back_memory(self.device)

    def advance(self) -> dict[str, Any]:
        """Train for about a second and report the trial's progress.

        A failure that would happen again ends the trial with its row. Failures of the infrastructure and of the
        surroundings are raised, and in a group all that may have failed in one process only: the others wait for it.
        """
        report = self._report()
        if report[tune.result.DONE]:
            give_back_memory(self.device)
        return report

    def _report(self) -> dict[str, Any]:
        try:
            return self._advance()
        except Exception as error:
            kind = classify(error, self.gpu_share)
            if kind is FailureKind.SURROUNDINGS and isinstance(error, OrchError):
                self.session = None  # storing its state would wait for the same storage once more
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
            **_known(measured),
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
        fingerprint = self.context.fingerprints[settings.data]
        return Session(
            self.trial.id, settings, self._images(), self.context.store, self.group, sample_metrics, fingerprint
        )

    def _images(self) -> torch.Tensor:
        """The trial's images on the device, reused from the last trial where it trained on the same."""
        from orchestrator.data.batches import to_device

        assert self.trial is not None
        data = self.trial.settings.data
        if self.on_device is None or self.on_device[0] != data:
            self.on_device = None
            self.on_device = (data, to_device(self.context.images[data], self.device))
        return self.on_device[1]

    def _sample_metrics(self) -> SampleMetrics:
        """The sample metrics against the trial's data, reused likewise."""
        from orchestrator.metrics.classifier import load
        from orchestrator.metrics.sample_metrics import SampleMetrics

        assert self.trial is not None
        data = self.trial.settings.data
        if self.sample_metrics is None or self.sample_metrics[0] != data:
            classifier_bytes = self.context.classifiers[data]
            classifier = None if classifier_bytes is None else load(classifier_bytes)
            self.sample_metrics = (data, SampleMetrics(self.context.images[data], classifier, self.device))
        return self.sample_metrics[1]

    def _fail(self, error: Exception, kind: FailureKind) -> dict[str, Any]:
        """End the trial as failed, or as diverged where ``stop_when`` names that, with what it has measured so far."""
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
                return {**_known(measured), "total_steps": self.trial.settings.total_steps, **_ended(Status.DIVERGED)}
        self._record(Status.FAILED, {**measured, "error": describe(error), "error_kind": str(kind)})
        return failed(describe(error))

    def _record(self, status: Status, measured: Mapping[str, object]) -> None:
        if self.group.is_leader:
            assert self.trial is not None
            provenance = self.context.provenance_of(self.trial)
            record(self.context.store, self.context.job, self.trial, status, measured, provenance)


def _known(measured: Mapping[str, object]) -> dict[str, Any]:
    """What has a value: schedulers compare what is there, and samples may not have been measured yet."""
    return {name: value for name, value in measured.items() if value is not None}


def measured(report: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a report that belong in a row of trials/: Tune adds others."""
    names = {column.name for column in TRIALS} - {"trial_id"}
    return {name: value for name, value in report.items() if name in names}


def failed(error: str) -> dict[str, Any]:
    """The last report of a trial that failed by its own fault."""
    return {"error": error, **_ended(Status.FAILED)}


def _ended(status: Status) -> dict[str, Any]:
    return {"ended": str(status), tune.result.DONE: True}


def describe(error: BaseException) -> str:
    """One line on an exception: users' errors by their text, others with their class."""
    text = " ".join(str(error).split())
    return text if isinstance(error, OrchError) else f"{type(error).__name__}: {text}"[:500]

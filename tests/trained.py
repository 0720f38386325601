"""A study in a folder, trained in this process as a run's workers would, without Ray."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.data.batches import to_device
from orchestrator.metrics.sample_metrics import SampleMetrics
from orchestrator.spec.job import make_job
from orchestrator.state.files import write_job
from orchestrator.state.ledger import Status, provenance, record
from orchestrator.store.columns import TRIALS
from orchestrator.store.local import LocalStore
from orchestrator.training.session import Session
from tests.jobs import raw_job

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from orchestrator.spec.job import Job

IMAGES = 40


def small_job(name: str = "study", **sections: Any) -> Job:
    """Trials that train in milliseconds; ``sections`` as in ``tests.jobs.raw_settings``."""
    training = {"epochs": 2, "batch_size": 20, **sections.pop("training", {})}
    data = {"max_images": IMAGES, **sections.pop("data", {})}
    return make_job(raw_job(name, data=data, training=training, **sections), "job.yaml")


def train(folder: Path, job: Job, fids: Sequence[float] = ()) -> LocalStore:
    """Submit the job to the storage ``folder`` and train every trial to its end; returns the root of its results.

    ``fids`` are what the trials' rows say, in the grid's order: to measure them would take longer than all else.
    """
    store = LocalStore(folder).child(job.header.name)
    write_job(store, job)
    names = {column.name for column in TRIALS} - {"trial_id"}
    for place, trial in enumerate(job.trials):
        images = trial.settings.data.load()
        metrics = SampleMetrics(images, None, "cpu") if trial.settings.training.measure_every else None
        session = Session(trial.id, trial.settings, to_device(images, "cpu"), store, sample_metrics=metrics)
        while not session.progress.done:
            session.advance(60.0)
        measured = {name: value for name, value in session.summary().items() if name in names}
        measured |= {"fid": fids[place]} if fids else {}
        record(store, job.header.name, trial, Status.FINISHED, measured, provenance())
    return store

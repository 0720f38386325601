"""A storage with the results of many trials, written as a run writes them, without training anything."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from orchestrator.spec.job import make_job
from orchestrator.state.files import write_job
from orchestrator.state.ledger import Status, provenance, record
from orchestrator.store.columns import METRICS, TRAINING_METRICS, schema_of
from orchestrator.store.open import open_store
from orchestrator.store.tables import write_rows

if TYPE_CHECKING:
    from orchestrator.spec.job import Job
    from orchestrator.store.location import Store

STEPS = 20
"""Logged steps of each trial."""


def grid_job(trials: int, storage: str) -> Job:
    """A job of so many trials: two objectives, two counts of discriminator updates, and seeds."""
    raw = {
        "name": f"grid_{trials}",
        "data": {"name": "digits"},
        "model": {"kind": "dcgan", "latent_dim": 8, "width": 4},
        "training": {"epochs": 2, "batch_size": 100},
        "grid": {
            "objective.kind": ["saturating", "non_saturating"],
            "training.d_steps": [1, 3],
            "training.seed": list(range(trials // 4)),
        },
        "storage": storage,
    }
    return make_job(raw, "benchmark")


def fill(storage: str, trials: int) -> tuple[Job, Store]:
    """The job, all of whose trials have ended, and its results."""
    job = grid_job(trials, storage)
    store = open_store(storage).child(job.header.name)
    write_job(store, job)
    schema, now = schema_of(METRICS), datetime.now(UTC)
    fingerprint = job.trials[0].settings.data.fingerprint()
    signals = {column.name: 0.25 for column in TRAINING_METRICS}
    for index, trial in enumerate(job.trials):
        loss = {"g_loss": index / trials, "d_loss": 1 / (index + 1)}
        rows = [
            {"trial_id": trial.id, "step": step, "epoch": step / 10, **signals, **loss, "health": "healthy"}
            for step in range(1, STEPS + 1)
        ]
        write_rows(store, f"metrics/{trial.id}.parquet", schema, rows)
        measured = {"step": STEPS, **signals, **loss, "train_s": 3.0, "device": "cpu", "resumes": 0, "workers": 1}
        measured |= {"started_at": now - timedelta(seconds=4), "images": 1797, "data_fingerprint": fingerprint}
        record(store, job.header.name, trial, Status.FINISHED, measured, provenance())
    return job, store

"""A small study with claims, in a folder, and what a test puts beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator.report.claims import judge_job
from orchestrator.spec.columns import evaluation_columns
from orchestrator.spec.job import Job, make_job
from orchestrator.state.files import write_job
from orchestrator.state.ledger import Status, provenance, record
from orchestrator.store.columns import schema_of
from orchestrator.store.local import LocalStore
from orchestrator.store.tables import write_rows
from tests.jobs import raw_job

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.report.claims import Verdict
    from orchestrator.spec.job import Trial

FID = {"saturating": [90.0, 95.0, 93.0], "non_saturating": [10.0, 12.0, 14.0]}


def claim(name: str, measure: str = "fid", better: str = "lower", **more: Any) -> dict[str, Any]:
    """A claim of a job file; keys that are None are left out."""
    sides = {"group": {"objective.kind": "non_saturating"}, "than": {"objective.kind": "saturating"}}
    return {"id": name, "says": f"{name} holds.", "measure": measure, "better": better, **sides, **more}


def study(*claims: dict[str, Any], seeds: int = 3, **more: Any) -> Job:
    raw = raw_job(
        objective=None,
        training={"measure_every": 1},
        grid={"objective.kind": list(FID), "training.seed": list(range(seeds))},
        claims=[{key: value for key, value in claim.items() if value is not None} for claim in claims],
    )
    return make_job({**raw, **more}, "job.yaml")


class Stored:
    """A job in a folder, and what a test puts beside it."""

    def __init__(self, folder: Path, job: Job) -> None:
        self.store, self.job = LocalStore(folder / "study"), job
        write_job(self.store, job)

    def end(self, trial: Trial, status: Status = Status.FINISHED, **measured: Any) -> None:
        record(self.store, "study", trial, status, {"step": 10, "epoch": 20.0, **measured}, provenance())

    def end_all(self) -> None:
        for trial in self.job.trials:
            kind, seed = trial.settings.objective.kind, trial.settings.training.seed
            self.end(trial, fid=FID[kind][seed], saturated_at=9 if kind == "saturating" else None)

    def judge(self, trial: Trial, number: int = 0, shard: int = 0, **found: Any) -> None:
        evaluation = self.job.header.evaluate[number]
        row = {"trial_id": trial.id, "evaluation_id": evaluation.id, "shard": shard, **found}
        count = len(self.store.keys("evaluations"))
        schema = schema_of(evaluation_columns(type(evaluation)))
        write_rows(
            self.store, f"evaluations/{evaluation.kind}/{trial.id}-{evaluation.id}-{count:04d}.parquet", schema, [row]
        )

    def found(self) -> list[Verdict]:
        return list(judge_job(self.store, self.job).verdicts)

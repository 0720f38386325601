"""Trials as runs of MLflow: in a file of SQLite in a folder, or at a tracking server."""

from __future__ import annotations

import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from orchestrator.errors import ExportError
from orchestrator.export.extras import require
from orchestrator.export.folders import check_folder

if TYPE_CHECKING:
    from orchestrator.export.records import Record
    from orchestrator.store.location import Store

_TRIAL, _STATUS = "orch.trial_id", "orch.status"
_EVERY_ROW = "epoch"
"""A column that each row has: by its history it is known which rows are there."""
_METRICS, _PARAMS = 1000, 100
"""What one request to MLflow may hold."""
_VALUE = 6000
_ENVIRONMENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_LOGGING_LEVEL": "WARNING"}


def open_at(target: str, job: str) -> MLflow:
    """An experiment of the job's name, in the folder's mlflow.db or at a tracking server. Raises ExportError."""
    require("--to mlflow", "mlflow", "mlflow", "sqlalchemy", "alembic")
    os.environ.update(_ENVIRONMENT)
    if "://" in target:
        return MLflow(target, target.rpartition("@")[2], None, job)
    folder = check_folder("--out", target)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(f"{folder}: cannot write: {error.strerror}") from error
    uri = f"sqlite:///{folder}/mlflow.db"
    return MLflow(uri, uri, (folder / "artifacts").as_uri(), job)


class MLflow:
    """Runs whose names, and tags ``orch.trial_id``, are trials' ids: MLflow gives runs ids of its own."""

    def __init__(self, uri: str, where: str, artifacts: str | None, job: str) -> None:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException

        self.where = where
        self._failed = MlflowException
        try:
            self._client = MlflowClient(tracking_uri=uri)
            found = self._client.get_experiment_by_name(job)
            self._experiment = found.experiment_id if found else self._client.create_experiment(job, artifacts)
        except MlflowException as error:
            raise self._refused(error) from error

    def add(self, record: Record, store: Store) -> bool:
        """See Tracker."""
        try:
            return self._add(record, store)
        except self._failed as error:
            raise self._refused(error) from error

    def settle(self) -> None:
        """Nothing is left to write."""

    def _refused(self, error: Exception) -> ExportError:
        return ExportError(f"--to mlflow: {self.where}: {str(error).strip().partition(chr(10))[0][:300]}")

    def _add(self, record: Record, store: Store) -> bool:
        run = self._find(record.trial_id)
        is_new = run is None
        if run is None:
            tags = {_TRIAL: record.trial_id}
            run = self._client.create_run(self._experiment, record.started_ms, tags, run_name=record.trial_id)
            self._log_settings(run.info.run_id, record)
        run_id = run.info.run_id
        logged = self._log_rows(run_id, record)
        logged |= self._log_last(run_id, record, run.data.metrics)
        logged |= self._log_pictures(run_id, record, store)
        return self._log_status(run_id, record, run.data.tags) | logged | is_new

    def _find(self, trial_id: str) -> Any:
        """The run of a trial; None where there is none."""
        runs = self._client.search_runs([self._experiment], f"tags.`{_TRIAL}` = '{trial_id}'", max_results=1)
        return runs[0] if runs else None

    def _log_settings(self, run_id: str, record: Record) -> None:
        from mlflow.entities import Param

        params = [Param(name, str(value)[:_VALUE]) for name, value in record.settings.items()]
        for start in range(0, len(params), _PARAMS):
            self._client.log_batch(run_id, params=params[start : start + _PARAMS])

    def _log_rows(self, run_id: str, record: Record) -> bool:
        done = max((one.step for one in self._client.get_metric_history(run_id, _EVERY_ROW)), default=-1)
        return self._log(
            run_id, [(name, value, step) for step, row in record.rows if step > done for name, value in row.items()]
        )

    def _log_last(self, run_id: str, record: Record, known: dict[str, float]) -> bool:
        new = {name: value for name, value in record.last.items() if known.get(name) != value}
        return self._log(run_id, [(name, value, record.last_step) for name, value in new.items()])

    def _log(self, run_id: str, values: list[tuple[str, float, int]]) -> bool:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, step) for name, value, step in values]
        for start in range(0, len(metrics), _METRICS):
            self._client.log_batch(run_id, metrics=metrics[start : start + _METRICS])
        return bool(metrics)

    def _log_pictures(self, run_id: str, record: Record, store: Store) -> bool:
        logged = False
        for name in {picture.name for picture in record.pictures}:
            known = {file.path for file in self._client.list_artifacts(run_id, name)}
            for picture in record.pictures:
                file = f"step-{picture.step:09d}.png"
                if picture.name != name or f"{name}/{file}" in known:
                    continue
                with TemporaryDirectory(prefix="orch-") as folder:
                    path = Path(folder, file)
                    path.write_bytes(record.read(store, picture))
                    self._client.log_artifact(run_id, str(path), name)
                logged = True
        return logged

    def _log_status(self, run_id: str, record: Record, tags: dict[str, str]) -> bool:
        if tags.get(_STATUS) == record.status:
            return False
        self._client.set_tag(run_id, _STATUS, record.status)
        if record.ended:
            self._client.set_terminated(run_id, "FINISHED" if record.succeeded else "FAILED", record.ended_ms)
        return True

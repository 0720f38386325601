"""Trials as offline runs of Weights & Biases, which 'wandb sync' uploads where its user wants that.

An offline run is a folder that is closed at its end: a trial is written once it has ended, and again, under the same
id, where evaluations have come to it since. What was written is known from a file beside the runs.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
from typing import TYPE_CHECKING, Any

from PIL import Image

from orchestrator.errors import ExportError
from orchestrator.export.extras import require
from orchestrator.export.folders import check_folder

if TYPE_CHECKING:
    from pathlib import Path

    from orchestrator.export.records import Record
    from orchestrator.store.location import Store

_KEPT = "orch-exported"
_NAMED_S = 1.1
_ENVIRONMENT = {"WANDB_MODE": "offline", "WANDB_ERROR_REPORTING": "false", "WANDB_SILENT": "true", "DO_NOT_TRACK": "1"}


def open_at(target: str, job: str) -> Wandb:
    """The folder of offline runs, of a project of the job's name. Raises ExportError."""
    require("--to wandb", "wandb", "wandb")
    os.environ.update(_ENVIRONMENT)
    return Wandb(check_folder("--out", target), job)


class Wandb:
    """Runs whose ids are trials' ids, below the folder's ``wandb``."""

    def __init__(self, folder: Path, job: str) -> None:
        self.where = f"{folder}/wandb"
        self._folder, self._job = folder, job
        self._added: dict[Path, str] = {}

    def add(self, record: Record, store: Store) -> bool:
        """See Tracker."""
        if not record.ended:
            return False
        try:
            kept = self._folder / _KEPT / f"{record.trial_id}.json"
            known: dict[str, Any] = json.loads(kept.read_text()) if kept.exists() else {"step": -1}
            last = hashlib.sha256(json.dumps(record.last, sort_keys=True).encode()).hexdigest()
            if known == {"step": record.last_step, "last": last}:
                return False
            self._write(record, store, known["step"])
            self._added[kept] = json.dumps({"step": record.last_step, "last": last})
        except (OSError, ValueError, KeyError) as error:
            raise ExportError(f"{self.where}: cannot write: {error}") from error
        return True

    def settle(self) -> None:
        """End wandb's process, which writes on after a run is finished; only then the runs count as written."""
        import wandb

        if not self._added:
            return
        wandb.teardown()
        try:
            for kept, text in self._added.items():
                kept.parent.mkdir(exist_ok=True)
                kept.write_text(text)
        except OSError as error:
            raise ExportError(f"{self.where}: cannot write: {error}") from error
        self._added.clear()

    def _write(self, record: Record, store: Store, done: int) -> None:
        """Rows and pictures after the step ``done``, and the last values."""
        import wandb

        self._folder.mkdir(parents=True, exist_ok=True)
        self._wait_for_another_name(record.trial_id)
        run = wandb.init(
            project=self._job, id=record.trial_id, name=record.trial_id, dir=str(self._folder), mode="offline",
            config=dict(record.settings), tags=[record.status], reinit="create_new", settings=_settings(),
        )  # fmt: skip
        try:
            for step, values in sorted(_by_step(record, store, done).items()):
                run.log(values, step=step)
            run.summary.update(record.last)
        finally:
            run.finish()

    def _wait_for_another_name(self, trial_id: str) -> None:
        """Wait until the second after that of the run's last folder: folders are named by seconds."""
        made = [path.stat().st_mtime for path in self._folder.glob(f"wandb/offline-run-*-{trial_id}")]
        time.sleep(min(max(0.0, max(made, default=0.0) + _NAMED_S - time.time()), _NAMED_S))


def _by_step(record: Record, store: Store, done: int) -> dict[int, dict[str, Any]]:
    import wandb

    steps: dict[int, dict[str, Any]] = {step: dict(row) for step, row in record.rows if step > done}
    for picture in record.pictures:
        if picture.step > done:
            with Image.open(io.BytesIO(record.read(store, picture))) as image:
                steps.setdefault(picture.step, {})[picture.name] = wandb.Image(image.copy())
    return steps


def _settings() -> Any:
    """Nothing of this machine but Python's version: no statistics, no code, no Git, no list of packages."""
    import wandb

    return wandb.Settings(
        console="off",
        disable_code=True,
        disable_git=True,
        disable_job_creation=True,
        save_code=False,
        silent=True,
        x_disable_machine_info=True,
        x_disable_meta=True,
        x_disable_stats=True,
        x_save_requirements=False,
    )

"""Commands on a job in whose folder others have put links: nothing beyond them is shown, changed or removed."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, Any

import pytest

from orchestrator.spec.job import load_job
from orchestrator.state.files import RunState, write_job, write_state
from orchestrator.state.handovers import Handover, write_handover
from orchestrator.state.ledger import Status, provenance, record
from orchestrator.state.log import RunLog
from orchestrator.store.columns import METRICS, schema_of
from orchestrator.store.local import LocalStore
from orchestrator.store.tables import write_rows
from tests.store.test_places import state_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from orchestrator.store.location import Store

COMMANDS = [
    ["status"],
    ["results"],
    ["results", "--csv", "-"],
    ["results", "--sql", "select * from trials"],
    ["logs"],
    ["plan"],
    ["report"],
    ["cancel"],
]
CANARY = "canary"
TRIAL = "<trial>"
LAYOUT = [
    *("", "job.yaml", "run.json", "run.log", "cancel.json", "handover.json", "evaluated.json", "report"),
    *("report/index.html", "report/figures", "report/figures.json", "report/figures/old.png"),
    *("lease", "trials", f"trials/{TRIAL}.parquet", "metrics", f"metrics/{TRIAL}.parquet"),
    *("samples", f"samples/{TRIAL}", f"samples/{TRIAL}/epoch-0001.png", "evaluations", "checkpoints"),
]


def fill(store: Store, folder: Path, word: str) -> str:
    """A job with a trial that has ended, in every file of which the word stands; the trial's id."""
    job = load_job(folder / "job.yaml", [f"description={word}", "grid.training.d_steps=[1]", "grid.training.seed=[0]"])
    trial = job.trials[0]
    write_job(store, job)
    record(store, "study", trial, Status.FAILED, {"error": word, "error_kind": "program", "step": 7}, provenance())
    rows = [{"trial_id": trial.id, "step": step, "g_loss": step / 4} for step in (10, 20)]
    write_rows(store, f"metrics/{trial.id}.parquet", schema_of(METRICS), rows)
    write_state(store, RunState("done", 1.0, 2.0, 1, address=word, run_id=word))
    write_handover(store, Handover(word, word, 1.0, error=word))
    log = RunLog(store)
    log.add(word)
    log.end()
    for key in (
        *("lease/notes", "report/index.html", "report/figures/old.png"),
        *(f"samples/{trial.id}/epoch-0001.png", "evaluations/notes", "checkpoints/notes"),
    ):
        store.write(key, word.encode())
    for key in ("cancel.json", "evaluated.json"):
        store.write(key, f'{{"{word}": "{word}"}}'.encode())
    store.write("report/figures.json", b'{"old.png": "' + b"0" * 64 + b'"}')
    return trial.id


@pytest.mark.parametrize("place", LAYOUT)
def test_nothing_outside_is_shown_or_changed(
    orch: Callable[..., Any], folder: Path, tmp_path: Path, store: LocalStore, place: str
) -> None:
    trial_id = fill(store, folder, "own")
    outside = tmp_path / "outside"
    fill(LocalStore(outside), folder, CANARY)
    path, target = (root / place.replace(TRIAL, trial_id) for root in (folder / "results/study", outside))
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    path.symlink_to(target)
    before = state_of(outside)
    for verb, *options in COMMANDS:
        ran = orch(verb, "study", *options)
        assert CANARY not in ran.out + ran.err
        if ran.code:
            assert ran.err.count("\n") == 1, ran.err
        assert state_of(outside) == before
    page = folder / "results/study/report/index.html"
    if page.is_file() and place not in ("", "report", "report/index.html"):
        assert CANARY not in page.read_text()

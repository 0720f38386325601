"""show and open: one trial of a job, and the report of a job in a browser."""

from __future__ import annotations

import tempfile
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orchestrator.cli.columns import print_columns
from orchestrator.cli.completion import trial_argument
from orchestrator.cli.console import err, out, print_line, shown, spinner
from orchestrator.cli.options import AsJson, JobName, Storage, name_job
from orchestrator.durations import duration
from orchestrator.errors import NotFoundError, SettingsError
from orchestrator.text import number, setting, size

if TYPE_CHECKING:
    from collections.abc import Mapping

    from orchestrator.cli.options import NamedJob
    from orchestrator.spec.job import Trial
    from orchestrator.store.location import Store
    from orchestrator.study import Study

TrialName = Annotated[str, trial_argument("A trial's id, or its beginning.")]
_FACTS = (
    "saturated_at",
    "collapsed_at",
    "diverged_at",
    "step",
    "epoch",
    "device",
    "device_model",
    "workers",
    "started_at",
    "ended_at",
)


def show(job: JobName, trial: TrialName, storage: Storage = None, as_json: AsJson = False) -> None:
    """Show one trial: its settings, those that vary first, state, measures, files, error, and what can be done with it.

    A measure has its last value and its best one, with the step of that, where it is known which values are better.

    Examples: `orch show quickstart 1f3a` · `orch show quickstart 1f3a --json` ·
    `orch show my_sweep 1f3a --storage s3://bucket/studies`
    """
    from orchestrator.state.files import to_json
    from orchestrator.study.trained import find_trial_id

    named = name_job(job, storage)
    named.require()
    trial_id = find_trial_id(named.store, trial, named.from_file)
    told = _told(named, trial_id)
    if as_json:
        typer.echo(to_json(told))
    else:
        _print(told, named)


def open_(job: JobName, storage: Storage = None) -> None:
    """Open the report of a job in a browser; it is written first where there is none.

    The report of a bucket is copied to a temporary file. Without a browser here, the path is all that is printed.

    Examples: `orch open quickstart` · `orch open quickstart --storage s3://bucket/studies`
    """
    from orchestrator.report.page import INDEX, write_report
    from orchestrator.store.local import LocalStore

    named = name_job(job, storage)
    named.require()
    store = named.store
    if not store.exists(INDEX):
        with spinner("writing the report"):
            write_report(store, named.from_file)
    if isinstance(store, LocalStore):
        page = Path(store.uri) / INDEX
    else:
        page = Path(tempfile.mkdtemp(prefix=f"orch-{named.name}-")) / "report.html"
        page.write_bytes(store.read(INDEX))
    print_line(str(page))
    if not webbrowser.open(page.as_uri()):
        err.print("no browser was found here; open the file above", soft_wrap=True)


def _told(named: NamedJob, trial_id: str) -> dict[str, Any]:
    """All that storage tells of a trial."""
    from orchestrator.state.files import read_state
    from orchestrator.state.layout import trial_in
    from orchestrator.state.liveness import is_alive
    from orchestrator.study.compare import row_of, settings_of, study_of
    from orchestrator.study.study import plain

    store = named.store
    run = read_state(store)
    with spinner("listening for a sign of life"):
        alive = run is not None and trial_id in run.running and is_alive(store, run)
    study = study_of(store, [trial_id], alive=alive)
    row = {key: plain(value) for key, value in row_of(study, trial_id).items()}
    planned = _planned(named, store, trial_id)
    settings = settings_of(store, study, trial_id)
    varying = {key: settings[key] for key in (planned.changes if planned else {}) if key in settings}
    sizes = {key: count for key, count in store.sizes().items() if trial_in(key) == trial_id}
    return {
        "job": named.name,
        "trial_id": trial_id,
        "state": row.get("status") or ("running" if alive else "waiting"),
        "error": row.get("error"),
        "seconds": row.get("train_s"),
        **{name: row.get(name) for name in _FACTS},
        "varying": varying,
        "settings": {key: value for key, value in settings.items() if key not in varying},
        "measures": _measures(study, trial_id),
        "files": sizes,
        "checkpoint": next((key for key in sizes if key == f"checkpoints/{trial_id}.pt"), None),
        "best_checkpoint": next((key for key in sizes if key == f"checkpoints/{trial_id}.best.pt"), None),
    }


def _planned(named: NamedJob, store: Store, trial_id: str) -> Trial | None:
    """The trial of the job with this id in storage; None where the job cannot be read, or has none such."""
    from orchestrator.state.stored import stored_job

    try:
        trials = stored_job(named.load(), store).job.trials
    except (NotFoundError, SettingsError):
        return None
    return next((trial for trial in trials if trial.id == trial_id), None)


def _measures(study: Study | None, trial_id: str) -> dict[str, dict[str, Any]]:
    """By measure its last value, its best one and the step of that, of the logged rows that have a finite one."""
    import numpy as np
    import pandas as pd

    from orchestrator.study.read import MEASURED

    if study is None or study.metrics.empty:
        return {}
    rows = study.metrics[study.metrics["trial_id"] == trial_id]
    found: dict[str, dict[str, Any]] = {}
    for column in MEASURED:
        if not column.label or column.name not in rows:
            continue
        values = pd.to_numeric(rows[column.name], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
        steps = rows["step"].to_numpy()[np.isfinite(values)]
        values = values[np.isfinite(values)]
        if not len(values):
            continue
        told: dict[str, Any] = {"label": column.heading, "last": float(values[-1]), "best": None, "best_step": None}
        if column.better is not None:
            place = int(values.argmin() if column.better == "lower" else values.argmax())
            told |= {"best": float(values[place]), "best_step": int(steps[place])}
        found[column.name] = told
    return found


def _print(told: Mapping[str, Any], named: NamedJob) -> None:
    took = "" if told["seconds"] is None else f", trained for {duration(told['seconds'])}"
    out.print(f"{told['job']}/{told['trial_id']}: {told['state']}{took}", soft_wrap=True)
    if told["error"]:
        out.print(f"error {shown(told['error'])}", soft_wrap=True)
    facts = [(name, told[name]) for name in _FACTS if told[name] is not None]
    for name, value in facts:
        out.print(f"{name} {shown(value)}", soft_wrap=True)
    for heading, settings in (("settings that vary", told["varying"]), ("other settings", told["settings"])):
        if settings:
            out.print()
            rows = [(key, shown(setting(value))) for key, value in settings.items()]
            print_columns(out, (heading, "value"), rows, whole=(0,))
    if told["measures"]:
        out.print()
        measures = [
            (one["label"], *(number(one[name]) for name in ("last", "best", "best_step")))
            for one in told["measures"].values()
        ]
        print_columns(out, ("measure", "last", "best", "at step"), measures)
    if told["files"]:
        out.print()
        print_columns(out, ("file", "size"), [(key, size(count)) for key, count in told["files"].items()], whole=(0,))
    out.print()
    for line in _next(told, named):
        out.print(line, soft_wrap=True)


def _next(told: Mapping[str, Any], named: NamedJob) -> list[str]:
    """What can be done with the trial."""
    import shlex

    from orchestrator.cli.drive import parent
    from orchestrator.cli.options import STORAGE

    where = parent(named.store, named.name)
    storage = [] if where == str(Path(STORAGE).absolute()) else ["--storage", where]
    trial = [named.name, told["trial_id"][:8], *storage]
    lines = []
    if told["state"] in ("interrupted", "waiting"):
        lines.append(f"go on     {shlex.join(['orch', 'resume', named.name, *storage])}")
    if told["checkpoint"]:
        lines.append(f"images    {shlex.join(['orch', 'sample', *trial, '--out', 'samples'])}")
        lines.append(f"model     {shlex.join(['orch', 'export', *trial, '--format', 'onnx', '--out', 'model'])}")
    elif told["state"] not in ("waiting", "running"):
        again = shlex.join(["orch", "rm", named.name, "--trials", told["trial_id"][:8], *storage])
        lines.append(f"no checkpoint is stored: its networks are gone; {again} and orch submit train it again")
    return lines

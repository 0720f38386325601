"""A study, read once from the storage of its job."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import pandas as pd

from orchestrator.errors import NotFoundError, OrchError, SettingsError, StorageError, StorageUnavailable
from orchestrator.evaluations import KINDS
from orchestrator.evaluations.evaluation import FOLDER
from orchestrator.spec.columns import declared, evaluation_columns
from orchestrator.spec.grid import read_axes
from orchestrator.spec.job import make_job
from orchestrator.spec.recorded import current_id
from orchestrator.spec.varying import grid_columns
from orchestrator.spec.yaml_file import dump_yaml, parse_yaml
from orchestrator.state.files import JOB_BYTES, JOB_KEY
from orchestrator.state.proposals import with_proposals
from orchestrator.store.columns import METRICS, TRIALS
from orchestrator.store.snapshot import Snapshot
from orchestrator.store.tables import left_out_notice, parquet_keys, read_table
from orchestrator.study.levels import link
from orchestrator.study.selection import Selection
from orchestrator.study.study import Study, plain, whole
from orchestrator.study.unfinished import with_unfinished

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import pyarrow as pa

    from orchestrator.evaluations import Evaluation
    from orchestrator.spec.grid import Axis
    from orchestrator.spec.job import Job, Trial
    from orchestrator.store.location import Store

MEASURED = tuple(column for column in METRICS if column.name not in ("health", "images_per_second"))
"""What is read of the rows of metrics/."""

_LAST_STEP = 2**53
"""Beyond it no float tells steps apart."""
_MOST_AXES, _MOST_CELLS = 100, 20_000
"""Of a larger grid no cell is looked at: validating one takes a third of a millisecond."""

_SAMPLE = re.compile(r"samples/(?P<trial>[^/]+)/(?P<kind>epoch|autoencoder)-(?P<epoch>\d{1,9})\.png")


def load_study(
    store: Store, asked: Job | None = None, only: Collection[str] | None = None, unfinished: str = ""
) -> Study:
    """Read the results below ``store``, of the job that lies there or of ``asked`` in its place.

    With ``only`` some trials, what others have stored is not read. With a status for ``unfinished`` trials, those of
    the job that have logged steps but have not ended have rows too: of this status, with settings and position.
    Raises NotFoundError when there is neither a trial nor a measurement.
    """
    store = Snapshot(store if only is None else Selection(store, only))
    left_out: list[str] = []
    rows, metrics = _latest(_read(store, "trials", left_out)), _metrics(store, left_out)
    if not rows.num_rows and metrics.empty:
        why = " ".join(left_out) or "run 'orch submit' first"
        raise NotFoundError(f"{store.uri}: no results yet, so there is nothing to report; {why}")
    job_text, raw = _job_file(store, left_out) if asked is None else (dump_yaml(asked.resolved()), asked.resolved())
    known_axes = _axes(raw)
    axes = known_axes or ()
    job = asked or (_job(job_text, f"{store.uri}/{JOB_KEY}") if _is_read(raw, known_axes) else None)
    job = job and _with_proposals(job, store, left_out)
    if unfinished and job:
        rows = with_unfinished(rows, metrics, job, unfinished)
    trials = _trials(rows)
    pictures: dict[str, dict[str, dict[int, str]]] = {"epoch": {}, "autoencoder": {}}
    for key in store.keys("samples"):
        if match := _SAMPLE.fullmatch(key):
            pictures[match["kind"]].setdefault(match["trial"], {})[int(match["epoch"])] = key
    planned = _planned(job, rows) if job else {}
    study = Study(
        store,
        link(trials, axes, planned),
        metrics,
        {name: _evaluated(store, kind, left_out) for name, kind in KINDS.items()},
        _tables(store),
        pictures["epoch"],
        pictures["autoencoder"],
        job,
        raw,
        job_text,
        axes,
        tuple(left_out),
        planned,
    )
    return replace(study, trials=_in_order(study))


def _in_order(study: Study) -> pd.DataFrame:
    """The trials in the order of their varying settings, seed last."""
    keys = list(zip(*(study.trials[column] for column in study.varying), strict=True))
    if not keys:
        return study.trials
    place = {key: number for number, key in enumerate(study.ordered(set(keys), study.varying))}
    order = sorted(range(len(keys)), key=lambda position: place[keys[position]])
    return study.trials.iloc[order].reset_index(drop=True)


def _planned(job: Job, rows: pa.Table) -> dict[str, Trial]:
    """The job's trials by the ids of their rows; a row of an earlier version is found by its settings."""
    planned = {trial.id: trial for trial in job.trials}
    if not rows.num_rows:  # nor any column, where there is no file
        return planned
    others = rows.filter([trial_id not in planned for trial_id in rows["trial_id"].to_pylist()]).to_pylist()
    earlier = {str(row["trial_id"]): planned.get(current_id(row) or "") for row in others}
    return planned | {trial_id: trial for trial_id, trial in earlier.items() if trial}


def _axes(raw: dict[str, Any]) -> tuple[Axis, ...] | None:
    """The axes of the grid; None where it is none that can be read, or larger than any that is looked at."""
    grid = raw.get("grid")
    if not grid:
        return ()
    if not isinstance(grid, dict) or len(grid) > _MOST_AXES:
        return None
    try:
        axes = read_axes(grid, JOB_KEY)
        return axes if all(map(grid_columns, axes)) else None
    except (SettingsError, AttributeError, TypeError):  # names that are no text
        return None


def _is_read(raw: dict[str, Any], axes: Sequence[Axis] | None) -> bool:
    """Whether a file's content is to be read as a job: it may be none of this version's, or too large to look at."""
    return bool(raw) and axes is not None and math.prod(len(axis.entries) for axis in axes) <= _MOST_CELLS


@lru_cache(maxsize=1)  # a page that is kept up to date reads the same file each time: of 10,000 trials that takes 4 s
def _job(text: str, source: str) -> Job | None:
    """The job of a file; None where it is none of this version's."""
    raw = parse_yaml(text, JOB_KEY)
    assert isinstance(raw, dict)
    try:
        return make_job({key: value for key, value in raw.items() if key != "provenance"}, source, stored=True)
    except OrchError:
        return None


def _with_proposals(job: Job, store: Store, left_out: list[str]) -> Job:
    """A search with the trials that it has proposed; without them where their file is damaged."""
    try:
        return with_proposals(job, store)
    except StorageUnavailable:
        raise
    except StorageError as error:
        left_out.append(f"{error}.")
        return job


def _trials(rows: pa.Table) -> pd.DataFrame:
    trials = _with_errors(whole(rows.to_pandas(), TRIALS))
    trials = trials[trials["trial_id"].notna()].sort_values("ended_at", kind="stable", na_position="first")
    trials = trials.drop_duplicates("trial_id", keep="last").reset_index(drop=True)
    for column in [name for name in trials.columns if "." in name]:
        trials[column] = pd.Series([plain(value) for value in trials[column].tolist()], dtype=object)
    return trials.copy()  # in one piece: a frame of so many pieces is slow, and pandas says so each time


def _latest(trials: pa.Table) -> pa.Table:
    """Without the rows of earlier spec versions whose trials have been trained again since."""
    versions = trials["spec_version"].to_pylist() if "spec_version" in trials.column_names else []
    if len(set(versions)) < 2:
        return trials
    latest: dict[str, tuple[int, int]] = {}
    for place, row in enumerate(trials.to_pylist()):
        today = current_id(row) or str(row["trial_id"])
        latest[today] = max(latest.get(today, (-1, place)), (row["spec_version"] or 0, place))
    return trials.take(sorted(place for _, place in latest.values()))


def _metrics(store: Store, left_out: list[str]) -> pd.DataFrame:
    table = _read(store, "metrics", left_out, [column.name for column in MEASURED])
    metrics = _with_errors(whole(table.to_pandas(), MEASURED))
    metrics = metrics[metrics["trial_id"].notna() & metrics["step"].notna()]
    steps = metrics["step"].between(0, _LAST_STEP)
    if not steps.all():
        left_out.append(f"Rows of metrics/ with a step that is none were left out: {int((~steps).sum())}.")
    metrics = metrics[steps].drop_duplicates(["trial_id", "step"], keep="last").sort_values(["trial_id", "step"])
    return metrics.reset_index(drop=True)


def _evaluated(store: Store, kind: type[Evaluation], left_out: list[str]) -> pd.DataFrame:
    folder = _folder(kind)
    if not parquet_keys(store, folder):
        return _unevaluated(kind).copy()
    return _evaluation_rows(kind, _read(store, folder, left_out), left_out)


@cache  # most studies have one or two of the kinds
def _unevaluated(kind: type[Evaluation]) -> pd.DataFrame:
    return _evaluation_rows(kind, declared(_folder(kind)).empty_table(), [])


def _folder(kind: type[Evaluation]) -> str:
    return f"{FOLDER}/{kind.model_fields['kind'].default}"


def _evaluation_rows(kind: type[Evaluation], table: pa.Table, left_out: list[str]) -> pd.DataFrame:
    rows = whole(table.to_pandas(), [column for column in evaluation_columns(kind) if "." not in column.name])
    rows = rows[rows["trial_id"].notna() & rows["evaluation_id"].notna()]
    read, ids = len(rows), ["trial_id", "evaluation_id"]
    rows = rows.dropna(subset=kind.keys).drop_duplicates([*ids, *kind.keys, *kind.keys_or_null], keep="last")
    if read > len(rows):
        keys = f" or lack {' or '.join(kind.keys)}" if kind.keys else ""
        left_out.append(f"Rows of {_folder(kind)} that are there twice{keys} were left out: {read - len(rows)}.")
    # Where settings of two evaluations are equal, as after a new version of a kind, the later one counts.
    rows = rows.sort_values("evaluated_at", kind="stable", na_position="first").reset_index(drop=True)
    first = rows.drop_duplicates("evaluation_id")
    for column in [name for name in rows.columns if "." in name]:
        settings = dict(zip(first["evaluation_id"], map(plain, first[column].tolist()), strict=True))
        rows[column] = pd.Series([settings[one] for one in rows["evaluation_id"]], dtype=object)
    return rows


def _tables(store: Store) -> dict[str, dict[str, list[str]]]:
    """Files of the further tables of every kind, by folder and trial."""
    folders = {f"{name}_{table}" for name, kind in KINDS.items() for table in kind.tables}
    files: dict[str, dict[str, list[str]]] = {}
    for key in parquet_keys(store, FOLDER):
        _, folder, *_, name = key.split("/")
        if folder in folders:
            files.setdefault(folder, {}).setdefault(name.split("-")[0], []).append(key)
    return files


def _read(store: Store, folder: str, left_out: list[str], columns: Sequence[str] | None = None) -> pa.Table:
    """The table below ``folder``; ``left_out`` gets a sentence on its files that are none of results."""
    reading = read_table(store, folder, columns, declared(folder))
    if notice := left_out_notice(reading.left_out):
        left_out.append(notice)
    return reading.table


def _with_errors(frame: pd.DataFrame) -> pd.DataFrame:
    """An autoencoder's scores are errors, and have no probability."""
    autoencoder = frame["d_real_probability"].isna() & frame["d_fake_probability"].isna()
    return frame.assign(
        d_real_error=frame["d_real"].where(autoencoder), d_fake_error=frame["d_fake"].where(autoencoder)
    )


def _job_file(store: Store, left_out: list[str]) -> tuple[str, dict[str, Any]]:
    try:
        text = store.read(JOB_KEY, JOB_BYTES).decode("utf-8", "replace")
        job = parse_yaml(text, JOB_KEY)
    except StorageUnavailable:
        raise
    except NotFoundError:
        return "", {}
    except StorageError as error:
        left_out.append(f"{error}.")
        return "", {}
    except SettingsError as error:
        left_out.append(f"{error}.")
        return text, {}
    return text, job if isinstance(job, dict) else {}

"""All that the report knows of a job, read once from its storage."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa

from orchestrator.errors import NotFoundError, SettingsError, StorageError, StorageUnavailable
from orchestrator.evaluations import KINDS
from orchestrator.evaluations.evaluation import FOLDER
from orchestrator.objectives import FAMILIES
from orchestrator.report.axes import link
from orchestrator.spec.columns import declared, evaluation_columns
from orchestrator.spec.identity import IDLE
from orchestrator.spec.recorded import current_id
from orchestrator.spec.yaml_file import dump_yaml, parse_yaml
from orchestrator.state.files import JOB_BYTES, JOB_KEY
from orchestrator.store.columns import METRICS, TRIALS, Column
from orchestrator.store.snapshot import Snapshot
from orchestrator.store.tables import left_out_notice, parquet_keys, read_files, read_table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.evaluations import Evaluation
    from orchestrator.spec.job import Job
    from orchestrator.store.location import Store

OBJECTIVE = "objective.kind"
D_STEPS = "training.d_steps"

ENDED = ("finished", "saturated", "collapsed", "diverged")
"""Statuses of trials that ran as they were told to, to their last epoch or to the sign that was to end them."""

MEASURED = tuple(column for column in METRICS if column.name not in ("health", "images_per_second", "elapsed_s"))
"""What the report tells of the rows of metrics/."""

_LAST_STEP = 2**53
"""Beyond it no float tells steps apart."""
_MOST_CELLS = 10**9

_SAMPLE = re.compile(r"samples/(?P<trial>[^/]+)/(?P<kind>epoch|autoencoder)-(?P<epoch>\d{1,9})\.png")


@dataclass(frozen=True)
class Results:
    """A job's results.

    ``trials`` has one row a trial, every column of TRIALS, and the settings as dotted columns of plain Python
    values (None where a kind has no such setting), with those of ``axes.link``. ``metrics`` has the columns
    of MEASURED, by trial and step. Both have ``d_real_error`` and ``d_fake_error``: what ``d_real`` and ``d_fake`` are
    where the discriminator is an autoencoder. ``evaluations`` leads from every kind to the rows of its first table,
    with every column of the kind, ids and settings of the evaluation as in ``trials``; empty without any. ``tables``
    leads from the folder of a kind's further table and a trial id to the files that ``further`` reads.
    ``samples`` leads from trial id and epoch to the key of a picture, ``autoencoders`` to that of images before and
    after the autoencoder that judges them. ``job`` is empty when ``job.yaml`` is missing or no mapping; ``job_text`` is
    the file as it stands. ``left_out`` has a sentence on the files, and on the rows, that are no results.
    """

    store: Store
    job_text: str
    job: dict[str, Any]
    trials: pd.DataFrame
    metrics: pd.DataFrame
    evaluations: dict[str, pd.DataFrame]
    tables: dict[str, dict[str, list[str]]]
    samples: dict[str, dict[int, str]]
    autoencoders: dict[str, dict[int, str]]
    left_out: tuple[str, ...] = ()

    @property
    def settings(self) -> list[str]:
        """Names of the dotted columns."""
        return [column for column in self.trials.columns if "." in column]

    def evaluated(self, kind: str) -> pd.DataFrame:
        """The rows of a kind of evaluation, each with its trial's settings, status and steps at which it froze."""
        columns = ["status", *self.settings, *(f"{sign}_at" for sign in ENDED[1:])]
        rows = self.evaluations[kind]
        own = [column for column in rows.columns if column not in columns]
        return rows[own].merge(self.trials[["trial_id", *columns]], on="trial_id")

    def further(self, kind: str, table: str, trial_id: str) -> pd.DataFrame:
        """The rows of one trial in a further table of a kind, with its columns and ids but no settings.

        Of one trial, and read when asked for: those of a whole study may be many millions.
        """
        own = [column for column in evaluation_columns(KINDS[kind], table) if "." not in column.name]
        keys = self.tables.get(f"{kind}_{table}", {}).get(trial_id, [])
        return _whole(
            read_files(
                self.store, keys, [column.name for column in own], declared(f"{FOLDER}/{kind}_{table}")
            ).table.to_pandas(),
            own,
        )


def load(store: Store, asked: Job | None = None) -> Results:
    """Read the results below ``store``, of the job that lies there or of ``asked`` in its place.

    Raises NotFoundError when there is neither a trial nor a measurement.
    """
    store = Snapshot(store)
    left_out: list[str] = []
    trials, metrics = _trials(store, left_out), _metrics(store, left_out)
    if trials.empty and metrics.empty:
        why = " ".join(left_out) or "run 'orch submit' first"
        raise NotFoundError(f"{store.uri}: no results yet, so there is nothing to report; {why}")
    text, job = _job(store, left_out) if asked is None else _written(asked)
    pictures: dict[str, dict[str, dict[int, str]]] = {"epoch": {}, "autoencoder": {}}
    for key in store.keys("samples"):
        if match := _SAMPLE.fullmatch(key):
            pictures[match["kind"]].setdefault(match["trial"], {})[int(match["epoch"])] = key
    evaluations = {name: _evaluated(store, kind, left_out) for name, kind in KINDS.items()}
    linked = link(trials, job)
    tables = _tables(store)
    samples, autoencoders = pictures.values()
    return Results(store, text, job, linked, metrics, evaluations, tables, samples, autoencoders, tuple(left_out))


def adversarial(trials: pd.DataFrame) -> pd.Series[bool]:
    """Whether each trial trains against a discriminator of images; one of a kind that is unknown here counts so."""
    kinds = trials[OBJECTIVE] if OBJECTIVE in trials else pd.Series(None, index=trials.index, dtype=object)
    return kinds.map(lambda kind: FAMILIES.get(kind, "adversarial") == "adversarial").astype(bool)


def cells(job: dict[str, Any]) -> int | None:
    """How many cells the grid has; None when the job file does not say, or says what no grid has."""
    grid = job.get("grid")
    if not isinstance(grid, dict) or not all(isinstance(values, list) for values in grid.values()):
        return None
    count = math.prod(_distinct(str(name), values) for name, values in grid.items())
    return count if count <= _MOST_CELLS else None


def _distinct(axis: str, values: Sequence[Any]) -> int:
    """Entries of an axis that differ in more than settings which change no result."""
    entries = [value if isinstance(value, dict) else {axis: value} for value in values]
    return len({_frozen({path: value for path, value in entry.items() if path not in IDLE}) for entry in entries})


def _frozen(value: Any) -> Any:
    """A value of a job file that can be hashed, equal where the value is."""
    if isinstance(value, dict):
        return frozenset((path, _frozen(own)) for path, own in value.items())
    return tuple(map(_frozen, value)) if isinstance(value, list) else value


def _trials(store: Store, left_out: list[str]) -> pd.DataFrame:
    trials = _with_errors(_whole(_latest(_read(store, "trials", left_out)).to_pandas(), TRIALS))
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
    metrics = _with_errors(_whole(table.to_pandas(), MEASURED))
    metrics = metrics[metrics["trial_id"].notna() & metrics["step"].notna()]
    steps = metrics["step"].between(0, _LAST_STEP)
    if not steps.all():
        left_out.append(f"Rows of metrics/ with a step that is none were left out: {int((~steps).sum())}.")
    metrics = metrics[steps].drop_duplicates(["trial_id", "step"], keep="last").sort_values(["trial_id", "step"])
    return metrics.reset_index(drop=True)


def _evaluated(store: Store, kind: type[Evaluation], left_out: list[str]) -> pd.DataFrame:
    fixed = [column for column in evaluation_columns(kind) if "." not in column.name]
    rows = _whole(_read(store, f"{FOLDER}/{kind.model_fields['kind'].default}", left_out).to_pandas(), fixed)
    rows = rows[rows["trial_id"].notna() & rows["evaluation_id"].notna()]
    read, ids = len(rows), ["trial_id", "evaluation_id"]
    rows = rows.dropna(subset=kind.keys).drop_duplicates([*ids, *kind.keys, *kind.keys_or_null], keep="last")
    if read > len(rows):
        folder = f"{FOLDER}/{kind.model_fields['kind'].default}"
        keys = f" or lack {' or '.join(kind.keys)}" if kind.keys else ""
        left_out.append(f"Rows of {folder} that are there twice{keys} were left out: {read - len(rows)}.")
    # Where settings of two evaluations are equal, as after a new version of a kind, the later one counts.
    rows = rows.sort_values("evaluated_at", kind="stable", na_position="first").reset_index(drop=True)
    first = rows.drop_duplicates("evaluation_id")
    for column in [name for name in rows.columns if "." in name]:
        told = dict(zip(first["evaluation_id"], map(plain, first[column].tolist()), strict=True))
        rows[column] = pd.Series([told[own] for own in rows["evaluation_id"]], dtype=object)
    return rows


def _tables(store: Store) -> dict[str, dict[str, list[str]]]:
    """Files of the further tables of every kind, by folder and trial."""
    folders = {f"{name}_{table}" for name, kind in KINDS.items() for table in kind.tables}
    found: dict[str, dict[str, list[str]]] = {}
    for key in parquet_keys(store, FOLDER):
        _, folder, *_, name = key.split("/")
        if folder in folders:
            found.setdefault(folder, {}).setdefault(name.split("-")[0], []).append(key)
    return found


def _read(store: Store, folder: str, left_out: list[str], columns: Sequence[str] | None = None) -> pa.Table:
    """The table below ``folder``; ``left_out`` gets a sentence on its files that are none of results."""
    reading = read_table(store, folder, columns, declared(folder))
    if notice := left_out_notice(reading.left_out):
        left_out.append(notice)
    return reading.table


def _whole(frame: pd.DataFrame, columns: Sequence[Column]) -> pd.DataFrame:
    """``frame`` with every one of ``columns``; one that its files lack, or have nothing in, is null."""
    lacking = [column for column in columns if column.name not in frame or frame[column.name].isna().all()]
    return frame.assign(**{column.name: _nulls(column, frame.index) for column in lacking})


def _nulls(column: Column, index: pd.Index[Any]) -> pd.Series[Any]:
    if pa.types.is_timestamp(column.dtype):
        return pd.Series(pd.NaT, index=index, dtype="datetime64[us, UTC]")
    number = pa.types.is_integer(column.dtype) or pa.types.is_floating(column.dtype)
    return pd.Series(np.nan, index=index, dtype=float) if number else pd.Series(None, index=index, dtype=object)


def _with_errors(frame: pd.DataFrame) -> pd.DataFrame:
    """An autoencoder's scores are errors, and have no probability."""
    autoencoder = frame["d_real_probability"].isna() & frame["d_fake_probability"].isna()
    return frame.assign(
        d_real_error=frame["d_real"].where(autoencoder), d_fake_error=frame["d_fake"].where(autoencoder)
    )


def plain(value: Any) -> Any:
    """A setting as a value that can be compared and hashed: None for NaN, text for a list or mapping."""
    if isinstance(value, float) and math.isnan(value):
        return None
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _written(job: Job) -> tuple[str, dict[str, Any]]:
    raw = job.resolved()
    return dump_yaml(raw), raw


def _job(store: Store, left_out: list[str]) -> tuple[str, dict[str, Any]]:
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

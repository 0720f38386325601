"""All that the report knows of a job, read once from its storage."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
import yaml

from orchestrator.errors import NotFoundError
from orchestrator.store.columns import METRICS, TRIALS, Column
from orchestrator.store.tables import read_table

if TYPE_CHECKING:
    from orchestrator.store.location import Store

SEED = "training.seed"
OBJECTIVE = "objective.kind"
D_STEPS = "training.d_steps"

_SAMPLE = re.compile(r"samples/(?P<trial>[^/]+)/epoch-(?P<epoch>\d{1,9})\.png")


@dataclass(frozen=True)
class Results:
    """A job's results.

    ``trials`` has one row a trial, every column of TRIALS, and the settings as dotted columns of plain Python
    values (None where a kind has no such setting). ``metrics`` has every column of METRICS, by trial and step.
    ``samples`` leads from trial id and epoch to the key of a picture. ``job`` is empty when ``job.yaml`` is
    missing or no mapping; ``job_text`` is the file as it stands.
    """

    uri: str
    job_text: str
    job: dict[str, Any]
    trials: pd.DataFrame
    metrics: pd.DataFrame
    samples: dict[str, dict[int, str]]

    @property
    def settings(self) -> list[str]:
        """Names of the dotted columns."""
        return [column for column in self.trials.columns if "." in column]


def load(store: Store) -> Results:
    """Read the job below ``store``; NotFoundError when it has neither a trial nor a measurement."""
    trials, metrics = _trials(store), _metrics(store)
    if trials.empty and metrics.empty:
        raise NotFoundError(f"{store.uri}: no results yet, so there is nothing to report; run 'orch submit' first")
    text, job = _job(store)
    samples: dict[str, dict[int, str]] = {}
    for key in store.keys("samples"):
        if match := _SAMPLE.fullmatch(key):
            samples.setdefault(match["trial"], {})[int(match["epoch"])] = key
    return Results(store.uri, text, job, trials, metrics, samples)


def grid_axes(job: dict[str, Any]) -> list[list[str]]:
    """The dotted paths that each axis of the grid may set; several where its values go together."""
    grid = job.get("grid")
    axes = []
    for name, values in (grid if isinstance(grid, dict) else {}).items():
        linked = [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []
        keys = [str(key) for value in linked for key in value]
        axes.append(list(dict.fromkeys([str(name), *keys, *(f"{name}.{key}" for key in keys)])))
    return axes


def cells(job: dict[str, Any]) -> int | None:
    """How many cells the grid has; None when the job file does not say."""
    grid = job.get("grid")
    if not isinstance(grid, dict) or not all(isinstance(values, list) for values in grid.values()):
        return None
    return math.prod(len(values) for values in grid.values())


def _trials(store: Store) -> pd.DataFrame:
    trials = _frame(store, "trials", TRIALS)
    trials = trials[trials["trial_id"].notna()].sort_values("ended_at", kind="stable", na_position="first")
    trials = trials.drop_duplicates("trial_id", keep="last").reset_index(drop=True)
    for column in [name for name in trials.columns if "." in name]:
        trials[column] = pd.Series([plain(value) for value in trials[column].tolist()], dtype=object)
    return trials


def _metrics(store: Store) -> pd.DataFrame:
    metrics = _frame(store, "metrics", METRICS)
    metrics = metrics[metrics["trial_id"].notna() & metrics["step"].notna()]
    metrics = metrics.drop_duplicates(["trial_id", "step"], keep="last").sort_values(["trial_id", "step"])
    return metrics.reset_index(drop=True)


def _frame(store: Store, folder: str, columns: tuple[Column, ...]) -> pd.DataFrame:
    """The table below ``folder`` with every fixed column, of its type, in its place."""
    frame: pd.DataFrame = read_table(store, folder).to_pandas()
    for column in columns:
        if column.name not in frame:
            frame[column.name] = pd.Series(pd.NA, index=frame.index, dtype=column.dtype.to_pandas_dtype())
    return frame


def plain(value: Any) -> Any:
    """A setting as a value that can be compared and hashed: None for NaN, text for a list or mapping."""
    if isinstance(value, float) and math.isnan(value):
        return None
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


def _job(store: Store) -> tuple[str, dict[str, Any]]:
    try:
        text = store.read("job.yaml").decode("utf-8", "replace")
    except NotFoundError:
        return "", {}
    try:
        job = yaml.safe_load(text)
    except yaml.YAMLError:
        return text, {}
    return text, {str(key): value for key, value in job.items()} if isinstance(job, dict) else {}

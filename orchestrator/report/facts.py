"""What was run, in a few lines; and the table of trials, cell by cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from orchestrator.durations import duration
from orchestrator.report import text
from orchestrator.report.health import fate
from orchestrator.report.results import ENDED, Results, cells
from orchestrator.report.tables import levels
from orchestrator.spec.identity import SPEC_VERSION
from orchestrator.state.stored import notice_of
from orchestrator.store.columns import TRIALS
from orchestrator.store.tables import foreign_notice

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

MEASURES = {
    "froze": "froze",
    "d_loss": "D loss",
    "g_loss": "G loss",
    "d_real_probability": "D(real)",
    "d_fake_probability": "D(fake)",
    "d_real_error": "error on real",
    "d_fake_error": "error on generated",
    "g_score_gradient": "|∂L_G/∂F|",
    "g_image_gradient": "gradient in an image",
    "g_grad_norm": "G gradient norm",
    "d_penalty": "penalty",
    "k": "k",
    "loss_ratio": "loss ratio",
    "m_global": "M_global",
    "reconstruction": "reconstruction error",
    "bits_per_dimension": "bits/dim",
    "latent_penalty": "latent penalty",
    "latent_ks": "codes' KS distance",
    "fid": "FID",
    "modes": "modes",
    "class_kl": "class KL",
    "diversity": "diversity",
    "epoch": "epochs",
    "images_per_second": "images/s",
    "train_s": "training, s",
}
"""Measures of the trials table in its order, of which those that some trial has are shown; the rest is in details."""

STATUSES = (*ENDED, "stopped", "failed")
_SHOWN_VALUES = 12
_ERROR_LENGTH = 1500


@dataclass(frozen=True)
class Cell:
    """One cell of the trials table: what is read, and the unrounded value that it is sorted by."""

    shown: str
    value: str
    numeric: bool


@dataclass(frozen=True)
class Head:
    """A column of the trials table; numeric when a cell of it is."""

    name: str
    numeric: bool


@dataclass(frozen=True)
class Row:
    """One trial; ``details`` are all its settings and facts, as name and value."""

    trial_id: str
    status: str
    error: str
    cells: tuple[Cell, ...]
    details: tuple[tuple[str, str], ...]


def short_id(trial_id: str) -> str:
    """The first characters of a trial id, enough to tell trials of one job apart."""
    return trial_id[:8]


def summary(results: Results, varying: Sequence[str], names: Mapping[str, str]) -> list[tuple[str, str]]:
    """What was run, as name and value."""
    trials = results.trials
    facts = [("Trials", statuses(trials))]
    if varying:
        facts.append(("Varied", "; ".join(_varied(results, column, names) for column in varying)))
    facts += [("Data", _section(results, "data", "name")), ("Model", _section(results, "model", "kind"))]
    facts.append(("Devices", _counted(trials["device"])))
    if trials["train_s"].notna().any():
        facts.append(("Training time", f"{duration(float(trials['train_s'].sum()))}, all trials together"))
    facts.append(("When", _when(trials)))
    return [(name, value) for name, value in facts if value]


def statuses(trials: pd.DataFrame) -> str:
    """``27 (26 finished, 1 failed)``."""
    counts = trials["status"].value_counts()
    known = [status for status in STATUSES if status in counts]
    others = sorted(set(counts.index) - set(known))
    parts = [f"{counts[status]} {text.excerpt(str(status))}" for status in [*known, *others[:_SHOWN_VALUES]]]
    return f"{len(trials)} ({', '.join(parts)})" if parts else "none has ended yet"


def provenance(results: Results) -> list[tuple[str, str]]:
    """Versions and commits of the trials' own rows, then what the job file adds."""
    rows = [
        ("orch", _distinct(results.trials["orch_version"])),
        ("torch", _distinct(results.trials["torch_version"])),
        ("git commit", _distinct(results.trials["git_commit"])),
        ("spec version", _distinct(results.trials["spec_version"])),
    ]
    own = results.job.get("provenance")
    known = {value for _, value in rows}
    for name, value in _flat(own if isinstance(own, dict) else {}):
        if value not in known:
            rows.append((f"job file: {text.excerpt(name)}", text.excerpt(value)))
    return [(name, value) for name, value in rows if value]


def notices(results: Results) -> list[str]:
    """What a reader has to know before reading on: what is missing, what failed."""
    trials, told = results.trials, []
    asked = cells(results.job)
    if asked is not None and len(trials) < asked:
        told.append(f"The grid has {text.plural(asked, 'cell')}; {text.plural(len(trials), 'trial')} ended so far.")
    told += results.left_out
    if not results.job:
        told.append("job.yaml is missing or unreadable, so the grid and the description are unknown.")
    if not trials["status"].isin(ENDED).any():
        told.append("No trial has finished.")
    running = set(results.metrics["trial_id"]) - set(trials["trial_id"])
    if running:
        told.append(f"{text.plural(len(running), 'trial')} with measurements but no result yet: not shown.")
    failed = trials[trials["status"] == "failed"]
    if len(failed):
        kinds = _counted(failed["error_kind"])
        told.append(f"{text.plural(len(failed), 'trial')} failed{f' ({kinds})' if kinds else ''}.")
    versions = trials["spec_version"].fillna(0).astype(int)
    told += notice_of(versions[versions != SPEC_VERSION].tolist())
    if foreign := foreign_notice(results.store):
        told.append(foreign)
    return told


def shown_measures(trials: pd.DataFrame) -> list[str]:
    """The columns of MEASURES that some trial has."""
    froze = any(fate(trial) for trial in trials.to_dict("records"))
    return [column for column in MEASURES if (froze if column == "froze" else trials[column].notna().any())]


def trial_rows(results: Results, varying: Sequence[str], *, detailed: bool = True) -> list[Row]:
    """The trials in the order of their varying settings, seed last.

    Not ``detailed`` they have no details, and cells are sorted by what is read: of thousands of trials these were most
    of a page.
    """
    measures = shown_measures(results.trials)
    order = {column: _places(results, column) for column in varying}
    records: list[dict[str, Any]] = [
        {"froze": fate(record) or None} | {str(column): value for column, value in record.items()}
        for record in results.trials.to_dict("records")
    ]
    records.sort(key=lambda record: [order[column][record[column]] for column in varying])
    return [_row(record, varying, measures, detailed=detailed) for record in records]


def _places(results: Results, column: str) -> dict[Any, int]:
    return {value: place for place, value in enumerate(levels(results.trials, column, results.job))}


def heads_of(rows: Sequence[Row], trials: pd.DataFrame, varying: Sequence[str], names: Mapping[str, str]) -> list[Head]:
    """The headings over the cells of ``rows``."""
    titles = [*(names[column] for column in varying), *(MEASURES[column] for column in shown_measures(trials))]
    return [Head(title, any(row.cells[place].numeric for row in rows)) for place, title in enumerate(titles)]


def _row(record: dict[str, Any], varying: Sequence[str], measures: Sequence[str], *, detailed: bool) -> Row:
    shown = [_cell(record[column], text.setting, detailed=detailed) for column in varying]
    shown += [_cell(record[column], text.number, detailed=detailed) for column in measures]
    error = "" if _native(record["error"]) is None else str(record["error"])
    if len(error) > _ERROR_LENGTH:
        error = f"{error[:_ERROR_LENGTH]} … ({len(error) - _ERROR_LENGTH} more characters in trials/)"
    return Row(
        str(record["trial_id"]),
        text.excerpt(str(record["status"])),
        error,
        tuple(shown),
        _details(record) if detailed else (),
    )


def _details(record: dict[str, Any]) -> tuple[tuple[str, str], ...]:
    fixed = [column.name for column in TRIALS if column.name not in ("trial_id", "status", "error")]
    dotted = [column for column in record if "." in column]
    details = [(column, text.number(_native(record[column]))) for column in fixed]
    details += [(column, text.setting(record[column])) for column in dotted if record[column] is not None]
    return tuple((name, value) for name, value in details if value != text.NOTHING)


def _cell(raw: Any, write: Any, *, detailed: bool) -> Cell:
    value = _native(raw)
    numeric = isinstance(value, int | float) and not isinstance(value, bool)
    shown = write(value)
    if numeric and not detailed and text.GROUPING not in shown:
        return Cell(shown, shown, numeric)
    return Cell(shown, "" if value is None else repr(value) if numeric else shown, numeric)


def _native(value: Any) -> Any:
    """A plain Python value; None for any kind of missing one; a time to the second."""
    if pd.isna(value):
        return None
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    return value.item() if hasattr(value, "item") else value


def _varied(results: Results, column: str, names: Mapping[str, str]) -> str:
    values = [text.setting(value) for value in levels(results.trials, column, results.job)]
    return f"{names[column]}: {', '.join(values[:_SHOWN_VALUES])}{text.more(len(values) - _SHOWN_VALUES)}"


def _section(results: Results, section: str, key: str) -> str:
    """What the trials say of a section's kind, else what the job file says."""
    column = f"{section}.{key}"
    if column in results.trials and len(results.trials):
        return _distinct(results.trials[column])
    own = results.job.get(section)
    return text.excerpt(str(own.get(key, ""))) if isinstance(own, dict) else ""


def _distinct(values: pd.Series[Any]) -> str:
    told = [text.excerpt(str(_native(value))) for value in values.dropna().unique()]
    return ", ".join(told[:_SHOWN_VALUES]) + text.more(len(told) - _SHOWN_VALUES)


def _counted(values: pd.Series[Any]) -> str:
    counts = values.value_counts()
    told = [(text.excerpt(str(name)), count) for name, count in counts.items()]
    if len(told) == 1:
        return told[0][0]
    return ", ".join(f"{name} ({count})" for name, count in told[:_SHOWN_VALUES]) + text.more(len(told) - _SHOWN_VALUES)


def _when(trials: pd.DataFrame) -> str:
    started, ended = trials["started_at"].min(), trials["ended_at"].max()
    if pd.isna(started) or pd.isna(ended):
        return ""
    same_day = started.date() == ended.date()
    return f"{started:%Y-%m-%d %H:%M} to {ended:{'%H:%M' if same_day else '%Y-%m-%d %H:%M'}} UTC"


def _flat(mapping: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for key, value in mapping.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key}.")
        elif value is not None:
            yield f"{prefix}{key}", str(value)

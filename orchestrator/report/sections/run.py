"""What was run, in a few lines, and what a reader has to know before reading on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from orchestrator import text
from orchestrator.durations import duration
from orchestrator.report.blocks import Code, Facts, Fold, Heading, Items, Section
from orchestrator.spec.identity import SPEC_VERSION
from orchestrator.state.ledger import Status
from orchestrator.state.stored import notice_of
from orchestrator.store.tables import foreign_notice
from orchestrator.study import ENDED, UNFINISHED

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from orchestrator.report.blocks import Block
    from orchestrator.study import Study

ORDER = 20
FOLLOWS = "metrics"
STATUSES = tuple(map(str, Status))
MOST_TEXT = 200_000
"""Characters of the job file that are shown."""
_SHOWN_VALUES = 12


def build(study: Study) -> Section:
    """Notices, facts, what levels of the grid's axes set, versions, and the job file."""
    blocks: list[Block] = []
    if warned := notices(study):
        blocks.append(Items(tuple(warned), "notices"))
    blocks.append(Facts(tuple(summary(study))))
    blocks += [
        Fold(f"What the levels of {axis} set", (Facts(tuple(levels), "levels"),)) for axis, levels in study.meanings
    ]
    if versions := provenance(study):
        blocks += [Heading("Provenance"), Facts(tuple(versions), "facts small")]
    if study.job_text:
        blocks.append(Fold("The resolved job file, job.yaml", (Code(text.excerpt(study.job_text, MOST_TEXT)),)))
    return Section("run", "What was run", "What was run", tuple(blocks))


def summary(study: Study) -> list[tuple[str, str]]:
    """What was run, as name and value."""
    trials = study.trials
    facts = [("Trials", statuses(trials))]
    if study.varying:
        facts.append(("Varied", "; ".join(_varied(study, column) for column in study.varying)))
    facts += [("Data", _section(study, "data", "name")), ("Model", _section(study, "model", "kind"))]
    facts.append(("Devices", _counted(_devices(trials))))
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


def provenance(study: Study) -> list[tuple[str, str]]:
    """Versions and commits of the trials' own rows, then what the job file adds."""
    rows = [
        ("orch", _distinct(study.trials["orch_version"])),
        ("torch", _distinct(study.trials["torch_version"])),
        ("git commit", _distinct(study.trials["git_commit"])),
        ("spec version", _distinct(study.trials["spec_version"])),
    ]
    stated = study.raw.get("provenance")
    known = {value for _, value in rows}
    for name, value in _flat(stated if isinstance(stated, dict) else {}):
        if value not in known:
            rows.append((f"job file: {text.excerpt(name)}", text.excerpt(value)))
    return [(name, value) for name, value in rows if value]


def notices(study: Study) -> list[str]:
    """What a reader has to know before reading on: what is missing, what failed."""
    trials, warned = study.trials, []
    asked = len(study.job.trials) if study.job else 0
    ended = int((~trials["status"].isin(UNFINISHED)).sum())
    if ended < asked:
        warned.append(f"The grid has {text.plural(asked, 'cell')}; {text.plural(ended, 'trial')} ended so far.")
    warned += study.left_out
    if not study.raw:
        warned.append("job.yaml is missing or unreadable, so the grid and the description are unknown.")
    if not trials["status"].isin(ENDED).any():
        warned.append("No trial has finished.")
    running = set(study.metrics["trial_id"]) - set(trials["trial_id"])
    if running:
        warned.append(f"{text.plural(len(running), 'trial')} with measurements but no result yet: not shown.")
    failed = trials[trials["status"] == "failed"]
    if len(failed):
        kinds = _counted(failed["error_kind"])
        warned.append(f"{text.plural(len(failed), 'trial')} failed{f' ({kinds})' if kinds else ''}.")
    versions = trials["spec_version"].fillna(0).astype(int)
    warned += notice_of(versions[versions != SPEC_VERSION].tolist())
    if foreign := foreign_notice(study.store):
        warned.append(foreign)
    return list(dict.fromkeys(warned))


def _varied(study: Study, column: str) -> str:
    values = [text.setting(value) for value in study.levels(column)]
    return f"{study.name(column)}: {', '.join(values[:_SHOWN_VALUES])}{text.more(len(values) - _SHOWN_VALUES)}"


def _section(study: Study, section: str, key: str) -> str:
    """What the trials say of a section's kind, else what the job file says."""
    column = f"{section}.{key}"
    if column in study.trials and len(study.trials):
        return _distinct(study.trials[column])
    stated = study.raw.get(section)
    return text.excerpt(str(stated.get(key, ""))) if isinstance(stated, dict) else ""


def _distinct(values: pd.Series[Any]) -> str:
    known = [text.excerpt(str(value)) for value in values.dropna().unique().tolist()]
    return ", ".join(known[:_SHOWN_VALUES]) + text.more(len(known) - _SHOWN_VALUES)


def _devices(trials: pd.DataFrame) -> pd.Series[Any]:
    """``cuda: NVIDIA H100 80GB HBM3``; the kind alone where the model is not known, as in rows of earlier versions."""
    pairs = zip(trials["device"], trials["device_model"], strict=True)
    named = [kind if pd.isna(kind) or pd.isna(model) else f"{kind}: {model}" for kind, model in pairs]
    return pd.Series(named, index=trials.index, dtype=object)


def _counted(values: pd.Series[Any]) -> str:
    counts = [(text.excerpt(str(name)), count) for name, count in values.value_counts().items()]
    if len(counts) == 1:
        return counts[0][0]
    shown = ", ".join(f"{name} ({count})" for name, count in counts[:_SHOWN_VALUES])
    return shown + text.more(len(counts) - _SHOWN_VALUES)


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

"""The table of trials, and why trials failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from markupsafe import Markup

from orchestrator import text
from orchestrator.report.blocks import Cell, Facts, Head, Heading, Items, Row, Section, Table, Text
from orchestrator.report.sections.run import STATUSES
from orchestrator.store.columns import TRIALS
from orchestrator.study import COLUMNS
from orchestrator.study.best import natural_best
from orchestrator.study.study import conditions

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from orchestrator.report.blocks import Block
    from orchestrator.study import Study
    from orchestrator.study.best import Best

ORDER = 130
FOLLOWS = "metrics"
MEASURES = (
    "saturated_at", "collapsed_at", "diverged_at", "d_loss", "g_loss", "d_real_probability", "d_fake_probability",
    "d_real_error", "d_fake_error", "g_score_gradient", "g_image_gradient", "g_grad_norm", "d_penalty", "k",
    "loss_ratio", "m_global", "reconstruction", "bits_per_dimension", "latent_penalty", "latent_ks", "fid", "modes",
    "class_kl", "diversity", "epoch", "images_per_second", "train_s",
)  # fmt: skip
"""Measures in the table's order, of which those that some trial has are shown; the rest is in details."""

DETAILED = 1000
"""Trials up to which each row has all settings and facts of its trial in it."""
MOST_TRIAL_ROWS = 6000
FAILURES_SHOWN = 20
_ERROR_LENGTH = 1500
_PROBABILITIES = ("d_real_probability", "d_fake_probability")
_SAMPLED = ("fid", "modes", "class_kl", "diversity")


def build(study: Study) -> Section:
    """The trials in the order of their settings, with all that was measured of each."""
    if study.trials.empty:
        return Section("trials", "Trials", "Trials", (Text("No trial has ended yet.", "missing"),))
    table = trial_table(study, detailed=len(study.trials) <= DETAILED)
    blocks: list[Block] = [*_failures(study), Text(_note(study), "notes", "trials-note"), table]
    return Section("trials", "Trials", "Trials", tuple(blocks))


def short_id(trial_id: str) -> str:
    """The first characters of a trial id, enough to tell trials of one job apart."""
    return trial_id[:8]


def linked(study: Study) -> Collection[str]:
    """The trials that have a row to lead to."""
    return set(_best_first(study)["trial_id"][:MOST_TRIAL_ROWS])


def shown_measures(trials: pd.DataFrame) -> list[str]:
    """The columns of MEASURES that some trial has."""
    return [column for column in MEASURES if trials[column].notna().any()]


def _best_first(study: Study) -> pd.DataFrame:
    """The trials in the order of their settings, but for the best one, which is the first."""
    best = natural_best(study)
    if best is None:
        return study.trials
    return study.trials.loc[(study.trials["trial_id"] != best.trial_id).sort_values(kind="stable").index]


def trial_table(study: Study, *, detailed: bool = True) -> Table:
    """A row for each trial.

    Not ``detailed`` they have no details, and cells are sorted by what is read: of thousands of trials these were most
    of a page.
    """
    measures = shown_measures(study.trials)
    columns = [*study.varying, *measures]
    records = [{str(name): value for name, value in row.items()} for row in _best_first(study).to_dict("records")]
    cells = [_cells(row, study.varying, measures, detailed=detailed) for row in records]
    numeric = [any(isinstance(row[column], int | float) and not isinstance(row[column], bool)
                   and row[column] == row[column] for row in records) for column in columns]  # fmt: skip
    names = [*map(study.name, study.varying), *(COLUMNS[column].heading for column in measures)]
    heads = [Head("trial"), Head("status"), *(Head(*one) for one in zip(names, numeric, strict=True))]
    plain = "" if detailed else "word"
    best = natural_best(study)
    looks = ["num" if one and detailed else "" if one else plain for one in numeric]
    rows = [
        Row(
            (_name(row["trial_id"], best), _status(row),
             *(Cell(words, value, look=look) for (words, value), look in zip(cells_of_row, looks, strict=True)),
             *([_details(row)] if detailed else [])),
            f"trial-{row['trial_id']}",
            "failed" if row["status"] == "failed" else "",
        )
        for row, cells_of_row in zip(records, cells, strict=True)
    ]  # fmt: skip
    heads += [Head("settings")] if detailed else []
    look = "trials" if detailed else "trials many"
    return Table("Trials", tuple(heads), tuple(rows), "trials-note", look, sortable=True, most=MOST_TRIAL_ROWS)


def _name(trial_id: str, best: Best | None) -> Cell:
    """The trial's short id, and of the best one by which measure it is that."""
    small = (f"best {COLUMNS[best.measure].heading}",) if best and best.trial_id == trial_id else ()
    return Cell(Markup("<code>{}</code>").format(short_id(trial_id)), small=small)


def _failures(study: Study) -> list[Block]:
    failed = study.trials[study.trials["status"] == "failed"].to_dict("records")
    if not failed:
        return []
    items = [
        Markup('<a href="#trial-{}">{}</a> {}: <span class="error">{}</span>').format(
            row["trial_id"],
            short_id(row["trial_id"]),
            study.describe({column: row[column] for column in study.varying}),
            _error(row) or "no error was recorded",
        )
        for row in failed[:FAILURES_SHOWN]
    ]
    if (more := len(failed) - FAILURES_SHOWN) > 0:
        items.append(Markup("and {} more, marked in the table").format(more))
    return [Heading("Failed trials"), Items(tuple(items), "failures")]


def _note(study: Study) -> str:
    measures = shown_measures(study.trials)
    shown = [COLUMNS[column].label for column in _PROBABILITIES if column in measures]
    meant = [f"{text.listing(shown)} {'are means' if len(shown) > 1 else 'is the mean'} of σ(score)"] if shown else []
    if "g_score_gradient" in measures:
        meant.append(f"{COLUMNS['g_score_gradient'].label} is the mean over images")
    note = f"One row a trial. Measures are means over its last epoch{': ' if meant else ''}{', '.join(meant)}"
    sampled = [COLUMNS[column].label for column in _SAMPLED if column in measures]
    if sampled:
        note += f"; {text.listing(sampled)} {'are the last ones' if len(sampled) > 1 else 'is the last one'} measured"
    if best := natural_best(study):
        heading = COLUMNS[best.measure].heading
        note += f". The trial with the best {heading} is the first, the others follow by their settings"
    note = Markup.escape(f"{note}. The button in a heading sorts by its column.")
    if len(study.trials) > DETAILED:
        all_settings = Markup(" All settings of each trial: <code>orch results {} --csv FILE</code>.")
        note += all_settings.format(text.excerpt(study.title) or "JOB")
    return note


def _status(row: dict[str, Any]) -> Cell:
    """The status, and of a trial that ran on beyond them the conditions that it met."""
    status = text.excerpt(str(row["status"]))
    met = [end for end, _ in conditions(row) if end != status]
    if not met or status not in STATUSES:
        return Cell(status, look=f"status {status}" if status in STATUSES else "")
    look = f"status {met[0]}" if status == "finished" else f"status {status}"
    return Cell(f"{status}, {', '.join(met)}", status, look=look)


def _cells(
    row: dict[str, Any], varying: Sequence[str], measures: Sequence[str], *, detailed: bool
) -> list[tuple[str, str]]:
    """What is read of each setting and measure, and the value that it is sorted by."""
    return [
        *(_cell(row[column], text.setting, detailed=detailed) for column in varying),
        *(_cell(row[column], text.number, detailed=detailed) for column in measures),
    ]


def _cell(raw: Any, write: Callable[[object], str], *, detailed: bool) -> tuple[str, str]:
    value = _native(raw)
    shown = write(value)
    if not isinstance(value, int | float) or isinstance(value, bool):
        return shown, "" if value is None else shown
    return shown, repr(value) if detailed or text.GROUPING in shown else shown


def _details(row: dict[str, Any]) -> Cell:
    """All settings and facts of a trial, behind a word."""
    facts = [("trial_id", str(row["trial_id"])), ("error", _error(row))]
    fixed = [column.name for column in TRIALS if column.name not in ("trial_id", "status", "error")]
    facts += [(column, text.number(_native(row[column]))) for column in fixed]
    facts += [(column, text.setting(value)) for column, value in row.items() if "." in column and value is not None]
    known = tuple((name, value) for name, value in facts if value not in ("", text.NOTHING))
    return Cell("show", fold=Facts(known, f"All settings of trial {short_id(row['trial_id'])}"))


def _error(row: Mapping[Any, Any]) -> str:
    error = "" if _native(row["error"]) is None else str(row["error"])
    if len(error) > _ERROR_LENGTH:
        return f"{error[:_ERROR_LENGTH]} … ({len(error) - _ERROR_LENGTH} more characters in trials/)"
    return error


def _native(value: Any) -> Any:
    """A plain Python value; None for any kind of missing one; a time to the second."""
    if pd.isna(value):
        return None
    if isinstance(value, pd.Timestamp):
        return f"{value:%Y-%m-%d %H:%M:%S} UTC"
    return value.item() if hasattr(value, "item") else value

"""status, results and report: what is in storage, with no Ray."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from orchestrator.cli.console import duration, out, spinner
from orchestrator.cli.options import AsJson, JobName, Storage, asked_job, find_job
from orchestrator.errors import QueryError, SettingsError, one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from orchestrator.plan.files import RunState
    from orchestrator.store.location import Store

_ROWS = 50


def status(job: JobName, storage: Storage = None, as_json: AsJson = False) -> None:
    """Say how a job is getting on: trials ended, running, still to run. Works during a run and after it.

    Examples: `orch status quickstart` · `orch status quickstart --json` ·
    `orch status my_sweep --storage s3://bucket/studies`
    """
    from orchestrator.plan.files import read_job, read_state, to_json
    from orchestrator.plan.liveness import is_alive
    from orchestrator.plan.status import job_status

    store = find_job(job, storage)
    asked, run = read_job(store), read_state(store)
    with spinner("listening for a sign of life"):
        alive = is_alive(store, run)
    if alive:
        run = read_state(store)
        alive = run is not None and run.state == "running"
    state = job_status(asked, store, run, alive=alive)
    if as_json:
        typer.echo(to_json(state.as_json()))
        return
    out.print(f"{state.name}: {state.describe()}")
    if where := state.where():
        out.print(f"cluster {one_line(where)}", soft_wrap=True)
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("trial", "settings", "state", "progress", "note"):
        table.add_column(heading, overflow="fold", no_wrap=heading in ("trial", "state"))
    for trial in state.trials[:_ROWS]:
        done = f"{trial.step} steps" if trial.total_steps is None else f"{trial.step}/{trial.total_steps} steps"
        table.add_row(trial.id, one_line(trial.label), trial.state, done, one_line(trial.note))
    out.print(table)
    if len(state.trials) > _ROWS:
        out.print(f"... and {len(state.trials) - _ROWS} more (--json lists them all)")
    if run is not None and (heard := _last_heard(run, alive=alive)):
        out.print(one_line(heard))


def _last_heard(run: RunState, *, alive: bool) -> str:
    """When a run showed life, and how it ended. Of one that lives elsewhere another clock would tell nothing new."""
    here = run.process is not None and run.process.here
    ago = run.age_s if here or not alive else None
    parts = [] if ago is None else [f"last sign of life {duration(ago)} ago"]
    return ", ".join([*parts, *([run.state] if run.state != "running" else [])])


def results(
    job: Annotated[str | None, typer.Argument(metavar="JOB", help="A job's name, or its job file.")] = None,
    sql: Annotated[
        str | None, typer.Option("--sql", metavar="QUERY", help="DuckDB SQL over trials and metrics.")
    ] = None,
    csv: Annotated[Path | None, typer.Option("--csv", metavar="FILE", help="Write CSV; - is stdout.")] = None,
    json: Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write JSON rows; - is stdout.")] = None,
    parquet: Annotated[Path | None, typer.Option("--parquet", metavar="FILE", help="Write one Parquet file.")] = None,
    evaluation: Annotated[
        str | None,
        typer.Option("--evaluation", metavar="KIND", help="Rows of an evaluation, with the settings of their trials."),
    ] = None,
    claims: Annotated[
        bool, typer.Option("--claims", help="The verdict on each claim, of the job in storage or of the job file.")
    ] = False,
    storage: Storage = None,
    schema: Annotated[bool, typer.Option("--schema", help="Print every column: type, unit, meaning.")] = False,
) -> None:
    """Print or export a job's results; without --sql, --evaluation and --claims, its trials.

    Examples: `orch results quickstart` · `orch results quickstart --csv trials.csv` ·
    `orch results truncation --evaluation quality` ·
    `orch results quickstart --sql "select trial_id, max(step) from metrics group by all" --json -` ·
    `orch results saturation_sweep --claims` · `orch results --schema`
    """
    from orchestrator.store.export import export

    if schema:
        _print_schema()
        return
    if job is None:
        raise typer.BadParameter("name a job, or ask for --schema")
    files = [path for path in (csv, json, parquet) if path is not None]
    if len(files) > 1:
        raise typer.BadParameter("choose one of --csv, --json and --parquet")
    if sum(map(bool, (sql, evaluation, claims))) > 1:
        raise typer.BadParameter("choose one of --sql, --evaluation and --claims")
    store = find_job(job, storage)
    table, notices = _verdicts(job, store, storage) if claims else (_rows(store, sql, evaluation), ())
    if files:
        export(table, "csv" if csv else "json" if json else "parquet", str(files[0]))
    elif claims:
        _print_claims(table, notices)
    else:
        rows = table.slice(0, _ROWS).to_pylist()
        _print_rows(table.column_names if sql else _telling(rows), rows, table.num_rows)
        if not sql:
            out.print("settings that are the same in all, times and versions: --csv, --json or --parquet")


def _rows(store: Store, sql: str | None, evaluation: str | None) -> pa.Table:
    from orchestrator.store.query import query

    return query(store, sql or (_joined(store, evaluation) if evaluation else _DEFAULT_SQL))


def _verdicts(job: str, store: Store, storage: str | None) -> tuple[pa.Table, tuple[str, ...]]:
    """The table of claims, and what its reader has to know. Raises SettingsError where the job has none."""
    from orchestrator.report.claims import claims_table, judge_job

    asked = asked_job(job, store, storage)
    if not asked.header.claims:
        raise SettingsError(asked.source, "claims", "is missing; see docs/job-file.md")
    judged = judge_job(store, asked)
    return claims_table(judged.verdicts), judged.notices


def _print_claims(table: pa.Table, notices: Sequence[str]) -> None:
    """What a screen has room for of each claim; the rest is in the exports."""
    rows = table.to_pylist()
    for row in rows:
        row["claimed"] = f"{row['claimed']} {_cell(row['bound'])}"
        row["measure"] += f" against {row['than_measure']}" if row["than_measure"] else ""
    names = ("claim", "verdict", "measure", "group_mean", "than_mean", "effect", "estimate", "low", "high", "claimed")
    _print_rows((*names, "why"), rows[:_ROWS], len(rows))
    for notice in notices:
        out.print(notice)


_DEFAULT_SQL = "select * from trials order by all"


def _joined(store: Store, kind: str) -> str:
    """SQL for the rows of an evaluation with the settings of their trials. Raises QueryError."""
    from orchestrator.evaluate.evaluation import FOLDER
    from orchestrator.spec.columns import trial_columns

    kinds = sorted({key.split("/")[1] for key in store.keys(FOLDER)})
    if kind not in kinds:
        there = f"has {', '.join(kinds)}" if kinds else "has no evaluations"
        raise QueryError(f"--evaluation: got {one_line(kind)!r}, but {store.uri} {there}")
    settings = ", ".join(f'trials."{column.name}"' for column in trial_columns() if "." in column.name)
    rows = f'"evaluations_{kind}"'  # one of the names above
    return f"select rows.*, {settings} from {rows} as rows join trials using (trial_id) order by all"  # noqa: S608


def _telling(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The columns that a screen has room for: settings that differ between the rows, and what was measured."""
    from orchestrator.store.columns import EVALUATIONS, LOOKS, SIGNALS

    settings = [name for name in (rows[0] if rows else ()) if "." in name and len({str(row[name]) for row in rows}) > 1]
    if rows and "evaluation_id" in rows[0]:
        passed = {column.name for column in EVALUATIONS}
        return ["trial_id", *settings, *(name for name in rows[0] if "." not in name and name not in passed)]
    measures = [column.name for column in (*LOOKS, *SIGNALS)]
    ends = ("saturated_at", "collapsed_at", "diverged_at")
    names = ("trial_id", "status", "error", *settings, *ends, *measures, "step", "images_per_second")
    return [name for name in names if any(row.get(name) is not None for row in rows)]


def _print_rows(names: Sequence[str], rows: Sequence[dict[str, Any]], total: int) -> None:
    """Rows as a table of the columns ``names``, with a word on what is not shown."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row[name]) for name in names))
    out.print(table)
    out.print(f"{total} rows" if total <= _ROWS else f"{_ROWS} of {total} rows; --csv, --json, --parquet give all")


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else one_line(str(value))


def _print_schema() -> None:
    from orchestrator.evaluate import KINDS
    from orchestrator.spec.columns import evaluation_columns, trial_columns
    from orchestrator.store.columns import METRICS

    folders = [("trials", trial_columns()), ("metrics", METRICS)]
    folders += [
        (f"evaluations/{name}_{rows}".removesuffix("_"), evaluation_columns(kind, rows))
        for name, kind in KINDS.items()
        for rows in ("", *kind.tables)
    ]
    for folder, columns in folders:
        table = Table(title=f"{folder}/*.parquet", title_justify="left", box=None, pad_edge=False, header_style="bold")
        for heading in ("column", "type", "unit", "meaning"):
            table.add_column(heading, overflow="fold")
        for column in columns:
            table.add_row(column.name, str(column.dtype), column.unit, column.meaning)
        out.print(table)
        out.print()


def report(job: JobName, storage: Storage = None) -> None:
    """Write the report of what is in storage: one HTML file with all pictures, and the pictures as PNG.

    Examples: `orch report quickstart` · `orch report quickstart --storage s3://bucket/studies`
    """
    from orchestrator.report.page import write_report

    store = find_job(job, storage)
    out.print(f"{store.uri}/{write_report(store)}", soft_wrap=True)

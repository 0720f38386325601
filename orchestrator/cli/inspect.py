"""status, results and report: print what is in storage, without Ray."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from orchestrator.cli.claims import claims_rows, claims_words, judge_named, print_claims
from orchestrator.cli.columns import print_columns
from orchestrator.cli.console import err, out, print_line, shown, spinner
from orchestrator.cli.options import AsJson, JobName, NamedJob, OptionalJob, Storage, name_job
from orchestrator.cli.usage import refuse_beside, refuse_together
from orchestrator.durations import duration
from orchestrator.errors import NotFoundError, OrchError, QueryError, SettingsError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa
    from rich.console import Console

    from orchestrator.cli.queued import Heard
    from orchestrator.spec.grid import Axis
    from orchestrator.spec.job import Job
    from orchestrator.state.files import RunState
    from orchestrator.state.handovers import Handover
    from orchestrator.state.status import JobState
    from orchestrator.store.export import Format
    from orchestrator.store.location import Store
    from orchestrator.store.query import Answer
    from orchestrator.store.typeset import Form

_FORMATS: dict[str, Format] = {"--csv": "csv", "--parquet": "parquet", "--json": "json"}
_TYPESET: dict[str, Form] = {"--latex": "latex", "--markdown": "markdown"}
_ROWS = 50

_Latex = Annotated[
    str | None, typer.Option("--latex", metavar="FILE", help="Write the columns that are printed, for a paper.")
]
_Markdown = Annotated[str | None, typer.Option("--markdown", metavar="FILE", help="The same as Markdown.")]


def status(job: JobName, storage: Storage = None, as_json: AsJson = False) -> None:
    """Print the state of a job: trials ended, running, still to run. Works during a run and after it.

    A name stands for the trials that were last submitted, a job file for its own. Of a job under Slurm it says what
    that waits for, on which nodes it runs, and how often it was requeued.

    Examples: `orch status quickstart` · `orch status quickstart --json` ·
    `orch status my_sweep --storage s3://bucket/studies`
    """
    from orchestrator.cli.handover import outcome_of
    from orchestrator.cli.queued import queue_lines
    from orchestrator.state.files import to_json
    from orchestrator.state.handovers import read_handover
    from orchestrator.store.snapshot import Snapshot

    named = name_job(job, storage)
    store = Snapshot(named.store)
    handover = read_handover(store)
    state, heard = _state_of(named, store, handover)
    outcome = None if handover is None else outcome_of(handover)[0]
    if as_json:
        queue = [one.as_json() for one in heard]
        typer.echo(to_json({**state.as_json(), "handover": outcome, "queue": queue}))
        return
    if outcome is not None:
        out.print(f"{state.name}: {outcome}", soft_wrap=True)
    for line in queue_lines(heard, handover, state.run):
        out.print(shown(line), soft_wrap=True)
    if not state.trials:
        return
    out.print(f"{state.name}: {state.describe()}")
    _print_left_out(out, state.left_out)
    _print_foreign(store)
    for label, words in (("tags", " ".join(state.tags)), ("note", state.note), ("cluster", state.where())):
        if words:
            out.print(f"{label} {shown(words)}", soft_wrap=True)
    rows = []
    for trial in state.trials[:_ROWS]:
        done = f"{trial.step} steps" if trial.total_steps is None else f"{trial.step}/{trial.total_steps} steps"
        rows.append((trial.id, shown(trial.label), trial.state, done, shown(trial.note)))
    print_columns(out, ("trial", "settings", "state", "progress", "note"), rows, whole=(0, 2))
    if len(state.trials) > _ROWS:
        out.print(f"... and {len(state.trials) - _ROWS} more (--json lists them all)")
    if state.run is not None and (sign := _sign_of_life(state.run, alive=state.running)):
        out.print(shown(sign))


def _sign_of_life(run: RunState, *, alive: bool) -> str:
    """The time since a run last wrote its state, and how it ended; no time for one that runs on another clock."""
    local = run.process is not None and run.process.here
    ago = run.age_s if local or not alive else None
    parts = [] if ago is None else [f"last sign of life {duration(ago)} ago"]
    return ", ".join([*parts, *([run.state] if run.state != "running" else [])])


def _state_of(named: NamedJob, store: Store, handover: Handover | None) -> tuple[JobState, list[Heard]]:
    """The state of a job by its storage, and what a queue says of its submissions."""
    from orchestrator.cli.queued import ask_queue, numbers_in
    from orchestrator.state.files import read_state
    from orchestrator.state.liveness import is_alive
    from orchestrator.state.status import JobState, job_status

    run, name = read_state(store), store.uri.rpartition("/")[2]
    heard = ask_queue(name, numbers_in(handover, run))
    try:
        named.require()
        job = named.load()
    except NotFoundError:
        if handover is None:
            raise
        return JobState(name, False, None, ()), heard
    if run is not None and any(one.idle and one.submission_id == run.submission_id for one in heard):
        return job_status(job, store, run, alive=False), heard
    with spinner("listening for a sign of life"):
        alive = is_alive(store, run)
    if alive:
        run = read_state(store)
        alive = run is not None and run.state == "running"
    return job_status(job, store, run, alive=alive), heard


def results(
    job: OptionalJob = None,
    sql: Annotated[
        str | None, typer.Option("--sql", metavar="QUERY", help="DuckDB SQL over trials and metrics.")
    ] = None,
    csv: Annotated[str | None, typer.Option("--csv", metavar="FILE", help="Write CSV; - is stdout.")] = None,
    parquet: Annotated[str | None, typer.Option("--parquet", metavar="FILE", help="Write one Parquet file.")] = None,
    latex: _Latex = None,
    markdown: _Markdown = None,
    as_json: AsJson = False,
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

    --csv, --parquet and --json have every column with all digits, --latex and --markdown what would be printed.

    Examples: `orch results quickstart` · `orch results quickstart --csv trials.csv` ·
    `orch results truncation --evaluation quality` ·
    `orch results quickstart --sql "select trial_id, max(step) from metrics group by all" --json` ·
    `orch results saturation_sweep --claims --latex claims.tex` · `orch results --schema`
    """
    from orchestrator.store.export import check_target

    contents = (("--sql", sql), ("--evaluation", evaluation), ("--claims", claims))
    files = (("--csv", csv), ("--parquet", parquet), ("--latex", latex), ("--markdown", markdown))
    forms = (*files, ("--json", "-" if as_json else None))
    if schema:
        refuse_beside("--schema", ("JOB", job), ("--storage", storage), *contents, *forms)
        _print_schema()
        return
    if job is None:
        raise SettingsError("JOB", "", "is missing, expected a job's name or its job file, or --schema alone")
    refuse_together(*forms)
    refuse_together(*contents)
    exports = [(option, target) for option, target in forms if target is not None]
    for option, target in exports:
        check_target(option, target)
    named = name_job(job, storage)
    named.require()
    _deliver(named, exports, sql, evaluation, claims=claims)


def _deliver(
    named: NamedJob, exports: Sequence[tuple[str, str]], sql: str | None, evaluation: str | None, *, claims: bool
) -> None:
    """Write the requested rows to the files of ``exports`` (option, target), or print them where it is empty."""
    from orchestrator.store.export import deliver, export
    from orchestrator.store.query import Answer
    from orchestrator.store.snapshot import Snapshot
    from orchestrator.store.typeset import typeset

    store = Snapshot(named.store)
    judged = judge_named(named) if claims else None
    job = None if judged or sql is not None else _job_of(named, store)
    if judged:
        table = claims_rows(judged)
        answer = Answer(table, len(table))
    else:
        answer = _answer(job, store, sql, evaluation, None if exports else _ROWS)
    for option, target in exports:
        if option in _TYPESET:
            words = claims_words(judged) if judged else _words(answer.table, job, everything=sql is not None)
            deliver(typeset(_TYPESET[option], *words), target)
        else:
            export(answer.table, _FORMATS[option], target)
    if exports:
        _print_left_out(err, answer.left_out)
        return
    if judged:
        print_claims(judged)
    else:
        _print_results(answer, job, everything=sql is not None)
    _print_left_out(out, answer.left_out)
    _print_foreign(store)


def _words(table: pa.Table, job: Job | None, *, everything: bool) -> tuple[list[str], list[list[str]]]:
    """Headings and rows in words, of the columns that would be printed."""
    from orchestrator.store.export import rows_of

    names = table.column_names if everything else _visible_columns(table, job.axes if job else ())
    return [shown(name) for name in names], [[_cell(row[name]) for name in names] for row in rows_of(table)]


def _print_results(answer: Answer, job: Job | None, *, everything: bool) -> None:
    """Print the rows of an answer, with ``everything`` all columns, else those that a screen has room for."""
    from orchestrator.store.export import rows_of

    names = answer.table.column_names if everything else _visible_columns(answer.table, job.axes if job else ())
    _print_table(names, rows_of(answer.table.slice(0, _ROWS)), answer.total)
    if not everything:
        out.print("settings that are the same in all or follow another, times and versions: --csv, --json or --parquet")


def _print_left_out(console: Console, left_out: Sequence[str]) -> None:
    """Print a note on files that could not be read, where there are any."""
    from orchestrator.store.tables import left_out_notice

    if notice := left_out_notice(left_out):
        console.print(f"note: {notice}", soft_wrap=True)


def _print_foreign(store: Store) -> None:
    """Print a note on Parquet files that this program has not written, where there are any."""
    from orchestrator.store.tables import foreign_notice

    if notice := foreign_notice(store):
        out.print(f"note: {notice}", soft_wrap=True)


def _answer(job: Job | None, store: Store, sql: str | None, evaluation: str | None, limit: int | None) -> Answer:
    """The rows of the query, the evaluation or the trials; the first ``limit`` suffice."""
    from orchestrator.spec.columns import declared
    from orchestrator.store.query import query

    if sql is not None:
        if not sql.strip():
            raise SettingsError("--sql", "", "is empty, expected a query, such as 'select * from trials'")
        return query(store, sql, declared, limit)
    if evaluation is not None:
        return _evaluated(store, evaluation)
    order = {trial.id: place for place, trial in enumerate(job.trials)} if job else {}
    return _trials(store, order, limit)


def _job_of(named: NamedJob, store: Store) -> Job | None:
    """The job in storage, with the ids of its rows; None where it cannot be read."""
    from orchestrator.state.stored import stored_job

    try:
        return stored_job(named.load(), store).job
    except OrchError:
        return None


def _trials(store: Store, order: Mapping[str, int], limit: int | None) -> Answer:
    """The rows of trials, those of the grid first and in its order; only the first ``limit`` are read."""
    from orchestrator.spec.columns import declared
    from orchestrator.store.bundles import trial_of
    from orchestrator.store.query import Answer
    from orchestrator.store.tables import parquet_keys, read_files

    keys = parquet_keys(store, "trials")
    if not keys:
        raise QueryError(f"{store.uri}: no trial has ended yet; 'orch status' shows the state of the job")
    keys.sort(key=lambda key: order.get(trial_of(key), len(order)))
    read = read_files(store, keys[:limit], schema=declared("trials"))
    return Answer(read.table, len(keys) - len(read.left_out), read.left_out)


def _evaluated(store: Store, kind: str) -> Answer:
    """The rows of an evaluation with the settings of their trials, which are null while a trial has no row.

    Raises QueryError.
    """
    import pyarrow.compute as pc

    from orchestrator.evaluations.evaluation import FOLDER
    from orchestrator.spec.columns import declared
    from orchestrator.spec.messages import nearest
    from orchestrator.store.query import Answer
    from orchestrator.store.tables import read_table

    kinds = sorted({key.split("/")[1] for key in store.keys(FOLDER)})
    if kind not in kinds:
        near = nearest(kind, kinds)
        hint = f"did you mean {near!r}? " if near else ""
        stored = f"has {', '.join(kinds)}" if kinds else "has no evaluations"
        raise QueryError(f"--evaluation: got {kind!r}; {hint}{store.uri} {stored}")
    read = read_table(store, f"{FOLDER}/{kind}", schema=declared(f"{FOLDER}/{kind}"))
    of_trials = declared("trials")
    settings = [name for name in of_trials.names if "." in name]
    trials = read_table(store, "trials", ["trial_id", *settings], of_trials)
    table = read.table
    if len(trials.table) and "trial_id" in table.column_names:
        places = pc.index_in(table["trial_id"], trials.table["trial_id"].combine_chunks())
        joined = trials.table.select(settings).take(places)
        for name in settings:
            table = table.append_column(name, joined[name])
    return Answer(table, len(table), (*read.left_out, *trials.left_out))


def _visible_columns(table: pa.Table, axes: Sequence[Axis]) -> list[str]:
    """The columns that a screen has room for: settings that vary between the rows, and measured values."""
    from orchestrator.store.columns import EVALUATIONS, SAMPLE_METRICS, TRAINING_METRICS

    columns = table.column_names
    settings = _varying(table, axes)
    if "evaluation_id" in columns:
        fixed = {column.name for column in EVALUATIONS}
        return ["trial_id", *settings, *(name for name in columns if "." not in name and name not in fixed)]
    measures = [column.name for column in (*SAMPLE_METRICS, *TRAINING_METRICS)]
    ends = ("saturated_at", "collapsed_at", "diverged_at")
    names = ("trial_id", "status", "error", *settings, *ends, *measures, "step", "images_per_second")
    return [name for name in names if name in columns and table[name].null_count < len(table)]


def _varying(table: pa.Table, axes: Sequence[Axis]) -> list[str]:
    """The settings of trials that vary, as in the report, then those of the evaluation."""
    from orchestrator.spec.claims import OWN
    from orchestrator.spec.varying import grid_columns, varying_settings

    columns = [name for name in table.column_names if "." in name]
    of_trials = table.filter(table["data.name"].is_valid()) if "data.name" in columns else table  # those with a row

    def values(rows: pa.Table, name: str) -> list[str]:
        return [str(value) for value in rows[name].to_pylist()]

    trials = {name: values(of_trials, name) for name in columns if not name.startswith(OWN)}
    evaluation = [name for name in columns if name.startswith(OWN) and len(set(values(table, name))) > 1]
    return [*varying_settings(trials, [grid_columns(axis) for axis in axes]), *evaluation]


def _print_table(names: Sequence[str], rows: Sequence[dict[str, Any]], total: int | None) -> None:
    """Print rows as a table of the columns ``names``, and how many rows there are; a ``total`` of None is over 10^6."""
    ids = [place for place, name in enumerate(names) if name == "trial_id"]
    print_columns(out, [shown(name) for name in names], [[_cell(row[name]) for name in names] for row in rows], ids)
    if total is None:
        out.print(f"{_ROWS} of more than a million rows")
    else:
        out.print(f"{total} rows" if total <= _ROWS else f"{_ROWS} of {total} rows; --csv, --json, --parquet give all")


def _cell(value: Any) -> str:
    return "" if value is None else f"{value:.4g}" if isinstance(value, float) else shown(value)


def _print_schema() -> None:
    from orchestrator.evaluations import KINDS
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

    It uses the job file's own description, grid and claims where JOB is a file.

    Examples: `orch report quickstart` · `orch report quickstart --storage s3://bucket/studies`
    """
    from orchestrator.report.page import write_report

    named = name_job(job, storage)
    named.require()
    print_line(f"{named.store.uri}/{write_report(named.store, named.from_file)}")

"""validate, plan, submit and resume."""

from __future__ import annotations

import contextlib
import shlex
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.console import duration, err, out
from orchestrator.cli.options import AsJson, JobFile, JobName, Overrides, Storage, find_job, with_storage
from orchestrator.errors import DataError

if TYPE_CHECKING:
    from orchestrator.plan.plan import Plan
    from orchestrator.spec.job import Job
    from orchestrator.store.location import Store

RetryFailed = Annotated[
    bool,
    typer.Option("--retry-failed", help="Run trials again that failed by their own doing (NaN, out of memory)."),
]


def validate(job_file: JobFile, overrides: Overrides = None) -> None:
    """Check a job file and say how many trials it makes.

    Examples: `orch validate jobs/quickstart.yaml` · `orch validate my.yaml --set training.epochs=5`
    """
    from orchestrator.spec.job import load_job

    job = load_job(job_file, overrides or [])
    out.print(f"{job_file}: {job.header.name} is valid and makes {_count(len(job.trials), 'trial')}", soft_wrap=True)


def plan(
    job_file: JobFile,
    overrides: Overrides = None,
    storage: Storage = None,
    retry_failed: RetryFailed = False,
    as_json: AsJson = False,
) -> None:
    """Show what a submission would do: each trial as new, cached or failed, devices, time, where results go.

    Examples: `orch plan jobs/saturation_sweep.yaml` · `orch plan my.yaml --json | jq .new`
    """
    from orchestrator.spec.job import load_job

    job = load_job(job_file, with_storage(overrides, storage))
    _show(_plan(job, _store(job), retry_failed), as_json)


def submit(
    job_file: JobFile,
    overrides: Overrides = None,
    storage: Storage = None,
    retry_failed: RetryFailed = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the plan.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --dry-run: print the plan as JSON.")] = False,
) -> None:
    """Run what is missing of a job on this machine, then write its report.

    Trials that are done stay as they are; interrupted ones go on from their last checkpoint.

    Examples: `orch submit jobs/quickstart.yaml` ·
    `orch submit jobs/quickstart.yaml --set grid.training.d_steps=[1,2,3]` ·
    `orch submit my.yaml --storage s3://bucket/studies --dry-run`
    """
    from orchestrator.spec.job import load_job

    job = load_job(job_file, with_storage(overrides, storage))
    store = _store(job)
    if dry_run:
        _show(_plan(job, store, retry_failed), as_json)
        return
    _run(job, store, retry_failed)


def resume(job: JobName, storage: Storage = None, retry_failed: RetryFailed = False) -> None:
    """Go on with a job that was interrupted, from what its storage holds.

    Examples: `orch resume quickstart` · `orch resume quickstart --storage s3://bucket/studies`
    """
    from orchestrator.plan.files import read_job

    store = find_job(job, storage)
    _run(read_job(store), store, retry_failed)


def _store(job: Job) -> Store:
    from orchestrator.store.open import open_store

    return open_store(job.header.storage).child(job.header.name)


def _plan(job: Job, store: Store, retry_failed: bool) -> Plan:
    from orchestrator.plan.ledger import read_ledger
    from orchestrator.plan.placement import this_machine
    from orchestrator.plan.plan import make_plan

    checkpointed = {key.rpartition("/")[2].removesuffix(".pt") for key in store.keys("checkpoints")}
    return make_plan(job, read_ledger(store), checkpointed, this_machine(), store.uri, retry_failed)


def _show(plan: Plan, as_json: bool) -> None:
    from orchestrator.cli.tables import plan_json, plan_table
    from orchestrator.plan.files import to_json

    if as_json:
        typer.echo(to_json(plan_json(plan)))
    else:
        out.print(plan_table(plan))
    if plan.problem:
        raise DataError(plan.problem)


def _run(job: Job, store: Store, retry_failed: bool) -> None:
    """Run the new cells, write the report, say what came of it; leaves with the exit code."""
    from orchestrator.cli.tables import plan_line
    from orchestrator.plan.files import read_state, write_job
    from orchestrator.plan.plan import CellState
    from orchestrator.report.page import write_report

    plan = _plan(job, store, retry_failed)
    if plan.problem:
        raise DataError(plan.problem)
    store.check()
    err.print(plan_line(plan), soft_wrap=True)
    before = read_state(store)
    if before is not None and before.alive:
        seen = duration(time.time() - before.updated_at)
        err.print(f"note: another run of this job showed life {seen} ago; two at once train the same trials twice")
    write_job(store, job)
    failed = len(plan.having(CellState.FAILED))
    interrupted = False
    if plan.having(CellState.NEW):
        try:
            failed_now, interrupted = _sweep(plan, store)
            failed += failed_now
        except KeyboardInterrupt:  # before Tune was there to take it
            interrupted = True
    if interrupted:
        again = shlex.join(["orch", *sys.argv[1:]])
        err.print(f"interrupted; every trial keeps its last state, go on with: {again}", soft_wrap=True)
    if interrupted and not store.keys("metrics"):
        raise typer.Exit(130)
    with err.status("writing the report") if err.is_terminal else contextlib.nullcontext():
        report = write_report(store)
    out.print(f"results  {store.uri}", soft_wrap=True)
    out.print(f"report   {store.uri}/{report}", soft_wrap=True)
    if interrupted:
        raise typer.Exit(130)
    if failed:
        where = store.uri.removesuffix(f"/{job.header.name}")
        why = shlex.join(["orch", "status", job.header.name, "--storage", where])
        err.print(f"{_count(failed, 'trial')} failed; why: {why}", soft_wrap=True)
        raise typer.Exit(1)


def _sweep(plan: Plan, store: Store) -> tuple[int, bool]:
    """Run the new cells; the number that failed, and whether the user interrupted it."""
    from orchestrator.cli.live import display
    from orchestrator.plan.placement import this_machine
    from orchestrator.plan.plan import CellState
    from orchestrator.runtime.heartbeat import Heartbeat
    from orchestrator.runtime.local import local_ray
    from orchestrator.runtime.sweep import run_sweep

    new = len(plan.having(CellState.NEW))
    gangs = max(plan.placements) > 1
    with display(plan) as watcher, local_ray(this_machine(), gangs=gangs), Heartbeat(store, new) as heartbeat:
        outcome = run_sweep(plan, store, [watcher, heartbeat])
    return outcome.failed, outcome.interrupted


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"

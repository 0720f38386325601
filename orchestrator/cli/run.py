"""validate, plan, submit and resume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.console import out
from orchestrator.cli.drive import count, drive, machines, parent, plan_job
from orchestrator.cli.handover import hand_over, show_remote_plan
from orchestrator.cli.options import (
    ON_THIS_MACHINE,
    Address,
    AsJson,
    Detach,
    JobFile,
    JobName,
    Overrides,
    Storage,
    TakeOver,
    find_job,
    reject_detach,
    reject_take_over,
    with_storage,
)
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
    from orchestrator.cli.tables import left_out_lines
    from orchestrator.spec.job import load_job

    job = load_job(job_file, overrides or [])
    out.print(f"{job_file}: {job.header.name} is valid and makes {count(len(job.trials), 'trial')}", soft_wrap=True)
    for line in left_out_lines(job):
        out.print(line, soft_wrap=True)


def plan(
    job_file: JobFile,
    overrides: Overrides = None,
    storage: Storage = None,
    address: Address = None,
    retry_failed: RetryFailed = False,
    as_json: AsJson = False,
) -> None:
    """Show what a submission would do: each trial as new, cached or failed, devices, time, where results go.

    Examples: `orch plan jobs/saturation_sweep.yaml` · `orch plan my.yaml --json | jq .new` ·
    `orch plan my.yaml --address http://head:8265`
    """
    from orchestrator.spec.job import load_job

    job = load_job(job_file, with_storage(overrides, storage))
    _plan(job, address, retry_failed, as_json)


def submit(
    job_file: JobFile,
    overrides: Overrides = None,
    storage: Storage = None,
    address: Address = None,
    detach: Detach = False,
    retry_failed: RetryFailed = False,
    take_over: TakeOver = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the plan.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="With --dry-run: print the plan as JSON.")] = False,
) -> None:
    """Run what is missing of a job, here or on a Ray cluster, then write its report.

    Trials that are done stay as they are; interrupted ones go on from their last checkpoint.

    Examples: `orch submit jobs/quickstart.yaml` ·
    `orch submit jobs/quickstart.yaml --set grid.training.d_steps=[1,2,3]` ·
    `orch submit my.yaml --storage s3://bucket/studies --dry-run` ·
    `orch submit my.yaml --storage s3://bucket/studies --address http://head:8265 --detach` ·
    `orch submit my.yaml --storage s3://bucket/studies --take-over`
    """
    from orchestrator.spec.job import load_job

    job = load_job(job_file, with_storage(overrides, storage))
    reject_take_over(take_over and dry_run)
    if dry_run:
        _plan(job, address, retry_failed, as_json)
    elif address in ON_THIS_MACHINE:
        reject_detach(detach)
        drive(job, _store(job), retry_failed, joined=address is not None, take_over=take_over)
    else:
        assert address is not None
        hand_over(job, job.header.storage, address, _submission(retry_failed, take_over), detach=detach)


def resume(
    job: JobName,
    storage: Storage = None,
    address: Address = None,
    detach: Detach = False,
    retry_failed: RetryFailed = False,
    take_over: TakeOver = False,
) -> None:
    """Go on with a job that was interrupted, from what its storage holds.

    Of a job one run at a time is at work. Where the last one died on another machine, --take-over says so.

    Examples: `orch resume quickstart` · `orch resume quickstart --storage s3://bucket/studies` ·
    `orch resume my_sweep --storage s3://bucket/studies --address http://head:8265 --detach` ·
    `orch resume my_sweep --storage s3://bucket/studies --take-over`
    """
    from orchestrator.plan.files import read_job

    store = find_job(job, storage)
    again = read_job(store)
    if address in ON_THIS_MACHINE:
        reject_detach(detach)
        drive(again, store, retry_failed, joined=address is not None, take_over=take_over)
    else:
        assert address is not None
        hand_over(again, parent(store, again.header.name), address, _submission(retry_failed, take_over), detach=detach)


def _submission(retry_failed: bool, take_over: bool) -> list[str]:
    options = {"--retry-failed": retry_failed, "--take-over": take_over}
    return ["submit", *(option for option, chosen in options.items() if chosen)]


def _store(job: Job) -> Store:
    from orchestrator.store.open import open_store

    return open_store(job.header.storage).child(job.header.name)


def _plan(job: Job, address: str | None, retry_failed: bool, as_json: bool) -> None:
    if address not in ON_THIS_MACHINE:
        assert address is not None
        show_remote_plan(job, address, retry_failed=retry_failed, as_json=as_json)
        return
    store = _store(job)
    with machines(joined=address is not None) as cluster:
        _show(plan_job(job, store, cluster, retry_failed), as_json)


def _show(plan: Plan, as_json: bool) -> None:
    from orchestrator.cli.tables import plan_json, plan_table
    from orchestrator.plan.files import to_json

    if as_json:
        typer.echo(to_json(plan_json(plan)))
    else:
        out.print(plan_table(plan))
    if plan.problem:
        raise DataError(plan.problem)

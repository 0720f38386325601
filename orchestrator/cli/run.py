"""The commands validate, plan, submit and resume."""

from __future__ import annotations

from typing import Annotated

import typer

from orchestrator.cli.claims import claims_power_of
from orchestrator.cli.console import out
from orchestrator.cli.drive import drive, machines, plan_job, show_plan
from orchestrator.cli.handover import hand_over, show_remote
from orchestrator.cli.options import (
    ON_THIS_MACHINE,
    Address,
    AsJson,
    Detach,
    DryRunAsJson,
    JobName,
    NamedJob,
    Overrides,
    Storage,
    TakeOver,
    name_job,
    reject_detach,
)
from orchestrator.cli.usage import refuse_together, refuse_without
from orchestrator.errors import DataError, one_line
from orchestrator.text import plural

RetryFailed = Annotated[
    bool,
    typer.Option("--retry-failed", help="Run trials again that failed by their own doing (NaN, out of memory)."),
]


def validate(job: JobName, overrides: Overrides = None, storage: Storage = None, as_json: AsJson = False) -> None:
    """Check a job and count its trials: checks the file, its data and the name of its storage, but no devices.

    Examples: `orch validate jobs/quickstart.yaml` · `orch validate my.yaml --set training.epochs=5` ·
    `orch validate my.yaml --json | jq .trials`
    """
    from orchestrator.cli.tables import left_out_lines
    from orchestrator.plan.checks import find_problem
    from orchestrator.state.files import to_json

    checked = name_job(job, storage, overrides).load_to_run()
    if problem := find_problem(checked.trials, checked.header.evaluate):
        raise DataError(problem)
    if as_json:
        summary = {"job": checked.header.name, "trials": len(checked.trials), "left_out": checked.left_out}
        typer.echo(to_json(summary))
        return
    out.print(
        f"{one_line(job)}: {checked.header.name} is valid and makes {plural(len(checked.trials), 'trial')}",
        soft_wrap=True,
    )
    for line in left_out_lines(checked):
        out.print(line, soft_wrap=True)


def plan(
    job: JobName,
    overrides: Overrides = None,
    storage: Storage = None,
    address: Address = None,
    retry_failed: RetryFailed = False,
    as_json: AsJson = False,
) -> None:
    """Show what a submission would do: trials as new, cached or failed, devices, time, what seeds can show of claims.

    Examples: `orch plan jobs/saturation_sweep.yaml` · `orch plan my.yaml --json | jq .new` ·
    `orch plan my.yaml --address http://head:8265`
    """
    _plan(name_job(job, storage, overrides), address, retry_failed, as_json)


def submit(
    job: JobName,
    overrides: Overrides = None,
    storage: Storage = None,
    address: Address = None,
    detach: Detach = False,
    retry_failed: RetryFailed = False,
    take_over: TakeOver = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the plan.")] = False,
    as_json: DryRunAsJson = False,
) -> None:
    """Run what is missing of a job, here or on a Ray cluster, then write its report.

    Trials that are done stay as they are; interrupted ones go on from their last checkpoint.

    Examples: `orch submit jobs/quickstart.yaml` ·
    `orch submit jobs/quickstart.yaml --set grid.training.d_steps=[1,2,3]` ·
    `orch submit my.yaml --storage s3://bucket/studies --dry-run` ·
    `orch submit my.yaml --storage s3://bucket/studies --address http://head:8265 --detach` ·
    `orch submit my.yaml --storage s3://bucket/studies --take-over`
    """
    refuse_without(("--dry-run", dry_run), ("--json", as_json))
    refuse_together(("--dry-run", dry_run), ("--detach", detach))
    refuse_together(("--dry-run", dry_run), ("--take-over", take_over))
    named = name_job(job, storage, overrides)
    if dry_run:
        _plan(named, address, retry_failed, as_json)
    else:
        _run(named, address, detach, retry_failed, take_over)


def resume(
    job: JobName,
    storage: Storage = None,
    address: Address = None,
    detach: Detach = False,
    retry_failed: RetryFailed = False,
    take_over: TakeOver = False,
) -> None:
    """Go on with an interrupted job: with what was last submitted under its name, or with its job file.

    A job has one run at a time. Where the last one died on another machine, use --take-over.

    Examples: `orch resume quickstart` · `orch resume quickstart --storage s3://bucket/studies` ·
    `orch resume my_sweep --storage s3://bucket/studies --address http://head:8265 --detach` ·
    `orch resume my_sweep --storage s3://bucket/studies --take-over`
    """
    named = name_job(job, storage)
    named.require()
    _run(named, address, detach, retry_failed, take_over)


def _run(named: NamedJob, address: str | None, detach: bool, retry_failed: bool, take_over: bool) -> None:
    if address in ON_THIS_MACHINE:
        reject_detach(detach)
        job = named.load_to_run()
        drive(job, named.store, retry_failed, joined=address is not None, take_over=take_over)
    else:
        assert address is not None
        hand_over(named.load(), named.storage, address, _submission(retry_failed, take_over), detach=detach)


def _submission(retry_failed: bool, take_over: bool = False) -> list[str]:
    options = {"--retry-failed": retry_failed, "--take-over": take_over}
    return ["submit", *(option for option, chosen in options.items() if chosen)]


def _plan(named: NamedJob, address: str | None, retry_failed: bool, as_json: bool) -> None:
    if address not in ON_THIS_MACHINE:
        assert address is not None
        options = [*_submission(retry_failed), "--dry-run", *(["--json"] if as_json else [])]
        show_remote(named.load(), named.storage, address, options)
    job = named.load_to_run()
    with machines(joined=address is not None) as cluster:
        plan = plan_job(job, named.store, cluster, retry_failed)
    show_plan(plan, as_json=as_json, powers=claims_power_of(job, named.store))

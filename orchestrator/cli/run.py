"""The commands validate, plan, submit and resume."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.claims import claims_power_of
from orchestrator.cli.console import out
from orchestrator.cli.drive import drive, machines, plan_job, show_plan
from orchestrator.cli.handover import hand_over, script_for, show_remote
from orchestrator.cli.options import (
    ON_THIS_MACHINE,
    Address,
    AsJson,
    Detach,
    DryRunAsJson,
    GpusPerNode,
    JobName,
    NamedJob,
    Nodes,
    Overrides,
    Partition,
    SlurmOption,
    Storage,
    TakeOver,
    TimeLimit,
    asking_slurm,
    name_job,
    reject_detach,
    slurm_flags,
)
from orchestrator.cli.usage import refuse_beside, refuse_together, refuse_without
from orchestrator.errors import DataError, one_line
from orchestrator.runtime.launchers import SLURM
from orchestrator.text import plural

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.spec.job import Job

RetryFailed = Annotated[
    bool,
    typer.Option("--retry-failed", help="Run trials again that failed by their own doing (NaN, out of memory)."),
]


def validate(job: JobName, overrides: Overrides = None, storage: Storage = None, as_json: AsJson = False) -> None:
    """Check a job and count its trials: checks the file, its data and the name of its storage, but no devices.

    Examples: `orch validate jobs/quickstart.yaml` · `orch validate my.yaml --set training.epochs=5` ·
    `orch validate my.yaml --json | jq .trials`
    """
    from orchestrator.cli.tables import left_out_lines, note_lines
    from orchestrator.plan.checks import find_problem, without_value
    from orchestrator.spec.schema_file import schema_notes
    from orchestrator.state.files import to_json

    named = name_job(job, storage, overrides)
    checked = named.load_to_run()
    if problem := find_problem(checked.examples, checked.header.evaluate):
        raise DataError(problem)
    notes = [*(schema_notes(Path(checked.source)) if named.from_file else ()), *without_value(checked)]
    if as_json:
        summary = {
            "job": checked.header.name,
            "trials": len(checked.trials) + checked.to_propose,
            "left_out": checked.left_out,
            "notes": notes,
        }
        typer.echo(to_json(summary))
        return
    trials = plural(len(checked.trials) + checked.to_propose, "trial")
    makes = f"makes {trials}" if checked.space is None else f"searches in at most {trials}"
    out.print(f"{one_line(job)}: {checked.header.name} is valid and {makes}", soft_wrap=True)
    for line in [*left_out_lines(checked), *note_lines(notes)]:
        out.print(line, soft_wrap=True)


def plan(
    job: JobName,
    overrides: Overrides = None,
    storage: Storage = None,
    address: Address = None,
    retry_failed: RetryFailed = False,
    partition: Partition = None,
    nodes: Nodes = None,
    gpus_per_node: GpusPerNode = None,
    time: TimeLimit = None,
    slurm: SlurmOption = None,
    as_json: AsJson = False,
) -> None:
    """Show what a submission would do: trials as new, cached or failed, devices, time, what seeds can show of claims.

    Under Slurm it says what the allocation holds, when it would start, and how often its time limit requeues it.

    Examples: `orch plan jobs/saturation_sweep.yaml` · `orch plan my.yaml --json | jq .new` ·
    `orch plan my.yaml --address http://head:8265` ·
    `orch plan my.yaml --address slurm --partition gpu --nodes 4 --gpus-per-node 8 --time 8:00:00`
    """
    named = name_job(job, storage, overrides)
    flags = slurm_flags(address, partition, nodes, gpus_per_node, time, slurm)
    ask = partial(asking_slurm, flags=flags)
    if address == SLURM:
        _plan_allocation(named, ask(named.load_to_run()), retry_failed, as_json)
        return
    ask(named.load())
    _plan(named, address, retry_failed, as_json)


def submit(
    job: JobName,
    overrides: Overrides = None,
    storage: Storage = None,
    address: Address = None,
    detach: Detach = False,
    retry_failed: RetryFailed = False,
    take_over: TakeOver = False,
    partition: Partition = None,
    nodes: Nodes = None,
    gpus_per_node: GpusPerNode = None,
    time: TimeLimit = None,
    slurm: SlurmOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only show the plan; with --address slurm, the script for sbatch.")
    ] = False,
    as_json: DryRunAsJson = False,
) -> None:
    """Run what is missing of a job, here, on a Ray cluster or under Slurm, then write its report.

    Trials that are done stay as they are; interrupted ones go on from their last checkpoint.

    Examples: `orch submit jobs/quickstart.yaml` ·
    `orch submit jobs/quickstart.yaml --set grid.training.d_steps=[1,2,3]` ·
    `orch submit my.yaml --storage s3://bucket/studies --dry-run` ·
    `orch submit my.yaml --storage s3://bucket/studies --address http://head:8265 --detach` ·
    `orch submit my.yaml --address slurm --partition gpu --nodes 4 --gpus-per-node 8 --time 8:00:00` ·
    `orch submit my.yaml --storage s3://bucket/studies --take-over`
    """
    refuse_without(("--dry-run", dry_run), ("--json", as_json))
    refuse_together(("--dry-run", dry_run), ("--detach", detach))
    refuse_together(("--dry-run", dry_run), ("--take-over", take_over))
    named = name_job(job, storage, overrides)
    flags = slurm_flags(address, partition, nodes, gpus_per_node, time, slurm)
    ask = partial(asking_slurm, flags=flags)
    if dry_run and address == SLURM:
        refuse_beside(f"--address {SLURM}", ("--json", as_json))
        typer.echo(script_for(ask(named.load()), named.storage, _submission(retry_failed)), nl=False)
    elif dry_run:
        ask(named.load())
        _plan(named, address, retry_failed, as_json)
    else:
        _run(named, ask, address, detach, retry_failed, take_over)


def resume(
    job: JobName,
    storage: Storage = None,
    address: Address = None,
    detach: Detach = False,
    retry_failed: RetryFailed = False,
    take_over: TakeOver = False,
    partition: Partition = None,
    nodes: Nodes = None,
    gpus_per_node: GpusPerNode = None,
    time: TimeLimit = None,
    slurm: SlurmOption = None,
) -> None:
    """Go on with an interrupted job: with what was last submitted under its name, or with its job file.

    A job has one run at a time. Where the last one died on another machine, use --take-over.

    Examples: `orch resume quickstart` · `orch resume quickstart --storage s3://bucket/studies` ·
    `orch resume my_sweep --storage s3://bucket/studies --address http://head:8265 --detach` ·
    `orch resume my_sweep --storage s3://bucket/studies --take-over`
    """
    named = name_job(job, storage)
    named.require()
    flags = slurm_flags(address, partition, nodes, gpus_per_node, time, slurm)
    ask = partial(asking_slurm, flags=flags)
    _run(named, ask, address, detach, retry_failed, take_over)


def _run(
    named: NamedJob,
    ask: Callable[[Job], Job],
    address: str | None,
    detach: bool,
    retry_failed: bool,
    take_over: bool,
) -> None:
    if address in ON_THIS_MACHINE:
        reject_detach(detach)
        job = ask(named.load_to_run())
        drive(job, named.store, retry_failed, joined=address is not None, take_over=take_over)
    else:
        assert address is not None
        hand_over(ask(named.load()), named.storage, address, _submission(retry_failed, take_over), detach=detach)


def _submission(retry_failed: bool, take_over: bool = False) -> list[str]:
    options = {"--retry-failed": retry_failed, "--take-over": take_over}
    return ["submit", *(option for option, chosen in options.items() if chosen)]


def _plan_allocation(named: NamedJob, job: Job, retry_failed: bool, as_json: bool) -> None:
    from orchestrator.cli.allocations import expect

    expected = expect(job, named.storage, _submission(retry_failed))
    plan = plan_job(job, named.store, expected.allocation.cluster, retry_failed)
    show_plan(plan, as_json=as_json, powers=claims_power_of(job, named.store), expected=expected)


def _plan(named: NamedJob, address: str | None, retry_failed: bool, as_json: bool) -> None:
    if address not in ON_THIS_MACHINE:
        assert address is not None
        options = [*_submission(retry_failed), "--dry-run", *(["--json"] if as_json else [])]
        show_remote(named.load(), named.storage, address, options)
    job = named.load_to_run()
    with machines(joined=address is not None) as cluster:
        plan = plan_job(job, named.store, cluster, retry_failed)
    show_plan(plan, as_json=as_json, powers=claims_power_of(job, named.store))

"""evaluate: computes evaluations of trials that are done."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.drive import drive, machines, plan_job, show_plan
from orchestrator.cli.handover import hand_over, show_remote
from orchestrator.cli.options import (
    ON_THIS_MACHINE,
    Address,
    Detach,
    DryRunAsJson,
    GpusPerNode,
    JobName,
    NamedJob,
    Nodes,
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
from orchestrator.cli.usage import refuse_together, refuse_without
from orchestrator.errors import SettingsError

if TYPE_CHECKING:
    from orchestrator.spec.job import Job


def evaluate(
    job: JobName,
    kind: Annotated[str | None, typer.Option("--kind", help="Add an evaluation of this kind to the job.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting of it, such as samples=5000; repeatable."),
    ] = None,
    storage: Storage = None,
    address: Address = None,
    detach: Detach = False,
    take_over: TakeOver = False,
    partition: Partition = None,
    nodes: Nodes = None,
    gpus_per_node: GpusPerNode = None,
    time: TimeLimit = None,
    slurm: SlurmOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what is missing.")] = False,
    as_json: DryRunAsJson = False,
) -> None:
    """Evaluate the trials that are done, without training any: what the job asks for, and what --kind adds to it.

    Examples: `orch evaluate quickstart --kind quality` ·
    `orch evaluate quickstart --kind quality --set samples=5000 --set truncation=[0.5,1,2]` ·
    `orch evaluate jobs/truncation.yaml --dry-run` ·
    `orch evaluate my_sweep --kind quality --storage s3://bucket/studies --address http://head:8265`
    """
    refuse_without(("--kind", kind), ("--set", settings))
    refuse_without(("--dry-run", dry_run), ("--json", as_json))
    refuse_together(("--dry-run", dry_run), ("--detach", detach))
    refuse_together(("--dry-run", dry_run), ("--take-over", take_over))
    named = name_job(job, storage)
    named.require()
    requested = named.load()
    if kind is not None:
        requested = _with_evaluation(requested, kind, settings or [])
    if not requested.header.evaluate:
        raise SettingsError(requested.source, "evaluate", "is empty; name a --kind, such as quality")
    flags = slurm_flags(address, partition, nodes, gpus_per_node, time, slurm)
    requested = asking_slurm(requested, flags)
    if dry_run:
        _plan(named, requested, address, as_json)
    elif address not in ON_THIS_MACHINE:
        assert address is not None
        command = ["evaluate", *(["--take-over"] if take_over else [])]
        hand_over(requested, named.storage, address, command, detach=detach)
    else:
        reject_detach(detach)
        drive(requested, named.store, joined=address is not None, trains=False, take_over=take_over)


def _plan(named: NamedJob, job: Job, address: str | None, as_json: bool) -> None:
    if address not in ON_THIS_MACHINE:
        assert address is not None
        options = ["--dry-run", *(["--json"] if as_json else [])]
        show_remote(job, named.storage, address, ["evaluate", *options])
    with machines(joined=address is not None) as cluster:
        plan = plan_job(job, named.store, cluster, retry_failed=False, trains=False)
    show_plan(plan, as_json=as_json, trains=False)


def _with_evaluation(job: Job, kind: str, settings: list[str]) -> Job:
    """The job with one more evaluation, unless it has that one."""
    from orchestrator.evaluations import KINDS
    from orchestrator.spec.job import make_job
    from orchestrator.spec.messages import did_you_mean, show

    if kind not in KINDS:
        raise SettingsError("--kind", "", f"got {show(kind)}; {did_you_mean(kind, list(KINDS))}")
    # Without the claims, which may refer to the job's own evaluations.
    raw = {**job.resolved(), "evaluate": [{"kind": kind}], "claims": []}
    alone = make_job(raw, "--kind", [f"evaluate.0.{setting}" for setting in settings])
    (added,) = alone.header.evaluate
    existing = job.header.evaluate
    evaluations = existing if added.id in [evaluation.id for evaluation in existing] else (*existing, added)
    return replace(job, header=job.header.model_copy(update={"evaluate": evaluations}))

"""evaluate: more is computed with trials that are done."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from orchestrator.cli.console import out
from orchestrator.cli.drive import drive, machines, parent, plan_job
from orchestrator.cli.handover import hand_over
from orchestrator.cli.options import (
    ON_THIS_MACHINE,
    Address,
    Detach,
    JobName,
    Storage,
    TakeOver,
    asked_job,
    find_job,
    reject_detach,
    reject_take_over,
)
from orchestrator.errors import SettingsError

if TYPE_CHECKING:
    from orchestrator.spec.job import Job
    from orchestrator.store.location import Store


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
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what is missing.")] = False,
) -> None:
    """Evaluate the trials that are done, without training any: what the job asks for, and what --kind adds to it.

    A job's name stands for what its storage holds, a job file for its own trials and evaluations.

    Examples: `orch evaluate quickstart --kind quality` ·
    `orch evaluate quickstart --kind quality --set samples=5000 --set truncation=[0.5,1,2]` ·
    `orch evaluate jobs/truncation.yaml --dry-run` ·
    `orch evaluate my_sweep --kind quality --storage s3://bucket/studies --address http://head:8265`
    """
    if settings and kind is None:
        raise typer.BadParameter("--set needs --kind: it is a setting of the evaluation that is added")
    reject_take_over(take_over and dry_run)
    store = find_job(job, storage)
    asked = asked_job(job, store, storage)
    if kind is not None:
        asked = _with_evaluation(asked, kind, settings or [])
    if not asked.header.evaluate:
        raise SettingsError(asked.source, "evaluate", "is empty; name a --kind, such as quality")
    if dry_run and address in ON_THIS_MACHINE:
        _show(asked, store, joined=address is not None)
    elif address in ON_THIS_MACHINE:
        reject_detach(detach)
        drive(asked, store, joined=address is not None, trains=False, take_over=take_over)
    else:
        assert address is not None
        options = {"--dry-run": dry_run, "--take-over": take_over}
        command = ["evaluate", *(option for option, chosen in options.items() if chosen)]
        hand_over(asked, parent(store, asked.header.name), address, command, detach=detach)


def _with_evaluation(job: Job, kind: str, settings: list[str]) -> Job:
    """The job with one more evaluation, unless it has that one."""
    from orchestrator.evaluate import KINDS
    from orchestrator.spec.job import make_job
    from orchestrator.spec.messages import did_you_mean, show

    if kind not in KINDS:
        raise SettingsError("--kind", "", f"got {show(kind)}; {did_you_mean(kind, list(KINDS))}")
    raw = {**job.resolved(), "evaluate": [{"kind": kind}], "claims": []}  # which may be of the job's own evaluations
    alone = make_job(raw, "--kind", [f"evaluate.0.{setting}" for setting in settings])
    (added,) = alone.header.evaluate
    known = job.header.evaluate
    evaluations = known if added in known else (*known, added)
    return replace(job, header=job.header.model_copy(update={"evaluate": evaluations}))


def _show(job: Job, store: Store, *, joined: bool) -> None:
    from orchestrator.cli.tables import evaluations_line

    with machines(joined=joined) as cluster:
        plan = plan_job(job, store, cluster, retry_failed=False, trains=False)
    for line in evaluations_line(plan):
        out.print(line)

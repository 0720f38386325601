"""Runs a job from its plan to its report: on this machine, or on the cluster that this machine is a node of."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, NoReturn

import typer

from orchestrator.cli.console import err, out, print_line, spinner
from orchestrator.errors import (
    DataError,
    LeaseLostError,
    OrchError,
    StorageError,
    StorageRefused,
    StorageUnavailable,
    SurroundingsError,
    one_line,
)
from orchestrator.text import plural

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from orchestrator.cli.allocations import Expected
    from orchestrator.cli.notify import Notice
    from orchestrator.plan.placement import Cluster
    from orchestrator.plan.plan import Plan
    from orchestrator.report.claim_power import ClaimPower
    from orchestrator.runtime.heartbeat import Heartbeat
    from orchestrator.runtime.interrupt import Interrupts
    from orchestrator.spec.job import Job
    from orchestrator.state.lease import Entry, Holder
    from orchestrator.state.log import RunLog
    from orchestrator.store.location import Store
    from orchestrator.store.retrying import RetryingStore


@contextlib.contextmanager
def machines(*, joined: bool) -> Iterator[Cluster]:
    """The machines a run may use: this one, or the whole cluster, which is joined for the time of the context."""
    if not joined:
        from orchestrator.plan.placement import this_machine

        yield this_machine()
        return
    from orchestrator.runtime.cluster import cluster_now, joined_ray

    with joined_ray():
        yield cluster_now()


def plan_job(job: Job, store: Store, cluster: Cluster, retry_failed: bool, *, trains: bool = True) -> Plan:
    """The plan for each trial, from the results in storage; without ``trains`` only for trials that are done."""
    from orchestrator.plan.survey import survey

    with spinner("reading images and results"):
        plan = survey(job, store, cluster, retry_failed)
    return plan if trains else plan.without_training()


def show_plan(
    plan: Plan,
    *,
    as_json: bool,
    trains: bool = True,
    powers: Sequence[ClaimPower] | None = None,
    expected: Expected | None = None,
) -> None:
    """Print a plan with what its seeds show of its claims, or without ``trains`` its evaluations alone.

    ``expected`` is the allocation it is for.

    Raises DataError where it cannot be carried out.
    """
    from orchestrator.cli.claims import power_json, power_lines
    from orchestrator.cli.tables import evaluations_line, note_lines, plan_json, plan_table
    from orchestrator.state.files import to_json

    if as_json:
        claims = {} if powers is None else {"claims": power_json(powers)}
        allocation = {} if expected is None else {"allocation": expected.as_json(plan)}
        typer.echo(to_json({**plan_json(plan), **allocation, **claims}), file=out.file)
    else:
        for part in [plan_table(plan)] if trains else [*evaluations_line(plan), *note_lines(plan.notes)]:
            out.print(part)
        for line in expected.lines(plan) if expected else ():
            out.print(one_line(line), soft_wrap=True)
        for line in power_lines(powers or ()):
            out.print(one_line(line))
    if plan.problem:
        raise DataError(plan.problem)


def drive(
    job: Job, store: Store, retry_failed: bool = False, *, joined: bool, trains: bool = True, take_over: bool = False
) -> None:
    """Run the new cells and the due evaluations, write the report, print the outcome; exits with its exit code.

    Without ``trains`` only the trials that are done are evaluated. A job has one run at a time: raises LeaseError
    where another run is at work, or where it is silent and ``take_over`` is False.
    """
    from orchestrator.cli.notify import read_notice
    from orchestrator.cli.tables import note_lines
    from orchestrator.state.liveness import free_entry

    notice = read_notice()
    stop = shlex.join(["orch", "cancel", job.header.name, "--storage", parent(store, job.header.name)])
    with spinner("listening for another run of this job"):
        previous = free_entry(store, stop, lambda line: err.print(line, soft_wrap=True), take_over=take_over)
    with _stoppable(), machines(joined=joined) as cluster:
        plan = plan_job(job, store, cluster, retry_failed, trains=trains)
        if plan.problem:
            for note in note_lines(plan.notes):
                err.print(note, soft_wrap=True)
            raise DataError(plan.problem)
        if not plan.cells and not plan.to_propose:
            reason = f" ({'; '.join(plan.notes)})" if plan.notes else ""
            raise DataError(f"{store.uri}: no trial of {job.header.name} is done yet{reason}; orch submit trains them")
        store.check()
        with _at_work(plan, store, previous, notice, joined=joined) as (guarded, log, heartbeat), _logged(log):
            if joined:
                from orchestrator.runtime.cluster import check_storage

                check_storage(guarded)
            _drive(plan, guarded, log, cluster, heartbeat, joined=joined)


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """Exit with the signal's exit code where a run is stopped before it begins."""
    from orchestrator.runtime.interrupt import terminated_as_interrupted

    with terminated_as_interrupted() as interrupts:
        try:
            yield
        except KeyboardInterrupt:
            raise typer.Exit(interrupts.exit_code) from None


@contextlib.contextmanager
def _at_work(
    plan: Plan, store: Store, previous: Entry | None, notice: Notice | None, *, joined: bool
) -> Iterator[tuple[RetryingStore, RunLog, Heartbeat]]:
    """Hold the job's lease, which follows ``previous``, and run the heartbeat; yields the store it guards.

    ``notice`` is told how the run has ended.
    """
    from orchestrator.runtime.cluster import count_nodes
    from orchestrator.runtime.heartbeat import Heartbeat
    from orchestrator.runtime.waiting import WaitNotice
    from orchestrator.state.files import EvaluationProgress
    from orchestrator.state.lease import take
    from orchestrator.state.log import RunLog
    from orchestrator.store.guarded import GuardedStore
    from orchestrator.store.retrying import RetryingStore

    lease = take(store, previous, _holder(joined=joined))
    log = RunLog(GuardedStore(store, lease).quick())
    # Storage has answered once: from here on the run waits for an outage, once for a request and its lease check.
    waiting = WaitNotice(lease.holder.run_id, partial(_notify, log))
    guarded = RetryingStore(GuardedStore(store, lease), on_wait=waiting)
    progress = EvaluationProgress(len(plan.due)) if plan.due else None
    heartbeat = Heartbeat(lease, guarded, log, partial(_notify, log), plan.to_run, progress)
    heartbeat.on_beat(partial(waiting.poll, guarded))
    if notice is not None:
        heartbeat.on_end(partial(notice.tell, plan.job.header.name, store.uri))
    if (hours := plan.job.header.resources.max_hours) is not None:
        heartbeat.end_after(hours)
    if joined:
        heartbeat.on_cluster(count_nodes)
    with heartbeat:
        try:
            guarded.tidy()
            yield guarded, log, heartbeat
        except OrchError:
            heartbeat.failed = True
            raise


def _holder(*, joined: bool) -> Holder:
    """This run as the lease's holder, for other runs to read."""
    from orchestrator.state.lease import new_holder

    command = shlex.join(["orch", *sys.argv[1:]])
    if not joined:
        return new_holder(command)
    from orchestrator.runtime.cluster import cluster_address

    address = os.environ.get("ORCH_ADDRESS") or cluster_address()
    return new_holder(command, address, os.environ.get("ORCH_SUBMISSION_ID"))


def _drive(
    plan: Plan, store: RetryingStore, log: RunLog, cluster: Cluster, heartbeat: Heartbeat, *, joined: bool
) -> None:
    from orchestrator.cli.handover import begin
    from orchestrator.cli.tables import evaluations_line, left_out_lines, note_lines, plan_line
    from orchestrator.plan.plan import CellState
    from orchestrator.state.bundling import bundle_results
    from orchestrator.state.files import write_job
    from orchestrator.state.proposals import write_proposals
    from orchestrator.store.bundles import LEAST

    for summary in (plan_line(plan), *note_lines(plan.notes), *evaluations_line(plan), *left_out_lines(plan.job)):
        _notify(log, summary.plain)
    write_job(store, plan.job)
    if plan.job.proposals:
        write_proposals(store, plan.job.proposals)
    begin(store)
    ran = _sweep(plan, store, log, cluster, heartbeat, joined=joined) if plan.runs else _Ran()
    unstored = heartbeat.finish()
    if ran.stopped is not None:
        _stop(plan.job, store, log, ran, unstored)
    bundles = len(plan.cells) + plan.to_propose >= LEAST
    with _during(log, "copying the trials' rows into few files") if bundles else contextlib.nullcontext():
        bundle_results(store)
    _report(store, log)
    failed = len(plan.having(CellState.FAILED)) + ran.failed
    if failed:
        name = plan.job.header.name
        reason = shlex.join(["orch", "status", name, "--storage", parent(store, name)])
        _notify(log, f"{plural(failed, 'trial')} failed; why: {reason}")
    if ran.evaluations_failed:
        _notify(
            log, f"{plural(ran.evaluations_failed, 'evaluation')} failed, as reported above; another run tries again"
        )
    if failed or ran.evaluations_failed:
        raise typer.Exit(1)


def _stop(job: Job, store: RetryingStore, log: RunLog, ran: _Ran, unstored: str) -> NoReturn:
    """End a stopped run with the report of its results so far; it does not wait for storage that is down."""
    store.hurry()
    if unstored:
        _notify(log, f"{ran.stopped}; the last states could not be stored, go on from what was: {_again(job, store)}")
        raise typer.Exit(ran.exit_code)
    _notify(log, f"{ran.stopped}; every trial keeps its last state, go on with: {_again(job, store)}")
    try:
        if store.keys("metrics"):
            _report(store, log)
    except (StorageUnavailable, StorageRefused) as error:
        _notify(log, f"note: no report was written: {error}")
    raise typer.Exit(ran.exit_code)


def _report(store: Store, log: RunLog) -> None:
    from orchestrator.report.page import write_report

    with _during(log, "writing the report"):
        report = write_report(store)
    for line in (f"results  {store.uri}", f"report   {store.uri}/{report}"):
        print_line(line)
        log.add(line)


@dataclass(frozen=True)
class _Ran:
    """The outcome of a run: numbers of failures, and where it was stopped the state's name and the exit code."""

    failed: int = 0
    evaluations_failed: int = 0
    stopped: str | None = None
    exit_code: int = 130


def _sweep(plan: Plan, store: Store, log: RunLog, cluster: Cluster, heartbeat: Heartbeat, *, joined: bool) -> _Ran:
    """Run the new cells and the due evaluations."""
    from orchestrator.cli.live import Lines, display
    from orchestrator.runtime.cluster import quiet_stdout
    from orchestrator.runtime.interrupt import terminated_as_interrupted
    from orchestrator.runtime.local import local_ray
    from orchestrator.runtime.sweep import run_sweep
    from orchestrator.runtime.watch import JoinedRay, local_death, watched

    def stage(text: str) -> None:
        log.add(text)
        watcher.stage(text)

    with terminated_as_interrupted() as interrupts:
        try:
            with contextlib.ExitStack() as stack:
                watcher = stack.enter_context(display(plan))
                if joined:
                    stack.enter_context(quiet_stdout())
                else:
                    stage("starting Ray")
                    stack.enter_context(local_ray(cluster))
                find_death = JoinedRay(partial(_notify, log)).death if joined else local_death
                stack.enter_context(watched(find_death, partial(_abort, plan.job, store, log, heartbeat)))
                stack.enter_context(heartbeat.interrupting())
                watchers = [watcher, Lines(plan, log.add, starts=True), heartbeat]
                outcome = run_sweep(plan, store, watchers, partial(_notify, log), stage)
        except (StorageUnavailable, StorageRefused, SurroundingsError) as error:
            if heartbeat.lost is not None:
                raise heartbeat.lost from error
            again = _again(plan.job, store)
            raise SurroundingsError(f"{error}; every trial keeps its last state, go on with: {again}") from error
        except KeyboardInterrupt:  # not while trials were trained
            return _Ran(heartbeat.state.failed, 0, heartbeat.how_stopped, _exit_code(heartbeat, interrupts))
    if not outcome.interrupted:
        heartbeat.all_ended()
    stopped = heartbeat.how_stopped if outcome.interrupted else None
    return _Ran(outcome.failed, outcome.evaluations.failed, stopped, _exit_code(heartbeat, interrupts))


def _abort(job: Job, store: Store, log: RunLog, heartbeat: Heartbeat, cause: str) -> NoReturn:
    """Report why the run cannot go on, and end this process: its main thread may wait for a dead process."""
    from orchestrator.runtime.watch import clean_up

    _notify(log, f"error: {cause}; each trial goes on from its last checkpoint with: {_again(job, store)}")
    with contextlib.suppress(StorageError, LeaseLostError):  # the heartbeat has reported its own
        log.end()
    heartbeat.abort()
    clean_up()
    err.show_cursor()
    os._exit(1)


def _exit_code(heartbeat: Heartbeat, interrupts: Interrupts) -> int:
    """The exit code that shells expect of a run that a signal stopped; a cancelled run has that of Ctrl-C."""
    from orchestrator.runtime.interrupt import TIMEOUT

    return 130 if heartbeat.cancelled else TIMEOUT if heartbeat.timed_out else interrupts.exit_code


@contextlib.contextmanager
def _during(log: RunLog, stage: str) -> Iterator[None]:
    """Log what is done in this context; a terminal shows it as long as the context is open."""
    log.add(stage)
    if not err.is_terminal:
        err.print(stage, soft_wrap=True)
        yield
        return
    with spinner(stage):
        yield


@contextlib.contextmanager
def _logged(log: RunLog) -> Iterator[None]:
    """Store the log at the end, with the error that ends the run."""
    try:
        yield
    except OrchError as error:
        log.add(f"error: {error}")
        raise
    except Exception as error:
        if not isinstance(error, typer.Exit):
            log.add(f"error: {type(error).__name__}: {error}")
        raise
    finally:
        try:
            log.end()
        except (StorageError, LeaseLostError) as error:  # the run's own error, if any, matters more
            err.print(f"note: {error}", soft_wrap=True, style=None)


def _notify(log: RunLog, text: str) -> None:
    err.print(text, soft_wrap=True)
    log.add(text)


def _again(job: Job, store: Store) -> str:
    """The command that goes on with the job, for the machine of its user."""
    address = os.environ.get("ORCH_ADDRESS")
    if address is None:
        return shlex.join(["orch", *sys.argv[1:]])
    name, verb = job.header.name, "evaluate" if sys.argv[1:2] == ["evaluate"] else "resume"  # which would train
    return shlex.join(["orch", verb, name, "--storage", parent(store, name), "--address", address])


def parent(store: Store, name: str) -> str:
    """The value of --storage for the storage of a job's root."""
    return store.uri.removesuffix(f"/{name}")

"""The right to change a job's files for a command that is no run: it holds the job's lease meanwhile."""

from __future__ import annotations

import contextlib
import shlex
import sys
from typing import TYPE_CHECKING

import typer

from orchestrator.cli.console import err, spinner
from orchestrator.errors import LeaseError, LeaseLostError, SettingsError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from orchestrator.cli.options import NamedJob
    from orchestrator.state.lease import Entry
    from orchestrator.store.location import Store


def free_of_runs(named: NamedJob, *, take_over: bool) -> Entry | None:
    """The job's last lease, which another may follow. Raises LeaseError where a run is at work, or is yet to begin."""
    from orchestrator.cli.handover import outcome_of
    from orchestrator.state.handovers import read_handover
    from orchestrator.state.liveness import free_entry

    store = named.store
    stop = shlex.join(["orch", "cancel", named.name, "--storage", named.root.uri])
    handover = read_handover(store)
    if handover is not None and handover.error is None:
        outcome, may_begin = outcome_of(handover)
        if may_begin:
            raise LeaseError(f"{store.uri}: {outcome}; wait for it, or stop it: {stop}")
    with spinner("listening for a run of this job"):
        return free_entry(store, stop, lambda line: err.print(line, soft_wrap=True), take_over=take_over)


@contextlib.contextmanager
def held(store: Store, previous: Entry | None) -> Iterator[Store]:
    """The job's store while this command holds the lease that follows ``previous``. Raises LeaseError.

    Runs that begin meanwhile are refused. The lease is given back at the end, unless it was removed with the job.
    """
    from orchestrator.state.lease import last_entry, new_holder, take
    from orchestrator.store.guarded import GuardedStore

    lease = take(store, previous, new_holder(shlex.join(["orch", *sys.argv[1:]])))
    try:
        yield GuardedStore(store, lease)
    finally:
        try:
            if last_entry(store) is not None:
                lease.release()
        except (StorageError, LeaseLostError) as error:
            err.print(f"note: the job's lease was not given back: {error}", soft_wrap=True)


def confirm(question: str, *, yes: bool) -> None:
    """Ask, unless ``yes``; ends the command where the answer is no. Raises SettingsError where nobody can answer."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise SettingsError("--yes", "", f"is missing, and nobody is there to ask: {question}")
    err.print(f"{question} [y/N] ", end="", soft_wrap=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise typer.Exit(1)

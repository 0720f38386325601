"""Jobs that run elsewhere: hand them over, follow them, and let them go on when the user leaves."""

from __future__ import annotations

import os
import shlex
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer
from rich.text import Text

from orchestrator.cli.console import err, out, print_error
from orchestrator.cli.notify import VARIABLE
from orchestrator.errors import ClusterError, StorageError
from orchestrator.runtime.launchers import ConnectionLostError, connect
from orchestrator.state.handovers import Handover, note_failure, settle_handover, write_handover
from orchestrator.state.marks import Kind, Line, MarkedStdout

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from orchestrator.runtime.launchers import Launcher
    from orchestrator.spec.job import Job
    from orchestrator.store.location import Store

_BEGIN_S = 120.0
"""How long a detached run may take to begin before the command returns all the same."""
_POLL_S = 0.5
_ERROR = "error: "


@dataclass(frozen=True)
class _HandedOverJob:
    """A job that was handed to a cluster, and the storage of its results.

    ``store`` is None where this machine cannot reach that storage; ``apart`` is the reason, and empty otherwise.
    """

    cluster: Launcher
    record: Handover
    name: str
    storage: str
    store: Store | None
    apart: str = ""

    def fail(self, reason: str) -> None:
        """Store why it failed, for ``orch status``."""
        if self.store is not None:
            try:
                note_failure(self.store, self.record, reason)
            except StorageError as error:  # the failure itself is printed in any case
                err.print(f"note: {error}", soft_wrap=True)


def hand_over(job: Job, storage: str, address: str, command: Sequence[str], *, detach: bool) -> NoReturn:
    """Have the cluster run a command for the job, and exit as it does; with ``detach`` once the run has begun."""
    cluster = connect(address)
    storage = cluster.place(storage)
    submission = cluster.submit(job, storage, command, _notify)
    if VARIABLE in os.environ and not cluster.queues:
        _notify(f"note: {VARIABLE} is not sent to a cluster; a run there heeds that of the cluster's own environment")
    record, name = Handover(cluster.address, submission, time.time()), job.header.name
    handed = _HandedOverJob(cluster, record, name, storage, *_record(storage, name, record))
    if detach:
        out.print(submission, soft_wrap=True)
        if cluster.queues:
            _print_commands(handed)
        else:
            _await_run(handed)
        raise typer.Exit
    err.print(f"{submission} is on {cluster.address}; Ctrl-C stops following, not the job", soft_wrap=True)
    _follow(handed)


def script_for(job: Job, storage: str, command: Sequence[str]) -> str:
    """The batch script that hands the job to Slurm."""
    from orchestrator.runtime.slurm import Slurm, write_script

    return write_script(job, Slurm().place(storage), command)


def begin(store: Store) -> None:
    """Mark the run as begun: remove the record of its hand-over, if there is one, and print the mark into Ray's log."""
    seen = settle_handover(store, os.environ.get("ORCH_SUBMISSION_ID"))
    if isinstance(stream := out.file, MarkedStdout):
        stream.write_begun(seen=seen)


def show_remote(job: Job, storage: str, address: str, command: Sequence[str]) -> NoReturn:
    """Run an ``orch`` command that changes nothing on the cluster, with its devices and storage; print its output."""
    cluster = connect(address)
    if cluster.queues:
        raise ClusterError(
            f"--address {address}: a plan does not wait in a queue; leave it out to plan on this machine"
        )
    submission = cluster.submit(job, cluster.place(storage), command, _notify, runs=False)
    lines = list(cluster.follow(submission))
    for line in lines:
        if line.kind is Kind.RESULT:
            out.file.write(f"{line.text}\n")
    out.file.flush()
    for line in lines:
        if line.kind is Kind.NOTE:
            err.print(Text(line.text), soft_wrap=True)
    raise typer.Exit(cluster.result(submission))


def _notify(line: str) -> None:
    err.print(Text(line), soft_wrap=True)


def outcome_of(handover: Handover) -> tuple[str, bool]:
    """The outcome, in one line, of a hand-over whose run has not begun, and whether the run may yet begin.

    Asks the cluster, for a few seconds, unless storage has the reason of its failure.
    """
    if handover.error is not None:
        return f"{handover}, which came to nothing: {handover.error}", False
    submission = handover.submission_id
    try:
        cluster = connect(handover.address, soon=True)
        ended, lines = cluster.ended(submission), cluster.log(submission)
        if _find_begun(lines):
            return (
                f"{handover}, which has begun; but the cluster keeps its results elsewhere, under the same name",
                True,
            )
        if not ended:
            how = cluster.waits(submission) or "has started there, but not begun to train"
            return f"{handover}, which {how}", True
        return f"{handover}, which came to nothing: {_cause(cluster, submission, lines)}", False
    except ClusterError as error:
        return f"{handover}, of which nothing was heard since ({error})", True


def _record(storage: str, name: str, record: Handover) -> tuple[Store | None, str]:
    """Write the hand-over below the root of the job's results, and return the root; None and why where it cannot.

    No folder is made for an absolute path whose parent is missing: this machine may not mount that storage.
    """
    from orchestrator.store.local import LocalStore
    from orchestrator.store.open import open_store

    root = open_store(storage)
    if isinstance(root, LocalStore) and not Path(root.uri).parent.is_dir():
        return None, f"{storage} is not on this machine"
    store = root.child(name)
    try:
        write_handover(store, record)
    except StorageError as error:
        return None, str(error)
    return store, ""


def _follow(handed: _HandedOverJob) -> NoReturn:
    """Print a submission's output until it has ended, and exit with its exit code."""
    cluster, submission = handed.cluster, handed.record.submission_id
    lines: list[Line] = []
    try:
        for line in cluster.follow(submission):
            lines.append(line)
            if line.kind is not Kind.BEGUN:
                (out if line.kind is Kind.RESULT else err).print(Text(line.text), soft_wrap=True)
        if _find_begun(lines) is None:
            handed.fail(_cause(cluster, submission, lines))
        code = cluster.result(submission)
    except (KeyboardInterrupt, ConnectionLostError) as error:
        reason = "following stopped" if isinstance(error, KeyboardInterrupt) else str(error)
        err.print(f"{reason}; {submission} goes on without", soft_wrap=True)
        _print_commands(handed)
        raise typer.Exit(130) from None
    raise typer.Exit(code)


def _await_run(handed: _HandedOverJob) -> None:
    """Wait until the run has begun, and print how to go on; exit with its exit code where it failed."""
    submission = handed.record.submission_id
    try:
        begun, late = _wait_for_run(handed)
    except KeyboardInterrupt:
        begun, late = None, "waiting stopped"
    if begun is None:
        err.print(f"{late}; {submission} goes on without this command", soft_wrap=True)
    elif not handed.apart and begun.text != "seen":
        handed = replace(handed, apart=f"{handed.storage} is another place on the cluster than here")
    _print_commands(handed)


def _wait_for_run(handed: _HandedOverJob) -> tuple[Line | None, str]:
    """The line by which the run reports that it has begun; or None and the reason after 120 s without it."""
    cluster, submission = handed.cluster, handed.record.submission_id
    began, late = time.monotonic(), ""
    while time.monotonic() - began < _BEGIN_S:
        try:
            ended, lines = cluster.ended(submission), cluster.log(submission)
            how = "Ray has only queued it" if cluster.waits(submission) else "it has started, but not begun"
            late = f"{how} in {_BEGIN_S:.0f} s"
        except ClusterError as error:  # the job does not depend on it
            late = str(error)
        else:
            if (begun := _find_begun(lines)) is not None:
                return begun, ""
            if ended:
                _exit_failed(handed, lines)
        time.sleep(_POLL_S)
    return None, late


def _exit_failed(handed: _HandedOverJob, lines: Sequence[Line]) -> NoReturn:
    """Print why a submission has ended before its run began, and exit with its exit code."""
    cluster, submission = handed.cluster, handed.record.submission_id
    cause = _cause(cluster, submission, lines)
    handed.fail(cause)
    print_error(f"{submission} came to nothing on {cluster.address}: {cause}")
    try:
        code = cluster.result(submission)
    except ClusterError:  # Ray's own cause, which was just printed
        code = 2
    raise typer.Exit(code or 2)


def _find_begun(lines: Iterable[Line]) -> Line | None:
    """The line by which a run reports that it has begun; None where there is none."""
    return next((line for line in lines if line.kind is Kind.BEGUN), None)


def _cause(cluster: Launcher, submission: str, lines: Sequence[Line]) -> str:
    """Why a submission has ended before its run began: its error, or its last line, or Ray's reason."""
    notes = [line.text.strip() for line in lines if line.kind is Kind.NOTE and line.text.strip()]
    errors = [note.removeprefix(_ERROR) for note in notes if note.startswith(_ERROR)]
    if errors or notes:
        return (errors or notes)[-1]
    try:
        return f"it ended with exit code {cluster.result(submission)} and said nothing"
    except ClusterError as error:
        return str(error)


def _print_commands(handed: _HandedOverJob) -> None:
    """Print the commands that follow and stop the run, through storage and on this machine."""
    address = ["--address", handed.cluster.address]
    through_storage = [("status", []), ("logs", ["-f"]), ("cancel", [])]
    if handed.apart:
        err.print(f"{handed.apart}; where the cluster's storage can be reached, these work:", soft_wrap=True)
    for verb, options in through_storage:
        _print_command(handed, verb, options)
    if handed.apart:
        err.print("and here, as long as the cluster lasts:")
        _print_command(handed, "cancel", address)
    _print_command(handed, "logs", ["-f", *address])


def _print_command(handed: _HandedOverJob, verb: str, options: Sequence[str]) -> None:
    command = ["orch", verb, handed.name, "--storage", handed.storage, *options]
    err.print(f"  {shlex.join(command)}", soft_wrap=True)

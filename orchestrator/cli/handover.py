"""Jobs that run on a cluster elsewhere: handed over, followed, and left alone when the user leaves."""

from __future__ import annotations

import os
import shlex
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import typer
from rich.text import Text

from orchestrator.cli.console import complain, err, out
from orchestrator.errors import ClusterError, StorageError
from orchestrator.state.handovers import Handover, note_failure, settle_handover, write_handover
from orchestrator.state.marks import Kind, Line, MarkedStdout

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from orchestrator.runtime.remote import RemoteCluster
    from orchestrator.runtime.runtime_env import Upload
    from orchestrator.spec.job import Job
    from orchestrator.store.location import Store

_BEGIN_S = 120.0
"""How long a run that is left alone may take to begin before the command leaves it all the same."""
_LOOK_S = 0.5
_SOON_S = 5.0
"""How long a cluster may take to answer where what storage holds will do as well."""
_ERROR = "error: "


@dataclass(frozen=True)
class _Handed:
    """A job that a cluster has, and where its results go; ``store`` is None where that is not to be reached here.

    ``apart`` tells why not, and is empty otherwise.
    """

    cluster: RemoteCluster
    record: Handover
    name: str
    storage: str
    store: Store | None
    apart: str = ""

    def fail(self, why: str) -> None:
        """Keep why it came to nothing, for ``orch status``."""
        if self.store is not None:
            try:
                note_failure(self.store, self.record, why)
            except StorageError as error:  # the failure itself is told in any case
                err.print(f"note: {error}", soft_wrap=True)


def hand_over(job: Job, storage: str, address: str, command: Sequence[str], *, detach: bool) -> NoReturn:
    """Have the cluster run a command for the job, and leave as it did; one that is left alone once it has begun."""
    cluster = connect(address)
    submission = cluster.submit(_packed(job, storage), command)
    record, name = Handover(cluster.address, submission, time.time()), job.header.name
    handed = _Handed(cluster, record, name, storage, *_recorded(storage, name, record))
    if detach:
        out.print(submission, soft_wrap=True)
        _await_beginning(handed)
        raise typer.Exit
    err.print(f"{submission} is on {cluster.address}; Ctrl-C stops following, not the job", soft_wrap=True)
    _follow(handed)


def begin(store: Store) -> None:
    """Note that the run has begun: nothing is left to do for the record of its hand-over, if it was handed over."""
    seen = settle_handover(store, os.environ.get("ORCH_SUBMISSION_ID"))
    if isinstance(stream := out.file, MarkedStdout):
        stream.write_begun(seen=seen)


def show_remote(job: Job, storage: str, address: str, command: Sequence[str]) -> NoReturn:
    """Print what a command of ``orch`` that changes nothing says on the cluster, with its devices and its storage."""
    cluster = connect(address)
    submission = cluster.submit(_packed(job, storage), command, runs=False)
    lines = list(cluster.follow(submission))
    for line in lines:
        if line.kind is Kind.RESULT:
            out.file.write(f"{line.text}\n")
    out.file.flush()
    for line in lines:
        if line.kind is Kind.NOTE:
            err.print(Text(line.text), soft_wrap=True)
    raise typer.Exit(cluster.result(submission))


def _packed(job: Job, storage: str) -> Upload:
    """What travels with the job, which is told before it does. Raises StorageError, DataError."""
    from orchestrator.cli.tables import travel_lines
    from orchestrator.runtime.runtime_env import pack

    upload = pack(job, storage)
    for line in travel_lines(upload):
        err.print(line, soft_wrap=True)
    return upload


def connect(address: str, *, soon: bool = False) -> RemoteCluster:
    """The cluster at a dashboard's URL; ``soon`` gives up on answers that take long. Raises ClusterError."""
    if address == "auto":
        raise ClusterError("--address: got 'auto', expected the URL of a Ray dashboard, such as http://head:8265")
    from orchestrator.runtime.remote import RemoteCluster

    return RemoteCluster(address, **({"answer_s": _SOON_S} if soon else {}))


def outcome_of(handover: Handover) -> tuple[str, bool]:
    """What has come of a hand-over of which no run has begun, in one line, and whether one may yet.

    The cluster is asked where it answers soon, unless that is known already.
    """
    if handover.error is not None:
        return f"{handover}, which came to nothing: {handover.error}", False
    submission = handover.submission_id
    try:
        cluster = connect(handover.address, soon=True)
        ended, lines = cluster.ended(submission), cluster.log(submission)
        if _begun(lines):
            return (
                f"{handover}, which has begun; but the cluster keeps its results elsewhere, under the same name",
                True,
            )
        if not ended:
            how = "is queued there" if cluster.queued(submission) else "has started there, but not begun to train"
            return f"{handover}, which {how}", True
        return f"{handover}, which came to nothing: {_cause(cluster, submission, lines)}", False
    except ClusterError as error:
        return f"{handover}, of which nothing was heard since ({error})", True


def _recorded(storage: str, name: str, record: Handover) -> tuple[Store | None, str]:
    """The root of the job's results, where the hand-over is noted; None, and why, where that cannot be done from here.

    No folder is made at the root of a machine that may know the storage by another path, if at all.
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


def _follow(handed: _Handed) -> NoReturn:
    """Print what a submission says until it has ended, and leave with its exit code."""
    from orchestrator.runtime.remote import ConnectionLostError

    cluster, submission = handed.cluster, handed.record.submission_id
    lines: list[Line] = []
    try:
        for line in cluster.follow(submission):
            lines.append(line)
            if line.kind is not Kind.BEGUN:
                (out if line.kind is Kind.RESULT else err).print(Text(line.text), soft_wrap=True)
        if _begun(lines) is None:
            handed.fail(_cause(cluster, submission, lines))
        code = cluster.result(submission)
    except (KeyboardInterrupt, ConnectionLostError) as error:
        why = "following stopped" if isinstance(error, KeyboardInterrupt) else str(error)
        err.print(f"{why}; {submission} goes on without", soft_wrap=True)
        _print_commands(handed)
        raise typer.Exit(130) from None
    raise typer.Exit(code)


def _await_beginning(handed: _Handed) -> None:
    """Wait until the run has begun, and say how to go on; where it came to nothing, leave with its exit code."""
    submission = handed.record.submission_id
    try:
        begun, late = _first_word(handed)
    except KeyboardInterrupt:
        begun, late = None, "waiting stopped"
    if begun is None:
        err.print(f"{late}; {submission} goes on without this command", soft_wrap=True)
    elif not handed.apart and begun.text != "seen":
        handed = replace(handed, apart=f"{handed.storage} is another place on the cluster than here")
    _print_commands(handed)


def _first_word(handed: _Handed) -> tuple[Line | None, str]:
    """The word of the run that it has begun; or None and why it has not been heard for so long."""
    cluster, submission = handed.cluster, handed.record.submission_id
    began, late = time.monotonic(), ""
    while time.monotonic() - began < _BEGIN_S:
        try:
            ended, lines = cluster.ended(submission), cluster.log(submission)
            how = "Ray has only queued it" if cluster.queued(submission) else "it has started, but not begun"
            late = f"{how} in {_BEGIN_S:.0f} s"
        except ClusterError as error:  # the job does not depend on it
            late = str(error)
        else:
            if (begun := _begun(lines)) is not None:
                return begun, ""
            if ended:
                _give_up(handed, lines)
        time.sleep(_LOOK_S)
    return None, late


def _give_up(handed: _Handed, lines: Sequence[Line]) -> NoReturn:
    """Say why a run has ended before it began, and leave with its exit code."""
    cluster, submission = handed.cluster, handed.record.submission_id
    cause = _cause(cluster, submission, lines)
    handed.fail(cause)
    complain(f"{submission} came to nothing on {cluster.address}: {cause}")
    try:
        code = cluster.result(submission)
    except ClusterError:  # Ray's own cause, which was just told
        code = 2
    raise typer.Exit(code or 2)


def _begun(lines: Iterable[Line]) -> Line | None:
    """The word of a run that it has begun, if it has given it."""
    return next((line for line in lines if line.kind is Kind.BEGUN), None)


def _cause(cluster: RemoteCluster, submission: str, lines: Sequence[Line]) -> str:
    """Why a submission has ended before its run began: its error, or what it said last, or what Ray says of it."""
    notes = [line.text.strip() for line in lines if line.kind is Kind.NOTE and line.text.strip()]
    errors = [note.removeprefix(_ERROR) for note in notes if note.startswith(_ERROR)]
    if errors or notes:
        return (errors or notes)[-1]
    try:
        return f"it ended with exit code {cluster.result(submission)} and said nothing"
    except ClusterError as error:
        return str(error)


def _print_commands(handed: _Handed) -> None:
    """The commands that watch and stop the run; those that need storage for where that can be reached."""
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


def _print_command(handed: _Handed, verb: str, options: Sequence[str]) -> None:
    command = ["orch", verb, handed.name, "--storage", handed.storage, *options]
    err.print(f"  {shlex.join(command)}", soft_wrap=True)

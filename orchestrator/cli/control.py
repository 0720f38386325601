"""logs and cancel: follow and stop a run through its storage, from any machine that can reach that."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.text import Text

from orchestrator.cli.console import err, out, spinner
from orchestrator.cli.handover import outcome_of
from orchestrator.cli.options import Address, JobName, Storage, name_job
from orchestrator.cli.queued import Watch, cancel_queued, output_lines
from orchestrator.cli.usage import line_count
from orchestrator.durations import duration
from orchestrator.errors import ClusterError, NotFoundError, SettingsError, StorageError, one_line
from orchestrator.runtime.launchers import connect
from orchestrator.state.marks import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from orchestrator.cli.options import NamedJob
    from orchestrator.state.files import RunState
    from orchestrator.state.handovers import Handover
    from orchestrator.state.log import LogSnapshot
    from orchestrator.state.marks import Line
    from orchestrator.store.location import Store

_POLL_S = 2.0
_SILENT_S = 60.0
"""A followed run counts as dead when neither its state nor its log has changed for this time."""
_GO_ON = "'orch resume' goes on"
_BEGIN_S = 120.0
"""How long a run that was handed over may take to begin."""
_OBEY_S = 90.0
"""How long a driver may take to read the request to cancel, and to have every trial store its state."""


def logs(
    job: JobName,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run has ended.")] = False,
    lines: Annotated[
        int | None, typer.Option("--lines", metavar="N", parser=line_count, help="Only the last N lines.")
    ] = None,
    storage: Storage = None,
    address: Address = None,
) -> None:
    """Print the log of a job's last run; works from anywhere, during the run and after it.

    A job that goes back into Slurm's queue is followed on. With --address it is Ray's own copy, or Slurm's, for a run
    that came to nothing before it reached storage.

    Examples: `orch logs quickstart -f` · `orch logs my_sweep --storage s3://bucket/studies --lines 20` ·
    `orch logs my_sweep --address http://head:8265`
    """
    from orchestrator.state.handovers import read_handover
    from orchestrator.state.log import read_log

    if lines == 0 and not follow:
        raise SettingsError("--lines", "", "got 0, expected a number > 0, or --follow with it")
    named = name_job(job, storage)
    store = named.store
    if address is not None:
        _remote_logs(store, address, follow, lines)
        return
    log, handover = read_log(store), read_handover(store)
    if not log.lines and not follow:
        _print_output(named, handover, lines)
        return
    _print(_last(log.lines, lines))
    if follow:
        _follow(named, log)
    elif handover is not None:
        err.print(f"that was before; since then {outcome_of(handover)[0]}", soft_wrap=True)


def _print_output(named: NamedJob, handover: Handover | None, lines: int | None) -> None:
    """Print what the nodes have printed of a run without a log in storage. Raises NotFoundError where it is nothing."""
    if handover is None:
        named.require()
        raise NotFoundError(f"{named.store.uri}: no log; 'orch submit' makes one, --storage looks elsewhere")
    outcome, printed = outcome_of(handover)[0], output_lines(named, handover)
    if not printed:
        raise NotFoundError(f"{named.store.uri}: no log; {outcome}")
    _print(_last(printed, lines))
    err.print(outcome, soft_wrap=True)


def _follow(named: NamedJob, log: LogSnapshot) -> None:
    """Print the lines that are added to a log from now on, until the run has ended, and a queue has no more of it."""
    from orchestrator.state.files import read_state
    from orchestrator.state.log import read_log

    store = named.store
    last, changed_at, watch = None, time.monotonic(), Watch(store)
    while True:
        watch.look()
        waiting = watch.waits or _awaits_run(named)
        if log.ended and not waiting and not watch.active:
            return
        state = None if waiting else read_state(store)
        if (state, log) != last or watch.active:
            last, changed_at = (state, log), time.monotonic()
        silent_s = time.monotonic() - changed_at
        if state is None and (waiting or not log.lines) and silent_s > _BEGIN_S:
            raise NotFoundError(f"{store.uri}: no run has begun in {_BEGIN_S:.0f} s; --address shows Ray's own log")
        if state is not None and silent_s > _SILENT_S:
            raise StorageError(f"{store.uri}: no sign of life for {duration(silent_s)}; {_GO_ON}")
        gone = state is not None and state.process is not None and state.process.gone and not watch.active
        if not gone:
            time.sleep(_POLL_S)
        newer = read_log(store)
        _print(newer.since(log))
        log = newer
        if gone and not log.ended:
            raise StorageError(f"{store.uri}: the run's process is gone; {_GO_ON}")


def _awaits_run(named: NamedJob) -> bool:
    """Whether the run of a hand-over is yet to begin. Raises ClusterError where the hand-over failed."""
    from orchestrator.state.handovers import read_handover

    handover = read_handover(named.store)
    if handover is None:
        return False
    outcome, may_begin = outcome_of(handover)
    if not may_begin:
        _print(output_lines(named, handover))
        raise ClusterError(f"{named.name}: {outcome}")
    return True


def _remote_logs(store: Store, address: str, follow: bool, lines: int | None) -> None:
    name = _name(store)
    cluster = connect(address)
    submission = cluster.newest(name)
    if submission is None:
        raise ClusterError(f"{cluster.address}: no job called {name} was handed to this cluster since it started")
    if follow and lines is None:
        _print(_texts(cluster.follow(submission)))
        return
    printed = list(_texts(cluster.log(submission)))
    _print(_last(printed, lines))
    if follow:
        _print(line for number, line in enumerate(_texts(cluster.follow(submission))) if number >= len(printed))


def _texts(lines: Iterable[Line]) -> Iterator[str]:
    return (line.text for line in lines if line.kind is not Kind.BEGUN)


def cancel(job: JobName, storage: Storage = None, address: Address = None) -> None:
    """Stop the run of a job, as Ctrl-C would: every trial keeps its last state, and `orch resume` goes on.

    The request goes through storage, from anywhere. With --address, a run that storage has no state of is stopped too.
    A job under Slurm leaves its queue and is not requeued; where the request is not heard, Slurm ends it.

    Examples: `orch cancel quickstart` · `orch cancel my_sweep --storage s3://bucket/studies` ·
    `orch cancel my_sweep --storage s3://bucket/studies --address http://head:8265`
    """
    from orchestrator.state.files import ask_to_cancel, read_state
    from orchestrator.state.liveness import is_alive

    named = name_job(job, storage)
    store = named.store
    state = read_state(store)
    if cancel_queued(named, state, address):
        return
    with spinner("listening for a sign of life"):
        alive = is_alive(store, state)
    if state is not None and alive:
        ask_to_cancel(store, state)
        err.print(f"asked the run of {_name(store)} to stop", soft_wrap=True)
        _await_end(store, state)
    elif address is not None:
        _stop(_name(store), address)
    else:
        if state is None:
            named.require()
        last_state = "" if state is None else f": {state.state}"
        if state is not None and state.age_s is not None:
            last_state += f", last sign of life {duration(state.age_s)} ago"
        raise StorageError(f"{store.uri}: no run is at work on it{last_state}{_handed_over(store)}")


def _handed_over(store: Store) -> str:
    """The end of the error where a run may yet begin."""
    from orchestrator.state.handovers import read_handover

    handover = read_handover(store)
    if handover is None or handover.error is not None:
        return ""
    return f"; it was {handover}: --address {handover.address} stops it there"


def _await_end(store: Store, run: RunState) -> None:
    from orchestrator.state.files import read_state

    began = time.monotonic()
    while time.monotonic() - began < _OBEY_S:
        state = read_state(store)
        if state is None or state.run_id != run.run_id:
            out.print("that run has given way to another")
            return
        if state.state != "running":
            early = "" if state.state == "cancelled" else ", before it could be cancelled"
            out.print(f"{state.state}{early}: {state.ended} of {state.to_run} trials had ended", soft_wrap=True)
            return
        time.sleep(_POLL_S)
    raise ClusterError(
        f"{store.uri}: the run has not stopped in {_OBEY_S:.0f} s; it will as soon as it reads the request"
    )


def _stop(name: str, address: str) -> None:
    cluster = connect(address)
    submission = cluster.newest(name)
    if submission is None or cluster.ended(submission):
        raise ClusterError(f"{cluster.address}: no run of {name} is at work there")
    cluster.stop(submission)
    began = time.monotonic()
    while not cluster.ended(submission):
        if time.monotonic() - began > _OBEY_S:
            raise ClusterError(f"{submission} has not stopped in {_OBEY_S:.0f} s; Ray will end it")
        time.sleep(_POLL_S)
    out.print(f"{submission} stopped", soft_wrap=True)


def _name(store: Store) -> str:
    return store.uri.rpartition("/")[2]


def _last(lines: Iterable[str], number: int | None) -> list[str]:
    whole = list(lines)
    return whole if number is None else whole[len(whole) - min(number, len(whole)) :]


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        out.print(Text(one_line(line)), soft_wrap=True)

"""Whether a run is alive: its process exists, where this machine can know that, or its state changes as we watch.

The clocks of two machines are never compared; how long nothing was heard is measured by one's own.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from orchestrator.errors import LeaseError, StorageError, StorageUnavailable
from orchestrator.state.files import BEAT_S, read_state
from orchestrator.state.lease import last_entry

if TYPE_CHECKING:
    from collections.abc import Callable

    from orchestrator.state.files import RunState
    from orchestrator.state.lease import Entry, Holder
    from orchestrator.store.location import Store

LISTEN_S = 3 * BEAT_S
"""A run whose state does not change for so long counts as silent."""
LOOK_S = 0.5


def is_alive(store: Store, state: RunState | None) -> bool:
    """Whether the run that wrote this state is at work. Takes up to LISTEN_S for one that is not on this machine."""
    if state is None or state.state != "running":
        return False
    if state.process is not None and state.process.here:
        return not state.process.gone
    return _listen(store, lambda seen: seen is not None and seen.run_id == state.run_id and seen != state)


def free_entry(store: Store, cancel: str, notify: Callable[[str], None], *, take_over: bool) -> Entry | None:
    """The job's last lease, if it may be followed: nobody holds it, or who did is dead. Raises LeaseError.

    ``take_over`` is the user's word that a run of which nothing is heard is dead. ``cancel`` is the command that stops
    one which is at work. ``notify`` hears why a lease that nobody gave up may be followed.
    """
    entry = last_entry(store)
    if entry is None or (entry.holder is not None and entry.holder.released):
        return entry
    holder = entry.holder
    if holder is not None and holder.process.here:
        if not holder.process.gone:
            raise _busy(store, holder, cancel)
        notify(f"note: the last run, on {holder}, ended without a word; this one takes its place")
        return entry
    before = _state(store, holder)
    if _listen(store, lambda seen: _of(seen, holder) != before) and last_entry(store) == entry:
        raise _busy(store, holder, cancel)
    if last_entry(store) != entry:  # it was given up, or taken, as we listened
        return free_entry(store, cancel, notify, take_over=take_over)
    where = "another run of this job" if holder is None else f"another run of this job, on {holder},"
    ended = before is not None and before.state != "running"
    if not ended and not take_over:
        raise LeaseError(
            f"{store.uri}: {where} has not ended, and nothing was heard of it for {LISTEN_S:.0f} s; "
            "if it is dead, --take-over takes its place"
        )
    notify(f"note: {where} {f'was {before.state}' if before and ended else 'is silent'}; this one takes its place")
    return entry


def _busy(store: Store, holder: Holder | None, cancel: str) -> LeaseError:
    state = _state(store, holder)
    where = "" if holder is None else f" on {holder}"
    done = f", {state.ended} of {state.to_run} trials have ended" if state is not None and state.to_run else ""
    what = f"another run of this job is at work{where}{done}"
    return LeaseError(f"{store.uri}: {what}; wait for it, or stop it: {cancel}")


def _listen(store: Store, changed: Callable[[RunState | None], bool]) -> bool:
    """Whether the run's state changes as asked while we listen; True as soon as it does."""
    give_up = time.monotonic() + LISTEN_S
    while time.monotonic() < give_up:
        time.sleep(LOOK_S)
        if changed(_read(store)):
            return True
    return False


def _state(store: Store, holder: Holder | None) -> RunState | None:
    return _of(_read(store), holder)


def _of(state: RunState | None, holder: Holder | None) -> RunState | None:
    """The state where it is of the run that holds the lease, or where nobody knows which run that is."""
    return state if state is None or holder is None or state.run_id == holder.run_id else None


def _read(store: Store) -> RunState | None:
    try:
        return read_state(store)
    except StorageUnavailable:
        raise
    except StorageError:  # a damaged state says nothing; a run that is alive replaces it by its next beat
        return None

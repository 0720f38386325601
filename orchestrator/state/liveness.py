"""Whether a run is alive: its process exists, where this machine can check that, or its state in storage changes.

The clocks of two machines are never compared; silence is measured by this machine's clock.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from orchestrator.errors import LeaseError, StorageError, StorageUnavailable
from orchestrator.state.files import BEAT_S, read_state
from orchestrator.state.lease import last_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from orchestrator.state.files import RunState
    from orchestrator.state.lease import Entry, Holder
    from orchestrator.store.location import Store

LISTEN_S = 3 * BEAT_S
"""A run whose state does not change for this time counts as silent."""
POLL_S = 0.5


def is_alive(store: Store, state: RunState | None) -> bool:
    """Whether the run that wrote this state is at work. Takes up to LISTEN_S for one that is not on this machine."""
    return are_alive([(store, state)]) == [True]


def are_alive(runs: Sequence[tuple[Store, RunState | None]]) -> list[bool]:
    """The same of several runs, which are all listened to at once."""
    alive = [_is_here(state) for _, state in runs]
    deadline = time.monotonic() + LISTEN_S
    while None in alive and time.monotonic() < deadline:
        time.sleep(POLL_S)
        for place, (store, state) in enumerate(runs):
            if alive[place] is None and _has_gone_on(state, _read(store)):
                alive[place] = True
    return [one is True for one in alive]


def _is_here(state: RunState | None) -> bool | None:
    """Whether the run is at work, as far as it ended or is on this machine; None for one elsewhere."""
    if state is None or state.state != "running":
        return False
    return not state.process.gone if state.process is not None and state.process.here else None


def _has_gone_on(then: RunState | None, now: RunState | None) -> bool:
    return then is not None and now is not None and now.run_id == then.run_id and now != then


class Lookout:
    """Tells at once whether a run is alive, to who looks at its state again and again."""

    def __init__(self) -> None:
        self._heard: tuple[int, float] | None = None  # the beat of a run elsewhere, and when it was first seen

    def is_alive(self, state: RunState | None, pause_s: float) -> bool:
        """Whether the run is at work; of one elsewhere, whether a beat was new lately to who looks each ``pause_s``."""
        if (known := _is_here(state)) is not None:
            return known
        assert state is not None
        now = time.monotonic()
        if self._heard is None or self._heard[0] != state.beat:
            self._heard = state.beat, now
        return now - self._heard[1] < LISTEN_S + pause_s


def free_entry(store: Store, cancel: str, notify: Callable[[str], None], *, take_over: bool) -> Entry | None:
    """The job's last lease, if a run may follow it: it was released, or its holder is dead. Raises LeaseError.

    ``take_over`` states that a silent run is dead. ``cancel`` is the command that stops a run at work, for the error.
    ``notify`` reports why a run may follow a lease that was not released.
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
    last_state = _state(store, holder)
    if _await_change(store, lambda now: _of(now, holder) != last_state) and last_entry(store) == entry:
        raise _busy(store, holder, cancel)
    if last_entry(store) != entry:  # it was released or taken meanwhile
        return free_entry(store, cancel, notify, take_over=take_over)
    where = "another run of this job" if holder is None else f"another run of this job, on {holder},"
    ended = last_state is not None and last_state.state != "running"
    if not ended and not take_over:
        raise LeaseError(
            f"{store.uri}: {where} has not ended, and nothing was heard of it for {LISTEN_S:.0f} s; "
            "if it is dead, --take-over takes its place"
        )
    notify(
        f"note: {where} {f'was {last_state.state}' if last_state and ended else 'is silent'}; this one takes its place"
    )
    return entry


def _busy(store: Store, holder: Holder | None, cancel: str) -> LeaseError:
    state = _state(store, holder)
    where = "" if holder is None else f" on {holder}"
    done = f", {state.ended} of {state.to_run} trials have ended" if state is not None and state.to_run else ""
    problem = f"another run of this job is at work{where}{done}"
    return LeaseError(f"{store.uri}: {problem}; wait for it, or stop it: {cancel}")


def _await_change(store: Store, changed: Callable[[RunState | None], bool]) -> bool:
    """Whether ``changed`` becomes true of the run's state within LISTEN_S; True as soon as it does."""
    deadline = time.monotonic() + LISTEN_S
    while time.monotonic() < deadline:
        time.sleep(POLL_S)
        if changed(_read(store)):
            return True
    return False


def _state(store: Store, holder: Holder | None) -> RunState | None:
    return _of(_read(store), holder)


def _of(state: RunState | None, holder: Holder | None) -> RunState | None:
    """The state where it is of the run that holds the lease, or where that run is unknown; else None."""
    return state if state is None or holder is None or state.run_id == holder.run_id else None


def _read(store: Store) -> RunState | None:
    try:
        return read_state(store)
    except StorageUnavailable:
        raise
    except StorageError:  # a damaged state; a run that is alive replaces it with its next beat
        return None

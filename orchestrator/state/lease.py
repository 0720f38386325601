"""One run of a job at a time: the right to write below the job's root, kept in storage.

``lease/00000007.json`` is the seventh lease of a job; the lease with the highest number counts. A run takes over by
writing the next number, on condition that no such file exists: of many runs that try at once, one succeeds. Where a
storage does not honour the condition (some S3 servers, file systems without hard links), two may both write it. So a
run reads its lease back, then and before later writes: the last writer has it, the other stops.

Whether the holder of a lease is alive is decided without comparing two machines' clocks: see ``liveness``.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
import secrets
import sys
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from pydantic import TypeAdapter, ValidationError

from orchestrator.errors import LeaseError, LeaseLostError, NotFoundError, StorageError, StorageUnavailable
from orchestrator.state.process import Process, this_process

if TYPE_CHECKING:
    from orchestrator.store.location import Store

FOLDER = "lease"
_KEY = re.compile(r"lease/(\d{8}|[1-9]\d{8,17})\.json")
_BYTES = 16_000_000
"""More than any lease has: systems allow commands of some 2 MB, and JSON may escape each byte in six."""
_CHECK_S = 5.0
"""A check of the lease counts for this time: a run that was replaced writes for no longer."""


@dataclass(frozen=True)
class Holder:
    """The run that holds a lease, and where it is."""

    run_id: str
    process: Process
    address: str | None = None
    """The cluster the run is on; None for the machine of its driver."""
    submission_id: str | None = None
    command: str = ""
    released: bool = False

    def __str__(self) -> str:
        """``host7 (pid 1234)``, or ``http://head:8265 (orch-study-1a2b3c4d)``."""
        if self.address is None:
            return str(self.process)
        return f"{self.address} ({self.submission_id or self.process})"


def new_holder(command: str, address: str | None = None, submission_id: str | None = None) -> Holder:
    """The holder for a run of this process that begins now."""
    return Holder(secrets.token_hex(8), this_process(), address, submission_id, command)


@dataclass(frozen=True)
class Entry:
    """A lease as it was read; ``holder`` is None where its file is damaged."""

    number: int
    holder: Holder | None

    @property
    def key(self) -> str:
        """The key of its file."""
        return _key(self.number)


def last_entry(store: Store) -> Entry | None:
    """The lease with the highest number; None where the job never had one. Raises StorageError."""
    number = max(_numbers(store), default=0)
    if number == 0:
        return None
    try:
        return Entry(number, _read(store, number))
    except NotFoundError:  # removed since it was listed, by the holder of a later one
        return last_entry(store)


def take(store: Store, after: Entry | None, holder: Holder) -> Lease:
    """Take the lease that follows ``after``, which is free. Raises LeaseError where another run was faster."""
    lease = Lease(store, 1 if after is None else after.number + 1, holder)
    try:
        _claim(lease, store)
    except KeyboardInterrupt:  # the next run may follow the lease at once
        with contextlib.suppress(LeaseLostError, StorageError):
            lease.quick().release()
        raise
    return lease


def _claim(lease: Lease, store: Store) -> None:
    """Write the lease and check that it is this run's; then remove earlier ones. Raises LeaseError."""
    store.write(lease.key, _content(lease.holder), replace=False)
    # The result of the write does not matter: one whose reply was lost may have succeeded, and one that a server
    # reports as done may have been replaced since. Only the stored lease counts.
    last = last_entry(store)
    if last != Entry(lease.number, lease.holder):
        where = "" if last is None or last.holder is None else f" on {last.holder}"
        raise LeaseError(f"{store.uri}: another run of this job has begun at the same time{where}; wait for it")
    for number in _numbers(store):
        if number < lease.number:
            store.delete(_key(number))


class Lease:
    """A lease that this run has taken; it guards the stores of the run's processes on all machines."""

    def __init__(self, store: Store, number: int, holder: Holder) -> None:
        self.number, self.holder = number, holder
        self._store = store
        self._verified_at = -math.inf

    def __reduce__(self) -> tuple[type[Lease], tuple[Store, int, Holder]]:
        return Lease, (self._store, self.number, self.holder)  # times of another process mean nothing

    @property
    def key(self) -> str:
        """The key of its file."""
        return _key(self.number)

    def verify(self) -> None:
        """Read whether this run still has the lease. Raises LeaseLostError where it does not, StorageError."""
        last = last_entry(self._store)
        if last is None:  # not taken over: that would leave a higher number
            raise StorageUnavailable(f"{self._store.uri}: what was stored is gone; mount it, or move it back")
        if last.holder is None or (last.number, last.holder.run_id) != (self.number, self.holder.run_id):
            where = f"another run of this job took over, on {last.holder}" if last.holder else "it is damaged"
            raise LeaseLostError(f"{self._store.uri}/{self.key}: {where}; this run has stopped and stores nothing more")
        self._verified_at = _now()

    def check(self) -> None:
        """Verify the lease, unless that succeeded within the last 5 s."""
        if _now() - self._verified_at > _CHECK_S:
            self.verify()

    def quick(self) -> Lease:
        """The same lease with a store that does not wait."""
        return Lease(self._store.quick(), self.number, self.holder)

    def release(self) -> None:
        """Release the lease to the next run. Its file stays, so that no run with an older list takes the number."""
        self.verify()
        self._store.write(self.key, _content(replace(self.holder, released=True)))


def _now() -> float:
    """Seconds of a clock that counts while the machine sleeps, where the system has one."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if sys.platform == "linux" else time.monotonic()


def _numbers(store: Store) -> list[int]:
    return [int(match[1]) for key in store.keys(FOLDER) if (match := _KEY.fullmatch(key))]


def _key(number: int) -> str:
    return f"{FOLDER}/{number:08d}.json"


def _content(holder: Holder) -> bytes:
    return json.dumps(asdict(holder)).encode()


def _read(store: Store, number: int) -> Holder | None:
    try:
        holder: Holder = TypeAdapter(Holder).validate_json(store.read(_key(number), _BYTES))
    except ValidationError:
        return None
    return holder

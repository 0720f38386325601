"""What a run said, kept in storage: the driver writes it whole every few seconds, anybody who can read it follows."""

from __future__ import annotations

import re
import threading
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from orchestrator.errors import NotFoundError, one_line

if TYPE_CHECKING:
    from orchestrator.store.location import Store

LOG_KEY = "run.log"
_END = "# end"
_MAX_BYTES = 1_000_000
"""The last so many bytes are kept: a log is written whole, every time."""
_HEADING = re.compile(r"# run of (\S+), times are UTC(?:; (\d+) earlier lines are left out)?")


class RunLog:
    """The lines of one run; safe to use from several threads."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self._run = datetime.now(UTC).isoformat(timespec="milliseconds")
        self._lines: deque[str] = deque()
        self._bytes = self._left_out = 0
        self._changed, self._ended = True, False
        self._lock, self._writing = threading.Lock(), threading.Lock()

    def add(self, text: str) -> None:
        """Add a line with the time of day; line breaks and what cannot be printed become escapes."""
        line = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}  {one_line(text)}"
        with self._lock:
            self._lines.append(line)
            self._bytes += len(line.encode()) + 1
            self._changed = True
            while self._bytes > _MAX_BYTES:
                self._bytes -= len(self._lines.popleft().encode()) + 1
                self._left_out += 1

    def write(self) -> None:
        """Put the log in place of the one before, if it has changed. Raises StorageError; the next write makes up."""
        with self._writing:  # one after another: an older text must not take the place of a newer one
            with self._lock:
                if not self._changed:
                    return
                text, self._changed = str(self), False
            try:
                self.store.write(LOG_KEY, text.encode())
            except BaseException:
                self._changed = True
                raise

    def end(self) -> None:
        """Write the log for the last time, with a mark that nothing follows. Raises StorageError."""
        self._changed = self._ended = True
        self.write()

    def __str__(self) -> str:
        left_out = f"; {self._left_out} earlier lines are left out" if self._left_out else ""
        end = [_END] if self._ended else []
        return "\n".join([f"# run of {self._run}, times are UTC{left_out}", *self._lines, *end, ""])


@dataclass(frozen=True)
class LogSnapshot:
    """A log as it was read: which run's, how many of its lines are no longer there, the others, and if it is whole."""

    run: str = ""
    left_out: int = 0
    lines: tuple[str, ...] = ()
    ended: bool = False

    def since(self, before: LogSnapshot) -> tuple[str, ...]:
        """The lines that have come since an earlier reading; all of them where that was another run's."""
        seen = before.left_out + len(before.lines) if before.run == self.run else 0
        return self.lines[max(0, seen - self.left_out) :]


def read_log(store: Store) -> LogSnapshot:
    """The log of the job's last run, empty where there was none. Raises StorageError."""
    try:
        text = store.read(LOG_KEY, 2 * _MAX_BYTES).decode(errors="replace")
    except NotFoundError:
        return LogSnapshot()
    heading, *lines = text.splitlines() or [""]
    match = _HEADING.fullmatch(heading)
    if match is None:  # not a log of ours: shown as it is
        return LogSnapshot(lines=(heading, *lines))
    ended = lines[-1:] == [_END]
    return LogSnapshot(match[1], int(match[2] or 0), tuple(lines[: len(lines) - ended]), ended)

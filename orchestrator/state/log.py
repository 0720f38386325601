"""The log of a run in storage: the driver rewrites it every few seconds, and any machine with access can follow it."""

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
"""Only the last bytes are kept, since a log is written whole every time."""
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
        """Add a line with date and time; line breaks and unprintable characters become escapes."""
        line = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}  {one_line(text)}"
        with self._lock:
            self._lines.append(line)
            self._bytes += len(line.encode()) + 1
            self._changed = True
            while self._bytes > _MAX_BYTES:
                self._bytes -= len(self._lines.popleft().encode()) + 1
                self._left_out += 1

    def write(self) -> None:
        """Replace the stored log, if it has changed. Raises StorageError; the next write has the missed lines too."""
        with self._writing:  # one at a time: an older text must not replace a newer one
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
        """Write the log for the last time, with a mark of its end. Raises StorageError."""
        self._changed = self._ended = True
        self.write()

    def __str__(self) -> str:
        left_out = f"; {self._left_out} earlier lines are left out" if self._left_out else ""
        end = [_END] if self._ended else []
        return "\n".join([f"# run of {self._run}, times are UTC{left_out}", *self._lines, *end, ""])


@dataclass(frozen=True)
class LogSnapshot:
    """A log as it was read: its run, the number of lines left out at its beginning, the others, and if it has ended."""

    run: str = ""
    left_out: int = 0
    lines: tuple[str, ...] = ()
    ended: bool = False

    def since(self, earlier: LogSnapshot) -> tuple[str, ...]:
        """The lines added since an earlier snapshot; all lines where that was of another run."""
        known_lines = earlier.left_out + len(earlier.lines) if earlier.run == self.run else 0
        return self.lines[max(0, known_lines - self.left_out) :]


def read_log(store: Store) -> LogSnapshot:
    """The log of the job's last run, empty where there was none. Raises StorageError."""
    try:
        text = store.read(LOG_KEY, 2 * _MAX_BYTES).decode(errors="replace")
    except NotFoundError:
        return LogSnapshot()
    heading, *lines = text.splitlines() or [""]
    match = _HEADING.fullmatch(heading)
    if match is None:  # not written by this program: shown as it is
        return LogSnapshot(lines=(heading, *lines))
    ended = lines[-1:] == [_END]
    return LogSnapshot(match[1], int(match[2] or 0), tuple(lines[: len(lines) - ended]), ended)

"""Marks in the log of a run on a cluster: Ray Jobs writes a driver's stdout and stderr to one file."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import TextIO

_MARK = "\x1f"
"""ASCII's unit separator: no other output has it, terminals and browsers do not show it, and it ends no line."""
_BEGUN = 2 * _MARK


class Kind(StrEnum):
    """The kind of a line in such a log: printed to stdout, to stderr, or the mark that the run has begun."""

    RESULT = "result"
    NOTE = "note"
    BEGUN = "begun"


class Line(NamedTuple):
    """A line as the driver printed it, without its mark.

    The text of the mark that the run has begun is ``seen`` where the run found the record of its hand-over in storage,
    and ``unseen`` where it did not.
    """

    text: str
    kind: Kind = Kind.NOTE


class MarkedStdout:
    """A stream whose lines carry the mark of stdout; each text written to it must be whole lines."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write the lines, in one piece."""
        return self.stream.write(_MARK + text.removesuffix("\n").replace("\n", f"\n{_MARK}") + "\n")

    def write_begun(self, *, seen: bool) -> None:
        """Write the mark that the run has begun, on a line of its own."""
        self.stream.write(f"{_BEGUN}{'seen' if seen else 'unseen'}\n")
        self.flush()

    def flush(self) -> None:
        """Flush the underlying stream."""
        self.stream.flush()

    def isatty(self) -> bool:
        """False: Ray's log file is no terminal."""
        return False


def read_marks(line: str) -> Iterator[Line]:
    """The line, or both lines where the second began before the first had ended."""
    note, mark, result = line.partition(_MARK)
    if note or not mark:
        yield Line(note)
    if mark:
        begun = result.startswith(_MARK)
        yield Line(result.removeprefix(_MARK), Kind.BEGUN if begun else Kind.RESULT)

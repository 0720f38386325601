"""Standard streams that cannot stop a run: closed, on a full disk, without a reader or on a closed terminal."""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from typing import TYPE_CHECKING, TextIO

from orchestrator.errors import OrchError

if TYPE_CHECKING:
    from typing_extensions import Buffer

_GONE = frozenset({errno.EIO, errno.ENXIO, errno.EBADF})
"""The errors of a terminal that was closed."""


class OutputError(OrchError):
    """Results that did not reach stdout."""


class ReaderGoneError(Exception):
    """The reader of stdout has closed its pipe, as ``head`` does once it has enough."""


class _Output(io.FileIO):
    """A standard stream: after the first failed write the rest is dropped, so that the run goes on.

    The failure is an error on stdout, since a script could take half of the results for all of them, and none on
    stderr, which has notes only.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "wb", closefd=False)
        self._failed = False

    def write(self, data: Buffer, /) -> int:
        """Write, or drop the data after a failure. Raises OutputError, ReaderGoneError: on stdout, once."""
        if self._failed:
            return memoryview(data).nbytes
        try:
            while (written := super().write(data)) is None:  # another process has made the pipe non-blocking
                select.select([], [self], [])
            return written
        except OSError as error:
            self._failed = True
            if self.fileno() == 1 and error.errno == errno.EPIPE:
                raise ReaderGoneError from None
            if self.fileno() == 1 and error.errno not in _GONE:
                raise OutputError(f"stdout: cannot write: {error.strerror}") from error
            return memoryview(data).nbytes


def guard_standard_streams() -> None:
    """Make ``sys.stdin``, ``sys.stdout`` and ``sys.stderr`` usable streams, whatever the shell has closed.

    A closed descriptor is opened on the null device, so that no file of ours gets its number and is overwritten.
    Characters that the stream's encoding lacks are written as escapes.
    """
    for descriptor, name in enumerate(("stdin", "stdout", "stderr")):
        if not _is_open(descriptor):
            null = os.open(os.devnull, os.O_RDWR)  # takes the lowest free number, which is this one
            os.set_inheritable(null, True)
        if getattr(sys, name) is None:
            mode = "r" if descriptor == 0 else "w"
            setattr(sys, name, open(descriptor, mode, closefd=False))  # noqa: SIM115 - lasts as long as we do
    sys.stdout, sys.stderr = _guarded(sys.stdout), _guarded(sys.stderr)


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _guarded(stream: TextIO) -> TextIO:
    """The same stream over ``_Output``; a stream that a program or a test has replaced stays as it is."""
    if type(stream) is not io.TextIOWrapper or stream.fileno() not in (1, 2):
        return stream
    if isinstance(getattr(stream.buffer, "raw", None), _Output):
        return stream
    return io.TextIOWrapper(
        io.BufferedWriter(_Output(stream.fileno())),
        encoding=stream.encoding,
        errors="backslashreplace",
        line_buffering=stream.line_buffering or stream.write_through or stream.fileno() == 2,
    )

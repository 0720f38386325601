"""Where text goes: results to stdout, all else to stderr."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO, cast

from rich.console import Console
from rich.text import Text

from orchestrator.cli.streams import OutputError, ReaderGoneError, guard_standard_streams
from orchestrator.plan.marks import MarkedStdout

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

guard_standard_streams()  # before anything else is opened


def _console(stream: TextIO, stderr: bool) -> Console:
    """Names and values of users go through it, so nothing is markup; a file or pipe gets whole lines."""
    width = None if stream.isatty() else 1000
    # A driver on a cluster has one log for both.
    file = MarkedStdout(stream) if not stderr and "ORCH_SUBMISSION_ID" in os.environ else None
    return Console(file=cast("TextIO", file), stderr=stderr, highlight=False, markup=False, emoji=False, width=width)


out = _console(sys.stdout, stderr=False)
err = _console(sys.stderr, stderr=True)


def tell(line: str) -> None:
    """One line on stdout about work that is done, never wrapped; that nobody can read it changes nothing."""
    with contextlib.suppress(OutputError, ReaderGoneError):
        out.print(line, soft_wrap=True)


def complain(message: str) -> None:
    """One line about what went wrong, never wrapped."""
    err.print(Text("error: ", style="bold red") + Text(message), soft_wrap=True)


def spinner(text: str) -> AbstractContextManager[Any]:
    """Show on a terminal what is being waited for, while the context is open."""
    return err.status(text) if err.is_terminal else contextlib.nullcontext()

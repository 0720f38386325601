"""Output: results go to stdout, everything else to stderr."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING, Any, TextIO, cast

from rich.console import Console
from rich.segment import Segment
from rich.text import Text

from orchestrator.cli.streams import OutputError, ReaderGoneError, guard_standard_streams
from orchestrator.errors import one_line
from orchestrator.state.marks import MarkedStdout

if TYPE_CHECKING:
    from collections.abc import Iterable
    from contextlib import AbstractContextManager

    from rich.console import ConsoleOptions, RenderableType

guard_standard_streams()  # before anything else is opened


_LONGEST = 300


class _TameConsole(Console):
    """Prints unprintable characters as escapes: a stranger's text in storage must not control the terminal."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """See Console."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else Segment(_tame(segment.text), segment.style)

    def render_str(self, text: str, **options: Any) -> Text:
        """See Console; lines are wrapped by their width with escapes."""
        return super().render_str(_tame(text), **options)


def _tame(text: str) -> str:
    return text if text.isprintable() else "".join(c if c in "\n\t" else one_line(c) for c in text)


def shown(value: object) -> str:
    """A value from storage for a table cell: one line, at most 300 characters."""
    text = str(value)
    return one_line(text if len(text) <= _LONGEST else f"{text[:_LONGEST]}...")


def _console(stream: TextIO, stderr: bool) -> Console:
    """A console without markup, since it prints users' names and values; a file or pipe gets whole lines."""
    width = None if stream.isatty() else 1000
    # A driver on a cluster has one log for both.
    file = MarkedStdout(stream) if not stderr and "ORCH_SUBMISSION_ID" in os.environ else None
    return _TameConsole(
        file=cast("TextIO", file), stderr=stderr, highlight=False, markup=False, emoji=False, width=width
    )


out = _console(sys.stdout, stderr=False)
err = _console(sys.stderr, stderr=True)


def print_line(line: str) -> None:
    """Print one line about finished work on stdout, never wrapped; errors of the stream are ignored."""
    with contextlib.suppress(OutputError, ReaderGoneError):
        out.print(line, soft_wrap=True)


def print_error(message: str) -> None:
    """Print one line about what went wrong on stderr, never wrapped."""
    err.print(Text("error: ", style="bold red") + Text(message), soft_wrap=True)


def spinner(text: str) -> AbstractContextManager[Any]:
    """Show on a terminal what the command waits for, while the context is open."""
    return err.status(text) if err.is_terminal else contextlib.nullcontext()

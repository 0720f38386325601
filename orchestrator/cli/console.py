"""Where text goes: results to stdout, all else to stderr."""

from __future__ import annotations

import contextlib
import math
import sys
from typing import TYPE_CHECKING, Any, TextIO

from rich.console import Console
from rich.text import Text

if TYPE_CHECKING:
    from contextlib import AbstractContextManager


def _console(stream: TextIO, stderr: bool) -> Console:
    """Names and values of users go through it, so nothing is markup; a file or pipe gets whole lines."""
    width = None if stream.isatty() else 1000
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=width)


out = _console(sys.stdout, stderr=False)
err = _console(sys.stderr, stderr=True)


def complain(message: str) -> None:
    """One line about what went wrong, never wrapped."""
    err.print(Text("error: ", style="bold red") + Text(message), soft_wrap=True)


def spinner(text: str) -> AbstractContextManager[Any]:
    """Show on a terminal what is being waited for, while the context is open."""
    return err.status(text) if err.is_terminal else contextlib.nullcontext()


def duration(seconds: float) -> str:
    """A length of time in the two units that matter: ``45 s``, ``3 min 20 s``, ``2 h 05 min``, ``3 d 4 h``."""
    if math.isnan(seconds):
        return "unknown"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    if whole < 86400:
        return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    return f"{whole // 86400} d {whole % 86400 // 3600} h"

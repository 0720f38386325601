"""Where text goes: results to stdout, all else to stderr."""

from __future__ import annotations

import sys
from typing import TextIO

from rich.console import Console
from rich.text import Text


def _console(stream: TextIO, stderr: bool) -> Console:
    """Names and values of users go through it, so nothing is markup; a file or pipe gets whole lines."""
    width = None if stream.isatty() else 1000
    return Console(stderr=stderr, highlight=False, markup=False, emoji=False, width=width)


out = _console(sys.stdout, stderr=False)
err = _console(sys.stderr, stderr=True)


def complain(message: str) -> None:
    """One line about what went wrong, never wrapped."""
    err.print(Text("error: ", style="bold red") + Text(message), soft_wrap=True)

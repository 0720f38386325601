"""How a benchmark hands its figures to the table."""

from __future__ import annotations

import json
import sys


def row(what: str, measured: str, aim: str = "", met: bool | None = None) -> dict[str, object]:
    """One line of the table; ``met`` is None where there is no aim."""
    return {"what": what, "measured": measured, "aim": aim, "met": met}


def publish(*rows: dict[str, object]) -> None:
    """Print the rows as the last line of this process."""
    sys.stdout.write("\n" + json.dumps(rows) + "\n")

"""Tables on terminals: as many columns as stay readable, and a line on the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.table import Table

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from rich.console import Console

_LEAST = 12
"""Characters to which a column may be folded: narrower ones cannot be read."""
_GAP = 2


def print_columns(
    console: Console, headings: Sequence[str], rows: Sequence[Sequence[str]], whole: Collection[int] = ()
) -> None:
    """Print the leading columns that the console has room for, and the names of the others.

    The columns at the places ``whole`` are not folded where they fit, such as ids that are to be copied; one column is
    always printed.
    """
    widths = [
        max([cell_len(heading), *(max(map(cell_len, row[place].split("\n"))) for row in rows)])
        for place, heading in enumerate(headings)
    ]
    unfolded = [place in whole and width <= console.width for place, width in enumerate(widths)]
    least = [width if fixed else min(width, _LEAST) for width, fixed in zip(widths, unfolded, strict=True)]
    kept = 1
    while kept < len(least) and sum(least[: kept + 1]) + _GAP * kept <= console.width:
        kept += 1
    table = Table(box=None, pad_edge=False, header_style="bold")
    for place, heading in enumerate(headings[:kept]):
        table.add_column(heading, overflow="fold", min_width=min(least[place], console.width), no_wrap=unfolded[place])
    for row in rows:
        table.add_row(*row[:kept])
    console.print(table)
    if kept < len(headings):
        console.print(f"no room for: {', '.join(headings[kept:])}; a wider terminal has them")

"""What a test asks of a table of the report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator import text
from orchestrator.report.cells import spread

if TYPE_CHECKING:
    import pandas as pd

    from orchestrator.report.blocks import Cell, Row, Table


def heads(table: Table) -> list[str]:
    return [str(head.words) for head in table.heads]


def column(table: Table, name: str) -> list[Cell]:
    """The cells below a heading."""
    place = heads(table).index(name)
    return [row.cells[place] for row in table.rows]


def words(row: Row, count: int) -> tuple[str, ...]:
    """The words of the first cells of a row."""
    return tuple(str(cell.words) for cell in row.cells[:count])


def shows(cell: Cell, values: pd.Series[float]) -> bool:
    """Whether a cell shows the spread of these values: mean, and least and greatest where they differ."""
    ends = f"{text.number(float(values.min()))} – {text.number(float(values.max()))}"
    mean = float(values.mean())
    return abs(float(str(cell.value)) - mean) <= 1e-9 * max(1.0, abs(mean)) and (
        values.nunique() < 2 or cell.small[0] == ends
    )


EMPTY = spread(None)

"""Tables of what an evaluation measured: a row for a cell of the grid and what else tells its rows apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from orchestrator import text
from orchestrator.report.blocks import Cell, Head, Row, Table
from orchestrator.report.cells import number, numeric_heads, setting_cells, setting_heads, spread_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from orchestrator.study import Cells


def measured_table(
    cells: Cells,
    label: str,
    note: str,
    measures: Mapping[str, str],
    words: Mapping[str, str] | None = None,
    items: str = "",
    writes: Mapping[str, Callable[[float], str]] | None = None,
) -> Table | None:
    """A row for each cell and each value of the columns ``words``; None where nothing was measured.

    Of each measure the mean over a trial's rows, then its spread over trials, written as ``writes`` has it. ``items``
    names what a trial has several rows of.
    """
    words, writes = words or {}, writes or {}
    rows = []
    for cell in cells:
        for key, part in cell.rows.groupby([*words], sort=False) if words else [((), cell.rows)]:
            means: Any = part.groupby("trial_id")[[*measures]].mean()
            count = [number(int(part.groupby("trial_id").size().max()))] if items else []
            spreads = (spread_of(means[one].astype(float), writes.get(one, text.number)) for one in measures)
            further = (Cell(str(word)) for word in key)
            rows.append(Row((*setting_cells(cell.values), *further, number(len(means)), *count, *spreads)))
    if not rows:
        return None
    numbers = ["seeds", *([items] if items else []), *measures.values()]
    heads = (*setting_heads(cells.heads), *map(Head, words.values()), *numeric_heads(numbers))
    return Table(label, heads, tuple(rows), note)

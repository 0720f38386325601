"""Which runs saturated, collapsed or diverged, and when: a row a cell of the grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator.report.blocks import Cell, Row, Section, Table, Text
from orchestrator.report.cells import between, number, numeric_heads, setting_cells, setting_heads, spread_of
from orchestrator.study import ENDS

if TYPE_CHECKING:
    import pandas as pd

    from orchestrator.study import Study

ORDER = 40
FOLLOWS = "metrics"
_MEANINGS = {
    "saturated": "Saturated: the discriminator rejects every sample, or no gradient reaches the images.",
    "collapsed": "Collapsed: samples became much worse or cover few of the classes.",
    "diverged": "Diverged: a loss left all measure.",
}


def build(study: Study) -> Section | None:
    """A row for each cell, healthy ones too; None where no run met any of the conditions."""
    met = [end for end in ENDS if study.trials[f"{end}_at"].notna().any()]
    if not met:
        return None
    words = ["Decided while training from the rows of metrics/, the first step that counts."]
    words += [_MEANINGS[end] for end in met]
    if set(study.metrics["trial_id"]) & set(study.trials["trial_id"]):
        words.append("The ticks in the curves stand at these steps.")
    cells = study.cells()
    heads = (
        *setting_heads(cells.heads),
        *numeric_heads(["seeds", *(f"{end}, at step" for end in ENDS), "steps made"]),
    )
    rows = tuple(
        Row(
            (
                *setting_cells(cell.values),
                number(len(cell.rows)),
                *(_steps(cell.rows, end) for end in ENDS),
                spread_of(cell.rows["step"].dropna()),
            )
        )
        for cell in cells
    )
    title = "Saturation, collapse and divergence"
    table = Table(title, heads, rows, "health-note")
    return Section("health", title, "Health", (Text(" ".join(words), "notes", "health-note"), table))


def _steps(trials: pd.DataFrame, end: str) -> Cell:
    """The steps at which trials met a condition, and how many of them did."""
    steps = [int(step) for step in trials[f"{end}_at"].dropna()]
    if not steps:
        return Cell("never", look="none")
    return Cell(between(min(steps), max(steps)), look="num", small=(f"{len(steps)} of {len(trials)}",))

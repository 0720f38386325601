"""What was kept of held-out images: their class and ink as columns of tables, and errors by how typical they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from orchestrator import text
from orchestrator.evaluations.held_out import CLASS_KEPT, INK_KEPT
from orchestrator.report.blocks import PALETTE, Chart, PanelRow, Row, Table
from orchestrator.report.cells import NONE, count_of, number, numeric_heads, setting_cells, setting_heads, spread_of
from orchestrator.report.plots import SEEDS, Point, colours, legend, panel
from orchestrator.study import evenly

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from orchestrator.report.blocks import Cell
    from orchestrator.study import Cells

BINS = 8
"""Groups of images in the figure of typicality."""
WRITES = {"class_kept": text.percent}
"""How measures are written that are not plain numbers."""
KEPT_NOTE = (
    "Class kept: images in which the classifier sees the class of the original, as a share. Ink is what is at least "
    "half as bright as white, box its bounding box, each over that of the original. Small parts are components of the "
    "ink under a quarter of the largest; of them and of the other parts of the same images it is told which share of "
    "their pixels has ink again."
)
_TICKS = 6
_MEASURES = {column.name: column.heading for column in (*CLASS_KEPT, *INK_KEPT) if column.label}
_TYPICAL = {True: "typical images", False: "other images"}


def there(rows: pd.DataFrame, headings: Mapping[str, str]) -> dict[str, str]:
    """Those of the headings whose column has values: rows of an earlier version lack some."""
    return {name: heading for name, heading in headings.items() if rows[name].notna().any()}


def kept_table(cells: Cells, best: Callable[[pd.DataFrame], pd.DataFrame], note: str) -> Table | None:
    """Class and ink kept, and the error of typical and other images, by cell; None where nobody measured any.

    ``best`` chooses one row an image of a trial's rows.
    """
    measures = there(cells.frame, _MEASURES)
    if not measures:
        return None
    typical = cells.frame["typical"].notna().any()
    rows = []
    for cell in cells:
        runs = [best(run) for _, _, run in cell.runs()]
        kept = [spread_of((_mean(run[name]) for run in runs), WRITES.get(name, text.number)) for name in measures]
        errors = _typicality(runs) if typical else []
        rows.append(Row((*setting_cells(cell.values), number(len(runs)), count_of(map(len, runs)), *kept, *errors)))
    further = [*(f"MSE, {words}" for words in _TYPICAL.values()), "rank correlation"] if typical else []
    heads = (*setting_heads(cells.heads), *numeric_heads(["seeds", "images", *measures.values(), *further]))
    return Table("What is kept of an image", heads, tuple(rows), note)


def _mean(values: pd.Series[float]) -> float:
    return float(values.astype(float).mean())


def _typicality(runs: Sequence[pd.DataFrame]) -> list[Cell]:
    """The error of typical and of other images, and Spearman's correlation of error and distance over images."""
    known = [run.dropna(subset=["class_distance", "mse"]).astype({"class_distance": float}) for run in runs]
    errors = [spread_of(_mean(run.loc[run["typical"].eq(other), "mse"]) for run in known) for other in _TYPICAL]
    several = [run for run in known if run["class_distance"].nunique() > 1 and run["mse"].nunique() > 1]
    ranks = (run["class_distance"].corr(run["mse"], method="spearman") for run in several)
    return [*errors, spread_of(ranks) if several else NONE]


def typicality_chart(cells: Cells, best: Callable[[pd.DataFrame], pd.DataFrame]) -> Chart | None:
    """The error against the distance from the class mean, in groups of as many images; None without distances."""
    drawn = cells.first(len(PALETTE))
    lines = [[point for _, _, run in cell.runs() for point in _points(best(run))] for cell in drawn]
    values = sorted({point.x for line in lines for point in line if point.is_drawn})
    if not values:
        return None
    labels = [cell.title for cell in drawn]
    ticks = [(value, text.number(value)) for value in evenly(values, _TICKS)]
    across = "mean squared difference from the class mean"
    return Chart(
        "inversion-typicality",
        "Error by typicality",
        f"Mean squared error of the chosen restarts against the {across} of the image{colours(labels)}.",
        f"Each point is the mean of one of {BINS} groups of images, the nearest to the mean of their class first. "
        f"{SEEDS}{text.drawn(len(drawn), len(cells))}",
        (PanelRow((panel("MSE of the inversion", across, lines, ticks),)),),
        legend(labels),
    )


def _points(run: pd.DataFrame) -> list[Point]:
    """Means of distance and error of groups of images of one trial, by ascending distance."""
    known = run[["class_distance", "mse"]].dropna().astype(float).sort_values("class_distance", kind="stable")
    if known.empty:
        return []
    groups = pd.Series(range(len(known)), index=known.index) * min(BINS, len(known)) // len(known)
    means = known.groupby(groups).mean()
    return [Point(float(x), float(y)) for x, y in means.itertuples(index=False, name=None)]

"""Figures of quality: against each numeric setting of the grid, and against the threshold of truncation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from orchestrator.report import text
from orchestrator.report.canvas import PALETTE
from orchestrator.report.drawings import Drawing
from orchestrator.report.figures import CEILING
from orchestrator.report.plots import Line, Panel, Point, plot
from orchestrator.report.quality import TOLD, final, numeric_axes
from orchestrator.report.tables import by_setting, evenly, levels, variants
from orchestrator.report.text import SEED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from orchestrator.report.results import Results
    from orchestrator.report.tables import Groups

AGAINST = {"fid": "FID", "modes": "modes covered", "diversity": "diversity"}
TRUNCATED = {
    "fid": "FID",
    "precision": "precision (quality)",
    "recall": "recall (variety)",
    "modes": "modes covered",
    "diversity": "diversity",
}


AXES = 6
"""Numeric settings that quality is drawn against, the first of the grid."""
TICKS = 16
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]")


def draw_against(results: Results, varying: Sequence[str], names: Mapping[str, str]) -> list[Drawing]:
    """A figure for each numeric axis of the grid: the last measures against it, seeds as points, cells as colours."""
    rows, drawings = final(results), []
    shown = _measured(rows, AGAINST)
    for axis in numeric_axes(results, varying)[:AXES] if shown else []:
        values = [value for value in levels(rows, axis, results.job) if isinstance(value, int | float)]
        if len(values) < 2:
            continue
        cells = by_setting(rows, [c for c in varying if c not in (axis, SEED)], results.job)
        left_out, cells = _cut(cells)
        panels = [Panel(shown[column], names[axis], _lines(cells, axis, column)) for column in shown]
        labels = [text.described(settings, names) for settings, _ in cells]
        ticks = [(float(value), text.setting(value)) for value in evenly(values, TICKS)]
        drawings.append(
            Drawing(
                f"quality-against-{_NO_NAME.sub('-', names[axis])}",
                f"Quality against {names[axis]}",
                f"{text.listing(shown.values())} against {names[axis]} ({text.listing(label for _, label in ticks)})"
                f"{_colours(labels)}. The values are in the tables.",
                f"Each point is a trial, each line joins the means over seeds. {_source(results)}{left_out}",
                plot(panels, labels, ticks, points=True),
                plot(panels, labels, ticks, points=True, stacked=True),
            )
        )
    return drawings


def draw_truncation(results: Results, varying: Sequence[str], names: Mapping[str, str]) -> Drawing | None:
    """Quality and diversity against the threshold to which the latent normal was truncated; None without any."""
    rows = results.evaluated("quality")
    rows = rows[rows["trial_id"].isin(set(rows["trial_id"][rows["truncation"].notna()]))]
    thresholds = sorted(set(rows["truncation"].dropna()))
    shown = _measured(rows, TRUNCATED)
    if not thresholds or not shown:
        return None
    # The plain normal is the limit of large thresholds: it stands to their right.
    step = float(np.median(np.diff(thresholds))) if len(thresholds) > 1 else max(0.5, thresholds[0])
    plain = thresholds[-1] + step
    own = variants(rows, TOLD)
    rows = rows.drop_duplicates(["trial_id", "truncation", *own], keep="last")
    rows = rows.assign(place=rows["truncation"].fillna(plain).astype(float), froze=False)
    told = dict(names) | {column: column.removeprefix("evaluation.") for column in own}
    cells = by_setting(rows, [*(c for c in varying if c != SEED), *own], results.job)
    left_out, cells = _cut(cells)
    panels = [Panel(shown[column], "truncation threshold", _lines(cells, "place", column)) for column in shown]
    labels = [text.described(settings, told) for settings, _ in cells]
    ticks = [*((value, text.setting(value)) for value in thresholds), (plain, "none")]
    return Drawing(
        "truncation",
        "Quality against diversity: truncation",
        f"{text.listing(shown.values())} against the truncation threshold "
        f"({text.listing(label for _, label in ticks)}){_colours(labels)}.",
        "Latent vectors from the normal truncated to [-t, t]: a low threshold gives up diversity for quality; "
        f"“none” is the plain normal. Line: mean over seeds; band: from the least seed to the greatest.{left_out}",
        plot(panels, labels, ticks, points=False),
        plot(panels, labels, ticks, points=False, stacked=True),
    )


def _measured(rows: pd.DataFrame, measures: Mapping[str, str]) -> dict[str, str]:
    return {column: label for column, label in measures.items() if rows[column].notna().any()}


def _cut(cells: Groups) -> tuple[str, Groups]:
    """As many cells as there are colours, and a sentence on those left out."""
    return text.drawn(len(PALETTE), len(cells), more="; the tables have all"), cells.first(len(PALETTE))


def _lines(cells: Groups, across: str, column: str) -> tuple[Line, ...]:
    lines = []
    for place, (_, cell) in enumerate(cells):
        pairs = zip(cell[across], cell[column].astype(float), cell["froze"], strict=True)
        points = [Point(float(x), y, bool(froze)) for x, y, froze in pairs if _is_drawn(x) and _is_drawn(y)]
        if points:
            lines.append(Line(place, tuple(points)))
    return tuple(lines)


def _is_drawn(value: Any) -> bool:
    return isinstance(value, int | float) and abs(value) < CEILING


def _colours(labels: Sequence[str]) -> str:
    return f"; a colour for each of {'; '.join(labels)}" if any(labels) else ""


def _source(results: Results) -> str:
    if len(results.evaluations["quality"]):
        return "Measured by the evaluations, of the plain normal."
    return "Measured while training; the last value of each trial."

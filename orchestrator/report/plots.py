"""Panels of measures against numbers other than the step: a line a cell, its seeds as points or as a band."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from orchestrator.report.blocks import CEILING, FLOOR, GREY, PALETTE, Key, Panel, Series, spans_decades
from orchestrator.study import ENDS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MARKERS = dict(zip(ENDS, ("v", "X", "D"), strict=True))
"""Shapes of the marks of runs that were saturated, collapsed or diverged."""
SEEDS = "Line: mean over seeds; band: from the least seed to the greatest."

_WIDE_RANGE = 20
_MOST_TICKS = 12
_LEAST = 1e-30
"""Of less than that there is no room to the left on a logarithmic axis."""


@dataclass(frozen=True)
class Point:
    """One seed's measure, the condition that its run met first, if any, and its trial."""

    x: float
    y: float
    condition: str = ""
    trial: str = ""

    @property
    def is_drawn(self) -> bool:
        """Whether an axis has room for it."""
        return math.isfinite(self.x) and abs(self.x) < CEILING and abs(self.y) < CEILING


def panel(
    up: str,
    across: str,
    lines: Sequence[Iterable[Point]],
    ticks: Sequence[tuple[float, str]],
    *,
    points: bool = False,
    log: bool = False,
) -> Panel:
    """A line for each cell, in its place's colour, with its seeds as ``points``, else as a band.

    A line joins the means at each x. The axes are logarithmic where values span decades, and upwards where ``log``
    says so.
    """
    drawn = [[point for point in line if point.is_drawn] for line in lines]
    log = log or spans_decades(point.y for line in drawn for point in line)
    if log:
        drawn = [[replace(point, y=max(point.y, FLOOR)) for point in line] for line in drawn]
    series = [one for line, colour in zip(drawn, PALETTE, strict=False) for one in _series(line, colour, points=points)]
    places = [place for place, _ in ticks]
    wide = bool(places) and min(places) > _LEAST and max(places) / min(places) >= _WIDE_RANGE
    shown = _apart(ticks) if wide else ticks
    return Panel(tuple(series), across=across, up=up, log_x=wide, log_y=log, ticks=tuple(shown))


def _apart(ticks: Sequence[tuple[float, str]]) -> list[tuple[float, str]]:
    """Those of ascending ticks whose words have room on a logarithmic axis."""
    shown = [ticks[0]]
    room = math.log(ticks[-1][0] / ticks[0][0]) / _MOST_TICKS
    for tick in ticks[1:]:
        if math.log(tick[0] / shown[-1][0]) >= room:
            shown.append(tick)
    return shown


def _series(line: Sequence[Point], colour: str, *, points: bool) -> list[Series]:
    if not line:
        return []
    by_x: dict[float, list[float]] = {}
    for point in line:
        by_x.setdefault(point.x, []).append(point.y)
    x = sorted(by_x)
    means = [sum(by_x[one]) / len(by_x[one]) for one in x]
    if not points:
        low, high = [min(by_x[one]) for one in x], [max(by_x[one]) for one in x]
        return [Series(x, means, low, high, colour, marker="o", size=3)]
    series = [Series(x, means, colour=colour)]
    for condition in ("", *ENDS):
        points_met = [point for point in line if point.condition == condition]
        marker = MARKERS.get(condition, "o")
        if points_met:
            xs, ys = [point.x for point in points_met], [point.y for point in points_met]
            trials = [f"trial {point.trial}" if point.trial else "" for point in points_met]
            look = Series(xs, ys, colour=colour, look="points", marker=marker, size=5, opacity=0.7)
            series.append(replace(look, each=trials if any(trials) else ()))
    return series


def legend(labels: Sequence[str], conditions: Iterable[str] = ()) -> tuple[Key, ...]:
    """Entries for the colours by place, of which a single unnamed one needs none, and for the conditions."""
    keys = [Key(label, colour) for label, colour in zip(labels, PALETTE, strict=False) if label]
    met = set(conditions)
    return (*keys, *(Key(f"run {end}", GREY, MARKERS[end]) for end in ENDS if end in met))


def colours(labels: Sequence[str]) -> str:
    """What a figure's alternative text says of its colours."""
    return f"; a colour for each of {'; '.join(labels)}" if any(labels) else ""

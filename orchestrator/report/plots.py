"""Plots of measures against numbers other than the step: a line a cell, its seeds as points or as a band."""

from __future__ import annotations

import math
import textwrap
from dataclasses import dataclass
from typing import TYPE_CHECKING

from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator

from orchestrator.report.canvas import PALETTE, label, literal, row_of_panels
from orchestrator.report.verdicts import LARGEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from matplotlib.axes import Axes

_WIDE_RANGE = 20
_LEAST = 1e-30
"""Of less than that there is no room to the left on a logarithmic axis."""
_LABEL_WIDTH = 44


@dataclass(frozen=True)
class Point:
    """One seed's measure; ``froze`` tells that its run did."""

    x: float
    y: float
    froze: bool = False


@dataclass(frozen=True)
class Line:
    """A cell's points, drawn in the colour of its place; its line joins their means at each x, in ascending order."""

    place: int
    points: tuple[Point, ...]

    @classmethod
    def of(cls, place: int, pairs: Iterable[tuple[float, float]], floor: float) -> Line:
        """Of x and y, as far as an axis has room for them: finite, and at least ``floor``."""
        known = ((x, y) for x, y in pairs if math.isfinite(x) and abs(y) < LARGEST)
        return cls(place, tuple(Point(x, max(y, floor)) for x, y in known))

    def means(self) -> list[tuple[float, float, float, float]]:
        """At each x, ascending: x, mean, least and greatest y."""
        by_x: dict[float, list[float]] = {}
        for point in self.points:
            by_x.setdefault(point.x, []).append(point.y)
        return [(x, sum(own) / len(own), min(own), max(own)) for x, own in sorted(by_x.items())]


@dataclass(frozen=True)
class Panel:
    """Lines against one quantity, which ``across`` names and ``up`` measures."""

    up: str
    across: str
    lines: tuple[Line, ...]
    log: bool = False


def plot(
    panels: Sequence[Panel],
    labels: Sequence[str],
    ticks: Sequence[tuple[float, str]],
    *,
    points: bool,
    stacked: bool = False,
) -> bytes:
    """The panels side by side, or in one column; seeds as ``points``, else as a band. Returns a PNG.

    ``labels`` name the colours by place, empty for a single unnamed one; ``ticks`` are the values on the lower axes.
    """

    def draw(axes: Axes, panel: Panel) -> None:
        for line in panel.lines:
            _line(axes, line, points=points)
        if panel.log:
            values = {point.y for line in panel.lines for point in line.points}
            if len(values) == 1:  # Matplotlib makes room around a single value on a linear axis only
                axes.set_ylim(min(values) / 10, max(values) * 10)
            axes.set_yscale("log")
        label(axes, literal(panel.across), panel.up)
        _scale(axes, ticks)

    return row_of_panels(panels, draw, _handles(panels, labels, points=points), stacked=stacked)


def _line(axes: Axes, line: Line, *, points: bool) -> None:
    tint, means = PALETTE[line.place], line.means()
    x, mean, low, high = ([entry[place] for entry in means] for place in range(4))
    axes.plot(x, mean, color=tint, linewidth=1.5, marker=None if points else "o", markersize=3)
    if not points:
        axes.fill_between(x, low, high, color=tint, alpha=0.15, linewidth=0)
        return
    for froze, marker in ((False, "o"), (True, "X")):
        own = [point for point in line.points if point.froze is froze]
        places = [point.x for point in own], [point.y for point in own]
        axes.plot(*places, marker, color=tint, markersize=5, alpha=0.7, markeredgewidth=0)


def _scale(axes: Axes, ticks: Sequence[tuple[float, str]]) -> None:
    values = [value for value, _ in ticks]
    if min(values) > _LEAST and max(values) / min(values) >= _WIDE_RANGE:
        axes.set_xscale("log")
    axes.xaxis.set_major_locator(FixedLocator(values))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xticks(values, [words for _, words in ticks], rotation=0 if len(ticks) <= 6 else 45)
    axes.margins(x=0.06)


def _handles(panels: Sequence[Panel], labels: Sequence[str], *, points: bool) -> list[Line2D]:
    handles = [
        Line2D([], [], color=PALETTE[place], linewidth=2, label=literal(textwrap.fill(name, _LABEL_WIDTH)))
        for place, name in enumerate(labels)
        if name
    ]
    if points and any(point.froze for panel in panels for line in panel.lines for point in line.points):
        handles.append(Line2D([], [], color=PALETTE[-1], linestyle="none", marker="X", markersize=5, label="run froze"))
    return handles

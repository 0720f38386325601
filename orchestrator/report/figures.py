"""Curves over the step as small multiples, one line a cell of the grid with a band over its seeds. Returns PNG."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D

from orchestrator.report.canvas import (
    MUTED,
    PALETTE,
    TEXT,
    TITLE,
    TITLE_WIDTH,
    across_of,
    dress,
    figure_of,
    legend_of,
    literal,
    panels_of,
    png_of,
    size_of,
)
from orchestrator.report.text import assigned, setting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from orchestrator.report.layout import Layout

    Key = tuple[Any, Any, Any]

DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)))
BANDS = 8
"""Lines of a panel up to which each has its band over seeds: more bands hide the lines and each other."""

POINTS = 300
"""Longer curves are averaged into this many stretches of equal length: more than a panel has room for."""

FLOOR = 1e-10
"""Values below are drawn here on a logarithmic axis."""

CEILING = 1e100
"""Larger values are drawn here: an axis that ends near the last number is none."""

SIGNS = {"saturated": "v", "collapsed": "X", "diverged": "D"}
"""Shapes of the marks at the steps where runs froze."""


@dataclass(frozen=True)
class Quantity:
    """One row of panels: a column of metrics/, its label, and the axis it is drawn on.

    A ``shared`` axis is the same in all panels; losses of different objectives have no common scale. ``markers`` show
    where a sparse quantity was measured. ``target`` is the setting whose value the quantity should tend to.
    """

    column: str
    label: str
    log: bool = False
    limits: tuple[float, float] | None = None
    shared: bool = True
    markers: bool = False
    target: str | None = None


@dataclass(frozen=True)
class Cell:
    """The curves of a cell's seeds, what befell them as (sign, step), and targets by the setting they come from."""

    seeds: Sequence[pd.DataFrame]
    marks: Sequence[tuple[str, float]] = ()
    targets: Mapping[str, float] | None = None
    _bands: dict[str, pd.DataFrame] = field(default_factory=dict, repr=False, compare=False)
    _has: dict[str, bool] = field(default_factory=dict, repr=False, compare=False)

    def band(self, column: str) -> pd.DataFrame:
        """``band`` over the seeds' curves: computed once, and drawn for a wide page and for a narrow one."""
        if column not in self._bands:
            self._bands[column] = band(self.seeds, column)
        return self._bands[column]

    def has(self, column: str) -> bool:
        """Whether any of the curves has a finite value of this column: asked often, looked up once."""
        if column not in self._has:
            self._has[column] = any(np.isfinite(_numbers(seed[column])).any() for seed in self.seeds)
        return self._has[column]

    @cached_property
    def furthest(self) -> float:
        """The last step of all curves; 1 without any."""
        return max((float(seed["step"].max()) for seed in self.seeds if len(seed)), default=1.0)

    @cached_property
    def longest(self) -> int:
        """The most steps that one of the curves has."""
        return max((seed["step"].nunique() for seed in self.seeds), default=0)


def band(curves: Sequence[pd.DataFrame], column: str) -> pd.DataFrame:
    """Mean, least and greatest value of ``column`` over the curves at each step; columns step, mean, low, high.

    Each curve has ``step`` and ``column``; values that are not finite are left out.
    """
    steps = np.concatenate([curve["step"].to_numpy() for curve in curves])
    values = np.concatenate([_numbers(curve[column]) for curve in curves])
    runs = np.repeat(np.arange(len(curves)), [len(curve) for curve in curves])
    runs, steps, values = (part[np.isfinite(values)] for part in (runs, steps, values))
    if len(np.unique(steps)) > POINTS:
        last = float(steps.max())
        steps = np.ceil(steps.astype(float) * POINTS / last) * last / POINTS
        order, starts, counts = _stretches(runs, steps)
        steps, values = steps[order][starts], np.add.reduceat(values[order], starts) / counts
    if not len(values):
        return pd.DataFrame({"step": steps, "mean": values, "low": values, "high": values})
    order, starts, counts = _stretches(steps)
    steps, values = steps[order], values[order]
    low, high = (least.reduceat(values, starts) for least in (np.minimum, np.maximum))
    return pd.DataFrame(
        {"step": steps[starts], "mean": np.add.reduceat(values, starts) / counts, "low": low, "high": high}
    )


def _stretches(*keys: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """The order in which equal keys stand together, where each stretch of them begins, and how long it is."""
    order = np.lexsort(keys[::-1])
    new = np.zeros(len(order), dtype=bool)
    new[:1] = True
    for key in keys:
        new[1:] |= np.diff(key[order]) != 0
    starts = np.flatnonzero(new)
    return order, starts, np.diff(np.append(starts, len(order)))


def _numbers(values: pd.Series[Any]) -> NDArray[np.float64]:
    return values.to_numpy(dtype=float, na_value=np.nan)


def curves(
    cells: Mapping[Key, Cell],
    layout: Layout,
    names: Mapping[str, str],
    quantities: Sequence[Quantity],
    *,
    stacked: bool = False,
) -> bytes:
    """Small multiples over the step: a row for each quantity, a panel for each value of the panel's setting with it.

    ``cells`` leads from (panel, colour, style) values to curves: a line for the mean over seeds, a band from the least
    to the greatest. ``stacked`` puts all panels in one column, for a narrow page. Returns a PNG.
    """
    panels = [_filled(cells, layout, quantity) for quantity in quantities]
    counts = [len(own) for own in panels]
    across = 1 if stacked else across_of(max(counts))
    figure = figure_of(*size_of(counts, stacked=stacked))
    grid = panels_of(figure, counts, stacked=stacked)
    for row, (quantity, own) in enumerate(zip(quantities, panels, strict=True)):
        named = row == 0 or stacked or len(own) > across or own != panels[row - 1]
        for place, (axes, panel) in enumerate(zip(grid[row], own, strict=True)):
            _panel(axes, cells, layout, panel, quantity)
            words = _panel_words(layout, panel, names) if named else ""
            _label(axes, quantity, words, first=place % across == 0, stacked=stacked)
        if quantity.shared:
            _share(grid[row])
    for axes in [row[-1] for row in grid] if stacked else grid[-1][-across:]:
        axes.set_xlabel("step", fontsize=9, color=MUTED)
    drawn = [cell for cell in cells.values() if any(cell.has(quantity.column) for quantity in quantities)]
    furthest = max([1.0, *(cell.furthest for cell in drawn)])
    for axes in (axes for row in grid for axes in row):
        axes.set_xlim(-0.01 * furthest, 1.01 * furthest)
    legend_of(figure, _handles(cells, layout, names, quantities))
    return png_of(figure)


def _filled(cells: Mapping[Key, Cell], layout: Layout, quantity: Quantity) -> list[Any]:
    """The panels in which a quantity has values; all where it has none at all."""
    has = {key[0] for key, cell in cells.items() if cell.has(quantity.column)}
    return [panel for panel in layout.panel.values if panel in has or not has]


def _panel(axes: Axes, cells: Mapping[Key, Cell], layout: Layout, panel: Any, quantity: Quantity) -> None:
    empty = True
    lines = lines_of(cells, panel)
    opacity = 0.18 if len(layout.colour.values) * len(layout.style.values) <= 4 else 0.09
    dress(axes)
    for tint, colour in zip(PALETTE, layout.colour.values, strict=False):
        for dashes, style in zip(DASHES, layout.style.values, strict=False):
            cell = cells.get((panel, colour, style))
            if cell is None or (line := cell.band(quantity.column)).empty:
                continue
            empty = False
            mean, low, high = (_floored(line[name], quantity.log) for name in ("mean", "low", "high"))
            if len(cell.seeds) > 1 and lines <= BANDS:
                axes.fill_between(line["step"], low, high, color=tint, alpha=opacity, linewidth=0)
            marker = "o" if quantity.markers or len(line) == 1 else None
            axes.plot(line["step"], mean, color=tint, linestyle=dashes, linewidth=1.5, marker=marker, markersize=4)
            _marks(axes, cell, tint)
            if quantity.target and cell.targets and quantity.target in cell.targets:
                axes.axhline(cell.targets[quantity.target], color=tint, linestyle=":", linewidth=1.3)
    if empty:
        axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", va="center", color=MUTED)
        axes.set_yticks([])
    elif quantity.log:
        axes.set_yscale("log")
    if quantity.limits and not empty:
        axes.set_ylim(*quantity.limits)


def lines_of(cells: Mapping[Key, Cell], panel: Any) -> int:
    """How many of the cells are drawn in one panel."""
    return sum(key[0] == panel for key in cells)


def _marks(axes: Axes, cell: Cell, tint: str) -> None:
    """A tick from below at each step where a run froze, its shape telling how."""
    across = axes.get_xaxis_transform()
    ticks = [[(step, 0.0), (step, 0.09)] for _, step in cell.marks]
    axes.add_collection(LineCollection(ticks, colors=tint, linewidths=1.2, transform=across), autolim=False)
    for sign in dict(cell.marks):
        steps = [step for other, step in cell.marks if other == sign]
        heights = [0.09] * len(steps)
        axes.plot(steps, heights, SIGNS[sign], color=tint, markersize=5, transform=across, clip_on=False)


def _floored(values: pd.Series[float], log: bool) -> NDArray[np.float64]:
    numbers = np.clip(np.asarray(values, dtype=np.float64), -CEILING, CEILING)
    return np.maximum(numbers, FLOOR) if log else numbers


def _panel_words(layout: Layout, panel: Any, names: Mapping[str, str]) -> str:
    column = layout.panel.setting
    if not column:
        return ""
    return literal(setting(panel) if names[column] == "objective" else assigned(column, panel, names))


def _label(axes: Axes, quantity: Quantity, words: str, *, first: bool, stacked: bool) -> None:
    """The panel's ``words`` above it, the quantity's to the left of the ``first`` of a line, or above where stacked."""
    wrapped = textwrap.fill(f"{quantity.label}   {words}" if stacked else words, TITLE_WIDTH)
    if wrapped:
        axes.set_title(wrapped, **TITLE)
    if first and not stacked:
        axes.set_ylabel(quantity.label, fontsize=9.5, color=TEXT)


def _share(drawn: Sequence[Axes]) -> None:
    """Give the panels of a row the same limits, so that they can be compared by eye."""
    filled = [axes for axes in drawn if axes.lines]
    if filled:
        low = min(axes.get_ylim()[0] for axes in filled)
        high = max(axes.get_ylim()[1] for axes in filled)
        for axes in filled:
            axes.set_ylim(low, high)


def _handles(
    cells: Mapping[Key, Cell], layout: Layout, names: Mapping[str, str], quantities: Sequence[Quantity]
) -> list[Line2D]:
    """Legend entries for the colours, styles, signs and targets that some cell has."""
    grey, handles = PALETTE[-1], []
    for part, axis in ((1, layout.colour), (2, layout.style)):
        drawn = {key[part] for key in cells}
        if axis.setting:
            for place, value in enumerate(axis.values):
                look = (PALETTE[place], DASHES[0]) if part == 1 else (grey, DASHES[place])
                words = literal(textwrap.fill(assigned(axis.setting, value, names), TITLE_WIDTH))
                if value in drawn:
                    handles.append(Line2D([], [], color=look[0], linestyle=look[1], linewidth=2, label=words))
    signs = {sign for cell in cells.values() for sign, _ in cell.marks}
    handles += [
        Line2D([], [], color=grey, linestyle="none", marker=shape, markersize=5, label=f"{sign} here")
        for sign, shape in SIGNS.items()
        if sign in signs
    ]
    targets = dict.fromkeys(one.target for one in quantities if one.target)
    handles += [
        Line2D([], [], color=grey, linestyle=":", linewidth=1.3, label=f"{names[target]}, the target")
        for target in targets
        if any(target in (cell.targets or {}) for cell in cells.values())
    ]
    return handles

"""Pictures of curves and of samples as PNG. Drawn on figures of their own: no global state is touched."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from PIL import Image

from orchestrator.report.text import setting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from orchestrator.report.layout import Layout

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#4D4D4D")
"""The colours of Okabe and Ito, which readers with any colour vision can tell apart (yellow is too pale here)."""

DASHES: tuple[Any, ...] = ("-", (0, (4, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)))
POINTS = 300
"""Longer curves are averaged into this many stretches of equal length: more than a panel has room for."""

FLOOR = 1e-10
"""Values below are drawn here on a logarithmic axis."""

_DPI = 150
_GAP = 8
_TEXT, _MUTED, _GRID = "#1b2026", "#4a525c", "#dfe3e8"


@dataclass(frozen=True)
class Quantity:
    """One row of panels: a column of metrics/, its label, and the axis it is drawn on.

    A ``shared`` axis is the same in all panels; losses of different objectives have no common scale.
    """

    column: str
    label: str
    log: bool = False
    limits: tuple[float, float] | None = None
    shared: bool = True


def band(curves: Sequence[pd.DataFrame], column: str) -> pd.DataFrame:
    """Mean, least and greatest value of ``column`` over the curves at each step; columns step, mean, low, high.

    Each curve has ``step`` and ``column``; values that are not finite are left out.
    """
    every = pd.concat([curve[["step", column]] for curve in curves]).assign(run=_runs(curves))
    every = every[np.isfinite(every[column].to_numpy(dtype=float, na_value=np.nan))]
    if every["step"].nunique() > POINTS:
        last = int(every["step"].max())
        every["step"] = np.ceil(every["step"] * POINTS / last) * last / POINTS
        every = every.groupby(["run", "step"], as_index=False)[column].mean()
    over_seeds = every.groupby("step")[column]
    found: pd.DataFrame = over_seeds.agg(mean="mean", low="min", high="max").reset_index()
    return found


def _runs(curves: Sequence[pd.DataFrame]) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(curves)), [len(curve) for curve in curves])


def curves(
    cells: Mapping[tuple[Any, Any, Any], Sequence[pd.DataFrame]],
    layout: Layout,
    names: Mapping[str, str],
    quantities: Sequence[Quantity],
    *,
    stacked: bool = False,
) -> bytes:
    """Small multiples over the step: a row for each quantity, a column for each value of the panel's setting.

    ``cells`` leads from (panel, colour, style) values to the curves of its seeds: a line for their mean, a band
    from the least to the greatest. ``stacked`` puts all panels in one column, for a narrow page. Returns a PNG.
    """
    panels = layout.panel.values
    rows, columns = (len(quantities) * len(panels), 1) if stacked else (len(quantities), len(panels))
    width = 4.2 if stacked else max(6.4, 0.9 + 3.5 * columns)
    figure = _figure(width, (2.0 if stacked else 2.5) * rows + 0.5)
    grid = figure.subplots(rows, columns, squeeze=False)
    for row, quantity in enumerate(quantities):
        drawn = []
        for column, panel in enumerate(panels):
            axes = grid[row * len(panels) + column][0] if stacked else grid[row][column]
            _panel(axes, cells, layout, panel, quantity)
            _label(axes, layout, names, quantity, row=row, column=column, stacked=stacked, rows=len(quantities))
            drawn.append(axes)
        if quantity.shared:
            _share(drawn)
    _legend(figure, layout, names)
    return _png(figure)


def _panel(
    axes: Axes,
    cells: Mapping[tuple[Any, Any, Any], Sequence[pd.DataFrame]],
    layout: Layout,
    panel: Any,
    quantity: Quantity,
) -> None:
    empty = True
    opacity = 0.18 if len(layout.colour.values) * len(layout.style.values) <= 4 else 0.09
    for tint, colour in zip(PALETTE, layout.colour.values, strict=False):
        for dashes, style in zip(DASHES, layout.style.values, strict=False):
            seeds = cells.get((panel, colour, style), ())
            if not seeds or (line := band(seeds, quantity.column)).empty:
                continue
            empty = False
            mean, low, high = (_floored(line[name], quantity.log) for name in ("mean", "low", "high"))
            if len(seeds) > 1:
                axes.fill_between(line["step"], low, high, color=tint, alpha=opacity, linewidth=0)
            marker = "o" if len(line) == 1 else None
            axes.plot(line["step"], mean, color=tint, linestyle=dashes, linewidth=1.5, marker=marker)
    _dress(axes)
    if empty:
        axes.text(0.5, 0.5, "no data", transform=axes.transAxes, ha="center", va="center", color=_MUTED)
        axes.set_yticks([])
    elif quantity.log:
        axes.set_yscale("log")
    if quantity.limits and not empty:
        axes.set_ylim(*quantity.limits)


def _floored(values: pd.Series[float], log: bool) -> NDArray[np.float64]:
    numbers = np.asarray(values, dtype=np.float64)
    return np.maximum(numbers, FLOOR) if log else numbers


def _label(
    axes: Axes,
    layout: Layout,
    names: Mapping[str, str],
    quantity: Quantity,
    *,
    row: int,
    column: int,
    stacked: bool,
    rows: int,
) -> None:
    panel = ""
    if layout.panel.setting:
        value = setting(layout.panel.values[column])
        name = names[layout.panel.setting]
        panel = value if name == "objective" else f"{name} = {value}"
    if stacked:
        axes.set_title(f"{quantity.label}   {panel}" if panel else quantity.label, **_TITLE)
    elif row == 0 and panel:
        axes.set_title(panel, **_TITLE)
    if not stacked and column == 0:
        axes.set_ylabel(quantity.label, fontsize=9.5, color=_TEXT)
    if (stacked and column == len(layout.panel.values) - 1) or (not stacked and row == rows - 1):
        axes.set_xlabel("step", fontsize=9, color=_MUTED)


_TITLE: dict[str, Any] = {"loc": "left", "fontsize": 10, "fontweight": "bold", "color": _TEXT}


def _share(drawn: Sequence[Axes]) -> None:
    """Give the panels of a row the same limits, so that they can be compared by eye."""
    filled = [axes for axes in drawn if axes.lines]
    if filled:
        low = min(axes.get_ylim()[0] for axes in filled)
        high = max(axes.get_ylim()[1] for axes in filled)
        for axes in filled:
            axes.set_ylim(low, high)


def _legend(figure: Figure, layout: Layout, names: Mapping[str, str]) -> None:
    handles = []
    for axis, tints, dashes in ((layout.colour, PALETTE, DASHES[:1] * 9), (layout.style, ("#4D4D4D",) * 9, DASHES)):
        if axis.setting:
            handles += [
                Line2D(
                    [], [], color=tint, linestyle=dash, linewidth=2, label=f"{names[axis.setting]} = {setting(value)}"
                )
                for value, tint, dash in zip(axis.values, tints, dashes, strict=False)
            ]
    if handles:
        longest = max(len(str(handle.get_label())) for handle in handles)
        columns = max(1, min(len(handles), int(figure.get_figwidth() / (0.6 + 0.085 * longest))))
        # A legend fills its columns one after the other; dealt out like this it reads row by row.
        dealt = [handle for column in range(columns) for handle in handles[column::columns]]
        legend = figure.legend(handles=dealt, loc="outside upper left", ncols=columns, frameon=False, fontsize=9)
        for text in legend.get_texts():
            text.set_color(_TEXT)


def _dress(axes: Axes) -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#9aa3ad")
    axes.tick_params(colors=_MUTED, labelsize=8.5, which="both", width=0.6)
    axes.grid(visible=True, color=_GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.margins(x=0.01)


def picture_matrix(
    pictures: Sequence[Sequence[NDArray[np.uint8] | None]], row_labels: Sequence[str], column_labels: Sequence[str]
) -> bytes:
    """Pictures, (h, w) grey or (h, w, 3), in labelled rows and columns; None leaves a gap. Returns a PNG."""
    shapes = [pixels.shape for cells in pictures for pixels in cells if pixels is not None]
    height, width = max(shape[0] for shape in shapes) + _GAP, max(shape[1] for shape in shapes) + _GAP
    rows, columns = len(row_labels), len(column_labels)
    sheet = np.full((rows * height - _GAP, columns * width - _GAP, 3), 255, dtype=np.uint8)
    for row, cells in enumerate(pictures):
        for column, pixels in enumerate(cells):
            if pixels is not None:
                place = sheet[row * height :, column * width :][: pixels.shape[0], : pixels.shape[1]]
                place[...] = pixels if pixels.ndim == 3 else pixels[..., None]
    # A little over a pixel for a pixel: as sharp as the pictures are, and no larger a file than that needs.
    margin = 0.2 + 0.085 * max(len(line) for label in row_labels for line in label.split("\n"))
    figure = _figure(1.3 * sheet.shape[1] / _DPI + margin, 1.3 * sheet.shape[0] / _DPI + 0.4)
    axes = figure.subplots()
    axes.imshow(sheet)
    axes.set_xticks([(column + 0.5) * width - _GAP / 2 for column in range(columns)], column_labels)
    axes.set_yticks([(row + 0.5) * height - _GAP / 2 for row in range(rows)], row_labels)
    axes.tick_params(length=0, labelsize=9, labelcolor=_TEXT, top=True, labeltop=True, bottom=False, labelbottom=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return _png(figure)


def _figure(width: float, height: float) -> Figure:
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06)  # inches; less cuts the first letter of long labels
    return Figure(figsize=(width, height), dpi=_DPI, layout=layout, facecolor="white")


def _png(figure: Figure) -> bytes:
    """The figure in 256 colours, a quarter of the bytes of true colour and no difference to the eye.

    Equal results give equal bytes: nothing of the time or of a library's version is written.
    """
    raw, buffer = io.BytesIO(), io.BytesIO()
    figure.savefig(raw, format="rgba")
    size = figure.canvas.get_width_height()
    image = Image.frombytes("RGBA", size, raw.getvalue()).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    image.save(buffer, format="PNG", dpi=(_DPI, _DPI))
    return buffer.getvalue()

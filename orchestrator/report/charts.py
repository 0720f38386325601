"""Charts as PNG, by matplotlib: axes without ornament, and no global state touched."""

from __future__ import annotations

import io
import textwrap
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FixedLocator, MaxNLocator, NullFormatter, NullLocator, ScalarFormatter
from PIL import Image

from orchestrator.report.blocks import CEILING, FLOOR, INK

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from orchestrator.report.blocks import Chart, Key, Panel, Series

DPI = 150
TITLE_WIDTH = 40
"""Characters in a line above a panel, and of a legend."""
MUTED, PALE = "#4a525c", "#dfe3e8"
_LINE = 0.2
_MARK_INCHES = 0.22
_STYLES: dict[str, Any] = {
    "solid": "-", "dashed": (0, (4, 1.5)), "dotted": (0, (1, 1.2)), "dashdot": (0, (6, 1.5, 1, 1.5))
}  # fmt: skip
_MANY_TICKS = 6
_READABLE = 100
"""Where a logarithmic axis spans less, powers of ten alone are too few numbers to read it by."""


def chart_png(chart: Chart) -> bytes:
    """The chart as a PNG."""
    return png_of(figure_of(chart))


def figure_of(chart: Chart) -> Figure:
    """The chart as a figure: a line of panels for each row, or several where they would not be legible side by side."""
    across = _across(max(len(row.panels) for row in chart.rows))
    lines = [-(-len(row.panels) // across) for row in chart.rows]
    width, height = chart.panel_inches
    figure = empty_figure(max(6.4, 0.9 + width * across), height * sum(lines) + 0.5)
    grid = figure.subplots(sum(lines), across, squeeze=False)
    first, titles = 0, [""]
    for row, count in zip(chart.rows, lines, strict=True):
        places = [axes for line in grid[first : first + count] for axes in line]
        for axes in places[len(row.panels) :]:
            axes.set_visible(False)
        before, titles = titles, [panel.title for panel in row.panels]
        for place, (axes, panel) in enumerate(zip(places, row.panels, strict=False)):
            _panel(axes, panel, height)
            starts = place % across == 0 or panel.up != row.panels[place - 1].up
            _label(axes, panel, titled=titles != before or count > 1, starts=starts)
        if row.shared:
            _share([axes for axes, panel in zip(places, row.panels, strict=False) if panel.series])
        first += count
    _legend(figure, chart.legend)
    return figure


def empty_figure(width: float, height: float) -> Figure:
    """An empty figure of this size in inches."""
    layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.06)  # inches; less cuts the first letter of long labels
    return Figure(figsize=(width, height), dpi=DPI, layout=layout, facecolor="white")


def png_of(figure: Figure) -> bytes:
    """The figure in 256 colours, a quarter of the bytes of true colour and no difference to the eye.

    Equal results give equal bytes: nothing of the time or of a library's version is written.
    """
    canvas = FigureCanvasAgg(figure)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from", UserWarning)  # a box is drawn in its place
        canvas.draw()  # type: ignore[no-untyped-call]  # once, where savefig draws twice
    drawn = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    image = Image.fromarray(drawn).convert("RGB").quantize(256, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", dpi=(DPI, DPI))
    return buffer.getvalue()


def literal(words: str) -> str:
    """Words for a figure as they stand: a dollar of somebody's is no mathematics."""
    return words.replace("$", "\\$")


def _across(panels: int) -> int:
    """How many of so many panels stand side by side."""
    return panels if panels <= 4 else 3


def _panel(axes: Axes, panel: Panel, height: float) -> None:
    _dress(axes, flat=panel.flat)
    for series in panel.series:
        _series(axes, series, log=panel.log_y)
    for value, colour in panel.targets:
        axes.axhline(value, color=colour, linestyle=":", linewidth=1.3)
    _marks(axes, panel, _MARK_INCHES / height)
    if panel.message:
        axes.text(0.5, 0.5, literal(panel.message), transform=axes.transAxes, ha="center", va="center",
                  fontsize=8.5, color=MUTED)  # fmt: skip
    if panel.log_y:
        axes.set_yscale("log")
        _make_room(axes, panel)
    if panel.limits:
        axes.set_ylim(*panel.limits)
    _scale_across(axes, panel)
    if panel.named:
        axes.legend(frameon=False, fontsize=7.5)


def _dress(axes: Axes, *, flat: bool) -> None:
    """Thin axes on the left and below, a pale grid; below alone where nothing is measured upwards."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#9aa3ad")
    axes.tick_params(colors=MUTED, labelsize=8.5, which="both", width=0.6)
    axes.set_axisbelow(True)
    axes.margins(x=0.01)
    if not flat:
        axes.grid(visible=True, color=PALE, linewidth=0.6)
    else:
        axes.spines["left"].set_visible(False)
        axes.set_yticks([])
        axes.set_ylim(-0.7, 1.7)
        axes.margins(x=0.1)


def _series(axes: Axes, series: Series, *, log: bool) -> None:
    x, y = np.asarray(series.x, dtype=float), _clipped(series.y, log=log)
    if series.look == "bars":
        axes.stairs(y, x, fill=True, color=series.colour, alpha=series.opacity)
        return
    if series.low is not None and series.high is not None:
        low, high = (_clipped(ends, log=log) for ends in (series.low, series.high))
        axes.fill_between(x, low, high, color=series.colour, alpha=series.band_opacity, linewidth=0)
    edge = 2.0 if series.marker == "|" else 1.0 if series.hollow else 0.0
    axes.plot(
        x,
        y,
        color=series.colour,
        linestyle=_STYLES[series.dashes] if series.look == "line" else "none",
        linewidth=series.width,
        alpha=series.opacity,
        marker=series.marker or None,
        markersize=series.size,
        markeredgewidth=edge,
        markerfacecolor="white" if series.hollow else series.colour,
        label=literal(series.name) or None,
    )


def _clipped(values: Sequence[float], *, log: bool) -> NDArray[np.float64]:
    numbers = np.clip(np.asarray(values, dtype=np.float64), -CEILING, CEILING)
    return np.maximum(numbers, FLOOR) if log else numbers


def _marks(axes: Axes, panel: Panel, top: float) -> None:
    """A tick from below at each event, with its marker on top."""
    across = axes.get_xaxis_transform()
    for colour in dict.fromkeys(mark.colour for mark in panel.marks):
        ticks = [[(mark.x, 0.0), (mark.x, top)] for mark in panel.marks if mark.colour == colour]
        axes.add_collection(LineCollection(ticks, colors=colour, linewidths=1.2, transform=across), autolim=False)
    for marker, colour in dict.fromkeys((mark.marker, mark.colour) for mark in panel.marks):
        steps = [mark.x for mark in panel.marks if (mark.marker, mark.colour) == (marker, colour)]
        axes.plot(steps, [top] * len(steps), marker, color=colour, markersize=5, transform=across, clip_on=False)


def _make_room(axes: Axes, panel: Panel) -> None:
    """Matplotlib makes room around a single value on a linear axis only."""
    values = {min(max(value, FLOOR), CEILING) for one in panel.series for value in one.values() if value == value}
    if len(values) == 1:
        axes.set_ylim(min(values) / 10, max(values) * 10)


def _scale_across(axes: Axes, panel: Panel) -> None:
    if panel.log_x:
        axes.set_xscale("log")
    if panel.ticks:
        axes.xaxis.set_major_locator(FixedLocator([value for value, _ in panel.ticks]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_minor_formatter(NullFormatter())
        values, words = zip(*panel.ticks, strict=True)
        axes.set_xticks(values, [literal(one) for one in words], rotation=0 if len(values) <= _MANY_TICKS else 45)
        axes.margins(x=0.06)
    within = panel.shaded == "within"
    if panel.rule is not None:
        for value in (-panel.rule, panel.rule) if within else (panel.rule,):
            axes.axvline(value, color=MUTED, linestyle=(0, (4, 3)), linewidth=1)
    if panel.flat:
        _few_ticks(axes, panel)
    if panel.shaded and panel.rule is not None:
        low, high = axes.get_xlim()
        ends = (-panel.rule if within else low, panel.rule) if panel.shaded != "above" else (panel.rule, high)
        axes.axvspan(*ends, color=PALE, alpha=0.6, lw=0)
        axes.set_xlim(low, high)
    if panel.x_limits:
        axes.set_xlim(*panel.x_limits)


def _few_ticks(axes: Axes, panel: Panel) -> None:
    """Few ticks, at round numbers; at powers of ten only where there are enough of them to read the axis by."""
    if not panel.series:
        axes.set_xticks([])
        return
    if panel.log_x:
        axes.xaxis.set_minor_locator(NullLocator())
        low, high = axes.get_xlim()
        if high / low >= _READABLE:
            return
        axes.xaxis.set_major_formatter(ScalarFormatter(useOffset=False))
    axes.xaxis.set_major_locator(MaxNLocator(5))


def _label(axes: Axes, panel: Panel, *, titled: bool, starts: bool) -> None:
    """The panel's title above it, the name of what it measures to the left of one that ``starts`` a line."""
    if titled and panel.title:
        look: dict[str, Any] = {"fontsize": 9.5, "pad": 3} if panel.flat else {"fontsize": 10, "pad": 6}
        title = literal(textwrap.fill(panel.title, TITLE_WIDTH))
        axes.set_title(title, loc="left", fontweight="bold", color=INK, **look)
    if panel.across:
        look = {"fontsize": 8.5, "labelpad": 1} if panel.flat else {"fontsize": 9}
        axes.set_xlabel(literal(panel.across), color=MUTED, **look)
    if starts and panel.up:
        axes.set_ylabel(literal(panel.up), fontsize=9.5, color=INK)


def _share(drawn: Sequence[Axes]) -> None:
    if drawn:
        low = min(axes.get_ylim()[0] for axes in drawn)
        high = max(axes.get_ylim()[1] for axes in drawn)
        for axes in drawn:
            axes.set_ylim(low, high)


def _legend(figure: Figure, keys: Sequence[Key]) -> None:
    """A legend above the panels, of as many columns as there is room for; the figure grows by its further lines."""
    if not keys:
        return
    handles = [_handle(key) for key in keys]
    labels = [str(handle.get_label()).split("\n") for handle in handles]
    longest = max(len(line) for label in labels for line in label)
    columns = max(1, min(len(handles), int(figure.get_figwidth() / (0.6 + 0.085 * longest))))
    lines = sum(max(len(label) for label in labels[row : row + columns]) for row in range(0, len(labels), columns))
    figure.set_figheight(figure.get_figheight() + _LINE * (lines - 1))
    # A legend fills its columns one after the other; dealt out like this it reads row by row.
    dealt = [handle for column in range(columns) for handle in handles[column::columns]]
    legend = figure.legend(handles=dealt, loc="outside upper left", ncols=columns, frameon=False, fontsize=9)
    for words in legend.get_texts():
        words.set_color(INK)


def _handle(key: Key) -> Artist:
    words = literal(textwrap.fill(key.words, TITLE_WIDTH))
    if key.look == "patch":
        return Patch(color=key.colour, alpha=0.6, label=words)
    if key.look == "line":
        return Line2D([], [], color=key.colour, linestyle=_STYLES[key.dashes], linewidth=key.width, label=words)
    face = "white" if key.hollow else key.colour
    return Line2D([], [], color=key.colour, linestyle="none", marker=key.look, markersize=5.5, markerfacecolor=face,
                  label=words)  # fmt: skip

"""What all figures share: colours, axes without ornament, PNG bytes. Nothing here touches a global state."""

from __future__ import annotations

import io
import textwrap
import warnings
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from PIL import Image

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.axes import Axes

_T = TypeVar("_T")

PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#4D4D4D")
"""The colours of Okabe and Ito, which readers with any colour vision can tell apart (yellow is too pale here)."""

DPI = 150
TITLE_WIDTH = 40
"""Characters in a line above a panel."""
_LINE = 0.2
TEXT, MUTED, GRID = "#1b2026", "#4a525c", "#dfe3e8"
TITLE: dict[str, Any] = {"loc": "left", "fontsize": 10, "fontweight": "bold", "color": TEXT}


def literal(words: str) -> str:
    """Words for a figure as they stand: a dollar of somebody's is no mathematics."""
    return words.replace("$", "\\$")


def dress(axes: Axes) -> None:
    """Thin axes on the left and below, a pale grid."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#9aa3ad")
    axes.tick_params(colors=MUTED, labelsize=8.5, which="both", width=0.6)
    axes.grid(visible=True, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.margins(x=0.01)


def figure_of(width: float, height: float) -> Figure:
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


def panels_of(figure: Figure, panels: Sequence[int], *, stacked: bool) -> list[list[Axes]]:
    """Axes for rows of so many ``panels``, by row: all in one column, or as many side by side as stay legible."""
    across = 1 if stacked else across_of(max(panels))
    down = [-(-count // across) for count in panels]
    grid = figure.subplots(sum(down), across, squeeze=False)
    found, first = [], 0
    for count, lines in zip(panels, down, strict=True):
        own = [axes for line in grid[first : first + lines] for axes in line]
        for axes in own[count:]:
            axes.set_visible(False)
        found.append(own[:count])
        first += lines
    return found


def across_of(panels: int) -> int:
    """How many of so many panels stand side by side on a wide page."""
    return panels if panels <= 4 else 3


def size_of(panels: Sequence[int], *, stacked: bool) -> tuple[float, float]:
    """Width and height in inches for ``panels_of``."""
    if stacked:
        return 4.2, 2.0 * sum(panels) + 0.5
    across = across_of(max(panels))
    return max(6.4, 0.9 + 3.5 * across), 2.5 * sum(-(-count // across) for count in panels) + 0.5


def titled_panels(
    panels: Sequence[tuple[str, _T]],
    draw: Callable[[Axes, _T], None],
    labels: tuple[str, str],
    handles: list[Any],
    *,
    stacked: bool,
) -> bytes:
    """PNG of one row of panels, each with its title above what ``draw`` makes of the rest of it.

    ``labels`` are what is measured to the right and upwards, ``handles`` those of a legend for all panels.
    """

    def draw_titled(axes: Axes, panel: tuple[str, _T]) -> None:
        title, content = panel
        draw(axes, content)
        axes.set_title(literal(textwrap.fill(title, TITLE_WIDTH)), **TITLE)
        label(axes, *labels)

    return row_of_panels(panels, draw_titled, handles, stacked=stacked)


def row_of_panels(
    panels: Sequence[_T], draw: Callable[[Axes, _T], None], handles: list[Any], *, stacked: bool
) -> bytes:
    """PNG of one row of panels, each drawn by ``draw``, with a legend of the ``handles`` above them."""
    figure = figure_of(*size_of([len(panels)], stacked=stacked))
    (row,) = panels_of(figure, [len(panels)], stacked=stacked)
    for axes, panel in zip(row, panels, strict=True):
        dress(axes)
        draw(axes, panel)
    legend_of(figure, handles)
    return png_of(figure)


def label(axes: Axes, across: str, up: str) -> None:
    """Name what is measured to the right and upwards."""
    axes.set_xlabel(across, fontsize=9, color=MUTED)
    axes.set_ylabel(up, fontsize=9.5, color=TEXT)


def legend_of(figure: Figure, handles: list[Any]) -> None:
    """A legend above the panels, of as many columns as there is room for; the figure grows by its further lines."""
    if not handles:
        return
    labels = [str(handle.get_label()).split("\n") for handle in handles]
    longest = max(len(line) for label in labels for line in label)
    columns = max(1, min(len(handles), int(figure.get_figwidth() / (0.6 + 0.085 * longest))))
    lines = sum(max(len(label) for label in labels[row : row + columns]) for row in range(0, len(labels), columns))
    figure.set_figheight(figure.get_figheight() + _LINE * (lines - 1))
    # A legend fills its columns one after the other; dealt out like this it reads row by row.
    dealt = [handle for column in range(columns) for handle in handles[column::columns]]
    legend = figure.legend(handles=dealt, loc="outside upper left", ncols=columns, frameon=False, fontsize=9)
    for text in legend.get_texts():
        text.set_color(TEXT)

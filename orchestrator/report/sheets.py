"""Grids of pictures and galleries as labelled PNG files."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from orchestrator.report.blocks import INK, Grid
from orchestrator.report.charts import DPI, literal, png_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

    from orchestrator.report.blocks import Gallery

_GAP = 8
_LEAST_INCH = 1.0
"""Of a sheet's sides: beside less than that its labels have no room."""
_SCALE = 1.3
"""A little over a pixel for a pixel: as sharp as the pictures are, and no larger a file than that needs."""
_LETTER, _LINE, _FONT = 0.1, 0.17, 9
"""Inches of a wide letter and of a line, in this size of font."""
_WIDEST, _PAD = 2.5, 0.08
"""Inches that labels beside narrow sheets may take, and that are left around everything."""


def sheet_png(block: Grid | Gallery) -> bytes:
    """The pictures as one PNG: those of a grid in its rows and columns, of a gallery a row each of its frames."""
    if isinstance(block, Grid):
        pictures = [[one.frames[0] if one else None for one in row] for _, row in block.rows]
        return picture_matrix(pictures, [label for label, _ in block.rows], block.columns)
    longest = max(block.pictures, key=lambda picture: len(picture.frames))
    # Trials that ended at different epochs have different frames: then no heading holds for all.
    alike = len({picture.heads for picture in block.pictures}) == 1
    heads = longest.heads if alike else [""] * len(longest.frames)
    rows = [[*one.frames, *[None] * (len(heads) - len(one.frames))] for one in block.pictures]
    return picture_matrix(rows, [one.title for one in block.pictures], heads)


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
    high, wide = (max(_SCALE * pixels / DPI, _LEAST_INCH) for pixels in sheet.shape[:2])
    above, beside = _wrapped(column_labels, wide / columns), _wrapped(row_labels, max(_WIDEST, wide))
    # Labels of low rows would reach into each other.
    high = max(high, rows * _LINE * max(label.count("\n") + 1 for label in beside))
    figure = Figure(figsize=(wide, high), dpi=DPI, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    for top in range(0, len(sheet), height):  # one by one: scaling takes 16 bytes a pixel, of the whole sheet 500 MB
        strip = sheet[top : top + height]
        axes.imshow(strip, extent=(-0.5, sheet.shape[1] - 0.5, top + len(strip) - 0.5, top - 0.5))
    axes.set_xlim(-0.5, sheet.shape[1] - 0.5)
    axes.set_ylim(len(sheet) - 0.5, -0.5)
    axes.set_xticks([(column + 0.5) * width - _GAP / 2 for column in range(columns)], above)
    axes.set_yticks([(row + 0.5) * height - _GAP / 2 for row in range(rows)], beside)
    axes.tick_params(length=0, labelsize=_FONT, labelcolor=INK, top=True, labeltop=True, bottom=False,
                     labelbottom=False)  # fmt: skip
    for spine in axes.spines.values():
        spine.set_visible(False)
    _make_room(figure, axes)
    return png_of(figure)


def _make_room(figure: Figure, axes: Axes) -> None:
    """Let the figure grow by what its labels take beside the axes, which keep their size."""
    size = figure.get_size_inches()
    figure.canvas = FigureCanvasAgg(figure)
    taken = axes.get_tightbbox(figure.canvas.get_renderer())  # type: ignore[no-untyped-call]
    assert taken is not None, "axes that are seen have a place"
    low, high = (np.array(corner) / DPI for corner in (taken.min, taken.max))
    below, beyond = np.maximum(-low, 0) + _PAD, np.maximum(high - size, 0) + _PAD
    total = size + below + beyond
    figure.set_size_inches(*total)
    axes.set_position((*(below / total), *(size / total)))


def _wrapped(labels: Sequence[str], inches: float) -> list[str]:
    """The labels in lines that are no wider."""
    most = max(10, int(inches / _LETTER))
    return ["\n".join(textwrap.fill(literal(line), most) for line in label.split("\n")) for label in labels]

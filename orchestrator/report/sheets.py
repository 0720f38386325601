"""Sample grids as labelled pictures: the last epoch of each cell, and films of the epochs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from orchestrator.report import text
from orchestrator.report.canvas import DPI, TEXT, figure_of, literal, png_of
from orchestrator.report.text import SEED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from numpy.typing import NDArray

    from orchestrator.report.samples import Sample

_GAP = 8
_LEAST_INCH = 1.0
"""Of a sheet's sides: beside less than that its labels have no room."""


@dataclass(frozen=True)
class Matrix:
    """Samples in rows and columns: a column for each value of one setting, a row for each mix of the others."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Sample | None, ...]], ...]


def sample_matrix(samples: Sequence[Sample], names: Mapping[str, str]) -> Matrix:
    """Lay out ``samples``, which all have the same settings in the same order; the first one gives the columns."""
    columns: dict[str, int] = {}
    rows: dict[str, dict[int, Sample]] = {}
    for sample in samples:
        first, *others = sample.settings or {"": None}
        head = text.assigned(first, sample.settings[first], names) if first else ""
        label = _lines({column: sample.settings[column] for column in others}, names)
        rows.setdefault(label, {})[columns.setdefault(head, len(columns))] = sample
    places = range(len(columns))
    return Matrix(tuple(columns), tuple((label, tuple(map(row.get, places))) for label, row in rows.items()))


def draw_samples(samples: Sequence[Sample], names: Mapping[str, str]) -> dict[str, bytes]:
    """The sample grids as one labelled picture, and the films as another; by file name, none without samples."""
    drawn = {}
    if samples:
        matrix = sample_matrix(samples, names)
        pictures = [[sample.pixels if sample else None for sample in row] for _, row in matrix.rows]
        drawn["samples"] = picture_matrix(pictures, [label for label, _ in matrix.rows], matrix.columns)
    films = [sample for sample in samples if sample.frames]
    if films:
        longest = max(films, key=lambda film: len(film.frames))
        epochs = [f"epoch {epoch}" for epoch in longest.frame_epochs]
        # Trials that ended at different epochs have different frames: then no heading holds for all.
        heads = epochs if len({film.frame_epochs for film in films}) == 1 else [""] * len(epochs)
        pictures = [[*film.frames, *[None] * (len(heads) - len(film.frames))] for film in films]
        drawn["films"] = picture_matrix(pictures, [_lines(film.settings, names) for film in films], heads)
    return drawn


def _lines(settings: Mapping[str, Any], names: Mapping[str, str]) -> str:
    return "\n".join(text.assigned(column, value, names) for column, value in settings.items())


def sample_words(sample: Sample, names: dict[str, str]) -> str:
    """The settings of a sample's trial, its seed included."""
    settings = dict(sample.settings)
    if sample.seed is not None:
        settings[SEED] = sample.seed
    return text.described(settings, names) or "the only setting"


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
    high, wide = (max(1.3 * pixels / DPI, _LEAST_INCH) for pixels in sheet.shape[:2])
    figure = figure_of(wide + margin, high + 0.4)
    axes = figure.subplots()
    for top in range(0, len(sheet), height):  # one by one: scaling takes 16 bytes a pixel, of the whole sheet 500 MB
        strip = sheet[top : top + height]
        axes.imshow(strip, extent=(-0.5, sheet.shape[1] - 0.5, top + len(strip) - 0.5, top - 0.5))
    axes.set_xlim(-0.5, sheet.shape[1] - 0.5)
    axes.set_ylim(len(sheet) - 0.5, -0.5)
    above, beside = ([literal(one) for one in labels] for labels in (column_labels, row_labels))
    axes.set_xticks([(column + 0.5) * width - _GAP / 2 for column in range(columns)], above)
    axes.set_yticks([(row + 0.5) * height - _GAP / 2 for row in range(rows)], beside)
    axes.tick_params(length=0, labelsize=9, labelcolor=TEXT, top=True, labeltop=True, bottom=False, labelbottom=False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return png_of(figure)

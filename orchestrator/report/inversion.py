"""Images sought in the latent space: the best of several starts against one, errors by class, an encoder's answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from orchestrator.evaluations.encoder_inversion.settings import METHODS, EncoderInversion
from orchestrator.evaluations.inversion.settings import SHOWN, SHOWN_RESTARTS, Inversion
from orchestrator.report import text
from orchestrator.report.pictures import Album
from orchestrator.report.runs import count_of
from orchestrator.report.tables import Spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from orchestrator.report.results import Results
    from orchestrator.report.runs import RunCell, Runs

KIND, ENCODER_KIND = "inversion", "encoder_inversion"
CLASSES = 12
"""So many classes have a column at most."""
MOST_PICTURES = 12
"""Pictures of so many trials are shown at most."""


@dataclass(frozen=True)
class Told:
    """A measure: its mean over a trial's images as a spread over trials, and its median over all their images."""

    spread: Spread | None
    median: float | None

    @classmethod
    def of(cls, parts: Sequence[pd.Series[Any]]) -> Told:
        """Of the values of each trial's images; nothing is told of none."""
        joined = pd.concat(list(parts)).dropna() if parts else []
        return cls(Spread.of(float(part.mean()) for part in parts), float(np.median(joined)) if len(joined) else None)


@dataclass(frozen=True)
class Quartiles:
    """Of some measure of images the median, and the quartiles around it."""

    median: float
    low: float
    high: float


@dataclass(frozen=True)
class InversionRow:
    """One cell. ``single`` figures are those of each image's first restart; nothing where halving dropped some."""

    settings: tuple[str, ...]
    trials: int
    images: str
    restarts: str
    best: dict[str, Told]
    single: dict[str, Told]
    ratio: Quartiles | None


@dataclass(frozen=True)
class ClassRow:
    """One cell: the mean error of the chosen restarts of each class."""

    settings: tuple[str, ...]
    errors: tuple[Spread | None, ...]


@dataclass(frozen=True)
class ClassTable:
    """Errors by class; ``left_out`` counts classes without a column."""

    classes: tuple[str, ...]
    rows: tuple[ClassRow, ...]
    left_out: int


@dataclass(frozen=True)
class EncoderRow:
    """One cell and method."""

    settings: tuple[str, ...]
    method: str
    trials: int
    images: str
    measures: dict[str, Told]


def chosen_of(rows: pd.DataFrame) -> pd.DataFrame:
    """An image's restart of lowest loss, by image."""
    return rows[rows["chosen"].eq(True)].drop_duplicates("image_id").set_index("image_id")


def single_of(rows: pd.DataFrame) -> pd.DataFrame:
    """An image's first restart, by image: one random start; none at all where halving has cut some short."""
    first = rows[rows["restart"] == 0].drop_duplicates("image_id").set_index("image_id")
    return first.iloc[:0] if first["dropped_at"].notna().any() else first


def inverted(runs: Runs) -> list[InversionRow]:
    """A row for each cell."""
    return [_inverted(cell) for cell in runs.cells]


def _inverted(cell: RunCell) -> InversionRow:
    best, single = ([pick(rows) for rows in cell.rows.values()] for pick in (chosen_of, single_of))
    ratios = pd.concat([one["mse"] / many["mse"] for one, many in zip(single, best, strict=True)])
    ratios = ratios[np.isfinite(ratios.to_numpy(dtype=float, na_value=np.nan))]
    quartiles = Quartiles(*(float(ratios.quantile(q)) for q in (0.5, 0.25, 0.75))) if len(ratios) else None
    measures = [
        {name: Told.of([frame[name] for frame in frames]) for name in ("mse", "psnr", "ssim")}
        for frames in (best, single)
    ]
    return InversionRow(
        cell.values,
        len(cell.rows),
        count_of([len(frame) for frame in best]),
        count_of([rows["restart"].nunique() for rows in cell.rows.values()]),
        measures[0],
        measures[1],
        quartiles,
    )


def by_class(runs: Runs) -> ClassTable | None:
    """The error of the chosen restarts by class; None where images have none."""
    best = [[chosen_of(rows) for rows in cell.rows.values()] for cell in runs.cells]
    labels = sorted({int(label) for cell in best for rows in cell for label in rows["label"].dropna()})
    if not labels:
        return None
    rows = []
    for cell, frames in zip(runs.cells, best, strict=True):
        means = [frame.groupby("label")["mse"].mean() for frame in frames]
        errors = (Spread.of(mean[label] for mean in means if label in mean) for label in labels[:CLASSES])
        rows.append(ClassRow(cell.values, tuple(errors)))
    return ClassTable(tuple(map(str, labels[:CLASSES])), tuple(rows), max(0, len(labels) - CLASSES))


def encoded(runs: Runs) -> list[EncoderRow]:
    """A row for each cell and method."""
    found = []
    for cell in runs.cells:
        for method in METHODS:
            parts = [rows[rows["method"] == method] for rows in cell.rows.values()]
            parts = [rows for rows in parts if len(rows)]
            if parts:
                measures = {name: Told.of([rows[name] for rows in parts]) for name in ("mse", "psnr", "ssim")}
                images = count_of([len(rows) for rows in parts])
                found.append(EncoderRow(cell.values, method, len(parts), images, measures))
    return found


def galleries(results: Results, runs: Runs) -> Album:
    """Of each trial the picture of its first images, the first trials' only."""
    album = Album(results.store, most=MOST_PICTURES)
    for cell, (trial, evaluation), rows in runs.each():
        restarts = min(SHOWN_RESTARTS, rows["restart"].nunique())
        images = text.plural(min(SHOWN, rows["image_id"].nunique()), "held-out image")
        columns = f"the image, the best restart, then {text.plural(restarts, 'restart')}"
        title = f"Inversion{', ' if cell.words else ''}{cell.words}"
        alt = f"{title}: {images}, a row each; columns from the left: {columns}."
        album.add(Inversion.picture_of(evaluation, trial, "gallery-0000"), trial, title, alt)
    return album


def encoder_galleries(results: Results, runs: Runs) -> Album:
    """The same of encoders."""
    album = Album(results.store, most=MOST_PICTURES)
    for cell, (trial, evaluation), rows in runs.each():
        images = text.plural(min(SHOWN, rows["image_id"].nunique()), "held-out image")
        title = f"Encoder{', ' if cell.words else ''}{cell.words}"
        alt = f"{title}: {images}, a row each; columns from the left: the image, {', '.join(METHODS)}."
        album.add(EncoderInversion.picture_of(evaluation, trial, "gallery"), trial, title, alt)
    return album

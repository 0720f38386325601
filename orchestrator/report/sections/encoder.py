"""Inversion by an encoder: its answers against searches from there and from random starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from orchestrator import text
from orchestrator.evaluations.encoder_inversion.settings import METHODS, EncoderInversion
from orchestrator.evaluations.inversion.settings import SHOWN
from orchestrator.report.blocks import PALETTE, Cell, Chart, Head, PanelRow, Row, Section, Table, Text
from orchestrator.report.cells import count_of, number, numeric_heads, setting_cells, setting_heads, spread_of
from orchestrator.report.kept import KEPT_NOTE, WRITES, there
from orchestrator.report.pictures import Album
from orchestrator.report.plots import SEEDS, Point, colours, legend, panel
from orchestrator.report.searches import (
    CELLS,
    EVERY,
    MOST_PICTURES,
    TICKS,
    left_out,
    loss_chart,
    loss_panel,
    palette_of,
    read_further,
    with_median,
)
from orchestrator.study import evenly

if TYPE_CHECKING:
    from orchestrator.report.blocks import Block
    from orchestrator.study import Study

ORDER = 85
KIND = "encoder_inversion"
SEARCHES = {"random": "from a random start", "refined": "from the encoder's answer"}
WITH_MEDIAN = ("mse", "psnr", "ssim")
"""Measures whose median over images is told beside the mean."""
LOSSES = {"image_loss": "error in images", "latent_loss": "error in latent vectors"}
_NOTE = (
    "An encoder was trained while the generator stayed as it was. encoder: its answers for held-out images as they "
    "are; refined: searches from there; random: searches of as many steps from random starts. The mean over a trial's "
    "images, then over seeds, below it the least and the greatest seed where they differ; the median is over all "
    "images."
)


def build(study: Study) -> Section | None:
    """None where no encoder was trained."""
    table = encoder_table(study)
    if not table.rows:
        return None
    blocks: list[Block] = [Text(f"{_NOTE} {KEPT_NOTE}", "notes", "encoded-note"), table]
    blocks += [chart for chart in (searches_chart(study), training_chart(study)) if chart]
    blocks += encoded_images(study).blocks("Images found", "images found by an encoder")
    return Section("encoder", "Inversion by an encoder", "Encoder", tuple(blocks))


def encoder_table(study: Study) -> Table:
    """A row for each cell and method."""
    cells = study.evaluation(KIND)
    rows, measured = [], there(cells.frame, EncoderInversion.headings())
    for cell in cells:
        for method in METHODS:
            parts = [part for _, _, run in cell.runs() if len(part := run[run["method"] == method])]
            if parts:
                counts = (number(len(parts)), count_of(map(len, parts)))
                measures = (_measure(measure, [part[measure] for part in parts]) for measure in measured)
                rows.append(Row((*setting_cells(cell.values), Cell(method), *counts, *measures)))
    heads = (
        *setting_heads(cells.heads), Head("method"), *numeric_heads(["seeds", "images", *measured.values()])
    )  # fmt: skip
    return Table("Images found by an encoder", heads, tuple(rows), "encoded-note")


def _measure(name: str, parts: list[pd.Series[float]]) -> Cell:
    if name in WITH_MEDIAN:
        return with_median(parts)
    return spread_of((float(part.astype(float).mean()) for part in parts), WRITES.get(name, text.number))


def searches_chart(study: Study) -> Chart | None:
    """Searches from the encoder's answers against those from random starts, over the steps; None without curves."""
    cells = study.evaluation(KIND)
    looks = palette_of([*SEARCHES.values()])
    panels = []
    for cell in cells.first(CELLS):
        joined = pd.concat([read_further(study, KIND, "curves", trial, one) for trial, one, _ in cell.runs()])
        bands = {name: joined[joined["method"] == method] for method, name in SEARCHES.items()}
        bands = {name: rows for name, rows in bands.items() if rows["loss"].notna().any()}
        if bands:
            panels.append(loss_panel(cell.title or EVERY, bands, looks))
    if not panels:
        return None
    return loss_chart(
        "encoder-searches",
        "Searches from the encoder's answers",
        [panels],
        looks,
        "Loss against the step of the search, from random starts and from the encoder's answers: median and 10 to 90 % "
        "band over images",
        f"Median over images and seeds, band from the 10 % to the 90 % quantile.{left_out(cells)}",
    )


def training_chart(study: Study) -> Chart | None:
    """The encoder's losses over its updates; None without rows."""
    cells = study.evaluation(KIND).first(len(PALETTE))
    lines: dict[str, list[list[Point]]] = {name: [] for name in LOSSES}
    for cell in cells:
        rows = pd.concat([read_further(study, KIND, "training", trial, one) for trial, one, _ in cell.runs()])
        for name, cell_lines in lines.items():
            known = rows[["step", name]].dropna().astype(float)
            cell_lines.append([Point(*point) for point in known.itertuples(index=False, name=None)])
    drawn = {
        name: cell_lines
        for name, cell_lines in lines.items()
        if any(point.is_drawn for line in cell_lines for point in line)
    }
    if not drawn:
        return None
    values = sorted(
        {point.x for cell_lines in drawn.values() for line in cell_lines for point in line if point.is_drawn}
    )
    ticks = [(value, text.number(int(value))) for value in evenly(values, TICKS)]
    labels = [cell.title for cell in cells]
    panels = [
        panel(LOSSES[name], "updates of the encoder", cell_lines, ticks, log=True) for name, cell_lines in drawn.items()
    ]
    return Chart(
        "encoder-training",
        "Training of the encoder",
        f"{text.listing(one.up for one in panels)} against the updates of the encoder{colours(labels)}.",
        f"Each point is a mean since the one before. {SEEDS}",
        (PanelRow(tuple(panels)),),
        legend(labels),
    )


def encoded_images(study: Study) -> Album:
    """Of each trial the picture of its first images, the first trials' only."""
    album = Album(study.store, most=MOST_PICTURES)
    for cell in study.evaluation(KIND):
        for trial, evaluation, rows in cell.runs():
            images = text.plural(min(SHOWN, rows["image_id"].nunique()), "held-out image")
            title = f"Encoder{', ' if cell.title else ''}{cell.title}"
            alt = f"{title}: {images}, a row each; columns from the left: the image, {', '.join(METHODS)}."
            album.add(EncoderInversion.picture_of(evaluation, trial, "gallery"), trial, title, alt)
    return album

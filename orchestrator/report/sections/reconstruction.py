"""Held-out images by way of their latent vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from orchestrator import text
from orchestrator.evaluations.reconstruction.settings import SHOWN, Reconstruction
from orchestrator.report.blocks import Section, Text
from orchestrator.report.kept import KEPT_NOTE, WRITES, there
from orchestrator.report.measured import measured_table
from orchestrator.report.pictures import Album

if TYPE_CHECKING:
    from orchestrator.report.blocks import Table
    from orchestrator.study import Study

ORDER = 60
_NOTE = (
    "Held-out images, and what the generator makes of their latent vectors: of the encoder's where the trial trained "
    "one, else of the best that a search found. Sharpness is the variance of the Laplacian over that of the image "
    "itself, 1 being as sharp. Means over a trial's images, of several seeds the mean, below it the least and the "
    "greatest where they differ."
)


def build(study: Study) -> Section | None:
    """None where nothing was reconstructed."""
    table = reconstruction_table(study)
    if not table:
        return None
    pictures = reconstructions(study).blocks("Images and what came back", "reconstructions")
    blocks = (Text(f"{_NOTE} {KEPT_NOTE}", "notes", "reconstructed-note"), table, *pictures)
    return Section("reconstruction", "Reconstruction", "Reconstruction", blocks)


def reconstruction_table(study: Study) -> Table | None:
    """Means over a trial's images by where their latent vectors come from."""
    cells = study.evaluation("reconstruction")
    words = {"method": "latent vector by"}
    measures = there(cells.frame, Reconstruction.headings())
    return measured_table(cells, "Reconstructions", "reconstructed-note", measures, words, "images", WRITES)


def reconstructions(study: Study) -> Album:
    """For each cell the picture of the first seed: images above, what came back below."""
    album = Album(study.store)
    for cell in study.evaluation("reconstruction"):
        rows = cell.of_first_seed()
        trial, evaluation, method = rows[["trial_id", "evaluation_id", "method"]].iloc[0]
        shown = text.plural(min(SHOWN, len(rows)), "held-out image")
        alt = f"{cell.title or 'all trials'}: {shown}, what came back below, latent vectors by {method}."
        album.add(Reconstruction.picture_of(evaluation, trial, "gallery"), trial, cell.title, alt)
    return album
